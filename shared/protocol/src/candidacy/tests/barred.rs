//! Groups that are paused or held, proof that cannot come and go, and what people want.

use super::*;
use vedette_model::{Evidence, Flapping, Opinion, Pause};

fn held() -> GroupRecord {
    GroupRecord { flapping: Flapping { count: 2, held: true }, ..record(3) }
}

fn paused() -> GroupRecord {
    GroupRecord { pause: Some(Pause::for_good("maintenance".into())), ..record(3) }
}

#[test]
fn nobody_stands_in_vain_for_a_group_that_is_paused_or_held() {
    let texts = [
        (held(), "held after 2 failovers in a row: `vedette release g` ends that"),
        (paused(), "the group is paused"),
    ];
    for (barred, text) in texts {
        let mut script = Script::new();
        let _ = script.record(0, &barred);
        assert_eq!(script.odown(10), [Output::Odown]);
        let text = format!("odown by 2 voters; {text}");
        assert_eq!(script.run(2_000), [(1_010, Output::Waiting(text.clone()))]);
        assert_eq!(script.0.standing(), text);
        // What ended it is known with the next record, and the master is still down.
        script.0.record(&record(3), at(2_000));
        script.0.handle_timeout(at(2_000));
        assert_eq!(script.drain(), [failover()]);
    }
}

#[test]
fn a_failover_under_way_is_taken_over_also_in_a_group_that_is_held() {
    let mut script = Script::new();
    let _ = script.record(100, &GroupRecord { flapping: held().flapping, ..under_way() });
    assert_eq!(script.run(5_000), [(600, TAKEOVER)]);
}

#[test]
fn proof_is_hard_if_a_quorum_says_so_to_a_majority_of_voters() {
    let crash = Evidence::Crash { refused: 2 };
    let silence = Evidence::Silence { for_ms: 5_000 };
    let cases = [
        ([&crash, &crash], [&crash, &crash], true),
        ([&crash, &crash], [&crash, &silence], false),
        ([&silence, &silence], [&silence, &silence], false),
    ];
    for (first, second, hard) in cases {
        let mut script = Script::new();
        for (n, tally) in [(1, first), (2, second)] {
            let opinion = |(p, evidence): (usize, &&Evidence)| Opinion {
                prober: crate::tests::prober(p),
                place: crate::tests::place("here"),
                evidence: (*evidence).clone(),
            };
            let tally = tally.iter().enumerate().map(opinion).collect();
            script.0.verdict(&OdownVerdict { tally, ..verdict(n, true) }, at(10));
        }
        assert_eq!(script.0.is_hard(), hard, "{first:?}, {second:?}");
    }
}

#[test]
fn what_a_person_wants_waits_for_no_rest_and_comes_before_another_attempt() {
    let mut script = Script::new();
    let _ = script.odown(10);
    script.0.ended(Duration::from_secs(60), "no replica".to_string(), at(100));
    script.0.set_ordered(true);
    assert_eq!(script.run(2_000), [(150, CONFIGURE)]);
    let mut script = Script::ranked(1);
    script.0.set_ordered(true);
    assert_eq!(script.run(2_000), [], "it is its owner's business");
    let mut script = Script::new();
    let _ = script.record(100, &under_way());
    script.0.set_ordered(true);
    assert_eq!(script.run(2_000), [(600, TAKEOVER)], "a plan is carried out first");
}
