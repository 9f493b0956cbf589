//! Verbs that change a group.

use super::Plain;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use vedette_history::when::millis;
use vedette_model::{NodeAddr, Quorum, Setting};

/// `vedette pause`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = PAUSE_EXAMPLES)]
pub struct Pause {
    #[command(flatten)]
    pub plain: Plain,
    /// Why, for whoever finds the group paused; up to 512 bytes
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// End it by itself after this time, as 90s, 30m, 2h or 1d; a second to 30 days
    #[arg(long = "for", value_name = "TIME", value_parser = millis)]
    pub time: Option<u64>,
}

const PAUSE_EXAMPLES: &str = "\
Examples:
  vedette pause mymaster --reason 'kernel update of the replicas until 14:00'
  vedette pause mymaster --for 30m --reason 'moving racks'
  vedette resume mymaster

Exit code 0 when a majority of the voters has it, 1 if not.";

/// `vedette set`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = SET_EXAMPLES)]
pub struct Set {
    #[command(flatten)]
    pub plain: Plain,
    #[command(flatten)]
    pub changes: Changes,
}

/// Settings on the command line.
#[derive(Debug, Clone, ClapArgs)]
pub struct Changes {
    /// A setting and its new value; nothing behind = takes away what may be absent
    #[arg(value_name = "NAME=VALUE", value_parser = setting)]
    pub changes: Vec<Setting>,
    /// File that holds the nodes' password and nothing else
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

const SET_EXAMPLES: &str = "\
Examples:
  vedette set mymaster down_after_ms=2000 parallel_syncs=2
  vedette set mymaster user=vedette --password-file /etc/vedette/redis.pass
  vedette set mymaster preferred_place=dc1 node_place.10.0.0.2:6379=dc1
  vedette set mymaster loading_budget_ms=

The names are those of the groups file; docs/operations.md lists them with units and ranges.
Exit code 0 when a majority of the voters has it, 1 if not, 64 for a setting that there is not.";

/// `vedette monitor`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = MONITOR_EXAMPLES)]
pub struct Monitor {
    #[command(flatten)]
    pub plain: Plain,
    /// Its master
    #[arg(value_name = "HOST:PORT")]
    pub master: NodeAddr,
    /// Probers that must call the master down before it is replaced
    #[arg(long, value_name = "COUNT", value_parser = quorum)]
    pub quorum: Quorum,
    #[command(flatten)]
    pub changes: Changes,
}

const MONITOR_EXAMPLES: &str = "\
Examples:
  vedette monitor orders 10.0.0.1:6379 --quorum 2
  vedette monitor orders 10.0.0.1:6379 --quorum 2 down_after_ms=2000 user=vedette \\
      --password-file /etc/vedette/redis.pass

Done already if the group has this master, quorum and settings; refused if it has others.
Exit code 0 when a majority of the voters has it, 1 if not.";

fn quorum(text: &str) -> Result<Quorum, String> {
    let count = text.parse::<u32>().map_err(|error| error.to_string())?;
    Quorum::parse(count).map_err(|error| error.to_string())
}

/// `vedette reset`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = RESET_EXAMPLES)]
pub struct Reset {
    /// Groups, as a pattern: `*`, `?` and `[abc]`
    pub pattern: String,
    /// The answers as JSON, one a line
    #[arg(long)]
    pub json: bool,
}

const RESET_EXAMPLES: &str = "\
Examples:
  vedette reset mymaster
  vedette reset 'ord*'

Exit code 0 when a majority of the voters has it for each group that fits, 1 if not, or if none fits.";

fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text.split_once('=').ok_or("it must be NAME=VALUE")?;
    if name == "password" && !value.is_empty() {
        // Whoever lists processes reads their arguments.
        return Err("a password must not stand on a command line: use --password-file".into());
    }
    Setting::parse(name, value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use clap::Parser;

    #[test]
    fn a_pause_needs_a_reason_and_a_group() {
        assert!(Args::try_parse_from(["vedette", "pause", "g"]).is_err());
        assert!(Args::try_parse_from(["vedette", "pause", "--reason", "r"]).is_err());
        assert!(Args::try_parse_from(["vedette", "pause", "g", "--reason", "r"]).is_ok());
        assert!(Args::try_parse_from(["vedette", "release", "g", "--json"]).is_ok());
    }

    #[test]
    fn a_setting_is_named_with_its_value_and_a_password_never() {
        let set = |change| Args::try_parse_from(["vedette", "set", "g", change]);
        assert!(set("quorum=3").is_ok() && set("node_place.h:1=dc1").is_ok());
        assert!(set("password=").is_ok(), "no password is no secret");
        for change in ["quorum", "quorrum=3", "quorum=0", "password=hush"] {
            assert!(set(change).is_err(), "{change}");
        }
    }

    #[test]
    fn what_is_watched_has_a_master_and_a_quorum() {
        let monitor = |words: &[&str]| {
            Args::try_parse_from([&["vedette", "monitor", "g"][..], words].concat())
        };
        assert!(monitor(&["h:1", "--quorum", "2", "down_after_ms=500"]).is_ok());
        for words in [&["h:1"][..], &["h", "--quorum", "2"], &["h:1", "--quorum", "0"]] {
            assert!(monitor(words).is_err(), "{words:?}");
        }
    }
}
