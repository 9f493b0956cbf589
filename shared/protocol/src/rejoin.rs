//! A voter without memory (new, or its file is lost) gets one before it votes.
//!
//! ```text
//!  start ─► Memory? ──┬─ all others Blank, or one Founded ──────────► memory: empty
//!                     │
//!           1 s ─► Floor? ─ enough ─► F = the highest
//!                     └─► Records? from F on refuse up to F, page by page ─ enough ─► memory
//! ```
//!
//! Until then it is as good as dead: it promises, accepts and grants nothing.
//!
//! # Why it may vote then
//!
//! In its lost life it may have promised and accepted. *Enough* others means: of each roster that
//! may count, so many that every majority that holds the asker holds one of them.
//!
//! *F is at least every ballot that its lost life voted for.* A promise of the lost life counts
//! only in a candidacy that is decided within 500 ms
//! ([`CANDIDACY_LIMIT`](crate::register::CANDIDACY_LIMIT), also checked when a late answer
//! arrives). The asker waits for longer than that before it asks, so by then the majority that
//! elected with its promise is complete, and one of those asked has promised that ballot too. What
//! the lost life accepted was proposed under a ballot whose majority was complete even before.
//!
//! *What it accepted and a majority may have committed comes back.* That majority holds one of
//! those asked. Either it accepted before it answered for the records: then it tells of it. Or it
//! did not: then it refuses that ballot from now on, because F is not below it, and nothing was
//! committed with its help.
//!
//! The old leases are over after the same second. Running leaders whose ballots are not above F
//! are refused by a majority, and come again with higher ones.
//!
//! *Rosters.* Those that may count are the newest one known, the one before it and one that
//! somebody accepted as the next; see [`crate::roster`] for why no other.
//!
//! *Founding.* If no voter of the configured roster remembers anything, nothing can be lost any
//! more: all of them begin. Whoever was seen without memory by a founder, in its present life, has
//! not voted in this life either, and may begin too.

use crate::roster::{Meta, others_needed};
use crate::voter::Stored;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    BallotNumber, GroupName, GroupRecord, Instant, Memory, RecordCommitted, Rejoin, RejoinAnswer,
    RejoinAsk, Roster, RosterVersion, VoterId,
};

/// Before a floor counts: longer than any candidacy, and than any lease.
pub const JOIN_AFTER: Duration = Duration::from_secs(1);
/// Asked again this often.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// A voter that did not answer for so long is named as missing.
const MISSING_AFTER: Duration = Duration::from_secs(3);

/// A voter on its way to a memory.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    me: VoterId,
    incarnation: u64,
    /// The roster it is configured with.
    first: Roster,
    /// The newest roster heard of.
    newest: Roster,
    /// The one before it, and what was accepted as the next one: as they become known.
    besides: BTreeMap<RosterVersion, Roster>,
    started: Instant,
    next_ask: Instant,
    /// Lives of other voters that asked for memory themselves and were asked back at once.
    asked_back: BTreeSet<(VoterId, u64)>,
    heard: BTreeMap<VoterId, (Instant, RejoinAnswer)>,
    step: Step,
    /// The records so far; from a former, unfinished attempt at first.
    groups: BTreeMap<GroupName, Stored>,
    asks: Vec<Rejoin>,
    done: Option<(Meta, Vec<Stored>)>,
}

#[derive(Debug, Clone)]
enum Step {
    Memory,
    Floor(BTreeMap<VoterId, u64>),
    Records { floors: BTreeMap<VoterId, u64>, from: BTreeMap<VoterId, Teller> },
}

/// Somebody whose records are being read.
#[derive(Debug, Clone, Default)]
struct Teller {
    /// The last group read; absent at first.
    after: Option<GroupName>,
    complete: Option<Told>,
}

/// What somebody said of rosters besides.
#[derive(Debug, Clone)]
struct Told {
    roster: Roster,
    previous: Option<Roster>,
    next: Option<(BallotNumber, Roster)>,
}

