//! `vedette master`: asks the orchestrators, then what is retained.

use crate::args::Master;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use anyhow::bail;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{Digest, Fact, GroupName, MasterQuery, MasterRecord, VoterId};
use vedette_runtime::bus::Received;
use vedette_runtime::retained::{RetainedError, retained};
use vedette_runtime::{Bus, Shutdown};

/// For an orchestrator's answer, and how often it is asked for: a question may meet a reconnect.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);
const ASKED: u32 = 2;
/// For what JetStream retains.
const RETAINED_LIMIT: Duration = Duration::from_secs(2);

/// Prints the group's master.
///
/// # Errors
/// Nobody knows it, with what to do about that.
pub async fn run(wanted: &Master, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let mut answers = bus.subscribe(&[]).await?;
    let group = &wanted.group;
    if let Some(record) = ask(&bus, &mut answers, group).await {
        return print(&record, wanted.json);
    }
    let kept = retained(&bus, group, RETAINED_LIMIT).await;
    if let Ok(Some(record)) = &kept {
        out::note(&format!(
            "no orchestrator answers for {group}: this is the last master that was retained, and \
             may be out of date; `vedette status` says what is missing"
        ));
        return print(record, wanted.json);
    }
    let voters = known(&bus, &mut answers, group).await;
    bail!("the master of {group} is not known: {}", remedy(&voters, kept, config));
}

/// The orchestrators' answer; nothing if none of them is sure.
pub async fn ask(
    bus: &Bus,
    answers: &mut mpsc::Receiver<Received>,
    group: &GroupName,
) -> Option<MasterRecord> {
    for _ in 0..ASKED {
        bus.publish(&MasterQuery { group: group.clone() }.into()).await;
        let first = async {
            while let Some(received) = answers.recv().await {
                if let Fact::MasterRecord(record) = received.fact
                    && record.group == *group
                {
                    return Some(record);
                }
            }
            None
        };
        if let Ok(Some(record)) = tokio::time::timeout(ANSWER_LIMIT, first).await {
            return Some(record);
        }
    }
    None
}

/// What the voters say when they are asked for everything.
struct Voters {
    answered: BTreeSet<VoterId>,
    /// Whether one of them has a record of the group.
    knows: bool,
    groups: BTreeSet<GroupName>,
}

async fn known(bus: &Bus, answers: &mut mpsc::Receiver<Received>, group: &GroupName) -> Voters {
    let mut voters = Voters { answered: BTreeSet::new(), knows: false, groups: BTreeSet::new() };
    bus.publish(&Digest::default().into()).await;
    let collect = async {
        while let Some(received) = answers.recv().await {
            if let Fact::DigestReply(reply) = received.fact {
                voters.answered.insert(reply.voter);
                let records = reply.records.into_iter().map(|committed| committed.record);
                let watched = records.filter(|record| !record.removed);
                voters.groups.extend(watched.map(|record| record.group));
            }
        }
    };
    // The time is always used up: nobody says that all have answered.
    let _ = tokio::time::timeout(ANSWER_LIMIT, collect).await;
    voters.knows = voters.groups.contains(group);
    voters
}

fn remedy(
    voters: &Voters,
    kept: Result<Option<MasterRecord>, RetainedError>,
    config: &Config,
) -> String {
    let kept = match kept {
        Ok(_) => "nothing is retained either".to_owned(),
        Err(error) => format!("and what is retained cannot be read ({error})"),
    };
    if voters.answered.is_empty() {
        return format!(
            "no orchestrator and no voter answers under the prefix {}; {kept}. Start them \
             (`vedette up HOST:PORT` for a first try), or correct --nats or --prefix",
            config.common.nats.prefix
        );
    }
    let answered = voters.answered.iter().map(VoterId::as_str).collect::<Vec<_>>().join(", ");
    if voters.knows {
        return format!(
            "of the voters only {answered} answered, or no orchestrator is alive; {kept}. \
             `vedette status` says what is missing"
        );
    }
    let groups = voters.groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(", ");
    let groups = if groups.is_empty() { "none".to_owned() } else { groups };
    format!(
        "the voters ({answered}) have no record of it; {kept}. Groups they know: {groups}. \
         Declare it in the orchestrators' groups_file, or correct the name"
    )
}

fn print(record: &MasterRecord, json: bool) -> anyhow::Result<()> {
    if json {
        return out::line(&serde_json::to_string(record)?);
    }
    out::line(&record.master.to_string())
}
