//! Which probers live, and who of one place watches a group.
//!
//! Live probers of one place share its groups by rendezvous hashing. Who was born watches at once
//! and takes a group over for good after [`HANDOVER`]; who is silent for [`PEER_EXPIRY`] has left.

use crate::rank::weight;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use core::time::Duration;
use vedette_model::{GroupRecord, Health, Heartbeat, Instant, Place, ProberId, Service};

/// A prober that is not heard for so long has left. It beats each second: who is taken for dead and
/// is only late costs that others watch too, for some seconds.
const PEER_EXPIRY: Duration = Duration::from_millis(1_500);
/// A prober is relied on when it has been heard for so long: by then it watches.
const HANDOVER: Duration = Duration::from_secs(3);
/// Probers remembered; more are ignored.
const PEER_LIMIT: usize = 256;

#[derive(Debug, Clone)]
struct Peer {
    place: Place,
    incarnation: u64,
    tick: u64,
    since: Instant,
    heard: Instant,
}

/// The other probers that live.
#[derive(Debug, Clone)]
pub(super) struct Peers {
    id: ProberId,
    place: Place,
    heard: BTreeMap<String, Peer>,
    /// Those of this place that have been heard for long enough.
    relied: BTreeSet<String>,
}

impl Peers {
    pub(super) const fn new(id: ProberId, place: Place) -> Self {
        Self { id, place, heard: BTreeMap::new(), relied: BTreeSet::new() }
    }

    /// Takes a heartbeat; only one that is newer than the last proves life, and one that says
    /// that nothing is known of the groups yet does not count.
    pub(super) fn beat(&mut self, beat: &Heartbeat, now: Instant) {
        if beat.service != Service::Prober || beat.id == self.id.as_str() {
            return;
        }
        if beat.health != Health::Well {
            self.heard.remove(&beat.id);
            return;
        }
        let known = self.heard.get(&beat.id).filter(|p| p.incarnation == beat.incarnation);
        if known.is_some_and(|peer| peer.tick >= beat.tick) {
            return;
        }
        let since = known.map_or(now, |peer| peer.since);
        if self.heard.len() < PEER_LIMIT || self.heard.contains_key(&beat.id) {
            let (place, incarnation, tick) = (beat.place.clone(), beat.incarnation, beat.tick);
            let peer = Peer { place, incarnation, tick, since, heard: now };
            self.heard.insert(beat.id.clone(), peer);
        }
    }

    /// Forgets who has left and relies on who has been here long enough; returns whether the
    /// groups are to be shared out anew.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        self.heard.retain(|_, peer| now.since(peer.heard) < PEER_EXPIRY);
        let here = |peer: &Peer| peer.place == self.place && now.since(peer.since) >= HANDOVER;
        let relied = self.heard.iter().filter(|(_, peer)| here(peer)).map(|(id, _)| id.clone());
        let relied = relied.collect();
        core::mem::replace(&mut self.relied, relied) != self.relied
    }

    /// When somebody may have left, or is relied on.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let left = |peer: &Peer| peer.heard + PEER_EXPIRY;
        let relied = |peer: &Peer| Some(peer.since + HANDOVER).filter(|at| *at > now);
        self.heard.values().flat_map(|p| [Some(left(p)), relied(p)]).flatten().min()
    }

    /// Whether enough others of this place that are relied on come before this prober.
    pub(super) fn leave_us(&self, record: &GroupRecord) -> bool {
        let group = record.group.as_str();
        let mine = weight(group, self.id.as_str());
        let before = self.relied.iter().filter(|id| weight(group, id) > mine);
        before.count() >= record.settings.watchers_per_place as usize
    }

    /// How many probers watch a group, here and elsewhere.
    pub(super) fn watchers(&self, record: &GroupRecord) -> u32 {
        let mut places = BTreeMap::from([(self.place.to_string(), 1_u32)]);
        for peer in self.heard.values() {
            *places.entry(peer.place.to_string()).or_default() += 1;
        }
        let limit = record.settings.watchers_per_place;
        places.values().map(|probers| (*probers).min(limit)).sum()
    }
}