impl Joining {
    pub(crate) fn new(
        me: VoterId,
        incarnation: u64,
        first: Roster,
        stored: Vec<Stored>,
        now: Instant,
    ) -> Self {
        Self {
            me,
            incarnation,
            newest: first.clone(),
            first,
            besides: BTreeMap::new(),
            started: now,
            next_ask: now,
            asked_back: BTreeSet::new(),
            heard: BTreeMap::new(),
            step: Step::Memory,
            groups: stored.into_iter().map(|s| (s.group.clone(), s)).collect(),
            asks: Vec::new(),
            done: None,
        }
    }

    /// The roster it is configured with.
    pub(crate) const fn first(&self) -> &Roster {
        &self.first
    }

    /// Learns of a roster that voters go by.
    pub(crate) fn roster(&mut self, roster: &Roster) {
        if roster.version > self.newest.version {
            self.newest = roster.clone();
            self.besides.clear();
            self.back_to_floors();
        }
    }

    /// What was told does not do for all rosters that may count: begin again with more voters.
    fn back_to_floors(&mut self) {
        if let Step::Records { floors, .. } = &mut self.step {
            self.step = Step::Floor(core::mem::take(floors));
        }
    }

    /// Whether the voter's answers may count.
    fn is_known(&self, voter: &VoterId) -> bool {
        let rosters = self.besides.values().chain([&self.first, &self.newest]);
        *voter != self.me && rosters.into_iter().any(|roster| roster.contains(voter))
    }

    /// Another voter asks, and so has no memory either: ask it back, so that a system that starts
    /// does not wait for the next round.
    pub(crate) fn asked(&mut self, rejoin: &Rejoin) {
        let life = (rejoin.voter.clone(), rejoin.incarnation);
        let others = self.first.voters().len();
        if self.asked_back.len() < others && self.asked_back.insert(life) {
            self.ask();
        }
    }

    /// Takes an answer.
    pub(crate) fn answer(&mut self, answer: RejoinAnswer, now: Instant) {
        if answer.to != self.incarnation {
            return;
        }
        let remembers = !matches!(answer.memory, Memory::Blank);
        if remembers {
            self.roster(&answer.roster);
        }
        if !self.is_known(&answer.voter) {
            return;
        }
        match &answer.memory {
            Memory::Blank | Memory::Remembers => {}
            Memory::Founded if answer.roster == self.first && self.newest == self.first => {
                self.finish(Meta::first(self.first.clone()));
            }
            Memory::Founded => {}
            Memory::Floor(number) => {
                if let Step::Floor(floors) = &mut self.step {
                    floors.insert(answer.voter.clone(), *number);
                }
            }
            Memory::Records { .. } => self.records(&answer),
        }
        let voter = answer.voter.clone();
        // Only what it said last is looked at, and records are large.
        let memory = if remembers { Memory::Remembers } else { Memory::Blank };
        self.heard.insert(voter, (now, RejoinAnswer { memory, ..answer }));
        self.found_if_all_blank();
        self.step_on();
    }

    fn records(&mut self, answer: &RejoinAnswer) {
        let Step::Records { floors, from } = &mut self.step else { return };
        let Memory::Records { floor, after, accepted, committed, more_after, previous, next } =
            &answer.memory
        else {
            return;
        };
        let wanted = highest(floors);
        let teller = from.entry(answer.voter.clone()).or_default();
        if teller.complete.as_ref().is_some_and(|told| told.roster != answer.roster) {
            *teller = Teller::default();
        }
        if *floor < wanted || teller.after != *after || teller.complete.is_some() {
            return;
        }
        for (ballot, record) in accepted {
            merge_accepted(&mut self.groups, ballot, record);
        }
        for record in committed {
            merge_committed(&mut self.groups, record);
        }
        // A page that does not lead on is the last one.
        if more_after > after {
            teller.after.clone_from(more_after);
            let after = more_after.clone();
            self.push(RejoinAsk::Records { floor: wanted, after });
            return;
        }
        let told =
            Told { roster: answer.roster.clone(), previous: previous.clone(), next: next.clone() };
        teller.complete = Some(told);
        if answer.roster == self.newest {
            let version = self.newest.version;
            let before = previous.iter().filter(|p| p.version.next() == version);
            let after = next.iter().map(|(_, roster)| roster);
            let after = after.filter(|n| n.version == version.next());
            self.besides.extend(before.chain(after).map(|r| (r.version, r.clone())));
        }
    }

