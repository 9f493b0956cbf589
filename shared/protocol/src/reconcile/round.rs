//! A round of corrections: look, tell a few to follow, look again.

use super::{Act, CORRECT_EVERY, Fit, Reconciler, is_unfit, words};
use crate::failover::rewrite_failed;
use crate::happening::Happening;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{Answer, EventName, GroupRecord, Instant, NodeAddr, NodeFault, NodeView};

/// During a round nodes are looked at this often, and what was seen so long ago is looked at again
/// before it is acted upon.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a node was told to follow it is looked at sooner, in milliseconds: a link is often up at
/// once.
const FIRST_LOOKS: [u64; 4] = [5, 10, 20, 50];
/// A node that was told to follow and whose link is not up by then gives its slot to the next.
const SYNC_SLOT: Duration = Duration::from_secs(10);
/// A quiet round is over by then.
const QUIET_ROUND: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing known in this round.
    Unknown,
    /// Wrong, waiting for a slot or for its five seconds.
    Wrong { stray: bool, looked: Instant },
    /// Told to follow; holds a slot.
    Moving { since: Instant },
    /// As recorded.
    Done,
    /// Cannot be reached, or is not ours.
    Skipped,
}

/// One node of a round.
#[derive(Debug, Clone)]
struct Work {
    progress: Progress,
    /// An answer is due.
    asked: bool,
    look_at: Instant,
    /// How often it was looked at since it was told to follow.
    looks: usize,
    /// It was told to follow.
    moved: bool,
    /// What somebody else changed, in words.
    found: Option<String>,
    /// It was a stray master, and was told to follow: what it gives up is known once it answers.
    demoting: bool,
}

