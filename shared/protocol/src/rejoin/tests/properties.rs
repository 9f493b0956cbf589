//! Voters that lose their disks, rosters that change and leaders that propose, all at once, on a
//! bus that delivers in any order, late, twice or never.

use crate::Machine;
use crate::register::{Proposer, ProposerOutput};
use crate::roster::Meta;
use crate::roster::change::{self, Change, Wanted};
use crate::tests::{at, group, orchestrator, place, record, roster, voter};
use crate::voter::{Config, Input, Output, Stored, Voter};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;
use vedette_model::{
    Fact, GroupName, GroupRecord, Instant, Purpose, RecordCommitted, Roster, Sender, Service,
};

/// Voters there are; the first roster has three of them.
const VOTERS: usize = 5;
const LEADERS: usize = 2;
const UNDER_WAY: usize = 120;

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Happens {
    /// Time passes, in milliseconds, and whoever is due is woken.
    Wait(u64),
    /// So many of the messages under way arrive, in order.
    Flow(usize),
    /// A message arrives, out of its turn.
    Deliver(usize),
    /// The same, and it will arrive again.
    Copy(usize),
    /// A message is lost.
    Lose(usize),
    Stand(usize),
    Propose(usize),
    /// A voter is killed and started again.
    Restart(usize),
    /// A voter loses its disk, if no other is without memory.
    LoseDisk(usize),
    /// An orchestrator is told to add or remove a voter.
    Change(usize, bool),
    /// An orchestrator goes by the newest roster that any voter goes by.
    Learn(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let any = 0_usize..1_000;
    prop_oneof![
        6 => (1_u64..90).prop_map(Happens::Wait),
        2 => (300_u64..1_300).prop_map(Happens::Wait),
        12 => (1_usize..30).prop_map(Happens::Flow),
        8 => any.clone().prop_map(Happens::Deliver),
        2 => any.clone().prop_map(Happens::Copy),
        2 => any.clone().prop_map(Happens::Lose),
        4 => any.clone().prop_map(Happens::Stand),
        8 => any.clone().prop_map(Happens::Propose),
        1 => any.clone().prop_map(Happens::Restart),
        2 => any.clone().prop_map(Happens::LoseDisk),
        3 => (any.clone(), prop::bool::ANY).prop_map(|(n, add)| Happens::Change(n, add)),
        4 => any.prop_map(Happens::Learn),
    ]
}

#[derive(Default)]
struct Disk {
    meta: Option<Meta>,
    groups: BTreeMap<GroupName, Stored>,
}

struct Leader {
    proposer: Proposer,
    roster: Roster,
    record: Option<GroupRecord>,
    change: Option<Change>,
    used: u64,
}

/// Who gets a message.
#[derive(Debug, Clone, Copy)]
enum To {
    Voter(usize),
    Leader(usize),
}

struct World {
    now: Instant,
    lives: u64,
    voters: Vec<Voter>,
    disks: Vec<Disk>,
    leaders: Vec<Leader>,
    messages: Vec<(To, Fact, String)>,
    committed: BTreeMap<u64, GroupRecord>,
    written: u64,
    changes: usize,
    rejoined: usize,
}

impl World {
    fn new() -> Self {
        let leader = |n| Leader {
            proposer: Proposer::new(orchestrator(n), 1, group(), roster(3)),
            roster: roster(3),
            record: None,
            change: None,
            used: 0,
        };
        let mut world = Self {
            now: at(5_000),
            lives: 0,
            voters: Vec::new(),
            disks: Vec::new(),
            leaders: (1..=LEADERS).map(leader).collect(),
            messages: Vec::new(),
            committed: BTreeMap::new(),
            written: 0,
            changes: 0,
            rejoined: 0,
        };
        for n in 0..VOTERS {
            let meta = (n < 3).then(|| Meta::first(roster(3)));
            world.disks.push(Disk { meta, ..Disk::default() });
            let voter = world.born(n);
            world.voters.push(voter);
        }
        world
    }

    fn born(&mut self, n: usize) -> Voter {
        self.lives += 1;
        let config = Config {
            sender: Sender::parse(Service::Voter, &format!("v{}", n + 1), self.lives).unwrap(),
            id: voter(n + 1),
            place: place("here"),
            roster: roster(3),
        };
        let disk = &self.disks[n];
        let stored = disk.groups.values().cloned().collect();
        Voter::new(config, disk.meta.clone(), stored, self.now)
    }

    fn step(&mut self, happens: &Happens) {
        match happens {
            Happens::Wait(millis) => self.wait(*millis),
            Happens::Flow(count) => {
                for _ in 0..*count {
                    self.deliver(0, false);
                }
            }
            Happens::Deliver(n) => self.deliver(*n, false),
            Happens::Copy(n) => self.deliver(*n, true),
            Happens::Lose(n) => {
                if let Some(at) = n.checked_rem(self.messages.len()) {
                    self.messages.remove(at);
                }
            }
            Happens::Stand(n) => {
                let n = n % LEADERS;
                self.leaders[n].proposer.stand(Purpose::Configure, self.now);
            }
            Happens::Propose(n) => self.propose(n % LEADERS),
            Happens::Restart(n) => {
                let n = n % VOTERS;
                self.voters[n] = self.born(n);
            }
            Happens::LoseDisk(n) => self.lose_disk(n % VOTERS),
            Happens::Change(n, add) => self.change(n % LEADERS, n / LEADERS % VOTERS, *add),
            Happens::Learn(n) => {
                let newest = self.newest();
                self.learn(n % LEADERS, &newest);
            }
        }
        self.drain();
    }

    fn newest(&self) -> Roster {
        let metas = self.disks.iter().filter_map(|disk| disk.meta.as_ref());
        metas.map(|meta| meta.roster.clone()).max_by_key(|r| r.version).unwrap_or(roster(3))
    }

    /// What a system is built to survive: one voter at a time, of three or more.
    fn lose_disk(&mut self, n: usize) {
        let newest = self.newest();
        let id = |n: usize| voter(n + 1);
        let others_remember = (0..VOTERS)
            .filter(|other| *other != n && newest.contains(&id(*other)))
            .all(|other| self.disks[other].meta.is_some());
        if newest.voters().len() >= 3 && others_remember {
            self.disks[n] = Disk::default();
            self.voters[n] = self.born(n);
        }
    }

    fn change(&mut self, leader: usize, n: usize, add: bool) {
        let wanted = if add { Wanted::Add(voter(n + 1)) } else { Wanted::Remove(voter(n + 1)) };
        let roster = self.leaders[leader].roster.clone();
        let size = wanted.next(&roster).map_or(0, |next| next.voters().len());
        if size >= 2 && self.leaders[leader].change.is_none() {
            let me = orchestrator(leader + 1);
            let used = self.leaders[leader].used;
            self.leaders[leader].change = Some(Change::new(me, 1, roster, wanted, used, self.now));
        }
    }

    fn learn(&mut self, n: usize, roster: &Roster) {
        let leader = &mut self.leaders[n];
        if roster.version > leader.roster.version {
            leader.roster = roster.clone();
            leader.proposer.set_roster(roster.clone());
            self.changes += 1;
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + core::time::Duration::from_millis(millis);
        for voter in &mut self.voters {
            voter.handle_timeout(self.now);
        }
        for leader in &mut self.leaders {
            leader.proposer.handle_timeout(self.now);
            if let Some(change) = &mut leader.change {
                change.handle_timeout(self.now);
            }
        }
    }

    /// Each new record says which it was made from, and that it is like no other.
    fn propose(&mut self, n: usize) {
        self.written += 1;
        let leader = &mut self.leaders[n];
        let mut next = match leader.record.clone() {
            Some(adopted) => {
                let mut next = adopted.clone();
                next.revision = adopted.revision.next();
                next.settings.hold_off_ms = adopted.settings.patience_ms;
                next
            }
            None => {
                let mut first = record(3);
                first.settings.hold_off_ms = 0;
                first
            }
        };
        next.settings.patience_ms = self.written;
        leader.proposer.propose(next, self.now);
    }

    fn send(&mut self, to: To, fact: Fact, reply_to: &str) {
        if self.messages.len() == UNDER_WAY {
            self.messages.remove(0);
        }
        self.messages.push((to, fact, reply_to.to_string()));
    }

    fn send_voters(&mut self, but: Option<usize>, fact: &Fact, reply_to: &str) {
        for n in (0..VOTERS).filter(|n| Some(*n) != but) {
            self.send(To::Voter(n), fact.clone(), reply_to);
        }
    }

    fn deliver(&mut self, n: usize, again: bool) {
        let Some(place) = n.checked_rem(self.messages.len()) else { return };
        let (to, fact, reply_to) =
            if again { self.messages[place].clone() } else { self.messages.remove(place) };
        match (to, fact) {
            (To::Voter(n), fact) => {
                let input = Input::Fact { fact, reply_to: Some(reply_to) };
                self.voters[n].handle(input, self.now);
            }
            (To::Leader(n), Fact::Ballot(f)) => self.leaders[n].proposer.ballot_answer(f, self.now),
            (To::Leader(n), Fact::ProposalReply(f)) => {
                self.leaders[n].proposer.proposal_answer(f, self.now);
            }
            (To::Leader(n), Fact::BeatReply(f)) => self.leaders[n].proposer.beat_answer(f),
            (To::Leader(n), Fact::RosterAnswer(f)) => {
                if let Some(change) = &mut self.leaders[n].change {
                    change.answer(f, self.now);
                }
            }
            (To::Leader(_), _) => {}
        }
        self.drain();
    }

    fn drain(&mut self) {
        for n in 0..VOTERS {
            while let Some(output) = self.voters[n].poll_output() {
                self.said(n, output);
            }
        }
        for n in 0..LEADERS {
            self.drain_leader(n);
        }
    }

    fn said(&mut self, n: usize, output: Output) {
        let disk = &mut self.disks[n];
        match output {
            Output::Persist(stored) => drop(disk.groups.insert(stored.group.clone(), stored)),
            Output::PersistMeta(meta) => {
                self.rejoined += usize::from(disk.meta.is_none());
                disk.meta = Some(meta);
            }
            // Everybody learns rosters from heartbeats; what else is published goes to voters.
            Output::Publish(fact) => self.send_voters(Some(n), &fact, &format!("v{n}")),
            Output::Reply { to, fact } => {
                let (kind, number) = to.split_at(1);
                let Ok(number) = number.parse() else { return };
                let to = if kind == "v" { To::Voter(number) } else { To::Leader(number) };
                self.send(to, fact, "");
            }
        }
    }

    fn drain_leader(&mut self, n: usize) {
        let me = format!("o{n}");
        while let Some(output) = self.leaders[n].proposer.poll_output() {
            match output {
                ProposerOutput::Prepare(fact) => self.send_voters(None, &fact.into(), &me),
                ProposerOutput::Accept(fact) => self.send_voters(None, &fact.into(), &me),
                ProposerOutput::Beat(fact) => self.send_voters(None, &fact.into(), &me),
                ProposerOutput::Elected { adopted, .. } => self.leaders[n].record = adopted,
                ProposerOutput::Committed(committed) => self.commit(n, &committed),
                ProposerOutput::Lost(_) => {}
            }
        }
        while let Some(output) = self.leaders[n].change.as_mut().and_then(Change::poll_output) {
            match output {
                change::Output::Ask(fact) => self.send_voters(None, &fact.into(), &me),
                change::Output::Learn(roster) => self.learn(n, &roster),
                change::Output::End(_) => {
                    let ended = self.leaders[n].change.take();
                    self.leaders[n].used = ended.map_or(0, |change| change.used());
                }
            }
        }
    }

    /// At most one record per revision is committed, and each was made from the one committed
    /// before it; one that is committed again under another roster has its predecessor's content.
    fn commit(&mut self, n: usize, committed: &RecordCommitted) {
        let record = committed.record.clone();
        let known = self.committed.entry(record.revision.0).or_insert_with(|| record.clone());
        assert_eq!(*known, record, "two records of one revision were committed");
        let mut last: Option<&GroupRecord> = None;
        for record in self.committed.values() {
            if let Some(last) = last.filter(|last| last.revision.next() == record.revision) {
                let made_from = record.settings.hold_off_ms == last.settings.patience_ms;
                let again = record.settings == last.settings && record.roster != last.roster;
                assert!(
                    made_from || again,
                    "revision {} was made from another than the one committed",
                    record.revision
                );
            }
            last = Some(record);
        }
        self.leaders[n].record = Some(record);
        self.send_voters(None, &committed.clone().into(), "");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_lost_and_whoever_votes_nothing_committed_is_forgotten(
        script in prop::collection::vec(happens(), 0..500),
    ) {
        let mut world = World::new();
        for happens in &script {
            world.step(happens);
        }
    }
}

/// The property would hold for a world in which nothing happens.
#[test]
fn such_worlds_commit_change_rosters_and_bring_memories_back() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};
    let runner = &mut TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut seen = vec![0; 3];
    for _ in 0..40 {
        let script = prop::collection::vec(happens(), 400..500).new_tree(runner).unwrap().current();
        let mut world = World::new();
        for happens in &script {
            world.step(happens);
        }
        let counts = [world.committed.len(), world.changes, world.rejoined];
        seen.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(seen.iter().all(|sum| *sum >= 20), "committed, changes, rejoined: {seen:?}");
}
