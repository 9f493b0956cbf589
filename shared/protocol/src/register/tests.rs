//! Several proposers and voters, and a bus that delivers in any order, twice or never; processes
//! are killed at any moment and come back with what was on disk.

mod bus;

use super::*;
use crate::tests::{at, group, orchestrator, record, roster, voter};
use crate::voter::Stored;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bus::{Bus, Message};
use proptest::prelude::*;
use vedette_model::{GroupRecord, Instant, Purpose, RecordCommitted};

/// One thing that happens. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Happens {
    /// Time passes, in milliseconds; whoever is due is woken.
    Wait(u64),
    /// An orchestrator asks for a ballot.
    Stand(usize),
    /// A leader proposes: the next record, or again what it adopted.
    Propose(usize, bool),
    /// A message arrives.
    Deliver(usize),
    /// A message arrives, and will again.
    Copy(usize),
    /// A message is lost.
    Lose(usize),
    /// A voter is killed and started again.
    RestartVoter(usize),
    /// An orchestrator is killed and started again.
    RestartProposer(usize),
    /// A leader lets go of its ballot.
    Resign(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let any = 0_usize..1_000;
    prop_oneof![
        3 => (1_u64..120).prop_map(Happens::Wait),
        2 => any.clone().prop_map(Happens::Stand),
        6 => (any.clone(), prop::bool::weighted(0.8)).prop_map(|(p, n)| Happens::Propose(p, n)),
        30 => any.clone().prop_map(Happens::Deliver),
        4 => any.clone().prop_map(Happens::Copy),
        3 => any.clone().prop_map(Happens::Lose),
        4 => any.clone().prop_map(Happens::RestartVoter),
        1 => any.clone().prop_map(Happens::RestartProposer),
        1 => any.prop_map(Happens::Resign),
    ]
}

/// A voter and its disk.
struct Voter {
    acceptor: Acceptor,
    disk: Stored,
}

/// An orchestrator, and what it knows of the ballot it holds.
struct Candidate {
    proposer: Proposer,
    incarnation: u64,
    act_after: Instant,
    record: Option<GroupRecord>,
}

struct World {
    now: Instant,
    voters: Vec<Voter>,
    candidates: Vec<Candidate>,
    bus: Bus,
    /// What was committed, by revision.
    committed: BTreeMap<u64, GroupRecord>,
    written: u64,
}

impl World {
    fn new(voters: usize, candidates: usize) -> Self {
        let now = at(1_000);
        let voter = |n| {
            let acceptor = Acceptor::new(voter(n), group(), now);
            Voter { disk: acceptor.stored().clone(), acceptor }
        };
        let candidate = |n| Candidate {
            proposer: Proposer::new(orchestrator(n), 1, group(), roster(voters)),
            incarnation: 1,
            act_after: now,
            record: None,
        };
        Self {
            now,
            voters: (1..=voters).map(voter).collect(),
            candidates: (1..=candidates).map(candidate).collect(),
            bus: Bus::default(),
            committed: BTreeMap::new(),
            written: 0,
        }
    }

    fn step(&mut self, happens: &Happens) {
        let p = |n: &usize| n % self.candidates.len();
        match happens {
            Happens::Wait(millis) => self.wait(*millis),
            Happens::Stand(n) => {
                let n = p(n);
                self.candidates[n].proposer.stand(Purpose::Configure, self.now);
            }
            Happens::Propose(n, next) => {
                let n = p(n);
                self.propose(n, *next);
            }
            Happens::Deliver(n) => {
                if let Some(message) = self.bus.take(*n) {
                    self.deliver(message);
                }
            }
            Happens::Copy(n) => {
                if let Some(message) = self.bus.copy(*n) {
                    self.deliver(message);
                }
            }
            Happens::Lose(n) => drop(self.bus.take(*n)),
            Happens::RestartVoter(n) => {
                let n = n % self.voters.len();
                let disk = self.voters[n].disk.clone();
                self.voters[n].acceptor = Acceptor::restore(voter(n + 1), disk, self.now);
            }
            Happens::RestartProposer(n) => {
                let n = p(n);
                let incarnation = self.candidates[n].incarnation + 1;
                let roster = roster(self.voters.len());
                self.candidates[n] = Candidate {
                    proposer: Proposer::new(orchestrator(n + 1), incarnation, group(), roster),
                    incarnation,
                    act_after: self.now,
                    record: None,
                };
            }
            Happens::Resign(n) => {
                let n = p(n);
                self.candidates[n].proposer.resign();
            }
        }
        self.drain();
        self.one_at_most_may_act();
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + core::time::Duration::from_millis(millis);
        for candidate in &mut self.candidates {
            candidate.proposer.handle_timeout(self.now);
        }
    }

