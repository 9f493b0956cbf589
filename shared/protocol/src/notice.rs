//! Carrying events to sinks, each at its own pace. The notifier's role.
//!
//! ```text
//!  inputs                                                                outputs
//!  Fact: Event ───► seen before? ──yes──► Ignored
//!                      │ no     ┌─► lane "log" ─────────────────────────► Deliver
//!                      └────────┼─► lane "webhook" ─────────────────────► Deliver
//!                               └─► lane "…" ───────────────────────────► Deliver
//!  Delivery (ticket, outcome) ────► its lane ───────────────────────────► GaveUp, Failing, Recovered
//!  Fact: StatusQuery ─────────────► Publish (Heartbeat)
//!  every second ──────────────────► Publish (Heartbeat)
//!
//!  one event in one lane:
//!                  ┌── full: oldest ──► Dropped
//!     arrived ─► waiting ─► in flight ─── delivered ──► done
//!                  ▲            ├──────── refused ────► GaveUp
//!                  └─ rests ◄───┴ retry ─ too often ──► GaveUp
//! ```
//!
//! Within a lane the events of one group keep their order: one is in flight at a time, and one that
//! rests before a retry holds back those behind it. Other groups overtake it, other lanes do not
//! notice it.

mod lane;
#[cfg(test)]
mod tests;

use crate::Machine;
use crate::pulse::Pulse;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use lane::Lane;
use vedette_model::{Event, EventName, Fact, Health, Instant, Place, Sender};

/// Events that may wait for one sink; when one more comes, the oldest is dropped and said so.
pub const WAITING_LIMIT: usize = 16_384;
/// Deliveries in flight to one sink, each of another group.
pub const PARALLEL_LIMIT: usize = 16;
/// Times one event is tried at one sink. With the rests in between about seven minutes.
pub const TRIES_LIMIT: u32 = 20;
/// Rest before the second try; it doubles with each further one.
pub const FIRST_REST: Duration = Duration::from_millis(250);
/// The longest rest between two tries.
pub const LONGEST_REST: Duration = Duration::from_secs(30);
/// Event ids remembered, so that a repeated event is told once.
pub const SEEN_LIMIT: usize = 16_384;
/// Bytes of text an event may have in all; a longer one is ignored. With [`WAITING_LIMIT`] this
/// bounds a sink's memory.
pub const EVENT_BYTES_LIMIT: usize = 8_192;
/// Bytes of a sink's or the bus's words that are repeated in a health text or a log line.
const WORDS_LIMIT: usize = 512;
/// Time between two heartbeats.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// What a notifier is told at birth.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who it is.
    pub sender: Sender,
    /// Where it runs.
    pub place: Place,
    /// Where events go, each sink under a name of its own.
    pub sinks: Vec<Sink>,
}

/// One sink, as far as the machine needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its name in outputs, logs and health.
    pub name: String,
    /// The events it wants; absent means all.
    pub only: Option<Vec<EventName>>,
}

impl Sink {
    /// A sink that wants every event.
    pub const fn of_all(name: String) -> Self {
        Self { name, only: None }
    }
}

/// What a notifier hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus.
    Fact(Fact),
    /// What came of an [`Output::Deliver`]. Every delivery must be answered, whatever happens.
    Delivery {
        /// The delivery's ticket.
        ticket: u64,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of one try at one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has it.
    Delivered,
    /// The sink may take it later; the text says what went wrong and what to do.
    Retry(String),
    /// The sink will never take it; the text says why and what to do.
    Refused(String),
}

/// What a notifier does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Hand the event to the sink and answer with the ticket within a limit of the sink's own.
    Deliver {
        /// Comes back with the outcome.
        ticket: u64,
        /// The sink's name.
        sink: String,
        /// What to hand over.
        event: Event,
        /// 1 for the first try.
        attempt: u32,
    },
    /// The event will not reach the sink: it was refused or tried too often.
    GaveUp {
        /// The sink's name.
        sink: String,
        /// What is lost to it.
        event: Event,
        /// How often it was tried.
        tries: u32,
        /// The sink's last words.
        why: String,
    },
    /// The event will not reach the sink: too many were waiting.
    Dropped {
        /// The sink's name.
        sink: String,
        /// What is lost to it.
        event: Event,
        /// How many may wait, and what held them up.
        why: String,
    },
    /// The sink worked before and does not any more.
    Failing {
        /// The sink's name.
        sink: String,
        /// The sink's words.
        why: String,
    },
    /// The sink failed before and works again.
    Recovered {
        /// The sink's name.
        sink: String,
    },
    /// Something came in that is of no use.
    Ignored {
        /// What, and why.
        why: String,
    },
}

