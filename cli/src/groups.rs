//! `vedette groups`: every group in one line.

use crate::args::Listing;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{self, Heard, collect};
use serde::Serialize;
use std::time::Duration;
use vedette_model::GroupRecord;
use vedette_runtime::Shutdown;

/// One group.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    group: String,
    master: String,
    epoch: u64,
    revision: u64,
    /// Members besides the master, without those that are gone.
    replicas: usize,
    quorum: u32,
    down_after_ms: u64,
    /// `ok`, or what is the matter.
    state: String,
    /// Why it is only observed; absent if it is not paused.
    paused: Option<String>,
    /// Absent if a person ends the pause.
    pause_ends_within_ms: Option<u64>,
}

/// Prints the groups that the voters know; whether any does.
///
/// # Errors
/// What is wrong with NATS, or that no voter answers, with what to do about it.
pub async fn run(wanted: &Listing, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, Duration::from_millis(wanted.wait)).await?;
    status::ensure_voters(&heard, config)?;
    let lines: Vec<Line> = heard.records.values().map(|record| Line::of(&heard, record)).collect();
    if wanted.json {
        return out::line(&serde_json::to_string_pretty(&lines)?);
    }
    if lines.is_empty() {
        out::note("the voters know no group: declare one in the orchestrators' groups_file");
    }
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            [
                line.group.clone(),
                line.master.clone(),
                line.epoch.to_string(),
                line.replicas.to_string(),
                line.quorum.to_string(),
                format!("{} ms", line.down_after_ms),
                line.state.clone(),
            ]
        })
        .collect();
    let head = ["GROUP", "MASTER", "EPOCH", "REPLICAS", "QUORUM", "DOWN-AFTER", "STATE"];
    out::text(&columns(head, &rows))
}

impl Line {
    fn of(heard: &Heard, record: &GroupRecord) -> Self {
        let present = record.members.iter().filter(|member| !member.gone);
        Self {
            group: record.group.to_string(),
            master: record.master.to_string(),
            epoch: record.epoch.0,
            revision: record.revision.0,
            replicas: present.filter(|member| member.addr != record.master).count(),
            quorum: record.settings.quorum.get(),
            down_after_ms: record.settings.down_after_ms,
            state: state(heard, record),
            paused: record.pause.as_ref().map(|pause| pause.reason.clone()),
            pause_ends_within_ms: record.pause.as_ref().and_then(|pause| pause.left_ms),
        }
    }
}

/// What is the matter, the most urgent first.
fn state(heard: &Heard, record: &GroupRecord) -> String {
    let down = |node| {
        let reports = heard.down.get(&(record.group.clone(), node));
        reports.is_some_and(|reports| !reports.is_empty())
    };
    let replicas = record.members.iter().filter(|m| !m.gone && m.addr != record.master);
    let down_replicas = replicas.filter(|member| down(member.addr.clone())).count();
    let mut all = Vec::new();
    if let Some(failover) = &record.failover {
        all.push(format!("failing over to {}", failover.target));
    }
    if down(record.master.clone()) {
        all.push("master down".into());
    }
    if record.flapping.held {
        all.push("held".into());
    }
    if let Some(pause) = &record.pause {
        all.push(format!("paused ({})", status::pause_words(pause)));
    }
    if down_replicas > 0 {
        all.push(format!("{down_replicas} replicas down"));
    }
    if all.is_empty() { "ok".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{healthy, report};
    use vedette_model::{Evidence, NodeState, Pause};

    fn line(heard: &Heard) -> Line {
        let record = heard.records.values().next().unwrap();
        Line::of(heard, record)
    }

    #[test]
    fn a_group_that_is_well_says_so() {
        let shown = line(&healthy(1));
        assert_eq!((shown.replicas, shown.state.as_str()), (1, "ok"));
    }

    #[test]
    fn everything_that_is_the_matter_is_said() {
        let mut heard = healthy(1);
        let down = || NodeState::Down(Evidence::Crash { refused: 2 });
        heard.take(report(1, down()).into());
        heard.take(report(2, down()).into());
        let record = heard.records.values_mut().next().unwrap();
        record.flapping.held = true;
        record.pause = Some(Pause::for_good("lunch".into()));
        let shown = line(&heard);
        assert_eq!(shown.state, "master down, held, paused (lunch), 1 replicas down");
        assert_eq!((shown.paused.as_deref(), shown.pause_ends_within_ms), (Some("lunch"), None));
        let record = heard.records.values_mut().next().unwrap();
        record.pause = Some(Pause { left_ms: Some(90_000), ..Pause::for_good("lunch".into()) });
        let shown = line(&heard);
        assert!(shown.state.contains("paused (lunch, ends by itself within 90 s)"), "{shown:?}");
        assert_eq!(shown.pause_ends_within_ms, Some(90_000));
    }
}