    /// Each new record says which it was made from, and that it is like no other.
    fn propose(&mut self, n: usize, next: bool) {
        let candidate = &mut self.candidates[n];
        let proposed = match candidate.record.clone() {
            Some(adopted) if !next => adopted,
            Some(adopted) => {
                self.written += 1;
                let mut record = adopted.clone();
                record.revision = adopted.revision.next();
                record.settings.hold_off_ms = adopted.settings.patience_ms;
                record.settings.patience_ms = self.written;
                record
            }
            None => {
                self.written += 1;
                let mut record = record(3);
                (record.settings.hold_off_ms, record.settings.patience_ms) = (0, self.written);
                record
            }
        };
        candidate.proposer.propose(proposed, self.now);
    }

    fn drain(&mut self) {
        for n in 0..self.candidates.len() {
            while let Some(output) = self.candidates[n].proposer.poll_output() {
                match output {
                    ProposerOutput::Prepare(candidacy) => {
                        self.ask_voters(|voter| Message::Prepare(voter, candidacy.clone()));
                    }
                    ProposerOutput::Accept(proposal) => {
                        self.ask_voters(|voter| Message::Accept(voter, proposal.clone()));
                    }
                    ProposerOutput::Beat(beat) => {
                        self.ask_voters(|voter| Message::Beat(voter, beat.clone()));
                    }
                    ProposerOutput::Elected { adopted, act_after, .. } => {
                        self.candidates[n].record = adopted;
                        self.candidates[n].act_after = act_after;
                    }
                    ProposerOutput::Committed(committed) => self.commit(n, committed),
                    ProposerOutput::Lost(_) => {}
                }
            }
        }
    }

    fn ask_voters(&mut self, message: impl Fn(usize) -> Message) {
        for n in 0..self.voters.len() {
            self.bus.send(message(n));
        }
    }

    /// At most one record is committed per revision, each made from the one before.
    fn commit(&mut self, n: usize, committed: RecordCommitted) {
        let record = committed.record.clone();
        let revision = record.revision.0;
        let known = self.committed.entry(revision).or_insert_with(|| record.clone());
        assert_eq!(*known, record, "two records of one revision were committed");
        for (before, after) in [(revision.wrapping_sub(1), revision), (revision, revision + 1)] {
            if let (Some(before), Some(after)) =
                (self.committed.get(&before), self.committed.get(&after))
            {
                assert_eq!(
                    after.settings.hold_off_ms, before.settings.patience_ms,
                    "revision {} was made from another than the one committed",
                    after.revision
                );
            }
        }
        self.candidates[n].record = Some(record);
        self.ask_voters(|voter| Message::Committed(voter, committed.clone()));
    }

