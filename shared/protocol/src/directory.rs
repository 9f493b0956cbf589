//! Who is master, as far as it is committed.
//!
//! ```text
//!  RecordCommitted ──►┌──────────────────────────────┐──► Ask (Digest)
//!  DigestReply     ──►│ newest committed record of   │──► Changed (group)
//!  time            ──►│ each group; revisions rise   │
//!                     └──────────────────────────────┘
//! ```
//!
//! Nobody's own claim gets in here: only what a majority of voters accepted. A lower revision
//! never replaces a higher one.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    BallotNumber, Digest, DigestReply, GroupName, GroupRecord, Instant, RecordCommitted, Roster,
    VoterId,
};

/// Groups kept; of more, new ones are ignored. A digest of so many fits one message.
pub const GROUP_LIMIT: usize = 5_000;
const ASK_EVERY: Duration = Duration::from_secs(3);
const ASK_EVERY_AT_FIRST: Duration = Duration::from_millis(250);
/// An answer counts as contact with the voter for so long.
const CONTACT: Duration = Duration::from_secs(7);

/// What the directory does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask the voters.
    Ask(Digest),
    /// The group has a newer record, or was removed.
    Changed(GroupName),
}

/// The records known to be committed.
#[derive(Debug, Clone)]
pub struct Directory {
    records: BTreeMap<GroupName, RecordCommitted>,
    contacts: BTreeMap<VoterId, Instant>,
    unsettled: BTreeMap<VoterId, BTreeSet<GroupName>>,
    next_ask: Instant,
    outputs: VecDeque<Output>,
}

impl Directory {
    /// An empty directory that asks at once.
    pub const fn new(now: Instant) -> Self {
        Self {
            records: BTreeMap::new(),
            contacts: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            next_ask: now,
            outputs: VecDeque::new(),
        }
    }

    /// The group's newest committed record, if it was not removed.
    pub fn get(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.any(group).filter(|record| !record.removed)
    }

    /// The same, also of a removed group.
    pub fn any(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.records.get(group).map(|c| &c.record)
    }

    /// The ballot it was committed under.
    pub fn ballot(&self, group: &GroupName) -> Option<&BallotNumber> {
        self.records.get(group).map(|c| &c.ballot)
    }

    /// All that were not removed, by name.
    pub fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        self.records.values().map(|c| &c.record).filter(|record| !record.removed)
    }

    /// Voters of the roster that answered lately.
    pub fn contacts(&self, roster: &Roster, now: Instant) -> usize {
        let fresh = self.contacts.iter().filter(|(_, at)| now.since(**at) < CONTACT);
        fresh.filter(|(voter, _)| roster.contains(voter)).count()
    }

    /// When a majority of the roster had answered last; absent if it never has.
    pub fn majority_heard(&self, roster: &Roster) -> Option<Instant> {
        let answered = self.contacts.iter().filter(|(voter, _)| roster.contains(voter));
        let mut times: Vec<Instant> = answered.map(|(_, at)| *at).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.get(roster.majority().get().saturating_sub(1)).copied()
    }

    /// Whether any voter answered lately, whatever the roster.
    pub fn is_answered(&self, now: Instant) -> bool {
        self.contacts.values().any(|at| now.since(*at) < CONTACT)
    }

    /// Whether a voter of the roster holds an accepted record of the group that it does not know
    /// to be committed under that roster.
    pub fn is_unsettled(&self, group: &GroupName, roster: &Roster) -> bool {
        self.told(roster).any(|groups| groups.contains(group))
    }

    /// Groups for which [`Directory::is_unsettled`] holds.
    pub fn unsettled(&self, roster: &Roster) -> BTreeSet<GroupName> {
        self.told(roster).flatten().cloned().collect()
    }

    /// A voter that was taken off does not count, whatever it holds.
    fn told<'a>(&'a self, roster: &'a Roster) -> impl Iterator<Item = &'a BTreeSet<GroupName>> {
        self.unsettled.iter().filter(|(voter, _)| roster.contains(voter)).map(|(_, told)| told)
    }

    /// Takes a committed record; whether it was news.
    pub fn committed(&mut self, committed: RecordCommitted) -> bool {
        let group = committed.record.group.clone();
        let known = self.records.get(&group).map(|c| c.record.revision);
        let full = known.is_none() && self.records.len() >= GROUP_LIMIT;
        if full || known.is_some_and(|known| known >= committed.record.revision) {
            return false;
        }
        self.records.insert(group.clone(), committed);
        self.outputs.push_back(Output::Changed(group));
        true
    }

    /// Takes a voter's answer.
    pub fn reply(&mut self, reply: DigestReply, now: Instant) {
        self.contacts.insert(reply.voter.clone(), now);
        self.unsettled.insert(reply.voter, reply.unsettled.into_iter().collect());
        let mut news = false;
        for committed in reply.records {
            news |= self.committed(committed);
        }
        // Each voter answers each question: to ask again for every answer would be three questions
        // for one, and the next time nine.
        if reply.more && news {
            self.next_ask = now;
        }
    }

    /// It may have missed something: asks now.
    pub const fn ask_now(&mut self, now: Instant) {
        self.next_ask = now;
    }

    /// Asks again when it is time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_ask {
            return;
        }
        // What a voter said counts as long as the voter does: one that is gone for good would keep
        // a group unsettled for ever.
        self.contacts.retain(|_, at| now.since(*at) < CONTACT);
        let contacts = &self.contacts;
        self.unsettled.retain(|voter, _| contacts.contains_key(voter));
        let quiet = self.contacts.is_empty();
        self.next_ask = now + if quiet { ASK_EVERY_AT_FIRST } else { ASK_EVERY };
        let have = self.records.iter().map(|(g, c)| (g.clone(), c.record.revision)).collect();
        self.outputs.push_back(Output::Ask(Digest { have }));
    }

    /// When to ask next.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        Some(self.next_ask)
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
