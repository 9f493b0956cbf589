//! The voter's machine on the bus and the store.
//!
//! ```text
//!  bus ─► queue ─► machine ─► [ A, Persist, B, Persist, C ]
//!                    ▲          │          one turn
//!                    │          ├─► say A
//!                    │          ├─► both Persists in one transaction, synced
//!                    └ failed ◄─┴─► say B, C
//! ```

use crate::events;
use crate::metrics::Metrics;
use crate::store::{Batch, Error, Store};
use std::future::Future;
use vedette_model::{Fact, FactKind};
use vedette_protocol::Machine;
use vedette_protocol::voter::{Input, Output};
use vedette_runtime::{Bus, Clock, Effects, Observer, Received};
use vedette_trace::Voters;

/// What a voter listens to.
pub const KINDS: &[FactKind] = &[
    FactKind::SdownReport,
    FactKind::Candidacy,
    FactKind::Proposal,
    FactKind::Beat,
    FactKind::RecordCommitted,
    FactKind::Digest,
    FactKind::RosterBallot,
    FactKind::Rejoin,
    FactKind::Heartbeat,
    FactKind::StatusQuery,
];

/// A message from the bus as the machine's input.
pub fn input(received: Received) -> Option<Input> {
    Some(Input::Fact { fact: received.fact, reply_to: received.reply_to })
}

/// Tells and answers.
pub trait Speak: Send + Sync {
    /// Tells everybody.
    fn publish(&self, fact: &Fact) -> impl Future<Output = ()> + Send;
    /// Answers on a subject.
    fn reply(&self, to: &str, fact: &Fact) -> impl Future<Output = ()> + Send;
}

/// The bus, and who sees what is said there.
pub struct Speaker {
    /// The bus.
    pub bus: Bus,
    /// Who sees it.
    pub observer: Observer<Voters>,
}

impl Speak for Speaker {
    async fn publish(&self, fact: &Fact) {
        self.observer.says(fact);
        self.bus.publish(fact).await;
    }

    async fn reply(&self, to: &str, fact: &Fact) {
        self.observer.says(fact);
        self.bus.reply(to, fact).await;
    }
}

/// Saves what is promised.
pub trait Save: Send + Sync {
    /// Writes all of it at once and syncs it.
    fn save(&self, batch: Batch) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Save for Store {
    async fn save(&self, batch: Batch) -> Result<(), Error> {
        Self::save(self, batch).await
    }
}

/// Carries a voter's outputs out: what is promised is on disk before it is said.
#[derive(Debug)]
pub struct Voice<S, B> {
    store: S,
    bus: B,
    clock: Clock,
    metrics: Metrics,
}

impl<S: Save, B: Speak> Voice<S, B> {
    /// A voice over this store and bus.
    pub const fn new(store: S, bus: B, clock: Clock, metrics: Metrics) -> Self {
        Self { store, bus, clock, metrics }
    }

    /// Gives both back, to close them.
    pub fn into_parts(self) -> (S, B) {
        (self.store, self.bus)
    }