    /// Two leaders never hold the right to command nodes at the same moment.
    fn one_at_most_may_act(&self) {
        let may_act = |c: &&Candidate| {
            let lease_end = c.proposer.lease_end();
            self.now >= c.act_after && lease_end.is_some_and(|end| self.now < end)
        };
        let acting: Vec<_> =
            self.candidates.iter().filter(may_act).map(|c| c.proposer.ballot()).collect();
        assert!(acting.len() <= 1, "at {:?} all of these may act: {acting:?}", self.now);
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Prepare(n, _) | Message::Accept(n, _) | Message::Beat(n, _) => {
                let (answer, _) = self.ask(n, &message);
                let again = self.ask(n, &message);
                assert_eq!(again, (answer.clone(), false), "a repetition changes nothing");
                self.bus.send(answer);
            }
            Message::Committed(n, committed) => {
                let voter = &mut self.voters[n];
                if voter.acceptor.committed(&committed, self.now) {
                    voter.disk = voter.acceptor.stored().clone();
                }
                assert!(!voter.acceptor.committed(&committed, self.now), "news once");
                assert_eq!(*voter.acceptor.stored(), voter.disk);
            }
            Message::Promise(ballot) => {
                for candidate in &mut self.candidates {
                    candidate.proposer.ballot_answer(ballot.clone(), self.now);
                }
            }
            Message::Accepted(reply) => {
                for candidate in &mut self.candidates {
                    candidate.proposer.proposal_answer(reply.clone(), self.now);
                }
            }
            Message::BeatReply(reply) => {
                for candidate in &mut self.candidates {
                    candidate.proposer.beat_answer(reply.clone());
                }
            }
        }
    }

    /// A voter's answer, and whether it wrote something. Checks that it never goes back and that
    /// whatever changed is on disk.
    fn ask(&mut self, n: usize, message: &Message) -> (Message, bool) {
        let (roster, now) = (roster(self.voters.len()), self.now);
        let Voter { acceptor, disk } = &mut self.voters[n];
        let before = acceptor.stored().clone();
        let (answer, persist) = match message {
            Message::Prepare(_, candidacy) => {
                let said = acceptor.candidacy(candidacy, &roster, false, now);
                (Message::Promise(said.answer), said.persist)
            }
            Message::Accept(_, proposal) => {
                let said = acceptor.proposal(proposal, now);
                (Message::Accepted(said.answer), said.persist)
            }
            Message::Beat(_, beat) => (Message::BeatReply(acceptor.beat(beat, now)), false),
            Message::Committed(..)
            | Message::Promise(_)
            | Message::Accepted(_)
            | Message::BeatReply(_) => unreachable!("not a question"),
        };
        let after = acceptor.stored();
        assert!(after.promised >= before.promised, "a promise went back");
        let place =
            |stored: &Stored| stored.accepted.as_ref().map(|(b, r)| (b.clone(), r.revision));
        assert!(place(after) >= place(&before), "what was accepted went back");
        assert!(after.accepted.as_ref().map(|(b, _)| b) <= after.promised.as_ref());
        if persist {
            *disk = after.clone();
        }
        assert_eq!(after, disk, "what is not written down is forgotten");
        (answer, persist)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_revision_has_one_record_and_a_group_one_leader(
        voters in prop::sample::select(alloc::vec![1_usize, 2, 3, 3, 3, 5]),
        candidates in 2_usize..4,
        script in prop::collection::vec(happens(), 0..400),
    ) {
        let mut world = World::new(voters, candidates);
        for happens in &script {
            world.step(happens);
        }
    }

    /// When the trouble is over, whoever stands is elected and whatever it proposes is committed.
    #[test]
    fn when_messages_arrive_again_a_change_is_committed(
        script in prop::collection::vec(happens(), 0..300),
    ) {
        let mut world = World::new(3, 2);
        for happens in &script {
            world.step(happens);
        }
        world.bus.clear();
        let mut tries = 0;
        let newest = |world: &World| world.committed.keys().last().copied();
        let before = newest(&world);
        while newest(&world) == before {
            tries += 1;
            prop_assert!(tries < 5, "nothing was committed");
            world.step(&Happens::Stand(0));
            world.settle();
            world.step(&Happens::Propose(0, true));
            world.settle();
        }
    }
}

impl World {
    /// Everything sent arrives, in order.
    fn settle(&mut self) {
        while let Some(message) = self.bus.take(0) {
            self.deliver(message);
            self.drain();
        }
    }
}
