//! Several probers of one place share the watching.

use super::*;
use crate::rank::weight;

/// A heartbeat of prober `p<n>` in this place.
fn peer(n: usize, tick: u64) -> Heartbeat {
    Heartbeat { service: Service::Prober, id: prober(n).to_string(), ..heartbeat(n, 7, tick) }
}

/// Those of `p2` to `p9` that come before, or after, `p1` for the group.
fn rivals(before: bool) -> Vec<usize> {
    let me = prober(1);
    let comes = |n: &usize| {
        let other = prober(*n);
        let group = group();
        let weight = |id: &ProberId| weight(group.as_str(), id.as_str()).0;
        (weight(&other) > weight(&me)) == before
    };
    (2..10).filter(comes).collect()
}

/// A group of one node, each of whose nodes one prober of a place watches.
fn one_watcher() -> Script {
    let mut script = Script::new(1);
    let mut record = revision(2, 1);
    record.settings.watchers_per_place = 1;
    let _ = script.knows(1, record);
    script
}

/// Each second from `from` on these beat; all that the prober does until `until`.
fn beats(script: &mut Script, from: u64, until: u64, peers: &[usize]) -> Vec<(u64, Output)> {
    let mut done = Vec::new();
    for now in from..=until {
        if now % 1_000 == from % 1_000 {
            for n in peers {
                done.extend(script.hear(now, peer(*n, now)).into_iter().map(|o| (now, o)));
            }
        }
        while script.0.poll_timeout().is_some_and(|due| due <= at(now)) {
            script.0.handle_timeout(at(now));
            done.extend(drain(|| script.0.poll_output()).into_iter().map(|o| (now, o)));
        }
    }
    done
}

fn moves(done: &[(u64, Output)]) -> Vec<(u64, Output)> {
    let is_move = |output: &Output| match output {
        Output::Forget { .. } => true,
        Output::Connect { attempt, .. } => *attempt == 1,
        Output::Publish(_) | Output::Ping { .. } | Output::Info { .. } | Output::Role { .. } => {
            false
        }
    };
    done.iter().filter(|(_, output)| is_move(output)).cloned().collect()
}

#[test]
fn a_group_is_left_to_the_first_of_the_place_once_it_has_been_heard_for_3_s() {
    let first = rivals(true)[0];
    let mut script = one_watcher();
    let done = beats(&mut script, 10, 5_000, &[first]);
    assert_eq!(moves(&done), [(3_010, Output::Forget { watch: watch(1) })]);
    let said = script.hear(5_001, StatusQuery {});
    let [Output::Publish(Fact::Heartbeat(beat))] = &said[..] else { panic!("{said:?}") };
    assert!(beat.standings[0].text.starts_with("left to other probers of this place"));
}

#[test]
fn when_the_first_dies_the_next_takes_over_within_1500_ms() {
    let first = rivals(true)[0];
    let mut script = one_watcher();
    let _ = beats(&mut script, 10, 5_009, &[first]);
    let done = beats(&mut script, 5_010, 9_000, &[]);
    // It was heard last at 4,010.
    assert_eq!(moves(&done), [(5_510, connect(1, 1, None))]);
}

#[test]
fn a_prober_in_its_next_life_is_relied_on_only_when_it_has_lived_for_3_s() {
    let first = rivals(true)[0];
    let mut script = one_watcher();
    let _ = beats(&mut script, 10, 4_100, &[first]);
    let reborn = Heartbeat { incarnation: 8, ..peer(first, 1) };
    assert_eq!(script.hear(4_200, reborn), [connect(1, 1, None)]);
}

#[test]
fn who_comes_first_watches_on() {
    let mut script = one_watcher();
    let later = rivals(false);
    assert_eq!(moves(&beats(&mut script, 10, 8_000, &later)), []);
}

#[test]
fn all_of_a_place_watch_when_they_are_no_more_than_wanted() {
    let mut script = Script::new(1);
    let before: Vec<_> = rivals(true).into_iter().take(2).collect();
    assert_eq!(moves(&beats(&mut script, 10, 8_000, &before)), [], "three are wanted");
}

#[test]
fn who_is_elsewhere_or_knows_no_group_takes_nothing_over() {
    let first = rivals(true)[0];
    let change: [fn(&mut Heartbeat); 2] =
        [|b| b.place = place("there"), |b| b.health = Health::Impaired("no voter".into())];
    for change in change {
        let mut script = one_watcher();
        for now in (10..8_000).step_by(1_000) {
            let mut beat = peer(first, now);
            change(&mut beat);
            assert_eq!(script.hear(now, beat), []);
            assert_eq!(moves(&beats(&mut script, now + 1, now + 900, &[])), []);
        }
    }
}

#[test]
fn a_heartbeat_that_comes_late_proves_nothing() {
    let first = rivals(true)[0];
    let mut script = one_watcher();
    let _ = beats(&mut script, 10, 5_000, &[first]);
    let _ = script.hear(5_400, peer(first, 3_010));
    let done = beats(&mut script, 5_401, 8_000, &[]);
    assert_eq!(moves(&done), [(5_510, connect(1, 1, None))]);
}

#[test]
fn a_group_is_not_left_while_one_of_its_nodes_is_down() {
    let first = rivals(true)[0];
    let mut script = one_watcher();
    let _ = script.crash(10, 1);
    let done = beats(&mut script, 200, 6_000, &[first]);
    assert_eq!(moves(&done).iter().filter(|(_, o)| matches!(o, Output::Forget { .. })).count(), 0);
    // It answers again and is well.
    let attempt = done
        .iter()
        .filter_map(|(_, output)| match output {
            Output::Connect { attempt, .. } => Some(*attempt),
            Output::Publish(_)
            | Output::Ping { .. }
            | Output::Info { .. }
            | Output::Role { .. }
            | Output::Forget { .. } => None,
        })
        .max()
        .unwrap();
    let _ = script.link(6_001, 1, attempt, LinkEvent::Connected);
    let _ = script.link(6_001, 1, attempt, LinkEvent::Info(Ok(master_view(1, 0))));
    let said = script.link(6_002, 1, attempt, LinkEvent::Pong(PingReply::Pong));
    assert_eq!(reports(&said)[0].state, NodeState::Up);
    let done = beats(&mut script, 6_200, 7_200, &[first]);
    let forget = Output::Forget { watch: watch(1) };
    assert!(moves(&done).iter().any(|(_, output)| *output == forget), "{done:?}");
}

#[test]
fn too_few_watchers_for_the_quorum_are_told() {
    let mut script = Script::new(1);
    let mut text = |now| {
        let said = script.hear(now, StatusQuery {});
        let [Output::Publish(Fact::Heartbeat(beat))] = &said[..] else { panic!("{said:?}") };
        let text = beat.standings[0].text.clone();
        let _ = script.hear(now, peer(2, 1));
        text
    };
    assert!(text(10).ends_with(
        "; 1 probers watch it and its quorum is 2: start more, or raise \
                                watchers_per_place"
    ));
    assert!(text(20).ends_with("has not answered yet"));
}