    async fn say(&self, said: Said) {
        match said {
            Said::Everybody(fact) => {
                self.bus.publish(&fact).await;
                events::published(&fact);
                self.metrics.told(&fact);
            }
            Said::To(subject, fact) => {
                self.bus.reply(&subject, &fact).await;
                events::answered(&fact);
                self.metrics.told(&fact);
            }
        }
    }
}

impl<M, S, B> Effects<M> for Voice<S, B>
where
    M: Machine<Input = Input, Output = Output>,
    S: Save,
    B: Speak,
{
    async fn perform(&mut self, outputs: Vec<Output>) -> Vec<Input> {
        let turn = Turn::of(outputs);
        for said in turn.before {
            self.say(said).await;
        }
        let meta = turn.batch.meta.clone();
        if !turn.batch.is_empty() {
            let begun = self.clock.now();
            let saved = self.store.save(turn.batch).await;
            self.metrics.saved(saved.is_ok(), self.clock.now().since(begun));
            if let Err(error) = saved {
                events::store_failed(&error, turn.after.len());
                return vec![Input::StoreFailed { why: error.to_string() }];
            }
        }
        meta.iter().for_each(events::remembers);
        for said in turn.after {
            self.say(said).await;
        }
        Vec::new()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Everybody(Fact),
    To(String, Fact),
}

/// The outputs of one turn: what needs no protection, what is to be saved, and what waits for that.
#[derive(Debug, Default)]
struct Turn {
    before: Vec<Said>,
    batch: Batch,
    after: Vec<Said>,
}

impl Turn {
    fn of(outputs: Vec<Output>) -> Self {
        let mut turn = Self::default();
        for output in outputs {
            let said = match output {
                Output::Persist(stored) => {
                    turn.batch.groups.push(stored);
                    continue;
                }
                Output::PersistMeta(meta) => {
                    turn.batch.meta = Some(meta);
                    continue;
                }
                Output::Publish(fact) => Said::Everybody(fact),
                Output::Reply { to, fact } => Said::To(to, fact),
            };
            if turn.batch.is_empty() {
                turn.before.push(said);
            } else {
                turn.after.push(said);
            }
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use vedette_model::{GroupName, Instant, StatusQuery};
    use vedette_protocol::voter::Stored;
    use vedette_runtime::metrics::Meter;

    /// Writes down in which order things were done.
    #[derive(Clone, Default)]
    struct Recorder {
        done: Arc<Mutex<Vec<String>>>,
        disk_full: bool,
    }

    impl Recorder {
        fn note(&self, text: String) {
            self.done.lock().unwrap().push(text);
        }
    }

    impl Speak for Recorder {
        async fn publish(&self, fact: &Fact) {
            self.note(format!("publish {}", fact.kind().as_str()));
        }

        async fn reply(&self, to: &str, _fact: &Fact) {
            self.note(format!("reply {to}"));
        }
    }

    impl Save for Recorder {
        async fn save(&self, batch: Batch) -> Result<(), Error> {
            let groups: Vec<_> = batch.groups.iter().map(|s| s.group.as_str()).collect();
            self.note(format!("save {}", groups.join("+")));
            if self.disk_full { Err(Error::Closed) } else { Ok(()) }
        }
    }

    /// A machine of the voter's types, for naming them.
    struct Nobody;

    impl Machine for Nobody {
        type Input = Input;
        type Output = Output;

        fn handle(&mut self, _: Input, _: Instant) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
    }

    fn persist(group: &str) -> Output {
        let group = GroupName::parse(group).unwrap();
        Output::Persist(Stored::empty(group))
    }

    fn reply(to: &str) -> Output {
        Output::Reply { to: to.into(), fact: StatusQuery {}.into() }
    }

    async fn perform(disk_full: bool, outputs: Vec<Output>) -> (Vec<Input>, Vec<String>) {
        let recorder = Recorder { disk_full, ..Recorder::default() };
        let metrics = Metrics::new(&Meter::default());
        let mut voice = Voice::new(recorder.clone(), recorder.clone(), Clock::start(), metrics);
        let inputs = Effects::<Nobody>::perform(&mut voice, outputs).await;
        let done = recorder.done.lock().unwrap().clone();
        (inputs, done)
    }

    fn turn() -> Vec<Output> {
        vec![
            reply("a"),
            persist("g1"),
            reply("b"),
            Output::Publish(StatusQuery {}.into()),
            persist("g2"),
            reply("c"),
        ]
    }

    #[tokio::test]
    async fn a_turn_is_saved_at_once_and_said_in_order() {
        let (inputs, done) = perform(false, turn()).await;
        assert_eq!(inputs, []);
        assert_eq!(done, ["reply a", "save g1+g2", "reply b", "publish status", "reply c"]);
    }

    #[tokio::test]
    async fn what_a_failed_save_protected_is_never_said() {
        let (inputs, done) = perform(true, turn()).await;
        assert_eq!(inputs, [Input::StoreFailed { why: Error::Closed.to_string() }]);
        assert_eq!(done, ["reply a", "save g1+g2"]);
    }

    #[tokio::test]
    async fn a_turn_without_promises_touches_no_disk() {
        let (inputs, done) = perform(true, vec![reply("a")]).await;
        assert_eq!(inputs, []);
        assert_eq!(done, ["reply a"]);
    }
}
