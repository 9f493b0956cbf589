//! Carrying events to sinks, each at its own pace. The notifier's role.
//!
//! ```text
//!  inputs                                                                outputs
//!  Fact: Event ─┬─► lane of a live sink: "log" ─────────────────────────► Deliver
//!               └─► waits for the stream to have it ── it has not ─┐
//!  Stored ─────────────────┘                                       ▼
//!  Given (sink, place in the stream) ────► lane of a kept sink: "webhook" ► Deliver
//!  Delivery (ticket, outcome) ────► its lane ───────────────────────────► Settled, GaveUp, Failing …
//!  Fact: StatusQuery ─────────────► Publish (Heartbeat)
//!  every second ──────────────────► Publish (Heartbeat)
//!
//!  one event in one lane:
//!                  ┌── full: oldest ──► Dropped
//!     arrived ─► waiting ─► in flight ─── delivered ──► Settled
//!                  ▲            ├──────── refused ────► GaveUp
//!                  └─ rests ◄───┴ retry ─ too long ───► GaveUp
//! ```
//!
//! Within a lane the events of one group keep their order: one is in flight at a time, and one that
//! rests before a retry holds back those behind it, unless the sink says otherwise. Other groups
//! overtake it, other lanes do not notice it.
//!
//! A kept sink gets its events from a stream that remembers what was settled; of several notifiers
//! one holds the sink and is given them. What the bus said and the stream has not got is told by
//! everybody who heard it: twice is better than never.

mod heard;
mod lane;
mod patience;
mod quiet;
mod route;
mod seen;
#[cfg(test)]
mod tests;

pub use patience::Patience;
pub use quiet::Quiet;
pub use route::{Route, Routes};

use crate::Machine;
use crate::pulse::Pulse;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use heard::Heard;
use lane::Lane;
use vedette_model::{Event, EventName, Fact, Health, Instant, Place, Sender};

/// Events that may wait for one sink; when one more comes, the oldest is dropped and said so.
pub const WAITING_LIMIT: usize = 16_384;
/// Deliveries in flight to one sink, each of another group.
pub const PARALLEL_LIMIT: usize = 16;
/// Events in one message.
pub const GATHER_LIMIT: usize = 200;
/// Time within which the stream says that it has what the bus said. Then it is taken not to have it.
pub const STORED_WITHIN: Duration = Duration::from_secs(5);
/// Events that may wait for that; when one more comes, the oldest is told.
pub const HEARD_LIMIT: usize = 4_096;
/// Event ids remembered, so that a repeated event is told once.
pub const SEEN_LIMIT: usize = 16_384;
/// Bytes of text an event may have in all; a longer one is ignored. With [`WAITING_LIMIT`] this
/// bounds a sink's memory.
pub const EVENT_BYTES_LIMIT: usize = 8_192;
/// Bytes of a sink's or the bus's words that are repeated in a health text or a log line.
const WORDS_LIMIT: usize = 512;
/// What is wrong without a stream.
const NO_STREAM: &str = "the history in jetstream is away: events are told as they are heard, by \
                         every notifier, and those of a time in which none runs are lost to sinks";
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
    /// Which of them go where.
    pub routes: Routes,
    /// The wall clock at birth, in milliseconds since 1970: quiet times go by it. Later jumps of
    /// that clock are not noticed.
    pub unix_ms: u64,
}

/// One sink, as far as the machine needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// Its name in outputs, logs and health.
    pub name: String,
    /// The events it wants; absent means all.
    pub only: Option<Vec<EventName>>,
    /// Whether the stream brings its events, as [`Input::Given`]; otherwise the bus does.
    pub kept: bool,
    /// Whether an event that rests before a retry holds back those of its group behind it.
    pub in_order: bool,
    /// Whether it can tell several events in one message.
    pub gathers: bool,
    /// How long an event is tried.
    pub patience: Patience,
}

impl Sink {
    /// A sink that hears the bus, wants every event, in order, and is borne with for an hour.
    pub const fn live(name: String) -> Self {
        let patience = Patience::lasting(Duration::from_secs(3_600));
        Self { name, only: None, kept: false, in_order: true, gathers: false, patience }
    }
}

/// What a notifier hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus.
    Fact(Fact),
    /// Whether there is a stream. Until it is said, what is heard waits as if there were one.
    Reached(bool),
    /// The stream has the event of this id.
    Stored {
        /// The event's id.
        id: String,
    },
    /// The stream brings an event for a sink that this notifier holds.
    Given {
        /// The sink's name.
        sink: String,
        /// The place in the stream, which comes back with [`Output::Settled`] or
        /// [`Output::GaveUp`]. Given again, it is answered again.
        seq: u64,
        /// What is to be told.
        event: Event,
    },
    /// This notifier holds the sink no longer.
    Lost {
        /// The sink's name.
        sink: String,
    },
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
    /// Hand the events to the sink and answer with the ticket within a limit of the sink's own.
    Deliver {
        /// Comes back with the outcome.
        ticket: u64,
        /// The sink's name.
        sink: String,
        /// What to hand over, in one message; never empty.
        events: Vec<Event>,
        /// 1 for the first try.
        attempt: u32,
        /// Its places in the stream, as far as they are known.
        seqs: Vec<u64>,
    },
    /// This place in the stream needs nothing more from this sink.
    Settled {
        /// The sink's name.
        sink: String,
        /// The place.
        seq: u64,
    },
    /// The event will not reach the sink: it was refused or tried for too long.
    GaveUp {
        /// The sink's name.
        sink: String,
        /// What is lost to it.
        event: Event,
        /// How often it was tried.
        tries: u32,
        /// The sink's last words.
        why: String,
        /// Its places in the stream, to be settled once it is kept elsewhere.
        seqs: Vec<u64>,
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
    heard: Heard,
    routes: Routes,
    /// The same moment by both clocks.
    born: (Instant, u64),
    lanes: Vec<Lane>,
    /// The last ticket given; also numbers arrivals.
    serial: u64,
    outputs: VecDeque<Output>,
}

