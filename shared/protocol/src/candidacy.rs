//! When do I ask for votes, and what for?
//!
//! ```text
//!  OdownVerdict    ──►┌────────────────────────────────────────────┐──► Stand(Failover)
//!  record          ──►│ failover recorded, leader silent → Takeover│──► Stand(Takeover)
//!  Beat of another ──►│ majority of voters say ODOWN     → Failover│──► Stand(Configure)
//!  rank, work      ──►│ I own the group and it needs me  → Configure──► Odown (survey now)
//!  lost, ended     ──►└────────────────────────────────────────────┘
//! ```
//!
//! Candidates keep out of each other's way by rank, not by chance: the first waits nothing, each
//! other 50 ms longer. What was refused is tried again as soon as its reason may have gone.

use crate::register::{Lost, TAKEOVER_AFTER};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Epoch, Evidence, Flapping, GroupRecord, Instant, NodeAddr, OdownVerdict, Opinion, Purpose,
    Refusal, Roster, VoterId,
};

/// Each rank waits so much longer than the one before.
const RANK_STEP: Duration = Duration::from_millis(50);
/// Before a candidacy that nothing stands in the way of any more.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// For a majority of the voters to agree that the master is down: what keeps them from it is told
/// after that.
const AGREED_AFTER: Duration = Duration::from_secs(1);
/// A verdict that is not repeated for so long no longer counts.
const VERDICT_EXPIRY: Duration = Duration::from_secs(3);

/// What the candidate does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A majority of voters says the master is down: look at the replicas while votes are asked.
    Odown,
    /// Ask for a ballot.
    Stand(Purpose),
    /// Some voter says the master is down, and there is no attempt; why, in words. Once each.
    Waiting(String),
}

/// Some voter says that the master is down, and this one may not stand.
#[derive(Debug, Clone)]
struct Waits {
    since: Instant,
    told: String,
}

/// A voter says ODOWN.
#[derive(Debug, Clone, Copy)]
struct Reached {
    /// Until when that counts.
    expiry: Instant,
    /// On proof that cannot come and go.
    hard: bool,
    /// A prober says that the master came back as a replica.
    returned: bool,
}

/// One orchestrator's ambition for one group.
#[derive(Debug, Clone)]
pub struct Candidate {
    roster: Roster,
    rank: u32,
    reign: Option<(Epoch, NodeAddr)>,
    under_way: bool,
    /// A voter told of a failover that our record does not show yet.
    hint_under_way: bool,
    /// Why our record allows no failover, in words.
    barred: Option<String>,
    verdicts: BTreeMap<VoterId, Reached>,
    odown_since: Option<Instant>,
    waits: Option<Waits>,
    leader_heard: Option<Instant>,
    work: bool,
    /// A person waits for something.
    ordered: bool,
    /// A person waits for another master.
    switch: bool,
    busy: bool,
    /// No more ballots are to be asked for at the moment.
    crowded: bool,
    /// One would have been.
    waits_for_place: bool,
    idle_since: Instant,
    not_before: Instant,
    /// Quiet work rests until then; a dead master does not wait for it.
    quiet_not_before: Instant,
    why: String,
    outputs: VecDeque<Output>,
}