impl Work {
    const fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Unknown | Progress::Moving { .. })
    }

    /// When it is looked at next.
    fn look_again(&mut self, now: Instant) {
        let soon = FIRST_LOOKS.get(self.looks).filter(|_| self.moved);
        self.look_at = now + soon.map_or(LOOK_EVERY, |millis| Duration::from_millis(*millis));
        self.looks += 1;
    }

    fn holds_slot(&self, now: Instant) -> bool {
        match self.progress {
            Progress::Moving { since } => now.since(since) < SYNC_SLOT,
            // Looked at once more, because it is its turn.
            Progress::Wrong { stray: false, .. } => self.asked,
            Progress::Wrong { stray: true, .. }
            | Progress::Unknown
            | Progress::Done
            | Progress::Skipped => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Round {
    /// Whether the round lasts until links are up.
    wait: bool,
    deadline: Instant,
    next_tick: Instant,
    /// Corrections wait for this; none once it has come.
    act_after: Option<Instant>,
    nodes: BTreeMap<NodeAddr, Work>,
    confirmed: bool,
    head: Head,
}

/// The recorded master, as this round sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    /// An answer is due.
    asked: bool,
    /// When it answered last, or did not.
    looked: Option<Instant>,
    /// What it is stands in its configuration file, or cannot be written there.
    saved: bool,
    /// Nobody is made to follow it: it said that it is a replica, and may follow that one, or it
    /// came back with an older data set, which would be copied.
    unfit: bool,
}

impl Reconciler {
    /// Starts a round: after a failover (`wait`: until links are up), or in quiet times.
    pub fn begin(&mut self, record: &GroupRecord, wait: bool, act_after: Instant, now: Instant) {
        self.forget_strangers(record);
        self.recheck.retain(|_, at| *at > now);
        let limit = Duration::from_millis(record.settings.failover_timeout_ms);
        let fresh = Work {
            progress: Progress::Unknown,
            asked: false,
            look_at: now,
            looks: 0,
            moved: false,
            found: None,
            demoting: false,
        };
        let others = record.members.iter().map(|m| m.addr.clone());
        let nodes = others.filter(|a| *a != record.master).map(|a| (a, fresh.clone()));
        self.round = Some(Round {
            wait,
            deadline: now + if wait { limit } else { QUIET_ROUND },
            next_tick: now,
            act_after: Some(act_after),
            nodes: nodes.collect(),
            confirmed: false,
            head: Head { saved: !wait, ..Head::default() },
        });
        self.tick(record, now);
    }

    /// Gives the round up: the ballot is gone.
    pub fn stop(&mut self) {
        self.round = None;
    }

    /// Whether a round is under way.
    pub const fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// A node answered an inspection or a correction of this round.
    pub fn answer(&mut self, record: &GroupRecord, addr: &NodeAddr, answer: Answer, now: Instant) {
        if *addr == record.master {
            self.head_answer(record, answer, now);
            return;
        }
        let Some(work) = self.round.as_mut().and_then(|round| round.nodes.get_mut(addr)) else {
            return;
        };
        work.asked = false;
        let corrected = matches!(work.progress, Progress::Moving { .. });
        let found = if corrected { work.found.take() } else { None };
        let demoting = core::mem::take(&mut work.demoting);
        match answer {
            Answer::Done { view, rewrite_error, changed_by } => {
                if let Some(found) = found {
                    let told = words::external_change(addr, &found, changed_by.as_deref());
                    self.acts.push_back(Act::Event(told));
                }
                self.tell_unsaved(addr, &view, rewrite_error);
                if demoting {
                    let master = self.fresh(&record.master, now);
                    let bytes = master.and_then(|master| words::given_up(&view, master));
                    self.acts.push_back(Act::Event(words::converted(record, addr, bytes)));
                }
                self.settle(record, addr, &view, now);
                self.view(record, addr, view, now);
            }
            Answer::Failed(fault) => {
                if let Some(found) = found.filter(|_| fault != NodeFault::Expired) {
                    let told = words::external_change(addr, &found, None);
                    self.acts.push_back(Act::Event(told));
                }
                if demoting && fault != NodeFault::Expired {
                    self.acts.push_back(Act::Event(words::converted(record, addr, None)));
                }
                self.unanswered(addr, &fault, now);
            }
        }
    }

    /// The master answered; if it did not, what it said before stands.
    fn head_answer(&mut self, record: &GroupRecord, answer: Answer, now: Instant) {
        let Some(round) = &mut self.round else { return };
        (round.head.asked, round.head.looked) = (false, Some(now));
        match answer {
            Answer::Done { view, rewrite_error, .. } => {
                round.head.saved = true;
                round.head.unfit = is_unfit(record, &view);
                self.tell_unsaved(&record.master, &view, rewrite_error);
                self.view(record, &record.master, view, now);
            }
            // Not sent.
            Answer::Failed(NodeFault::Expired) => {}
            Answer::Failed(_) => round.head.saved = true,
        }
    }

    /// Its role holds until its next restart only: said once of each process.
    fn tell_unsaved(&mut self, addr: &NodeAddr, view: &NodeView, rewrite_error: Option<String>) {
        let Some(error) = rewrite_error else { return };
        let told = self.rewrite_told.insert(addr.clone(), view.run_id.clone());
        if told.as_ref() != Some(&view.run_id) {
            self.acts.push_back(Act::Event(rewrite_failed(addr, &error)));
        }
    }

    fn unanswered(&mut self, addr: &NodeAddr, fault: &NodeFault, now: Instant) {
        let Some(work) = self.round.as_mut().and_then(|round| round.nodes.get_mut(addr)) else {
            return;
        };
        match (fault, work.progress) {
            // Not sent: look again before deciding anything.
            (NodeFault::Expired, _) => {
                work.progress = Progress::Unknown;
                work.moved = false;
                work.look_again(now);
                self.corrected.remove(addr);
                self.recheck.remove(addr);
            }
            (_, Progress::Done) => {}
            (_, Progress::Unknown | Progress::Wrong { .. } | Progress::Moving { .. })
            | (_, Progress::Skipped) => work.progress = Progress::Skipped,
        }
    }

    fn settle(&mut self, record: &GroupRecord, addr: &NodeAddr, view: &NodeView, now: Instant) {
        let fit = self.fit(record, addr, view, now);
        let found = self.was_changed(addr, view).then(|| words::found(view));
        let Some(round) = &mut self.round else { return };
        let wait = round.wait;
        let Some(work) = round.nodes.get_mut(addr) else { return };
        let before = work.progress;
        work.progress = match (fit, before) {
            (Fit::InLine | Fit::Chained, _) => Progress::Done,
            (Fit::Syncing, _) if !wait => Progress::Done,
            (Fit::Syncing, Progress::Moving { since }) => Progress::Moving { since },
            (Fit::Syncing, _) => Progress::Moving { since: now },
            (Fit::Stray, _) => Progress::Wrong { stray: true, looked: now },
            (Fit::WrongUpstream, _) => Progress::Wrong { stray: false, looked: now },
            (Fit::Foreign | Fit::MasterIsReplica | Fit::Alias, _) => Progress::Skipped,
        };
        work.found = found.filter(|_| matches!(work.progress, Progress::Wrong { .. }));
        work.look_again(now);
        if work.progress == Progress::Done && before != Progress::Done && work.moved {
            round.confirmed = true;
            self.acts.push_back(Act::Repaired(addr.clone()));
            let cause = format!("it follows {} and its link is up", record.master);
            let done = Happening::of(EventName::SlaveReconfDone, addr, cause);
            if fit == Fit::InLine {
                self.acts.push_back(Act::Event(done));
            }
        }
    }

    /// Looks at nodes, hands out slots, ends the round.
    pub fn tick(&mut self, record: &GroupRecord, now: Instant) {
        let Some(mut round) = self.round.take() else { return };
        if round.head.looked.is_none() || !round.head.saved {
            self.look_at_head(&mut round.head, record, now);
        }
        if record.pause.is_some() {
            self.acts.push_back(Act::Finished { timed_out: true });
            return;
        }
        for (addr, work) in &mut round.nodes {
            if work.is_open() && !work.asked && now >= work.look_at {
                work.asked = true;
                self.acts.push_back(Act::Inspect(addr.clone()));
            }
        }
        round.next_tick = now + LOOK_EVERY;
        round.act_after = round.act_after.filter(|at| now < *at);
        if round.act_after.is_none() && self.permitted {
            self.hand_out(&mut round, record, now);
        }
        let in_line = round.nodes.iter().all(|(addr, work)| match work.progress {
            Progress::Done | Progress::Skipped => true,
            Progress::Wrong { .. } => {
                (round.head.unfit || !self.may_correct(addr, now)) && !round.wait
            }
            Progress::Unknown | Progress::Moving { .. } => false,
        });
        let ended = in_line && round.head.saved;
        if ended || now >= round.deadline {
            self.acts.push_back(Act::Finished { timed_out: !ended });
        } else {
            self.round = Some(round);
        }
    }

    /// Whether nodes may be made to follow the recorded master: it was looked at just now, and is
    /// not unfit. If that is long ago it is looked at again.
    fn look_at_head(&mut self, head: &mut Head, record: &GroupRecord, now: Instant) -> bool {
        let fresh = head.looked.is_some_and(|at| now.since(at) < LOOK_EVERY);
        if !fresh && !head.asked {
            head.asked = true;
            let look = if head.saved { Act::Inspect } else { Act::Save };
            self.acts.push_back(look(record.master.clone()));
        }
        fresh && !head.unfit
    }

    fn hand_out(&mut self, round: &mut Round, record: &GroupRecord, now: Instant) {
        let mut taken = round.nodes.values().filter(|work| work.holds_slot(now)).count();
        let slots = if round.confirmed { record.settings.parallel_syncs as usize } else { 1 };
        for (addr, work) in &mut round.nodes {
            let Progress::Wrong { stray, looked } = work.progress else { continue };
            // A stray master is not made to wait: every moment of it may take writes.
            let no_slot = taken >= slots && !stray;
            if no_slot || work.asked || !self.may_correct(addr, now) {
                continue;
            }
            taken += usize::from(!stray);
            let follow = self.look_at_head(&mut round.head, record, now);
            if now.since(looked) >= LOOK_EVERY {
                work.asked = true;
                self.acts.push_back(Act::Inspect(addr.clone()));
                continue;
            }
            if !follow {
                continue;
            }
            work.asked = true;
            work.progress = Progress::Moving { since: now };
            (work.moved, work.looks, work.demoting) = (true, 0, stray);
            self.corrected.insert(addr.clone(), now);
            if work.found.is_some() {
                self.recheck.insert(addr.clone(), now + CORRECT_EVERY);
            }
            self.acts.push_back(Act::Follow {
                node: addr.clone(),
                cut_clients: stray,
                ask_who: work.found.is_some(),
                told: (!stray).then(|| words::correction(record, addr, round.wait)),
            });
        }
    }

    /// When the round wants to go on.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let round = self.round.as_ref()?;
        let looks = round.nodes.values().filter(|work| work.is_open() && !work.asked);
        let fixed = [round.act_after, Some(round.next_tick), Some(round.deadline)];
        fixed.into_iter().flatten().chain(looks.map(|work| work.look_at)).min()
    }
}
