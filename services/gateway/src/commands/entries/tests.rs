//! Which replicas clients are shown, and as what.

use crate::commands::tests::{Talk, good, said};
use crate::config::{ClientsConfig, UnreadableReplicas};
use vedette_model::NodeView;

const WORDINGS: [&str; 2] = ["SENTINEL REPLICAS orders", "SENTINEL SLAVES orders"];

fn syncing(n: u8) -> NodeView {
    let mut view = good(n);
    view.upstream.as_mut().unwrap().syncing = true;
    view
}

/// The replicas' names with their flags, after nodes 2 and 3 have said this.
fn shown(unreadable_replicas: UnreadableReplicas, two: NodeView, three: NodeView) -> Vec<String> {
    let mut talk = Talk::with(ClientsConfig { unreadable_replicas, ..ClientsConfig::default() });
    talk.tell(said(2, two));
    talk.tell(said(3, three));
    let [text, same] = WORDINGS.map(|asked| talk.says(asked));
    assert_eq!(text, same);
    let lines: Vec<&str> = text.split("\r\n").collect();
    // A field's name, the length of its value, the value.
    let values = |name: &str| {
        let places = lines.windows(3).filter(|three| three[0] == name).map(|three| three[2]);
        places.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let down = values("s-down-time").len();
    let flags = values("flags");
    assert_eq!(down, flags.iter().filter(|flags| flags.contains("s_down")).count(), "{text}");
    assert!(values("replica-announced").iter().all(|announced| announced == "1"), "{text}");
    values("name").iter().zip(flags).map(|(name, flags)| format!("{name} {flags}")).collect()
}

#[test]
fn a_replica_that_may_be_read_from_is_shown_as_a_sentinel_shows_it() {
    for how in
        [UnreadableReplicas::SDown, UnreadableReplicas::LeftOut, UnreadableReplicas::AsSentinel]
    {
        let wanted = ["10.0.0.2:6379 slave", "10.0.0.3:6379 slave"];
        assert_eq!(shown(how, good(2), good(3)), wanted, "{how:?}");
    }
}

#[test]
fn one_that_must_not_be_read_from_is_down_or_left_out_or_as_a_sentinel_shows_it() {
    let shown = |how| shown(how, syncing(2), good(3));
    let (two, three) = ("10.0.0.2:6379 slave", "10.0.0.3:6379 slave");
    assert_eq!(shown(UnreadableReplicas::default()), ["10.0.0.2:6379 s_down,slave", three]);
    assert_eq!(shown(UnreadableReplicas::SDown), ["10.0.0.2:6379 s_down,slave", three]);
    assert_eq!(shown(UnreadableReplicas::LeftOut), [three]);
    assert_eq!(shown(UnreadableReplicas::AsSentinel), [two, three]);
}

#[test]
fn one_that_nobody_has_seen_yet_is_disconnected_and_stays_in_the_list() {
    for how in [UnreadableReplicas::SDown, UnreadableReplicas::LeftOut] {
        let config = ClientsConfig { unreadable_replicas: how, ..ClientsConfig::default() };
        let said = Talk::with(config).says(WORDINGS[0]);
        assert_eq!(said.matches("\r\nslave,disconnected\r\n").count(), 2, "{said}");
    }
}

#[test]
fn a_hidden_replica_is_not_shown_and_counts_all_the_same() {
    let hidden = NodeView { hidden: true, ..good(2) };
    for how in [UnreadableReplicas::SDown, UnreadableReplicas::AsSentinel] {
        assert_eq!(shown(how, hidden.clone(), good(3)), ["10.0.0.3:6379 slave"], "{how:?}");
    }
    let mut talk = Talk::with(ClientsConfig::default());
    talk.tell(said(2, hidden));
    let said = talk.says("SENTINEL MASTER orders");
    assert!(said.contains("\r\nnum-slaves\r\n$1\r\n2\r\n"), "{said}");
}