impl Candidate {
    /// A candidate without a record, of the lowest rank until it is told its own.
    pub const fn new(roster: Roster, now: Instant) -> Self {
        Self {
            roster,
            rank: 0,
            reign: None,
            under_way: false,
            hint_under_way: false,
            barred: None,
            verdicts: BTreeMap::new(),
            odown_since: None,
            waits: None,
            leader_heard: None,
            work: false,
            ordered: false,
            switch: false,
            busy: false,
            crowded: false,
            waits_for_place: false,
            idle_since: now,
            not_before: now,
            quiet_not_before: now,
            why: String::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Its place among the live orchestrators: 0 acts first and owns the group in quiet times.
    pub const fn set_rank(&mut self, rank: u32) {
        self.rank = rank;
    }

    /// Counts by another roster from now on.
    pub fn set_roster(&mut self, roster: Roster) {
        self.verdicts.retain(|voter, _| roster.contains(voter));
        self.roster = roster;
    }

    /// Whether there is something to seed, admit, correct or settle.
    pub const fn set_work(&mut self, work: bool) {
        self.work = work;
    }

    /// Whether a person wants something done. It goes before everything else but a failover under
    /// way, and waits for no rest.
    pub const fn set_ordered(&mut self, ordered: bool) {
        self.ordered = ordered;
    }

    /// Whether a person wants another master.
    pub const fn set_switch(&mut self, wanted: bool) {
        self.switch = wanted;
    }

    /// Whether so many ballots are being asked for that this one has to wait.
    pub const fn set_crowded(&mut self, crowded: bool) {
        self.crowded = crowded;
    }

    /// Whether it waits for that alone.
    pub const fn waits_for_place(&self) -> bool {
        self.waits_for_place && !self.busy
    }

    /// Whether the group is this orchestrator's in quiet times.
    pub const fn owns(&self) -> bool {
        self.rank == 0
    }

    /// Whether a majority of voters says the recorded master is down.
    pub const fn is_odown(&self) -> bool {
        self.odown_since.is_some()
    }

    /// Whether a majority of voters says so on proof that cannot come and go.
    pub fn is_hard(&self) -> bool {
        self.roster.majority().reached(self.verdicts.values().filter(|v| v.hard).count())
    }

    /// Whether a prober says that the recorded master came back as a replica.
    pub fn is_returned(&self) -> bool {
        self.verdicts.values().any(|verdict| verdict.returned)
    }

    /// Takes a newer record.
    pub fn record(&mut self, record: &GroupRecord, now: Instant) {
        let reign = (record.epoch, record.master.clone());
        if self.reign.as_ref() != Some(&reign) {
            self.verdicts.clear();
            self.odown_since = None;
            self.why.clear();
            self.reign = Some(reign);
        }
        if record.failover.is_some() && !self.under_way {
            self.leader_heard = Some(now);
        }
        self.under_way = record.failover.is_some();
        self.hint_under_way = false;
        let held = || {
            let Flapping { count, .. } = record.flapping;
            let group = &record.group;
            format!("held after {count} failovers in a row: `vedette release {group}` ends that")
        };
        let removed = record.removed.then(|| "the group was removed".into());
        let paused = record.pause.as_ref().map(|_| "the group is paused".into());
        self.barred = removed.or(paused).or_else(|| record.flapping.held.then(held));
    }

    /// Takes a verdict.
    pub fn verdict(&mut self, verdict: &OdownVerdict, now: Instant) {
        let reign = self.reign.as_ref();
        let current = reign.is_some_and(|(e, m)| *e == verdict.epoch && *m == verdict.master);
        if !current || !self.roster.contains(&verdict.voter) {
            return;
        }
        if verdict.reached {
            let hard = verdict.tally.iter().filter(|o| o.evidence.is_hard()).count();
            let replica = |o: &Opinion| matches!(o.evidence, Evidence::WrongRole { .. });
            let reached = Reached {
                expiry: now + VERDICT_EXPIRY,
                hard: hard >= verdict.quorum.get() as usize,
                returned: verdict.tally.iter().any(replica),
            };
            self.verdicts.insert(verdict.voter.clone(), reached);
        } else {
            self.verdicts.remove(&verdict.voter);
        }
        self.settle(now);
        self.stand_if_due(now);
    }

    /// Another orchestrator leads and lives.
    pub const fn other_leads(&mut self, now: Instant) {
        self.leader_heard = Some(now);
    }

    /// The ballot was not won, or not kept.
    pub fn lost(&mut self, why: &Lost, now: Instant) {
        self.busy = false;
        self.idle_since = now;
        let (pause, text) = match why {
            Lost::Superseded => {
                (Duration::from_millis(100), "superseded by a higher ballot".into())
            }
            Lost::NoMajority { answered } => (
                Duration::from_millis(250),
                format!(
                    "only {answered} of {} voters answered in time and {} are needed: start the \
                     missing voters or mend their network",
                    self.roster.voters().len(),
                    self.roster.majority().get()
                ),
            ),
            Lost::Refused(refusals) => {
                let pause = self.pause_after_all(refusals);
                let who: Vec<_> =
                    refusals.iter().map(|(voter, why)| format!("{voter}: {why}")).collect();
                self.hint_under_way |= refusals.values().any(|w| *w == Refusal::FailoverUnderWay);
                // Nobody has a record to go on with: what is known here is of no use.
                if refusals.values().all(|w| *w == Refusal::NoFailover) {
                    self.hint_under_way = false;
                    self.under_way = false;
                }
                (pause, format!("refused by {}", who.join(", ")))
            }
        };
        self.why = text;
        self.not_before = now + pause + RANK_STEP * self.rank;
    }

    /// When a majority may say yes: those who did not refuse may at once.
    fn pause_after_all(&self, refusals: &BTreeMap<VoterId, Refusal>) -> Duration {
        let mut pauses: Vec<_> = refusals.values().map(pause_after).collect();
        pauses.sort_unstable();
        let others = self.roster.voters().len().saturating_sub(pauses.len());
        let needed = self.roster.majority().get().saturating_sub(others);
        let pause = needed.checked_sub(1).and_then(|last| pauses.get(last).copied());
        pause.unwrap_or(SHORTEST_PAUSE)
    }

    /// The tenure ended; nothing is asked for before `pause` is over.
    pub fn ended(&mut self, pause: Duration, why: String, now: Instant) {
        self.busy = false;
        self.idle_since = now;
        self.why = why;
        self.not_before = now + pause;
    }

    /// Quiet work ended; there is no more of it before `pause` is over.
    pub fn rested(&mut self, pause: Duration, now: Instant) {
        self.busy = false;
        self.idle_since = now;
        self.why.clear();
        self.quiet_not_before = now + pause;
    }

    /// What stands in the way, in words; empty if nothing is wanted.
    pub fn standing(&self) -> String {
        let count = self.verdicts.len();
        let needed = self.roster.majority().get();
        let mut text = match (self.odown_since, count) {
            (Some(_), _) => format!("odown by {count} voters"),
            (None, 0) => String::new(),
            (None, _) => {
                let silent = self.roster.voters().iter().filter(|v| !self.verdicts.contains_key(v));
                let silent: Vec<_> = silent.map(VoterId::as_str).collect();
                format!(
                    "{count} of {needed} needed voters say odown, {} do not: nothing is done",
                    silent.join(" and ")
                )
            }
        };
        if let Some(barred) = self.barred.as_ref().filter(|_| self.odown_since.is_some()) {
            return format!("{text}; {barred}");
        }
        let asked = self.ordered || self.switch;
        let wanted = self.work || asked || self.under_way || self.odown_since.is_some();
        if !self.why.is_empty() && wanted {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&self.why);
        }
        text
    }

    /// Lets verdicts expire and stands when it is time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
        self.stand_if_due(now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.verdicts.values().map(|verdict| verdict.expiry).min();
        let stand = self.wanted().map(|(at, _)| at).filter(|_| !self.waits_for_place());
        let told = self.waits.as_ref().filter(|waits| self.owns() && waits.told.is_empty());
        let tell = told.map(|waits| waits.since + AGREED_AFTER);
        [expiry, stand, tell].into_iter().flatten().min()
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn settle(&mut self, now: Instant) {
        self.verdicts.retain(|_, verdict| verdict.expiry > now);
        let reached = self.roster.majority().reached(self.verdicts.len());
        match (reached, self.odown_since) {
            (true, None) => {
                self.odown_since = Some(now);
                self.outputs.push_back(Output::Odown);
            }
            (false, Some(_)) => self.odown_since = None,
            (true, Some(_)) | (false, None) => {}
        }
        self.tell_what_is_missing(now);
    }

    /// Who looks into it later must find why nothing happened, from the one who would have acted.
    fn tell_what_is_missing(&mut self, now: Instant) {
        let may_stand = self.odown_since.is_some() && self.barred.is_none();
        if self.verdicts.is_empty() || may_stand || self.busy || self.under_way {
            self.waits = None;
            return;
        }
        let (owns, why) = (self.owns(), self.standing());
        let waits = self.waits.get_or_insert(Waits { since: now, told: String::new() });
        if owns && now >= waits.since + AGREED_AFTER && waits.told != why {
            waits.told.clone_from(&why);
            self.outputs.push_back(Output::Waiting(why));
        }
    }

    fn wanted(&self) -> Option<(Instant, Purpose)> {
        if self.busy {
            return None;
        }
        let wait = RANK_STEP * self.rank;
        let heard = self.leader_heard.map_or(Instant::ZERO, |at| at + TAKEOVER_AFTER + wait);
        if self.under_way || self.hint_under_way {
            return Some((heard.max(self.not_before), Purpose::Takeover));
        }
        if self.ordered && self.rank == 0 {
            return Some((heard.max(self.idle_since + RANK_STEP), Purpose::Configure));
        }
        if let (true, 0, Some((epoch, master))) = (self.switch, self.rank, &self.reign) {
            let purpose = Purpose::Switchover { epoch: *epoch, master: master.clone() };
            return Some((heard.max(self.idle_since + RANK_STEP), purpose));
        }
        let odown_since = self.odown_since.filter(|_| self.barred.is_none());
        if let (Some(since), Some((epoch, master))) = (odown_since, &self.reign) {
            let at = if self.rank == 0 { since } else { heard.max(since + wait) };
            let purpose = Purpose::Failover { epoch: *epoch, master: master.clone() };
            return Some((at.max(self.not_before), purpose));
        }
        let at = heard.max(self.not_before).max(self.quiet_not_before);
        (self.work && self.rank == 0).then_some((at, Purpose::Configure))
    }

    /// Half a failover is no state to rest in, and people do not wait.
    const fn can_wait(&self, purpose: &Purpose) -> bool {
        match purpose {
            Purpose::Failover { .. } => true,
            Purpose::Configure => !self.ordered,
            Purpose::Takeover | Purpose::Switchover { .. } => false,
        }
    }

    fn stand_if_due(&mut self, now: Instant) {
        self.waits_for_place = false;
        if let Some((at, purpose)) = self.wanted()
            && now >= at
        {
            self.waits_for_place = self.crowded && self.can_wait(&purpose);
            if self.waits_for_place {
                return;
            }
            self.busy = true;
            self.outputs.push_back(Output::Stand(purpose));
        }
    }
}

/// When the reason of a refusal may have gone.
fn pause_after(why: &Refusal) -> Duration {
    Duration::from_millis(match why {
        Refusal::OlderBallot => return SHORTEST_PAUSE,
        Refusal::NotOdown | Refusal::FailoverUnderWay => 100,
        Refusal::OtherMaster { .. } | Refusal::NoFailover => 200,
        Refusal::Paused | Refusal::Held | Refusal::StoreFailed | Refusal::Joining => 1_000,
        Refusal::OtherRoster { .. } => 2_000,
        Refusal::HeldOff { remaining_ms } | Refusal::LeaderAlive { remaining_ms } => *remaining_ms,
    })
}

#[cfg(test)]
mod tests;
