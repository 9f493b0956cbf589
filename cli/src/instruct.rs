//! `vedette pause`, `resume` and `release`: asks the group's owner, who answers once a majority of
//! the voters has it.

use crate::args::{Pause, Plain};
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use anyhow::bail;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{Fact, GroupName, Instruction, InstructionReply, Outcome, Verb};
use vedette_runtime::bus::Received;
use vedette_runtime::{Bus, Shutdown};

/// For one answer; an owner that cannot do it says so within four seconds.
const ANSWER_LIMIT: Duration = Duration::from_millis(5_000);
/// It is asked again this often: the question may meet a reconnect or a change of owner. To be
/// asked twice makes no difference.
const ASK_EVERY: Duration = Duration::from_millis(1_000);

/// Pauses the group.
///
/// # Errors
/// Nobody answered, or it was refused; with what to do about it.
pub async fn pause(wanted: &Pause, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let verb = Verb::Pause { reason: wanted.reason.clone() };
    run(&wanted.plain, verb, config, shutdown).await
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
    let mut answers = bus.subscribe(&[]).await?;
    let asked = ask(bus, &mut answers, &instruction);
    let Ok(Some(reply)) = tokio::time::timeout(limit, asked).await else {
        return Ok(false);
    };
    if json {
        out::line(&serde_json::to_string(&reply)?)?;
    }
    match reply.outcome {
        Outcome::Done { now } if !json => out::line(&now)?,
        Outcome::Done { .. } => {}
        Outcome::Refused { why } => bail!("not done: {why}"),
    }
    Ok(true)
}

/// Asks until somebody answers.
async fn ask(
    bus: &Bus,
    answers: &mut mpsc::Receiver<Received>,
    instruction: &Instruction,
) -> Option<InstructionReply> {
    loop {
        bus.publish(&instruction.clone().into()).await;
        let first = async {
            while let Some(received) = answers.recv().await {
                if let Fact::InstructionReply(reply) = received.fact
                    && reply.instruction == *instruction
                {
                    return Some(reply);
                }
            }
            None
        };
        if let Ok(answer) = tokio::time::timeout(ASK_EVERY, first).await {
            return answer;
        }
    }
}

fn nobody(group: &GroupName, config: &Config) -> String {
    format!(
        "no orchestrator answers for {group} under the prefix {} within {} s: start one, or correct \
         --nats or --prefix; `vedette status` says what is missing. It may have been done all the \
         same: look there before the next try",
        config.common.nats.prefix,
        ANSWER_LIMIT.as_secs()
    )
}
