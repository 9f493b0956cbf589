//! Verbs that show what was.

use clap::Args as ClapArgs;
use vedette_history::when::millis;
use vedette_model::GroupName;

/// `vedette history`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = HISTORY_EXAMPLES)]
pub struct History {
    /// Only this group
    pub group: Option<GroupName>,
    /// Only what happened in this time, as 90s, 30m, 2h or 7d; up to 30 days [default: all]
    #[arg(long, value_name = "TIME", value_parser = millis)]
    pub since: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

const HISTORY_EXAMPLES: &str = "\
Examples:
  vedette history
  vedette history mymaster --since 7d
  vedette explain 276ec50b9733           the failover with this id, from the list

Times are in UTC. A line that begins with GAP names a time in which the history could not be
reached: what was said then may be missing.

Exit code 0, also if nothing is listed; 1 if the history cannot be read.";

/// `vedette explain`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// A group, for its latest failover; or a failover's id or the beginning of it
    #[arg(value_name = "GROUP|ID")]
    pub what: String,
    /// Everything as JSON, each fact too
    #[arg(long)]
    pub json: bool,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  vedette explain mymaster
  vedette explain 276ec50b9733
  vedette explain mymaster --json | jq .why_not

Times are milliseconds since the first doubt about the master; the last column of the list of steps
is what was said, as `vedette watch` shows it. The id is the trace id that all events of a failover
and the master's record carry.

Exit code 0, also for a failover that did not happen; 1 if nothing is kept of it.";
