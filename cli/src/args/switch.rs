//! Verbs that replace a master.

use super::Plain;
use clap::Args as ClapArgs;
use vedette_model::NodeAddr;

/// `vedette switchover`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = SWITCHOVER_EXAMPLES)]
pub struct Switchover {
    #[command(flatten)]
    pub plain: Plain,
    /// Whom to make master [default: whom the selection rule prefers]
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<NodeAddr>,
    /// Change nothing: only say who would be promoted, or what stands in the way
    #[arg(long)]
    pub dry_run: bool,
}

const SWITCHOVER_EXAMPLES: &str = "\
Examples:
  vedette switchover mymaster --dry-run
  vedette switchover mymaster --to 10.0.0.6:6379

Exit code 0 when the other is master (or, with --dry-run, could be), 1 if not.";

/// `vedette drain`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = DRAIN_EXAMPLES)]
pub struct Drain {
    /// The node, as the records name it
    #[arg(value_name = "HOST:PORT")]
    pub node: NodeAddr,
    /// One JSON list instead of lines
    #[arg(long)]
    pub json: bool,
}

const DRAIN_EXAMPLES: &str = "\
Examples:
  vedette drain 10.0.0.5:6379 && systemctl stop redis

Exit code 0 when it is master of no group any more, 1 if of any.";
