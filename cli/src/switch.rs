//! `vedette switchover`, `failover` and `drain`: asks a group's owner for another master, shows
//! that it has begun, and waits for its end.

use crate::args::{Drain, Plain, Switchover};
use crate::config::Config;
use crate::connect::connect;
use crate::instruct::{ask, done, hear};
use crate::status::{collect, ensure_voters};
use crate::{master, out, progress};
use anyhow::Context;
use serde::Serialize;
use std::time::Duration;
use vedette_model::{Epoch, GroupName, Instruction, InstructionReply, NodeAddr, Outcome, Verb};
use vedette_runtime::{Bus, Shutdown, telemetry};

/// For the end. An owner that cannot begin says so within four seconds, and one that has begun says
/// how it is after twenty more; another owner may have to take it over.
const END_LIMIT: Duration = Duration::from_secs(30);
/// For the records of all groups.
const LISTEN: Duration = Duration::from_millis(1_200);

/// Makes another node master without losing a write; whether that was done.
///
/// # Errors
/// Nobody answered, or it was refused; with what to do about it.
pub async fn switchover(
    wanted: &Switchover,
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let (to, dry_run) = (wanted.to.clone(), wanted.dry_run);
    let verb = |epoch| Verb::Switchover { epoch, to, dry_run };
    one(&wanted.plain, verb, config, shutdown).await
}

/// Replaces the master, whatever anybody thinks of it.
///
/// # Errors
/// Nobody answered, or it was refused; with what to do about it.
pub async fn failover(wanted: &Plain, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    one(wanted, |epoch| Verb::Failover { epoch }, config, shutdown).await
}

async fn one(
    wanted: &Plain,
    verb: impl FnOnce(Epoch) -> Verb,
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let group = &wanted.group;
    let mut answers = bus.subscribe(&[]).await?;
    let known = master::ask(&bus, &mut answers, group).await;
    let known = known.with_context(|| unknown(group, config))?;
    let reply = carried_out(&bus, group, verb(known.epoch), !wanted.json).await?;
    let reply = reply.with_context(|| unanswered(group))?;
    if wanted.json {
        out::line(&serde_json::to_string(&reply)?)?;
    }
    let words = done(&reply)?;
    if wanted.json { Ok(()) } else { out::line(words) }
}

/// Asks until somebody says how it ended; nothing if nobody does in time.
async fn carried_out(
    bus: &Bus,
    group: &GroupName,
    verb: Verb,
    tells: bool,
) -> anyhow::Result<Option<InstructionReply>> {
    let instruction = Instruction { group: Some(group.clone()), verb };
    let mut answers = bus.subscribe(&[]).await?;
    let asking = async {
        let mut begun = false;
        let mut heard = ask(bus, &mut answers, &instruction).await?;
        while let Outcome::Started { now } = &heard.reply.outcome {
            if tells && !begun {
                out::note(&format!("{group}: {now}"));
            }
            if let Some(incident) = heard.incident.filter(|_| !begun) {
                telemetry::leads_to(incident);
            }
            begun = true;
            heard = hear(bus, &mut answers, &instruction).await?;
        }
        Some(heard.reply)
    };
    let asking = tokio::time::timeout(END_LIMIT, asking);
    Ok(progress::during(&format!("{group} to have another master"), asking).await.ok().flatten())
}

fn unknown(group: &GroupName, config: &Config) -> String {
    format!(
        "no orchestrator answers for {group} under the prefix {}: `vedette status` says what is \
         missing",
        config.common.nats.prefix
    )
}

fn unanswered(group: &GroupName) -> String {
    format!(
        "no orchestrator said within {} s how it ended for {group}. It may have been done all the \
         same: see `vedette status` before the next try",
        END_LIMIT.as_secs()
    )
}

/// What came of one group of a drained node.
#[derive(Debug, Serialize)]
struct Drained {
    group: GroupName,
    done: bool,
    text: String,
}

/// Has every group switched over whose master is this node; whether none is left.
///
/// # Errors
/// What is wrong with NATS, or nobody knows any group.
pub async fn drain(wanted: &Drain, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, LISTEN).await?;
    ensure_voters(&heard, config)?;
    let of_node = heard.records.values().filter(|record| record.master == wanted.node);
    let mut all = Vec::new();
    for record in of_node {
        let verb = Verb::Switchover { epoch: record.epoch, to: None, dry_run: false };
        let reply = carried_out(&bus, &record.group, verb, !wanted.json).await?;
        let (done, text) = match reply.map(|reply| reply.outcome) {
            Some(Outcome::Done { now } | Outcome::Started { now }) => (true, now),
            Some(Outcome::Refused { why } | Outcome::NoCandidate { why }) => (false, why),
            None => (false, unanswered(&record.group)),
        };
        let drained = Drained { group: record.group.clone(), done, text };
        if !wanted.json {
            let word = if drained.done { "" } else { "NOT DONE: " };
            out::line(&format!("{}: {word}{}", drained.group, drained.text))?;
        }
        all.push(drained);
    }
    if wanted.json {
        out::line(&serde_json::to_string(&all)?)?;
    } else {
        out::line(&summary(&wanted.node, &all))?;
    }
    Ok(all.iter().all(|drained| drained.done))
}

fn summary(node: &NodeAddr, all: &[Drained]) -> String {
    match all.iter().filter(|drained| !drained.done).count() {
        0 => format!("{node} is master of no group: it may be stopped"),
        left => format!("{node} is still master of {left} of {} groups: do not stop it", all.len()),
    }
}
