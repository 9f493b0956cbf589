//! `vedette pause`, `resume`, `release`, `set`, `monitor`, `remove` and `reset`: asks the group's
//! owner, who answers once a majority of the voters has it.

use crate::args::{Changes, Monitor, Pause, Plain, Reset, Set};
use crate::config::Config;
use crate::connect::connect;
use crate::{out, progress, status};
use anyhow::{Context as _, bail, ensure};
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_history::fact;
use vedette_model::{
    Fact, GroupName, Instruction, InstructionReply, Outcome, Secret, Setting, TraceId, Verb, fits,
};
use vedette_runtime::bus::Received;
use vedette_runtime::{Bus, Shutdown};

/// For one answer; an owner that cannot do it says so within four seconds.
pub const ANSWER_LIMIT: Duration = Duration::from_millis(5_000);
/// It is asked again this often: the question may meet a reconnect or a change of owner. To be
/// asked twice makes no difference.
const ASK_EVERY: Duration = Duration::from_millis(1_000);

/// For the voters to say which groups there are.
const LIST_LIMIT: Duration = Duration::from_millis(1_000);

/// Pauses the group.
///
/// # Errors
/// Nobody answered, or it was refused; with what to do about it.
pub async fn pause(wanted: &Pause, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let verb = Verb::Pause { reason: wanted.reason.clone(), for_ms: wanted.time };
    run(&wanted.plain, verb, config, shutdown).await
}

/// Changes settings of the group.
///
/// # Errors
/// The password cannot be read, nobody answered, or it was refused; with what to do about it.
pub async fn set(wanted: &Set, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let changes = wanted.changes.all()?;
    run(&wanted.plain, Verb::Set { changes }, config, shutdown).await
}

/// Has a group watched.
///
/// # Errors
/// The password cannot be read, nobody answered, or it was refused; with what to do about it.
pub async fn monitor(wanted: &Monitor, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let (master, quorum) = (wanted.master.clone(), wanted.quorum);
    let verb = Verb::Monitor { master, quorum, changes: wanted.changes.all()? };
    run(&wanted.plain, verb, config, shutdown).await
}

/// Has replicas that nobody sees forgotten, in all groups that fit.
///
/// # Errors
/// No group fits, nobody answered, or it was refused; with what to do about it.
pub async fn reset(wanted: &Reset, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let heard = status::collect(&bus, LIST_LIMIT).await?;
    let groups: Vec<_> = heard
        .records
        .into_keys()
        .filter(|group| fits(wanted.pattern.as_bytes(), group.as_str().as_bytes()))
        .collect();
    ensure!(!groups.is_empty(), "no group fits {}: `vedette status` lists them", wanted.pattern);
    for group in groups {
        let instruction = Instruction { group: Some(group.clone()), verb: Verb::Reset };
        let done = order(&bus, instruction, ANSWER_LIMIT, wanted.json).await?;
        ensure!(done, "{}", nobody(&group, config));
    }
    Ok(())
}

impl Changes {
    fn all(&self) -> anyhow::Result<Vec<Setting>> {
        let mut all = self.changes.clone();
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("the password file {} cannot be read", path.display()))?;
            let password = text.trim_end_matches(['\r', '\n']);
            ensure!(!password.is_empty(), "the password file {} is empty", path.display());
            all.push(Setting::Password(Some(Secret::new(password.into()))));
        }
        Ok(all)
    }
}

/// Has an owner carry out what needs a group and nothing else.
///
/// # Errors
/// Nobody answered, or it was refused; with what to do about it.
pub async fn run(
    wanted: &Plain,
    verb: Verb,
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let instruction = Instruction { group: Some(wanted.group.clone()), verb };
    let done = order(&bus, instruction, ANSWER_LIMIT, wanted.json).await?;
    anyhow::ensure!(done, "{}", nobody(&wanted.group, config));
    Ok(())
}

/// Has an instruction carried out; false if nobody answered in time.
///
/// # Errors
/// It was refused; with what to do about it.
pub async fn order(
    bus: &Bus,
    instruction: Instruction,
    limit: Duration,
    json: bool,
) -> anyhow::Result<bool> {
    let Some(reply) = answer(bus, &instruction, limit).await? else { return Ok(false) };
    if json {
        out::line(&fact::value(&reply.clone().into())?.to_string())?;
    }
    let words = done(&reply)?;
    if !json {
        out::line(words)?;
    }
    Ok(true)
}

/// What came of an instruction; nothing if nobody answered in time.
///
/// # Errors
/// What is wrong with NATS.
pub async fn answer(
    bus: &Bus,
    instruction: &Instruction,
    limit: Duration,
) -> anyhow::Result<Option<InstructionReply>> {
    let mut answers = bus.subscribe(&[]).await?;
    let asked = ask(bus, &mut answers, instruction);
    let whose = instruction.group.as_ref().map_or("the voters' roster", |group| group.as_str());
    let what = format!("whoever looks after {whose}, to {instruction}");
    let heard = progress::during(&what, tokio::time::timeout(limit, asked)).await.ok().flatten();
    Ok(heard.map(|heard| heard.reply))
}

/// What holds now.
///
/// # Errors
/// It was refused; with what to do about it.
pub fn done(reply: &InstructionReply) -> anyhow::Result<&str> {
    match &reply.outcome {
        Outcome::Done { now } | Outcome::Started { now } => Ok(now),
        Outcome::Refused { why } | Outcome::NoCandidate { why } => bail!("not done: {why}"),
    }
}

/// An answer.
pub struct Heard {
    /// What it says.
    pub reply: InstructionReply,
    /// The incident under way that it belongs to.
    pub incident: Option<TraceId>,
}

/// Asks until somebody answers.
pub async fn ask(
    bus: &Bus,
    answers: &mut mpsc::Receiver<Received>,
    instruction: &Instruction,
) -> Option<Heard> {
    bus.publish(&instruction.clone().into()).await;
    hear(bus, answers, instruction).await
}

/// Waits for the next answer, and asks again if none comes.
pub async fn hear(
    bus: &Bus,
    answers: &mut mpsc::Receiver<Received>,
    instruction: &Instruction,
) -> Option<Heard> {
    loop {
        let next = async {
            while let Some(received) = answers.recv().await {
                let context = received.context().filter(|context| context.live);
                if let Fact::InstructionReply(reply) = received.fact
                    && reply.instruction == *instruction
                {
                    return Some(Heard { reply, incident: context.map(|context| context.trace) });
                }
            }
            None
        };
        if let Ok(answer) = tokio::time::timeout(ASK_EVERY, next).await {
            return answer;
        }
        bus.publish(&instruction.clone().into()).await;
    }
}

/// Nobody answered, in words.
pub fn nobody(group: &GroupName, config: &Config) -> String {
    format!(
        "no orchestrator answers for {group} under the prefix {} within {} s: start one, or correct \
         --nats or --prefix; `vedette status` says what is missing. It may have been done all the \
         same: look there before the next try",
        config.common.nats.prefix,
        ANSWER_LIMIT.as_secs()
    )
}
