//! A service's heartbeats.

use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Health, Heartbeat, Instant, NodeAddr, Place, Roster, Sender, Standing};

/// Gives a heartbeat at a fixed pace, and one with standings when asked.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    sender: Sender,
    place: Place,
    roster: Option<Roster>,
    serves: Option<NodeAddr>,
    every: Duration,
    next: Instant,
    tick: u64,
}

impl Pulse {
    pub(crate) const fn new(
        sender: Sender,
        place: Place,
        roster: Option<Roster>,
        every: Duration,
        now: Instant,
    ) -> Self {
        Self { sender, place, roster, serves: None, every, next: now, tick: 0 }
    }

    /// Whether a heartbeat is due; the next one then is due a period later.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.every;
        }
        due
    }

    /// A heartbeat.
    pub(crate) fn beat(&mut self, health: Health, standings: Vec<Standing>) -> Heartbeat {
        self.tick += 1;
        Heartbeat {
            service: self.sender.service,
            id: self.sender.id.clone(),
            incarnation: self.sender.incarnation,
            tick: self.tick,
            place: self.place.clone(),
            health,
            roster: self.roster.clone(),
            standings,
            serves: self.serves.clone(),
            back: false,
            host: None,
        }
    }

    /// A heartbeat that asks everybody to say again what holds.
    pub(crate) fn back(&mut self, health: Health) -> Heartbeat {
        Heartbeat { back: true, ..self.beat(health, Vec::new()) }
    }

    /// The roster that the next heartbeats name.
    pub(crate) fn set_roster(&mut self, roster: Option<Roster>) {
        self.roster = roster;
    }

    /// Where clients reach it, from the next heartbeat on; none while it does not serve.
    pub(crate) fn set_serves(&mut self, serves: Option<NodeAddr>) {
        self.serves = serves;
    }

    pub(crate) const fn next(&self) -> Instant {
        self.next
    }
}
