//! Scripts: what the voters say, and exactly what the directory asks and shows.

use super::*;
use crate::tests::{at, ballot, drain, group, record, roster, voter};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::Revision;

struct Script(Directory);

impl Script {
    fn new() -> Self {
        Self(Directory::new(at(0)))
    }

    fn drain(&mut self) -> Vec<Output> {
        drain(|| self.0.poll_output())
    }

    /// Wakes the directory whenever it wants to be woken, up to and including `until`; when it
    /// asked.
    fn run(&mut self, until: u64) -> Vec<u64> {
        let mut asked = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            assert!(self.0.poll_timeout() > Some(due));
            for output in self.drain() {
                assert!(matches!(output, Output::Ask(_)), "{output:?}");
                asked.push(due.as_nanos() / 1_000_000);
            }
        }
        asked
    }

    fn committed(&mut self, revision: u64) -> Vec<Output> {
        self.0.committed(commit(revision));
        self.drain()
    }

    fn reply(&mut self, now: u64, reply: DigestReply) -> Vec<Output> {
        self.0.reply(reply, at(now));
        self.drain()
    }

    fn shown(&self) -> Option<u64> {
        self.0.get(&group()).map(|record| record.revision.0)
    }
}

fn commit(revision: u64) -> RecordCommitted {
    let record = GroupRecord { revision: Revision(revision), ..record(3) };
    RecordCommitted { ballot: ballot(revision, 1), record }
}

/// Voter `v<n>` knows nothing newer.
fn nothing_new(n: usize) -> DigestReply {
    DigestReply { voter: voter(n), records: vec![], unsettled: vec![], more: false }
}

fn changed() -> Output {
    Output::Changed(group())
}

#[test]
fn it_asks_at_once_and_every_250_ms_until_a_voter_answers_and_then_every_3_s() {
    let mut script = Script::new();
    assert_eq!(script.run(600), [0, 250, 500]);
    assert_eq!(script.reply(610, nothing_new(1)), []);
    assert_eq!(script.run(7_000), [750, 3_750, 6_750]);
}

#[test]
fn when_no_voter_has_answered_for_7_s_it_asks_often_again() {
    let mut script = Script::new();
    let _ = script.run(0);
    let _ = script.reply(10, nothing_new(1));
    assert_eq!(script.0.contacts(&roster(3), at(7_009)), 1);
    assert_eq!(script.0.contacts(&roster(3), at(7_010)), 0);
    assert_eq!(script.run(9_999), [250, 3_250, 6_250, 9_250, 9_500, 9_750]);
}

#[test]
fn each_voter_is_one_contact() {
    let mut script = Script::new();
    for n in [1, 1, 2] {
        let _ = script.reply(0, nothing_new(n));
    }
    assert_eq!(script.0.contacts(&roster(3), at(1)), 2);
}

#[test]
fn a_question_says_what_is_known() {
    let mut script = Script::new();
    let ask = |have| Output::Ask(Digest { have });
    script.0.handle_timeout(at(0));
    assert_eq!(script.drain(), [ask(vec![])]);
    let _ = script.committed(4);
    script.0.handle_timeout(at(250));
    assert_eq!(script.drain(), [ask(vec![(group(), Revision(4))])]);
}

#[test]
fn a_newer_record_replaces_an_older_one_and_never_the_other_way() {
    let mut script = Script::new();
    assert_eq!((script.shown(), script.committed(2)), (None, vec![changed()]));
    for (revision, said, shown) in
        [(1, vec![], 2), (2, vec![], 2), (5, vec![changed()], 5), (4, vec![], 5)]
    {
        assert_eq!(script.committed(revision), said, "revision {revision}");
        assert_eq!(script.shown(), Some(shown));
        assert_eq!(script.0.ballot(&group()), Some(&ballot(shown, 1)));
    }
    assert_eq!(script.0.records().count(), 1);
}

#[test]
fn what_a_voter_knows_is_taken_in_as_if_it_was_heard() {
    let mut script = Script::new();
    let knows = |revision| DigestReply { records: vec![commit(revision)], ..nothing_new(1) };
    assert_eq!(script.reply(0, knows(3)), [changed()]);
    assert_eq!(script.reply(0, knows(2)), []);
    assert_eq!(script.shown(), Some(3));
}

#[test]
fn when_there_is_more_than_fits_a_reply_it_asks_again_at_once() {
    let mut script = Script::new();
    let _ = script.run(0);
    let more = |n| DigestReply { more: true, records: vec![commit(3)], ..nothing_new(n) };
    let _ = script.reply(100, more(1));
    assert_eq!(script.run(200), [100]);
    for n in [2, 3] {
        let _ = script.reply(210, more(n));
    }
    assert_eq!(script.run(300), [], "three answers to one question are not three questions");
}

#[test]
fn a_group_is_unsettled_as_long_as_a_voter_says_so() {
    let mut script = Script::new();
    let unsettled = |n| DigestReply { unsettled: vec![group()], ..nothing_new(n) };
    assert!(!script.0.is_unsettled(&group(), &roster(3)));
    for n in [1, 2] {
        let _ = script.reply(0, unsettled(n));
    }
    let _ = script.reply(10, nothing_new(1));
    assert!(script.0.is_unsettled(&group(), &roster(3)), "the second voter still says so");
    assert_eq!(script.0.unsettled(&roster(3)), BTreeSet::from([group()]));
    let _ = script.reply(20, nothing_new(2));
    assert!(!script.0.is_unsettled(&group(), &roster(3)));
}

#[test]
fn what_a_voter_said_is_over_when_the_voter_is_gone() {
    let mut script = Script::new();
    let _ = script.run(0);
    let _ = script.reply(0, DigestReply { unsettled: vec![group()], ..nothing_new(1) });
    // It is forgotten with the first question after 7 s, which is that of 9,250 ms.
    for now in (0..=12_000).step_by(1_000) {
        let _ = script.run(now);
        let _ = script.reply(now, nothing_new(2));
        assert_eq!(script.0.is_unsettled(&group(), &roster(3)), now < 10_000, "at {now}");
    }
}

#[test]
fn no_more_groups_are_kept_than_the_limit() {
    let mut script = Script::new();
    let named = |n: usize| {
        let mut committed = commit(1);
        committed.record.group = GroupName::parse(&alloc::format!("g{n}")).unwrap();
        committed
    };
    for n in 0..=GROUP_LIMIT {
        script.0.committed(named(n));
    }
    assert_eq!(script.drain().len(), GROUP_LIMIT);
    let mut newer = named(0);
    newer.record.revision = Revision(2);
    script.0.committed(newer);
    assert_eq!(script.drain().len(), 1, "those that are kept go on");
}
