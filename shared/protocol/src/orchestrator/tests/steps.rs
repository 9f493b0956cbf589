//! Scripts: what an orchestrator says and sends on its way from the verdicts to a new master.

use super::super::*;
use crate::tests::{
    at, ballot, drain, group, heartbeat, master_view, node, orchestrator, place, prober, record,
    replica_view, roster, voter,
};
use alloc::vec;
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Candidacy, DigestReply, Epoch, EventName, Heartbeat,
    MasterQuery, NodeReport, NodeView, OdownVerdict, Proposal, ProposalAnswer, ProposalReply,
    Quorum, RecordCommitted, Revision,
};

struct Script(Orchestrator);

impl Script {
    /// Orchestrator `o1` of a roster of three, alone, at 0 ms.
    fn new() -> Self {
        let sender = Sender { service: Service::Orchestrator, id: "o1".into(), incarnation: 1 };
        let (place, roster) = (place("here"), roster(3));
        let config = Config { sender, id: orchestrator(1), place, roster, groups: vec![] };
        Self(Orchestrator::new(config, at(0)))
    }

    /// It knows the record, and stands since 1,000 ms because two voters say that node 1 is down.
    fn standing(known: &GroupRecord) -> (Self, Candidacy, Vec<Output>) {
        let mut script = Self::new();
        let committed = RecordCommitted { ballot: ballot(1, 2), record: known.clone() };
        script.hear(0, committed.into());
        script.pass(1_000);
        let mut said = script.hear(1_000, verdict(1));
        said.extend(script.hear(1_000, verdict(2)));
        let stands = said.iter().find_map(|output| {
            let Output::Publish(Fact::Candidacy(candidacy)) = output else { return None };
            Some(candidacy.clone())
        });
        (script, stands.expect("it stands"), said)
    }

    /// Both replicas have answered the survey, and the plan to promote node 2 is proposed, when the
    /// second promise comes at 1,010 ms.
    fn planned(lease_ms: u64) -> (Self, Proposal) {
        let (mut script, candidacy, said) = Self::standing(&record(3));
        script.answer_survey(&said);
        script.promise(1_010, 1, &candidacy, &record(3), lease_ms);
        let said = script.promise(1_010, 2, &candidacy, &record(3), lease_ms);
        let plan = proposal(&said).expect("the plan is proposed");
        (script, plan)
    }

    fn hear(&mut self, millis: u64, fact: Fact) -> Vec<Output> {
        self.0.handle(Input::Fact { fact, reply_to: Some("asker".into()) }, at(millis));
        drain(|| self.0.poll_output())
    }

    fn pass(&mut self, millis: u64) -> Vec<Output> {
        self.0.handle_timeout(at(millis));
        drain(|| self.0.poll_output())
    }

    fn answer(&mut self, millis: u64, ticket: u64, view: NodeView) -> Vec<Output> {
        let answer = Answer::Done { view, rewrite_error: None, changed_by: None };
        self.0.handle(Input::Answer { ticket, answer }, at(millis));
        drain(|| self.0.poll_output())
    }

    fn answer_survey(&mut self, said: &[Output]) {
        let asked = |n| command(said, &node(n), &Command::Inspect).expect("it is asked").0;
        for (n, ticket) in [2, 3].map(|n| (n, asked(n))) {
            self.answer(1_005, ticket, replica_view(n, 1, 1_000));
        }
    }

    fn promise(
        &mut self,
        millis: u64,
        n: usize,
        candidacy: &Candidacy,
        accepted: &GroupRecord,
        lease_ms: u64,
    ) -> Vec<Output> {
        let accepted: Option<(BallotNumber, _)> = Some((ballot(1, 2), accepted.clone()));
        let promise = Ballot {
            group: group(),
            ballot: candidacy.ballot.clone(),
            voter: voter(n),
            answer: BallotAnswer::Promise { accepted, lease_ms, failover_ms_ago: None },
        };
        self.hear(millis, promise.into())
    }

