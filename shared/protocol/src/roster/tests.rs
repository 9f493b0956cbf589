//! Scripts: what one voter says to a change of the roster.

use super::*;
use crate::tests::{ballot, group, roster, voter};
use alloc::vec;

fn of(version: u64, voters: &[usize]) -> Roster {
    Roster::parse(RosterVersion(version), voters.iter().map(|n| voter(*n)).collect()).unwrap()
}

fn ask(number: u64, from: u64, ask: RosterAsk) -> RosterBallot {
    RosterBallot { ballot: ballot(number, 1), from: RosterVersion(from), ask }
}

fn vote(meta: &mut Meta, number: u64, what: RosterAsk) -> (bool, RosterVote) {
    meta.vote(&ask(number, 1, what), |_| vec![])
}

fn refused(why: RosterRefusal) -> (bool, RosterVote) {
    (false, RosterVote::Refused(why))
}

#[test]
fn it_promises_accepts_and_goes_by_the_next_roster() {
    let mut meta = Meta::first(roster(3));
    let next = of(2, &[1, 2, 3, 4]);
    let promise = |accepted| RosterVote::Promise { accepted };
    assert_eq!(vote(&mut meta, 1, RosterAsk::Prepare), (true, promise(None)));
    assert_eq!(vote(&mut meta, 1, RosterAsk::Prepare), (false, promise(None)), "once");
    let accept = || RosterAsk::Accept(next.clone());
    assert_eq!(vote(&mut meta, 1, accept()), (true, RosterVote::Accepted));
    assert_eq!(vote(&mut meta, 1, accept()), (false, RosterVote::Accepted), "once");
    assert_eq!(meta.roster, roster(3), "it is not decided");
    let told = promise(Some((ballot(1, 1), next.clone())));
    assert_eq!(vote(&mut meta, 2, RosterAsk::Prepare), (true, told));
    let older = refused(RosterRefusal::OlderBallot(ballot(2, 1)));
    assert_eq!(vote(&mut meta, 1, accept()), older);
    let adopt = || RosterAsk::Adopt(next.clone());
    assert_eq!(vote(&mut meta, 1, adopt()), (true, RosterVote::Adopted), "whatever it promised");
    assert_eq!(vote(&mut meta, 1, adopt()), (false, RosterVote::Adopted));
    assert_eq!((&meta.roster, &meta.previous), (&next, &Some(roster(3))));
    assert_eq!((meta.promised, meta.accepted), (None, None), "of the decision after it");
}

#[test]
fn it_answers_only_those_who_go_by_its_roster() {
    let mut meta = Meta::first(roster(3));
    assert!(meta.adopt(&of(5, &[1, 2, 4])));
    assert!(!meta.adopt(&of(4, &[1, 2])), "never back");
    let other = || refused(RosterRefusal::OtherRoster(of(5, &[1, 2, 4])));
    for (from, what) in [(1, RosterAsk::Prepare), (6, RosterAsk::Prepare)] {
        assert_eq!(meta.vote(&ask(9, from, what), |_| vec![]), other());
    }
    let older = RosterAsk::Adopt(of(4, &[1, 2]));
    assert_eq!(meta.vote(&ask(9, 4, older), |_| vec![]), other());
}

#[test]
fn a_change_is_one_voter_more_or_less() {
    let good = [(2, vec![1, 2, 3, 4]), (2, vec![1, 3]), (2, vec![4, 3, 2, 1])];
    let bad = [
        (2, vec![1, 2, 3]),
        (2, vec![1, 2, 4]),
        (2, vec![1]),
        (2, vec![1, 2, 3, 4, 5]),
        (3, vec![1, 2, 3, 4]),
        (1, vec![1, 2]),
    ];
    for (version, voters) in good {
        let mut meta = Meta::first(roster(3));
        let accept = RosterAsk::Accept(of(version, &voters));
        assert_eq!(vote(&mut meta, 1, accept).1, RosterVote::Accepted, "{voters:?}");
    }
    for (version, voters) in bad {
        let mut meta = Meta::first(roster(3));
        let accept = RosterAsk::Accept(of(version, &voters));
        assert_eq!(vote(&mut meta, 1, accept), refused(RosterRefusal::NotOneVoter), "{voters:?}");
    }
}

#[test]
fn it_consents_to_nothing_while_a_record_is_not_settled_under_its_roster() {
    let mut meta = Meta::first(roster(3));
    let open = || refused(RosterRefusal::Unsettled(vec![group()]));
    for what in [RosterAsk::Prepare, RosterAsk::Accept(of(2, &[1, 2]))] {
        let said = meta.vote(&ask(1, 1, what), |version| {
            assert_eq!(version, RosterVersion(1));
            vec![group()]
        });
        assert_eq!(said, open());
    }
    let adopt = ask(1, 1, RosterAsk::Adopt(of(2, &[1, 2])));
    assert_eq!(meta.vote(&adopt, |_| vec![group()]), (true, RosterVote::Adopted), "it is decided");
}

#[test]
fn the_floor_holds_for_changes_of_the_roster_too() {
    let mut meta = Meta { floor: 4, ..Meta::first(roster(3)) };
    let (persist, said) = vote(&mut meta, 4, RosterAsk::Prepare);
    let RosterVote::Refused(RosterRefusal::OlderBallot(highest)) = said else { panic!("{said:?}") };
    assert!(!persist && highest.number == 4 && highest > ballot(4, 1));
    assert!(matches!(vote(&mut meta, 5, RosterAsk::Prepare), (true, RosterVote::Promise { .. })));
    assert_eq!(meta.highest(), 5);
}

#[test]
fn enough_others_meet_every_majority_that_holds_the_asker() {
    for (size, needed) in [(2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4)] {
        assert_eq!(others_needed(&roster(size)), needed, "of {size}");
    }
}
