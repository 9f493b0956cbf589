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
/// the effects so that they can be drained.
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
    while !shutdown.is_triggered() {
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