    fn accept(&mut self, millis: u64, n: usize, proposal: &Proposal) -> Vec<Output> {
        let reply = ProposalReply {
            group: group(),
            ballot: proposal.ballot.clone(),
            revision: proposal.record.revision,
            voter: voter(n),
            answer: ProposalAnswer::Accepted,
        };
        self.hear(millis, reply.into())
    }
}

fn verdict(n: usize) -> Fact {
    OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master: node(1),
        voter: voter(n),
        reached: true,
        quorum: Quorum::parse(2).unwrap(),
        tally: vec![],
    }
    .into()
}

fn proposal(said: &[Output]) -> Option<Proposal> {
    said.iter().find_map(|output| {
        let Output::Publish(Fact::Proposal(proposal)) = output else { return None };
        Some(proposal.clone())
    })
}

/// The ticket and the last moment of such a command, whichever process it is for.
fn command(said: &[Output], to: &NodeAddr, wanted: &Command) -> Option<(u64, Option<Instant>)> {
    let same = |a: &Command| core::mem::discriminant(a) == core::mem::discriminant(wanted);
    said.iter().find_map(|output| {
        let Output::Command { ticket, node, command, not_after, .. } = output else { return None };
        (node == to && same(command)).then_some((*ticket, *not_after))
    })
}

fn announced(said: &[Output]) -> Vec<(Epoch, NodeAddr)> {
    let master = |output: &Output| {
        let Output::Publish(Fact::MasterRecord(master)) = output else { return None };
        Some((master.epoch, master.master.clone()))
    };
    said.iter().filter_map(master).collect()
}

#[test]
fn who_hears_no_majority_of_voters_does_not_say_who_is_master() {
    let mut script = Script::new();
    let records = vec![RecordCommitted { ballot: ballot(1, 2), record: record(3) }];
    let query = Fact::from(MasterQuery { group: group() });
    let answers = |script: &mut Script, millis| {
        let said = script.hear(millis, query.clone());
        said.iter().filter(|output| matches!(output, Output::Reply { .. })).count()
    };
    for (n, answered) in [(1, 0), (2, 1)] {
        let (records, voter) = (records.clone(), voter(n));
        script.hear(0, DigestReply { voter, records, unsettled: vec![], more: false }.into());
        assert_eq!(answers(&mut script, 10), answered);
    }
    assert_eq!(answers(&mut script, 6_999), 1);
    assert_eq!(answers(&mut script, 7_000), 0);
}

#[test]
fn a_leader_goes_on_from_what_was_promised_and_not_from_its_memory() {
    let (mut script, candidacy, said) = Script::standing(&record(3));
    script.answer_survey(&said);
    let newer = GroupRecord { revision: Revision(7), ..record(3) };
    script.promise(1_010, 1, &candidacy, &record(3), 0);
    let said = script.promise(1_010, 2, &candidacy, &newer, 0);
    assert_eq!(proposal(&said).expect("a plan").record.revision, Revision(8));
}

#[test]
fn what_probers_saw_is_no_answer_to_the_survey() {
    let (mut script, candidacy, _) = Script::standing(&record(3));
    for n in [1, 2] {
        script.promise(1_010, n, &candidacy, &record(3), 0);
    }
    for n in [2, 3] {
        let (node, view) = (node(n), replica_view(n, 1, 1_000));
        let report = NodeReport { group: group(), node, prober: prober(1), view };
        assert_eq!(proposal(&script.hear(1_020, report.into())), None);
    }
}

#[test]
fn applications_hear_of_a_master_when_it_is_promoted_and_all_others_when_it_is_committed() {
    let (mut script, plan) = Script::planned(0);
    let mut before = script.accept(1_020, 1, &plan);
    before.extend(script.accept(1_020, 2, &plan));
    let (ticket, _) =
        command(&before, &node(2), &Command::Promote { run_id: None }).expect("it is promoted");
    assert_eq!(announced(&before), []);
    let promoted = script.answer(1_030, ticket, master_view(2, 1_000));
    let carried_out = proposal(&promoted).expect("the master is proposed");
    assert_eq!(announced(&promoted), [(Epoch(2), node(2))]);
    let one_of_three = script.accept(1_040, 1, &carried_out);
    let to_others = |said: &[Output]| said.iter().filter(|output| is_for_others(output)).count();
    assert_eq!(to_others(&promoted) + to_others(&one_of_three), 0);
    let committed = script.accept(1_040, 2, &carried_out);
    assert_eq!(announced(&committed), [(Epoch(2), node(2))]);
    assert_eq!(to_others(&committed), 2, "the event, and the bucket");
}

