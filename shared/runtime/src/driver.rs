//! Runs a pure machine on tokio: inputs in, time in, outputs out, one after the other.

use crate::{Clock, Shutdown};
use std::future::Future;
use tokio::sync::mpsc;
use vedette_model::Instant;
use vedette_protocol::Machine;

/// Inputs handled in one turn before the outputs are carried out: many outputs together cost one
/// sync of a store, and the machine's timers are looked at once per turn, however many inputs wait.
pub const INPUTS_PER_TURN: usize = 64;

/// Carries out what a machine decides.
pub trait Effects<M: Machine>: Send {
    /// Carries the outputs out in their order, those of one turn together. What comes back is
    /// handled by the machine at once, before anything that waits in the queue; outputs that the
    /// machine makes of it come in another call. The machine stands still meanwhile: what takes
    /// long belongs in a task that sends its result into the queue.
    fn perform(&mut self, outputs: Vec<M::Output>) -> impl Future<Output = Vec<M::Input>> + Send;
}

/// Runs the machine until shutdown, or until nobody holds the queue's other end, and gives back
/// the effects so that they can be drained. What the machine has decided by then is carried out;
/// what still waits in the queue is not handled any more.
pub async fn run<M, E>(
    mut machine: M,
    mut inputs: mpsc::Receiver<M::Input>,
    mut effects: E,
    clock: Clock,
    shutdown: Shutdown,
) -> E
where
    M: Machine + Send,
    M::Input: Send,
    M::Output: Send,
    E: Effects<M>,
{
    let mut batch = Vec::with_capacity(INPUTS_PER_TURN);
    loop {
        settle(&mut machine, &mut effects, &clock).await;
        let open = tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            count = inputs.recv_many(&mut batch, INPUTS_PER_TURN) => count > 0,
            () = due(&clock, machine.poll_timeout()) => true,
        };
        if !open {
            tracing::debug!("the machine stops: nobody can send to it any more");
            break;
        }
        for input in batch.drain(..) {
            machine.handle(input, clock.now());
        }
        let now = clock.now();
        if machine.poll_timeout().is_some_and(|at| at <= now) {
            machine.handle_timeout(now);
        }
    }
    effects
}

/// Carries out all outputs, and those of the inputs that come back, to the end.
async fn settle<M: Machine, E: Effects<M>>(machine: &mut M, effects: &mut E, clock: &Clock) {
    loop {
        let outputs: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
        if outputs.is_empty() {
            return;
        }
        for input in effects.perform(outputs).await {
            machine.handle(input, clock.now());
        }
    }
}

async fn due(clock: &Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::time::Duration;

    /// Echoes what it hears and ticks every ten milliseconds.
    struct Echo {
        out: VecDeque<Said>,
        next: Instant,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Said {
        Heard(u32),
        Tick,
    }

    const PERIOD: Duration = Duration::from_millis(10);

    impl Echo {
        fn at(now: Instant) -> Self {
            Self { out: VecDeque::new(), next: now + PERIOD }
        }
    }

    impl Machine for Echo {
        type Input = u32;
        type Output = Said;

        fn handle(&mut self, input: u32, _now: Instant) {
            self.out.push_back(Said::Heard(input));
        }

        fn handle_timeout(&mut self, now: Instant) {
            if now >= self.next {
                self.next = now + PERIOD;
                self.out.push_back(Said::Tick);
            }
        }

        fn poll_timeout(&self) -> Option<Instant> {
            Some(self.next)
        }

        fn poll_output(&mut self) -> Option<Said> {
            self.out.pop_front()
        }
    }

    /// Keeps the turns; answers input 1 with input 1,000; stops everything after enough ticks.
    struct Hands {
        turns: Vec<Vec<Said>>,
        ticks: usize,
        shutdown: Shutdown,
    }

    impl Effects<Echo> for Hands {
        async fn perform(&mut self, outputs: Vec<Said>) -> Vec<u32> {
            let back = outputs.iter().filter(|said| **said == Said::Heard(1)).map(|_| 1_000);
            let back = back.collect();
            self.ticks -=
                outputs.iter().filter(|said| **said == Said::Tick).count().min(self.ticks);
            if self.ticks == 0 {
                self.shutdown.trigger("enough ticks");
            }
            self.turns.push(outputs);
            back
        }
    }

    async fn drive(inputs: mpsc::Receiver<u32>, ticks: usize) -> Vec<Vec<Said>> {
        let (clock, shutdown) = (Clock::start(), Shutdown::new());
        let hands = Hands { turns: Vec::new(), ticks, shutdown: shutdown.clone() };
        run(Echo::at(clock.now()), inputs, hands, clock, shutdown).await.turns
    }

    #[tokio::test(start_paused = true)]
    async fn inputs_of_one_turn_come_out_together_and_in_order() {
        let (sender, receiver) = mpsc::channel(256);
        for input in 10..110 {
            sender.try_send(input).unwrap();
        }
        let turns = drive(receiver, 1).await;
        let first: Vec<_> = (10..74).map(Said::Heard).collect();
        let second: Vec<_> = (74..110).map(Said::Heard).collect();
        assert_eq!(turns, [first, second, vec![Said::Tick]]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_back_is_handled_before_what_waits() {
        let (sender, receiver) = mpsc::channel(256);
        for input in 1..=100 {
            sender.try_send(input).unwrap();
        }
        let turns = drive(receiver, 1).await;
        assert_eq!(turns[1], [Said::Heard(1_000)]);
        assert_eq!(turns[2][0], Said::Heard(65));
    }

    #[tokio::test]
    async fn timeouts_come_also_under_constant_input() {
        let (sender, receiver) = mpsc::channel(1_024);
        let flood = tokio::spawn(async move { while sender.send(7).await.is_ok() {} });
        let turns =
            tokio::time::timeout(Duration::from_secs(20), drive(receiver, 5)).await.unwrap();
        flood.await.unwrap();
        let heard = turns.iter().flatten().filter(|said| **said == Said::Heard(7)).count();
        assert!(heard > 64, "the flood was no flood: {heard}");
    }

    /// Is asked to stop while it decides.
    struct Late {
        shutdown: Shutdown,
        out: Option<u32>,
    }

    impl Machine for Late {
        type Input = u32;
        type Output = u32;

        fn handle(&mut self, input: u32, _now: Instant) {
            self.shutdown.trigger("in the middle of a turn");
            self.out = Some(input);
        }

        fn handle_timeout(&mut self, _now: Instant) {}

        fn poll_timeout(&self) -> Option<Instant> {
            None
        }

        fn poll_output(&mut self) -> Option<u32> {
            self.out.take()
        }
    }

    struct Done(Vec<u32>);

    impl Effects<Late> for Done {
        async fn perform(&mut self, mut outputs: Vec<u32>) -> Vec<u32> {
            self.0.append(&mut outputs);
            Vec::new()
        }
    }

    #[tokio::test]
    async fn what_was_decided_is_done_before_the_end() {
        let shutdown = Shutdown::new();
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(7).unwrap();
        let machine = Late { shutdown: shutdown.clone(), out: None };
        let effects = run(machine, receiver, Done(Vec::new()), Clock::start(), shutdown).await;
        assert_eq!(effects.0, [7]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nobody_can_send_any_more() {
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(5).unwrap();
        drop(sender);
        assert_eq!(drive(receiver, usize::MAX).await, [[Said::Heard(5)]]);
    }
}