/// The notifier's machine.
#[derive(Debug)]
pub struct Notifier {
    pulse: Pulse,
    seen: Seen,
    lanes: Vec<Lane>,
    /// The last ticket given; also numbers arrivals.
    serial: u64,
    outputs: VecDeque<Output>,
}

impl Notifier {
    /// A notifier that has heard nothing yet. Its first heartbeat is due at once.
    pub fn new(config: Config, now: Instant) -> Self {
        let Config { sender, place, sinks } = config;
        Self {
            pulse: Pulse::new(sender, place, None, HEARTBEAT_EVERY, now),
            seen: Seen::default(),
            lanes: sinks.into_iter().map(Lane::new).collect(),
            serial: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Events that no sink's answer has settled yet, counted once per sink.
    pub fn unsettled(&self) -> usize {
        self.lanes.iter().map(Lane::unsettled).sum()
    }

    fn on_event(&mut self, event: &Event, now: Instant) {
        let bytes = event.id.len() + event.payload.len() + event.cause.len() + event.source.len();
        if bytes > EVENT_BYTES_LIMIT {
            let why = format!(
                "event {} of group {} has {bytes} bytes, {EVENT_BYTES_LIMIT} are allowed",
                event.name, event.group
            );
            self.outputs.push_back(Output::Ignored { why });
            return;
        }
        if !self.seen.insert(&event.id) {
            let why = format!("event {} was told before", event.id);
            self.outputs.push_back(Output::Ignored { why });
            return;
        }
        for lane in self.lanes.iter_mut().filter(|lane| lane.wants(event.name)) {
            self.serial += 1;
            lane.push(event.clone(), self.serial, now, &mut self.outputs);
        }
    }

    fn on_delivery(&mut self, ticket: u64, outcome: Outcome, now: Instant) {
        let lane = self.lanes.iter_mut().find(|lane| lane.flies(ticket));
        let Some(lane) = lane else {
            let why = format!("delivery {ticket} is not under way");
            self.outputs.push_back(Output::Ignored { why });
            return;
        };
        lane.settle(ticket, outcome, now, &mut self.outputs);
    }

    /// Sends off whatever may go now.
    fn pump(&mut self, now: Instant) {
        for lane in &mut self.lanes {
            while lane.depart(self.serial + 1, now, &mut self.outputs) {
                self.serial += 1;
            }
        }
    }

    fn heartbeat(&mut self) -> Fact {
        let troubles: Vec<String> = self.lanes.iter().filter_map(Lane::trouble).collect();
        let health =
            if troubles.is_empty() { Health::Well } else { Health::Impaired(troubles.join("; ")) };
        self.pulse.beat(health, Vec::new()).into()
    }

    fn on_fact(&mut self, fact: &Fact, now: Instant) {
        match fact {
            Fact::Event(event) => self.on_event(event, now),
            Fact::StatusQuery(_) => {
                let fact = self.heartbeat();
                self.outputs.push_back(Output::Publish(fact));
            }
            Fact::SdownReport(_)
            | Fact::NodeReport(_)
            | Fact::OdownVerdict(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::RecordCommitted(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::DigestReply(_)
            | Fact::Heartbeat(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_) => {
                let why = format!("a notifier has no use for a fact {}", fact.kind().as_str());
                self.outputs.push_back(Output::Ignored { why });
            }
        }
    }
}

impl Machine for Notifier {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact(fact) => self.on_fact(&fact, now),
            Input::Delivery { ticket, outcome } => self.on_delivery(ticket, outcome, now),
        }
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.pulse.is_due(now) {
            let beat = self.heartbeat();
            self.outputs.push_back(Output::Publish(beat));
        }
        self.pump(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::next_departure).chain([self.pulse.next()]).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// The last [`SEEN_LIMIT`] event ids.
#[derive(Debug, Default)]
struct Seen {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    /// Whether the id is new.
    fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.into()) {
            return false;
        }
        self.order.push_back(id.into());
        if self.order.len() > SEEN_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}
