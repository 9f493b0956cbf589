//! A prober that was stopped, or woke late, says nothing of what it did not see.

use super::*;
use crate::prober::RoleReply;
use proptest::prelude::*;

fn suspect(late: u64) -> Act {
    let cause = format!("this prober was stalled for {late} ms; its samples are thrown away");
    Act::Event(EventName::SelfSuspect, cause)
}

fn trusted() -> Act {
    Act::Event(EventName::SelfSuspectOver, "this prober keeps time again".into())
}

#[test]
fn a_stalled_prober_throws_its_samples_away() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    // The ping of 100 ms is not answered; then the prober is stopped for 5 s.
    assert_eq!(script.tell(100, &Node::Mute), []);
    script.watcher.handle_timeout(at(5_100));
    let said = told(script.play(5_100, &Node::Mute));
    assert_eq!(said, [(5_100, suspect(4_900))], "due was the ping of 200 ms");
    assert_eq!(script.tell(6_099, &Node::Mute), [(5_200, trusted())]);
    assert_eq!(script.tell(6_100, &Node::Mute), [(6_100, silent(1_000))], "a whole new silence");
}

#[test]
fn what_waited_on_the_line_while_it_was_stopped_still_counts() {
    let mut script = Script::new();
    let _ = script.run(100, &Node::Mute);
    let said = script.hear(5_100, LinkEvent::Pong(PingReply::Pong));
    assert_eq!(said, [suspect(4_900)]);
    assert_eq!(script.watcher.last_good(), Some(at(5_100)));
    assert_eq!(script.tell(20_000, &WELL), [(5_200, trusted())]);
}

#[test]
fn a_link_that_broke_while_it_was_stopped_proves_a_crash_only_after_probation() {
    let mut script = Script::new();
    let _ = script.run(100, &WELL);
    assert_eq!(script.hear(5_100, LinkEvent::Lost), [suspect(4_900)]);
    let refused = LinkEvent::ConnectFailed(NodeFault::Refused);
    assert_eq!(script.hear(5_100, refused), []);
    let said = script.tell(5_200, &Node::Fails(NodeFault::Refused));
    assert_eq!(said, [(5_110, trusted()), (5_200, down(Evidence::Crash { refused: 11 }))]);
}

#[test]
fn a_stall_takes_back_what_was_reported() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    assert_eq!(script.tell(1_150, &Node::Mute), [(1_100, silent(1_000))]);
    script.watcher.handle_timeout(at(5_000));
    let said = told(script.play(5_000, &Node::Mute));
    assert_eq!(said, [(5_000, UP), (5_000, suspect(3_800))]);
}

#[test]
fn late_by_less_than_a_quarter_of_down_after_is_no_stall() {
    for (late, expected) in [(249, 0), (250, 1)] {
        let mut script = Script::new();
        let _ = script.run(0, &WELL);
        script.watcher.handle_timeout(at(100 + late));
        assert_eq!(told(script.play(100 + late, &WELL)).len(), expected, "late by {late}");
    }
}

#[test]
fn a_budget_of_nothing_is_not_judged_in_probation() {
    let mut script = Script::with(|s| s.busy_budget_ms = 0);
    let _ = script.run(0, &WELL);
    script.watcher.handle_timeout(at(5_000));
    let said = told(script.play(5_000, &Node::Says(PingReply::Busy)));
    assert_eq!(events(&said), [(5_000, EventName::SelfSuspect), (5_000, EventName::Busy)]);
    assert_eq!(said.len(), 2);
    let said = script.tell(5_100, &Node::Says(PingReply::Busy));
    assert_eq!(said[..2], [(5_100, trusted()), (5_100, down(Evidence::Busy { for_ms: 100 }))]);
}

/// Anything that may happen on a link.
fn link_events() -> impl Strategy<Value = LinkEvent> {
    let text = String::new;
    prop_oneof![
        4 => Just(LinkEvent::Connected),
        2 => Just(LinkEvent::Lost),
        2 => Just(LinkEvent::ConnectFailed(NodeFault::Refused)),
        1 => Just(LinkEvent::ConnectFailed(NodeFault::Broken(text()))),
        1 => Just(LinkEvent::ConnectFailed(NodeFault::TimedOut)),
        1 => Just(LinkEvent::ConnectFailed(NodeFault::Unresolved(text()))),
        1 => Just(LinkEvent::ConnectFailed(NodeFault::Denied(text()))),
        4 => Just(LinkEvent::Pong(PingReply::Pong)),
        2 => Just(LinkEvent::Pong(PingReply::Busy)),
        2 => Just(LinkEvent::Pong(PingReply::Loading)),
        1 => Just(LinkEvent::Pong(PingReply::Misconf)),
        1 => Just(LinkEvent::Pong(PingReply::Denied(text()))),
        1 => Just(LinkEvent::Pong(PingReply::Other(text()))),
        1 => Just(LinkEvent::Info(Ok(replica_view(1, 2, 0)))),
        1 => Just(LinkEvent::Info(Ok(master_view(1, 0)))),
        1 => Just(LinkEvent::Info(Err(NodeFault::TimedOut))),
        1 => any::<bool>().prop_map(|linked| LinkEvent::Role(RoleReply::Replica { linked })),
        1 => any::<(u64, usize, Option<u64>)>().prop_map(|(offset, replicas, least)| {
            LinkEvent::Role(RoleReply::Master { offset, replicas, least })
        }),
        1 => Just(LinkEvent::Role(RoleReply::Refused)),
        1 => Just(LinkEvent::Role(RoleReply::Unclear)),
        1 => any::<bool>().prop_map(move |ok| LinkEvent::Name(if ok { Ok(()) } else { Err(text()) })),
        1 => Just(LinkEvent::Info(Err(NodeFault::Denied(text())))),
    ]
}

