//! Greetings on the nodes' channel `__sentinel__:hello`, as Sentinels send them, for tools that
//! listen there. Nobody of ours listens, and nothing is decided by them.
//!
//! ```text
//!  every 2 s, each member of each group ─► PUBLISH __sentinel__:hello
//!      ip,port,runid,current_epoch,master_name,master_ip,master_port,master_config_epoch
//! ```

use crate::config::HelloConfig;
use std::collections::VecDeque;
use std::time::Duration;
use vedette_model::{Epoch, GroupRecord, Instant, NodeAddr};
use vedette_protocol::Machine;
use vedette_protocol::prober::{self, Input, Prober, Watch};

/// As Sentinel.
const GREET_EVERY: Duration = Duration::from_secs(2);

/// In whose name greetings are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    id: String,
    address: NodeAddr,
}

impl Name {
    /// The name, if one is configured.
    pub fn of(config: &HelloConfig) -> Option<Self> {
        Some(Self { id: config.id.clone()?, address: config.address.clone()? })
    }

    fn greeting(&self, record: &GroupRecord, current: Epoch) -> String {
        let (own, master) = (&self.address, &record.master);
        format!(
            "{},{},{},{current},{},{},{},{}",
            own.host(),
            own.port(),
            self.id,
            record.group,
            master.host(),
            master.port(),
            record.epoch
        )
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// What the prober wants.
    Watch(prober::Output),
    /// Publish this text on the node's connection.
    Greet {
        /// Which node.
        watch: Watch,
        /// The greeting.
        text: String,
    },
}

/// A prober that greets.
#[derive(Debug)]
pub struct Greeter {
    prober: Prober,
    name: Option<Name>,
    next: Instant,
    greetings: VecDeque<Output>,
}

impl Greeter {
    /// Greets in this name; not at all without one.
    pub const fn new(prober: Prober, name: Option<Name>, now: Instant) -> Self {
        Self { prober, name, next: now, greetings: VecDeque::new() }
    }

    fn greet(&mut self, now: Instant) {
        let Some(name) = self.name.as_ref().filter(|_| now >= self.next) else { return };
        self.next = now + GREET_EVERY;
        // Sentinel has one epoch for all masters.
        let current = self.prober.records().map(|record| record.top_epoch).max();
        for record in self.prober.records().filter(|record| !record.removed) {
            let text = name.greeting(record, current.unwrap_or_default());
            for member in &record.members {
                let watch = Watch { group: record.group.clone(), node: member.addr.clone() };
                self.greetings.push_back(Output::Greet { watch, text: text.clone() });
            }
        }
    }
}

impl Machine for Greeter {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        self.prober.handle(input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.prober.handle_timeout(now);
        self.greet(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next = self.name.as_ref().map(|_| self.next);
        self.prober.poll_timeout().into_iter().chain(next).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.prober.poll_output().map(Output::Watch).or_else(|| self.greetings.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{
        BallotNumber, Fact, GroupName, OrchestratorId, Place, ProberId, Quorum, RecordCommitted,
        Sender, Service, Settings,
    };

    fn greeter(name: Option<Name>) -> Greeter {
        let config = prober::Config {
            sender: Sender::parse(Service::Prober, "p1", 1).unwrap(),
            id: ProberId::parse("p1").unwrap(),
            place: Place::parse("here").unwrap(),
        };
        let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let first = GroupRecord::first(GroupName::parse("g").unwrap(), master, settings);
        let record = GroupRecord { epoch: Epoch(3), top_epoch: Epoch(4), ..first };
        let proposer = OrchestratorId::parse("o1").unwrap();
        let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
        let now = Instant::ZERO;
        let mut greeter = Greeter::new(Prober::new(config, now), name, now);
        let committed = Fact::from(RecordCommitted { ballot, record });
        greeter.handle(Input::Fact(committed), now);
        greeter
    }

    fn greetings(greeter: &mut Greeter, now: Instant) -> Vec<String> {
        greeter.handle_timeout(now);
        let mut texts = Vec::new();
        while let Some(output) = greeter.poll_output() {
            if let Output::Greet { text, .. } = output {
                texts.push(text);
            }
        }
        texts
    }

    #[test]
    fn each_member_is_greeted_every_two_seconds_in_sentinels_form() {
        let address = NodeAddr::parse("10.0.0.9:26379").unwrap();
        let mut greeter = greeter(Some(Name { id: "a".repeat(40), address }));
        let expected = format!("10.0.0.9,26379,{},4,g,10.0.0.1,6379,3", "a".repeat(40));
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert_eq!(greetings(&mut greeter, at(0)), std::slice::from_ref(&expected));
        assert!(greetings(&mut greeter, at(1_999)).is_empty());
        assert!(greeter.poll_timeout().is_some_and(|next| next <= at(2_000)));
        assert_eq!(greetings(&mut greeter, at(2_000)), [expected]);
    }

    #[test]
    fn without_a_name_nobody_is_greeted() {
        let mut greeter = greeter(None);
        assert!(greetings(&mut greeter, Instant::ZERO + Duration::from_secs(9)).is_empty());
    }
}