impl Notifier {
    /// A notifier that has heard nothing yet. Its first heartbeat is due at once.
    pub fn new(config: Config, now: Instant) -> Self {
        let Config { sender, place, sinks, routes, unix_ms } = config;
        let mut heard = Heard::default();
        if !sinks.iter().any(|sink| sink.kept) {
            // Nobody waits for what a stream would bring.
            heard.reach(false);
        }
        Self {
            pulse: Pulse::new(sender, place, None, HEARTBEAT_EVERY, now),
            heard,
            routes,
            born: (now, unix_ms),
            lanes: sinks.into_iter().map(Lane::new).collect(),
            serial: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Events that would be lost if this process ended now, counted once per sink: what the stream
    /// keeps is not.
    pub fn unsettled(&self) -> usize {
        self.lanes.iter().map(Lane::unsettled).sum()
    }

    fn on_event(&mut self, event: &Event, now: Instant) {
        if let Err(why) = size(event) {
            self.outputs.push_back(Output::Ignored { why });
            return;
        }
        let for_all = self.heard.hear(event, now);
        let mut is_news = self.heard.is_waiting(&event.id);
        is_news |= self.offer_all(event, false, now);
        for event in for_all {
            is_news |= self.offer_all(&event, true, now);
        }
        if !is_news {
            let why = format!("event {} was told before, or nobody wants it", event.id);
            self.outputs.push_back(Output::Ignored { why });
        }
    }

    /// Offers an event that the bus brought to all live or all kept sinks.
    fn offer_all(&mut self, event: &Event, kept: bool, now: Instant) -> bool {
        let mut is_news = false;
        let now_ms = self.unix_ms(now);
        for lane in self.lanes.iter_mut().filter(|lane| lane.sink().kept == kept) {
            let way = self.routes.way(&lane.sink().name, event, now_ms);
            if let Some(way) = way.filter(|_| lane.wants(event.name)) {
                self.serial += 1;
                is_news |= lane.offer(event, None, way, (self.serial, now), &mut self.outputs);
            }
        }
        is_news
    }

    fn on_given(&mut self, sink: &str, seq: u64, event: &Event, now: Instant) {
        self.heard.stored(&event.id);
        let way = self.routes.way(sink, event, self.unix_ms(now));
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.sink().name == sink) else {
            let why = format!("there is no sink {sink}");
            self.outputs.push_back(Output::Ignored { why });
            return;
        };
        let wanted = lane.wants(event.name) && size(event).is_ok();
        if let Some(way) = way.filter(|_| wanted) {
            self.serial += 1;
            lane.offer(event, Some(seq), way, (self.serial, now), &mut self.outputs);
        } else {
            lane.settled([seq], &mut self.outputs);
        }
    }

    /// The wall clock.
    fn unix_ms(&self, now: Instant) -> u64 {
        let (born, unix_ms) = self.born;
        unix_ms.saturating_add(u64::try_from(now.since(born).as_millis()).unwrap_or(u64::MAX))
    }

    fn tell_kept(&mut self, events: &[Event], now: Instant) {
        for event in events {
            self.offer_all(event, true, now);
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
        let mut troubles: Vec<String> = self.lanes.iter().filter_map(Lane::trouble).collect();
        if self.heard.is_without() && self.lanes.iter().any(|lane| lane.sink().kept) {
            troubles.push(NO_STREAM.into());
        }
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
            Input::Reached(reached) => {
                let now_told = self.heard.reach(reached);
                self.tell_kept(&now_told, now);
            }
            Input::Stored { id } => self.heard.stored(&id),
            Input::Given { sink, seq, event } => self.on_given(&sink, seq, &event, now),
            Input::Lost { sink } => {
                let lane = self.lanes.iter_mut().find(|lane| lane.sink().name == sink);
                lane.into_iter().for_each(Lane::forget_stored);
            }
            Input::Delivery { ticket, outcome } => self.on_delivery(ticket, outcome, now),
        }
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.pulse.is_due(now) {
            let beat = self.heartbeat();
            self.outputs.push_back(Output::Publish(beat));
        }
        let overdue = self.heard.overdue(now);
        self.tell_kept(&overdue, now);
        self.pump(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let lanes = self.lanes.iter().filter_map(Lane::next_departure);
        lanes.chain(self.heard.next()).chain([self.pulse.next()]).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

/// Whether an event may be as long as it is.
fn size(event: &Event) -> Result<(), String> {
    let bytes = event.id.len() + event.payload.len() + event.cause.len() + event.source.len();
    if bytes <= EVENT_BYTES_LIMIT {
        return Ok(());
    }
    Err(format!(
        "event {} of group {} has {bytes} bytes, {EVENT_BYTES_LIMIT} are allowed",
        event.name, event.group
    ))
}
