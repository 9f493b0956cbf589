//! `vedette apply`: has the groups of a file watched as the file says.
//!
//! ```text
//!  FILE ────► declared ─┐
//!                       ├─► Plan ─► shown ─► agreed to ─► one instruction for each group
//!  voters ──► records ──┘
//! ```

mod plan;

use crate::args::Apply;
use crate::config::Config;
use crate::connect::connect;
use crate::{instruct, out, status};
use anyhow::{bail, ensure};
use plan::{Action, Plan};
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;
use vedette_model::{Instruction, InstructionReply};
use vedette_orchestrator::groups::Groups;
use vedette_runtime::{Bus, Shutdown};

/// For the voters to say which groups there are.
const LIST_LIMIT: Duration = Duration::from_millis(1_200);

/// Shows the difference and has it carried out; whether everything is as the file says.
///
/// # Errors
/// A file that is refused, nobody answered, or it was refused; with what to do about it.
pub async fn run(wanted: &Apply, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let declared = Groups::load(&wanted.file)?;
    for warning in &declared.warnings {
        out::note(warning);
    }
    ensure!(
        !declared.list.is_empty() || wanted.prune,
        "{} declares no group: nothing to do",
        wanted.file.display()
    );
    let bus = connect(config, shutdown).await?;
    let heard = status::collect(&bus, LIST_LIMIT).await?;
    status::ensure_voters(&heard, config)?;
    let plan = Plan::of(&declared.list, &heard.records, wanted.prune);
    if !wanted.json {
        out::text(&plan.text())?;
    }
    let carry_out = !wanted.dry_run && !plan.actions.is_empty();
    if carry_out && !wanted.yes && !agreed(wanted)? {
        bail!("nothing was changed");
    }
    let done =
        if carry_out { carried_out(&bus, &plan, config, wanted.json).await? } else { vec![] };
    if wanted.json {
        let answers: Result<Vec<_>, _> = done.iter().map(serde_json::to_value).collect();
        let said = json!({ "plan": plan.json(), "carried_out": carry_out, "answers": answers? });
        out::line(&serde_json::to_string_pretty(&said)?)?;
    }
    Ok(plan.conflicts.is_empty() && (carry_out || plan.actions.is_empty()))
}

/// Whether the person at the terminal wants it.
fn agreed(wanted: &Apply) -> anyhow::Result<bool> {
    ensure!(
        std::io::stdin().is_terminal() && !wanted.json,
        "there is nobody to ask whether this is wanted: say --yes, or --dry-run to see it only"
    );
    out::ask("Change this? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// One group after the other; what was done before a refusal stays.
async fn carried_out(
    bus: &Bus,
    plan: &Plan,
    config: &Config,
    quiet: bool,
) -> anyhow::Result<Vec<InstructionReply>> {
    let mut answers = Vec::new();
    for Action { group, verb, .. } in &plan.actions {
        let instruction = Instruction { group: Some(group.clone()), verb: verb.clone() };
        let reply = instruct::answer(bus, &instruction, instruct::ANSWER_LIMIT).await?;
        let Some(reply) = reply else { bail!("{}", instruct::nobody(group, config)) };
        let words = instruct::done(&reply)?;
        if !quiet {
            out::line(words)?;
        }
        answers.push(reply);
    }
    Ok(answers)
}
