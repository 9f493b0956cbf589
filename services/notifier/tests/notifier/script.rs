//! Scripts as real processes. They lie in `tests/scripts/` and are told by the event's payload what
//! to do.

use crate::support::event;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use vedette_harness::{LIMIT, within};
use vedette_model::{EventName, GroupName};
use vedette_notifier::script::{Arguments, Script};
use vedette_protocol::notice::Outcome;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name)
}

fn script(name: &str, arguments: Arguments, limit: Duration) -> Script {
    Script::new(path(name), arguments, limit, Arc::new(Semaphore::new(16)))
}

async fn notify(name: &str, payload: &str, limit: Duration) -> Outcome {
    let event = event("1", EventName::Odown, payload);
    script(name, Arguments::Notification, limit).deliver(&event).await
}

/// Whether the process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// Whether the process is there, be it as a zombie.
fn is_there(pid: &str) -> bool {
    Path::new(&format!("/proc/{}", pid.trim())).exists()
}

#[tokio::test]
async fn a_notification_script_gets_name_and_payload_and_our_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no shell; $(touch x) 'splits' this");
    let file = file.to_str().unwrap();
    assert_eq!(notify("record", file, LIMIT).await, Outcome::Delivered);
    let home = std::env::var("HOME").unwrap_or_default();
    let said = std::fs::read_to_string(file).unwrap();
    assert_eq!(said, format!("2\n+odown\n{file}\nhome={home}\n"));
}

#[tokio::test]
async fn a_reconfig_script_gets_sentinels_seven_arguments() {
    let script = script("show-switch", Arguments::ClientReconfig, LIMIT);
    let switch = event("1", EventName::SwitchMaster, "g 10.0.0.1 6379 10.0.0.2 6380");
    let outcome = script.deliver(&switch).await;
    let Outcome::Refused(why) = &outcome else { panic!("{outcome:?}") };
    assert!(why.ends_with("7 g leader start 10.0.0.1 6379 10.0.0.2 6380"), "{why}");
    let odd = event("2", EventName::SwitchMaster, "g 10.0.0.1 6379");
    let outcome = script.deliver(&odd).await;
    let Outcome::Refused(why) = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("payload"), "{why}");
}

#[tokio::test]
async fn in_a_sentinels_place_it_hears_its_own_and_is_told_whether_it_led() {
    let group = |name| vec![GroupName::parse(name).unwrap()];
    let show = |groups, id: &str| {
        script("show-switch", Arguments::ClientReconfig, LIMIT).only_for(groups, Some(id.into()))
    };
    let switch = event("1", EventName::SwitchMaster, "g 10.0.0.1 6379 10.0.0.2 6380");
    for (id, role) in [("v1", "leader"), ("v2", "observer")] {
        let outcome = show(group("g"), id).deliver(&switch).await;
        let Outcome::Refused(why) = &outcome else { panic!("{outcome:?}") };
        assert!(why.contains(&format!("g {role} start")), "{why}");
    }
    assert_eq!(show(group("h"), "v1").deliver(&switch).await, Outcome::Delivered);
    let own = event("2", EventName::Odown, "0");
    for (id, expected) in [("v1", false), ("v2", true)] {
        let script = script("no-such-script", Arguments::Notification, LIMIT);
        let outcome = script.only_for(Vec::new(), Some(id.into())).deliver(&own).await;
        assert_eq!(outcome == Outcome::Delivered, expected, "{id}: {outcome:?}");
    }
}

#[tokio::test]
async fn exit_0_is_done_1_and_a_signal_mean_again_and_others_are_final() {
    assert_eq!(notify("exit-with", "0", LIMIT).await, Outcome::Delivered);
    for (payload, words) in [("1", "exited with 1"), ("SIGTERM", "signal 15")] {
        let outcome = notify("exit-with", payload, LIMIT).await;
        let Outcome::Retry(why) = &outcome else { panic!("{payload}: {outcome:?}") };
        assert!(why.contains(words) && why.ends_with(": last words"), "{why}");
    }
    for payload in ["2", "126", "255"] {
        let outcome = notify("exit-with", payload, LIMIT).await;
        let Outcome::Refused(why) = &outcome else { panic!("{payload}: {outcome:?}") };
        assert!(why.contains(&format!("exited with {payload}")), "{why}");
    }
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_its_children_and_leaves_no_zombie() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let outcome = notify("hang", file.to_str().unwrap(), Duration::from_millis(500)).await;
    let Outcome::Retry(why) = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("killed after 500 ms"), "{why}");
    let pids = std::fs::read_to_string(&file).unwrap();
    let (own, child) = pids.split_once(' ').unwrap();
    assert!(!is_there(own), "the script {own} was not waited for");
    within(LIMIT, "its child is dead", async || (!lives(child)).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_is_dropped_kills_its_script() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let payload = file.to_str().unwrap().to_owned();
    let delivery = tokio::spawn(async move { notify("hang", &payload, LIMIT).await });
    let pids = within(LIMIT, "the script runs", async || {
        std::fs::read_to_string(&file).ok().filter(|pids| pids.ends_with('\n'))
    });
    let pids = pids.await.unwrap();
    delivery.abort();
    for pid in pids.split(' ') {
        within(LIMIT, "it is dead", async || (!lives(pid)).then_some(())).await.unwrap();
    }
}

#[tokio::test]
async fn a_script_may_talk_much_and_leave_children_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let outcome = notify("chatter", file.to_str().unwrap(), LIMIT).await;
    let child = std::fs::read_to_string(&file).unwrap();
    let left = lives(&child);
    let pid = nix::unistd::Pid::from_raw(child.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert!(left, "what a script leaves behind on purpose is not ours to kill");
    let Outcome::Refused(why) = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("exited with 2") && why.len() < 1_000, "{why}");
}

#[tokio::test]
async fn no_more_scripts_run_at_a_time_than_there_are_places() {
    let folder = tempfile::tempdir().unwrap();
    let places = Arc::new(Semaphore::new(2));
    let overlap = path("overlap");
    let script = Arc::new(Script::new(overlap, Arguments::Notification, LIMIT, places));
    let payload = folder.path().to_str().unwrap().to_owned();
    let runs: Vec<_> = (0..5)
        .map(|n| {
            let (script, payload) = (Arc::clone(&script), payload.clone());
            let event = event(&n.to_string(), EventName::Odown, &payload);
            tokio::spawn(async move { script.deliver(&event).await })
        })
        .collect();
    let counts = || std::fs::read_to_string(folder.path().join("counts")).unwrap_or_default();
    let two = within(LIMIT, "two run", async || (counts().lines().count() == 2).then_some(()));
    two.await.unwrap();
    std::fs::write(folder.path().join("go"), "").unwrap();
    for run in runs {
        assert_eq!(run.await.unwrap(), Outcome::Delivered);
    }
    let counts: Vec<u32> = counts().lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(counts.len(), 5);
    assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
}

#[tokio::test]
async fn a_script_that_is_gone_is_tried_again() {
    let outcome = notify("no-such-script", "", LIMIT).await;
    let Outcome::Retry(why) = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("no-such-script"), "{why}");
    let outcome = notify("record", "nul\0byte", LIMIT).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}