    fn found_if_all_blank(&mut self) {
        let me = &self.me;
        if self.newest != self.first || !self.first.contains(me) || self.first.voters().len() < 2 {
            return;
        }
        let others = || self.first.voters().iter().filter(|voter| *voter != me);
        let blank = |voter: &VoterId| {
            let (_, answer) = self.heard.get(voter)?;
            let same = answer.memory == Memory::Blank && answer.roster == self.first;
            same.then(|| (voter.clone(), answer.incarnation))
        };
        let seen: Vec<_> = others().filter_map(blank).collect();
        if seen.len() == others().count() {
            self.finish(Meta { founders: seen, ..Meta::first(self.first.clone()) });
        }
    }

    fn step_on(&mut self) {
        match &self.step {
            Step::Memory => {}
            Step::Floor(floors) if self.enough(floors) => {
                let floors = floors.clone();
                self.step = Step::Records { floors, from: BTreeMap::new() };
                self.ask();
            }
            Step::Floor(_) => {}
            Step::Records { floors, from } => {
                let told = from.iter().filter_map(|(v, t)| Some((v.clone(), t.complete.clone()?)));
                let told: BTreeMap<_, _> = told.collect();
                if !self.enough(floors) {
                    self.back_to_floors();
                } else if let Some(meta) = self.remembered(&told) {
                    self.finish(Meta { floor: highest(floors), ..meta });
                }
            }
        }
    }

    /// Whether so many have answered that, of each roster that may count, every majority that
    /// holds this voter holds one of them.
    fn enough<T>(&self, from: &BTreeMap<VoterId, T>) -> bool {
        let covered = |roster: &Roster| {
            let others = from.keys().filter(|v| **v != self.me && roster.contains(v)).count();
            others >= others_needed(roster)
        };
        let mut besides = self.besides.values().filter(|roster| roster.contains(&self.me));
        self.newest.contains(&self.me) && covered(&self.newest) && besides.all(covered)
    }

    /// What the voter goes by from now on, if enough was told for every roster that may count.
    fn remembered(&self, told: &BTreeMap<VoterId, Told>) -> Option<Meta> {
        let here = || told.values().filter(|told| told.roster == self.newest);
        let is_first = here().any(|told| told.previous.is_none());
        let before = self.besides.values().find(|r| r.version < self.newest.version).cloned();
        let next = here().filter_map(|told| told.next.clone()).max_by(|(a, _), (b, _)| a.cmp(b));
        (self.enough(told) && (is_first || before.is_some())).then(|| Meta {
            previous: before,
            accepted: next,
            ..Meta::first(self.newest.clone())
        })
    }

    fn finish(&mut self, meta: Meta) {
        if self.done.is_none() {
            self.done = Some((meta, core::mem::take(&mut self.groups).into_values().collect()));
        }
    }

    /// The memory, once.
    pub(crate) const fn take_done(&mut self) -> Option<(Meta, Vec<Stored>)> {
        self.done.take()
    }

    /// What to ask the others now.
    pub(crate) fn take_asks(&mut self) -> Vec<Rejoin> {
        core::mem::take(&mut self.asks)
    }