/// Anything that the group may say of a node.
fn companies() -> impl Strategy<Value = Company> {
    let flags = any::<(bool, bool, bool)>();
    (flags, prop::option::weighted(0.2, 1_usize..3)).prop_map(|((master, spare, writable), new)| {
        let reborn = new.filter(|_| master).map(run_id);
        Company { master, spare, writable_spare: spare && writable, reborn }
    })
}

/// What happens to a watcher at one moment.
#[derive(Debug, Clone)]
enum Turn {
    Link(LinkEvent),
    Company(Company),
}

fn turns() -> impl Strategy<Value = Vec<(u64, bool, Turn)>> {
    let turn = prop_oneof![
        4 => link_events().prop_map(Turn::Link),
        1 => companies().prop_map(Turn::Company),
    ];
    prop::collection::vec((0_u64..1_500, any::<bool>(), turn), 0..60)
}

/// Whether what is said to be measured has really been met with before.
fn is_founded(evidence: &Evidence, heard: &[Turn]) -> bool {
    let heard_link = |wanted: &LinkEvent| {
        heard.iter().any(|turn| matches!(turn, Turn::Link(event) if event == wanted))
    };
    let pong = |reply| heard_link(&LinkEvent::Pong(reply));
    match evidence {
        Evidence::Silence { for_ms } => *for_ms > 0,
        Evidence::Crash { refused } => {
            *refused >= 2
                && heard_link(&LinkEvent::Lost)
                && heard_link(&LinkEvent::ConnectFailed(NodeFault::Refused))
        }
        Evidence::Busy { .. } => pong(PingReply::Busy),
        Evidence::Loading { .. } => pong(PingReply::Loading),
        Evidence::WriteImpaired { .. } => pong(PingReply::Misconf),
        Evidence::WrongRole { .. } => heard_link(&LinkEvent::Info(Ok(replica_view(1, 2, 0)))),
        Evidence::Rebirth { run_id } => heard.iter().any(|turn| match turn {
            Turn::Company(company) => company.reborn.as_ref() == Some(run_id),
            Turn::Link(_) => false,
        }),
    }
}

proptest! {
    /// A watcher that wants to be woken in the past would spin for ever.
    #[test]
    fn whoever_was_woken_wants_to_be_woken_later(
        down_after in 100_u64..3_000,
        grace in 0_u64..300,
        budget in 0_u64..300,
        script in turns(),
    ) {
        let settings = |s: &mut Settings| {
            (s.down_after_ms, s.crash_grace_ms, s.busy_budget_ms) = (down_after, grace, budget);
            s.loading_budget_ms = Some(2 * budget);
        };
        let mut watcher = Script::with(settings).watcher;
        let mut now = at(0);
        for (wait, punctual, turn) in script {
            now = now + Duration::from_millis(wait);
            while let Some(due) = watcher.poll_timeout().filter(|due| *due <= now) {
                let woken = if punctual { due } else { now };
                watcher.handle_timeout(woken);
                prop_assert!(watcher.poll_timeout().is_none_or(|next| next > woken));
            }
            match turn {
                Turn::Link(event) => watcher.handle(watcher.attempt, event, now),
                Turn::Company(company) => watcher.keep_company(company, now),
            }
            let _ = drain(|| watcher.poll_output());
        }
    }

    /// Down is said only of what was met with, up only after down, and what is said last is what
    /// the watcher holds.
    #[test]
    fn each_report_has_its_cause(
        down_after in 100_u64..3_000,
        grace in 0_u64..300,
        script in turns(),
    ) {
        let settings =
            |s: &mut Settings| (s.down_after_ms, s.crash_grace_ms) = (down_after, grace);
        let mut watcher = Script::with(settings).watcher;
        let (mut now, mut heard, mut last) = (at(0), Vec::new(), NodeState::Up);
        for (wait, punctual, turn) in script {
            now = now + Duration::from_millis(wait);
            while let Some(due) = watcher.poll_timeout().filter(|due| *due <= now) {
                watcher.handle_timeout(if punctual { due } else { now });
            }
            heard.push(turn.clone());
            match turn {
                Turn::Link(event) => watcher.handle(watcher.attempt, event, now),
                Turn::Company(company) => watcher.keep_company(company, now),
            }
            for act in drain(|| watcher.poll_output()) {
                let Act::Report(state) = act else { continue };
                match &state {
                    NodeState::Up => prop_assert_ne!(&last, &NodeState::Up, "up twice"),
                    NodeState::Down(evidence) => {
                        prop_assert!(is_founded(evidence, &heard), "{evidence} of nothing");
                    }
                }
                last = state;
            }
            prop_assert_eq!(&last, watcher.state());
        }
    }
}