/// Whether people, gateways or those who come later hear of a new master by it.
fn is_for_others(output: &Output) -> bool {
    match output {
        Output::Retain(_) => true,
        Output::Publish(Fact::Event(event)) => event.name == EventName::SwitchMaster,
        Output::Publish(_) | Output::Reply { .. } | Output::Command { .. } => false,
    }
}

#[test]
fn a_promotion_carries_the_end_of_the_lease_counted_from_the_proposal() {
    let (mut script, plan) = Script::planned(0);
    let mut said = script.accept(1_200, 1, &plan);
    said.extend(script.accept(1_200, 2, &plan));
    let (_, not_after) =
        command(&said, &node(2), &Command::Promote { run_id: None }).expect("it is promoted");
    assert_eq!(not_after, Some(at(1_010) + crate::register::LEASE));
}

#[test]
fn without_a_lease_nothing_is_sent_that_changes_a_node() {
    // The leader before may act for 400 ms more; until then no beat of this one is answered.
    let (mut script, plan) = Script::planned(400);
    let mut said = script.accept(1_020, 1, &plan);
    said.extend(script.accept(1_020, 2, &plan));
    for millis in [1_100, 1_309, 1_410, 1_500] {
        said.extend(script.pass(millis));
    }
    assert_eq!(command(&said, &node(2), &Command::Promote { run_id: None }), None);
}

/// A voter's heartbeat that asks for what it missed.
fn voter_is_back() -> Fact {
    Heartbeat { back: true, ..heartbeat(Service::Voter, "v3", 1, 9) }.into()
}

#[test]
fn what_is_asked_is_asked_again_of_a_voter_that_was_away_and_by_a_leader_that_was() {
    let (mut script, candidacy, said) = Script::standing(&record(3));
    let asked = |said: &[Output]| {
        said.iter().any(
            |o| matches!(o, Output::Publish(Fact::Candidacy(c)) if c.ballot == candidacy.ballot),
        )
    };
    assert!(asked(&script.hear(1_020, voter_is_back())));
    script.0.handle(Input::Back, at(1_030));
    let back = drain(|| script.0.poll_output());
    assert!(asked(&back));
    let beats = |o: &Output| matches!(o, Output::Publish(Fact::Heartbeat(beat)) if beat.back);
    assert!(back.iter().any(beats), "voters repeat their verdicts when they hear it");
    script.answer_survey(&said);
    script.promise(1_040, 1, &candidacy, &record(3), 0);
    let plan = proposal(&script.promise(1_040, 2, &candidacy, &record(3), 0));
    assert_eq!(proposal(&script.hear(1_050, voter_is_back())), plan);
    script.0.handle(Input::Back, at(1_060));
    assert_eq!(proposal(&drain(|| script.0.poll_output())), plan);
}

#[test]
fn a_leader_that_slept_through_the_next_failover_tells_nothing_of_its_own() {
    let (mut script, plan) = Script::planned(0);
    let mut said = script.accept(1_020, 1, &plan);
    said.extend(script.accept(1_020, 2, &plan));
    let promote = Command::Promote { run_id: None };
    let (ticket, _) = command(&said, &node(2), &promote).expect("it is promoted");
    let next = GroupRecord {
        revision: Revision(9),
        epoch: Epoch(3),
        top_epoch: Epoch(3),
        master: node(3),
        failover: None,
        ..plan.record
    };
    let ballot = BallotNumber { number: plan.ballot.number + 1, ..ballot(1, 2) };
    script.hear(1_030, RecordCommitted { ballot, record: next }.into());
    let said = script.answer(1_031, ticket, master_view(2, 1_000));
    let tells = |o: &Output| matches!(o, Output::Publish(Fact::Event(_) | Fact::Proposal(_)));
    assert!(!said.iter().any(tells), "{said:?}");
}