    fn push(&mut self, ask: RejoinAsk) {
        let (voter, incarnation) = (self.me.clone(), self.incarnation);
        self.asks.push(Rejoin { voter, incarnation, ask });
    }

    fn ask(&mut self) {
        match &self.step {
            Step::Memory => self.push(RejoinAsk::Memory),
            Step::Floor(_) => self.push(RejoinAsk::Floor),
            Step::Records { floors, from } => {
                let floor = highest(floors);
                let open = from.values().filter(|teller| teller.complete.is_none());
                let pages: BTreeSet<_> =
                    open.map(|teller| teller.after.clone()).chain([None]).collect();
                for after in pages {
                    self.push(RejoinAsk::Records { floor, after });
                }
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if now < self.next_ask {
            return;
        }
        self.next_ask = now + ASK_EVERY;
        if matches!(self.step, Step::Memory) && now >= self.started + JOIN_AFTER {
            if self.first.voters() == [self.me.clone()] && self.newest == self.first {
                self.finish(Meta::first(self.first.clone()));
                return;
            }
            // Founding goes on with these questions too: who has no memory says so to any.
            self.step = Step::Floor(BTreeMap::new());
        }
        self.ask();
    }

    pub(crate) const fn poll_timeout(&self) -> Instant {
        self.next_ask
    }

    /// What it waits for, and what to do about it.
    pub(crate) fn standing(&self, now: Instant) -> String {
        let me = &self.me;
        let answers = |voter: &&VoterId| {
            self.heard.get(*voter).is_some_and(|(at, _)| now.since(*at) < MISSING_AFTER)
        };
        if !self.newest.contains(me) {
            return format!(
                "no memory and not on {}: this voter does not vote; `vedette roster add {me}` \
                 puts it on",
                self.newest
            );
        }
        let others = || self.newest.voters().iter().filter(|voter| *voter != me);
        let missing: Vec<_> = others().filter(|v| !answers(v)).map(ToString::to_string).collect();
        let other_first = others().find(|voter| {
            let answer = self.heard.get(*voter).map(|(_, answer)| answer);
            answer.is_some_and(|a| a.memory == Memory::Blank && a.roster != self.first)
        });
        if let Some(other) = other_first {
            return format!(
                "no memory yet: this voter is configured with {}, {other} with another first \
                 roster; correct one of them",
                self.first
            );
        }
        if missing.is_empty() {
            return "no memory yet: asking the other voters for it. If all of them say this for \
                    more than a few seconds, a first start was interrupted: stop all voters, \
                    remove their stores, and start them again"
                .into();
        }
        format!(
            "no memory yet: {} of the other voters of {} do not answer; start {}. A first start \
             needs every voter once, one that lost its store {} others",
            missing.len(),
            self.newest,
            missing.join(", "),
            others_needed(&self.newest)
        )
    }
}

fn highest(floors: &BTreeMap<VoterId, u64>) -> u64 {
    floors.values().copied().max().unwrap_or(0)
}

fn entry<'a>(groups: &'a mut BTreeMap<GroupName, Stored>, group: &GroupName) -> &'a mut Stored {
    groups.entry(group.clone()).or_insert_with(|| Stored::empty(group.clone()))
}

fn merge_accepted(
    groups: &mut BTreeMap<GroupName, Stored>,
    ballot: &BallotNumber,
    record: &GroupRecord,
) {
    let held = &mut entry(groups, &record.group).accepted;
    if held.as_ref().is_none_or(|(b, r)| (b, r.revision) < (ballot, record.revision)) {
        *held = Some((ballot.clone(), record.clone()));
    }
}

fn merge_committed(groups: &mut BTreeMap<GroupName, Stored>, committed: &RecordCommitted) {
    let held = &mut entry(groups, &committed.record.group).committed;
    if held.as_ref().is_none_or(|held| held.record.revision < committed.record.revision) {
        *held = Some(committed.clone());
    }
}

#[cfg(test)]
mod tests;
