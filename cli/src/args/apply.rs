//! `vedette apply`.

use clap::Args as ClapArgs;
use std::path::PathBuf;

/// `vedette apply`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = APPLY_EXAMPLES)]
pub struct Apply {
    /// Declares the groups, as the orchestrators' groups file does (TOML)
    pub file: PathBuf,
    /// Only show the difference
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Watch groups that the file does not declare no longer
    #[arg(long)]
    pub prune: bool,
    /// The difference and the answers as JSON; needs --yes or --dry-run
    #[arg(long)]
    pub json: bool,
}

const APPLY_EXAMPLES: &str = "\
Examples:
  vedette apply groups.toml --dry-run
  vedette apply groups.toml --yes
  vedette apply groups.toml --yes --prune

A setting that the file does not name gets its default. The declared master is the first one: after
a failover another one is right, and stays.

Exit code 0 when all groups are as the file says, 1 if not, or if --dry-run shows a difference.";
