//! `vedette notify`.

use clap::{Args as ClapArgs, Subcommand};
use vedette_model::GroupName;

/// `vedette notify`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = NOTIFY_EXAMPLES)]
pub struct Notify {
    /// The answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Option<NotifyVerb>,
}

/// What is wanted of the notifiers.
#[derive(Debug, Clone, Subcommand)]
pub enum NotifyVerb {
    /// Send a sample to every sink the way that real events go, and say what became of it
    ///
    /// It is an event `notify-test` of a group that need not exist. Routes do not keep it from any
    /// sink; the client-reconfig-script is not run for it.
    Test {
        /// Of which group
        #[arg(long, default_value = "notify-test")]
        group: GroupName,
        /// Seconds to wait for the sinks, 1 to 600
        #[arg(long, default_value_t = 15, value_name = "SECONDS",
              value_parser = clap::value_parser!(u64).range(1..=600))]
        wait: u64,
    },
    /// List the events that a sink did not take
    Dead {
        /// Only of this sink
        #[arg(long, value_name = "NAME")]
        sink: Option<String>,
    },
    /// Have dead letters told to their sinks again, in their order
    Replay(Which),
    /// Forget dead letters
    Forget(Which),
}

/// Dead letters.
#[derive(Debug, Clone, ClapArgs)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Their numbers, as `vedette notify dead` shows them
    #[arg(value_name = "NUMBER")]
    pub numbers: Vec<u64>,
    /// All of this sink
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// All
    #[arg(long)]
    pub all: bool,
}

const NOTIFY_EXAMPLES: &str = "\
Examples:
  vedette notify                         the sinks: who serves each, and how many events wait
  vedette notify test                    does a notification arrive everywhere?
  vedette notify dead                    what a sink refused, or did not take for too long
  vedette notify replay 12               tell one of them again; --sink webhook, or --all
  vedette notify forget --sink webhook

All of this is kept in JetStream; sinks that a notifier serves without it (the log, scripts in a
Sentinel's place) are not listed.

Exit code 0; 1 if a sink did not take the sample in time, or a number is unknown, or JetStream is
away.";
