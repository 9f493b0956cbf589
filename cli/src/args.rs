//! The command line.

mod apply;
mod change;
mod notify;
mod past;
mod switch;
mod told;
mod up;

pub use apply::Apply;
pub use change::{Changes, Monitor, Pause, Reset, Set};
pub use notify::{Notify, NotifyVerb, Which};
pub use past::{Explain, History};
pub use switch::{Drain, Switchover};
pub use up::Up;

use crate::sentinel::{Import, Sentinel};
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;
use vedette_model::{GroupName, VoterId};
use vedette_runtime::config::LogFormat;
use vedette_runtime::{CommonFlags, Overrides};

/// Watches Redis and Valkey masters and replaces them when they die.
#[derive(Debug, Parser)]
#[command(name = "vedette", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  vedette up 127.0.0.1:6379              watch this master and its replicas, on this machine
  vedette status                         who lives, who is master, what needs attention
  vedette watch                          what happens, line by line
  vedette history                        what happened; vedette explain mymaster: how, and why not
  vedette groups                         every group in one line; vedette nodes: every node
  vedette master mymaster                the master's address, for scripts
  vedette doctor                         what will hurt one day; vedette survive: what one loss would do
  vedette roster                         who votes
  vedette notify test                    does a notification arrive everywhere?
  vedette switchover mymaster            another node becomes master, and no write is lost
  vedette drain 10.0.0.5:6379            this node shall be master of nothing: it is to be stopped
  vedette pause mymaster --reason TEXT   only observe it; vedette resume mymaster ends that
  vedette release mymaster               let it fail over again after it was held
  vedette set mymaster quorum=3          change a setting
  vedette apply groups.toml              all groups as this file says
  vedette sentinel sentinel.conf         one process in a Sentinel's place
  vedette import sentinel.conf           the same as Vedette's own files

Configuration: defaults < --config FILE < VEDETTE_… environment < flags; see --print-config.
Exit codes: 0 fine, 1 failure or something needs attention, 64 bad usage or configuration.";

/// What all verbs have.
#[derive(Debug, Clone, Default, ClapArgs)]
pub struct Common {
    /// Configuration file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A NATS server [default: nats://127.0.0.1:4222]; repeat it for each server of the cluster
    #[arg(long, global = true, value_name = "URL")]
    pub nats: Vec<String>,
    /// First word of all subjects [default: vedette]
    #[arg(long, global = true, value_name = "WORD")]
    pub prefix: Option<String>,
    /// How a log line looks
    #[arg(long, global = true, value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged on standard error: a level, or directives like info,vedette_runtime=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Print the configuration as it would be used, without secrets, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
    /// Say on standard error what is waited for, as is done where that is a terminal
    #[arg(long, global = true)]
    pub progress: bool,
}

impl Common {
    /// As the configuration's layers take it.
    pub fn layers(&self) -> (CommonFlags, Overrides) {
        let flags = CommonFlags {
            config: self.config.clone(),
            nats: self.nats.clone(),
            log_format: self.log_format,
            log_level: self.log_level.clone(),
            ..CommonFlags::default()
        };
        (flags, Overrides::default().set("nats.prefix", self.prefix.as_ref()))
    }
}

#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Start a whole system for one group, in one process tree
    ///
    /// Starts nats-server, one prober, three voters, one orchestrator, one notifier and one gateway on
    /// this machine and has them watch the given master and its replicas. Replicas need not be named:
    /// the master lists them. What the voters decided stays in the data folder, and counts at the
    /// next start.
    Up(Up),
    /// Show who lives, who is master, and what needs attention
    ///
    /// Asks every service how it is and the voters what is decided.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Listing),
    /// Follow what happens, line by line
    ///
    /// Shows facts as they pass, each in one line. Heartbeats, digests and what nodes say of themselves
    /// are left out, and so are repetitions of what was shown.
    Watch(Watch),
    /// List what happened: failovers, those that did not come about, and changes
    ///
    /// As JetStream keeps it, for 90 days unless the orchestrators' configuration says otherwise.
    History(History),
    /// Explain a failover, or why there was none
    ///
    /// What the probers saw, who voted, who could be promoted and why not, what may have been lost,
    /// and each step with its time.
    Explain(Explain),
    /// Print a group's master
    ///
    /// Asks the orchestrators, which answer while they hear a majority of the voters; if none does,
    /// the last master that JetStream retained is printed, with a note on standard error.
    Master(Master),
    /// List the groups, each in one line
    ///
    /// As the voters have them: master, epoch, replicas, settings, and what is the matter.
    #[command(after_help = LIST_HELP)]
    Groups(Listing),
    /// List the nodes of a group or of all groups
    ///
    /// Asks each node itself, from this machine: role, link, offset, lag, priority, and what is the
    /// matter.
    Nodes(Nodes),
    /// Look for what is not wrong yet and will hurt one day
    ///
    /// Voters and quorums, NATS and JetStream, and of each node: persistence, rights of the group's user
    /// and renamed commands, backlog, min-replicas settings, clock. Changes nothing.
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Listing),
    /// Show what would happen if one thing died: a service, a place, a host
    #[command(after_help = SURVIVE_HELP)]
    Survive(Listing),
    /// Print what a shell needs to complete this command
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Observe a group and do nothing to it
    ///
    /// No failover, no correction, no new member, until `vedette resume`. The pause is part of the
    /// group's record: it outlives restarts, and `vedette status` shows it.
    Pause(Pause),
    /// End a pause
    #[command(after_help = ORDER_HELP)]
    Resume(Plain),
    /// Let a held group fail over again
    ///
    /// A group that failed over too often for reasons that come and go is held: find out why first.
    #[command(after_help = ORDER_HELP)]
    Release(Plain),
    /// Change some of a group's settings
    ///
    /// All of those named or none; the others stay. They are part of the group's record and in
    /// force at once.
    Set(Set),
    /// Watch a group from now on
    ///
    /// Its replicas need not be named: the master lists them. A group that was removed comes back
    /// with nothing of what was known of it.
    Monitor(Monitor),
    /// Watch a group no longer
    ///
    /// Its nodes stay as they are. No declaration in a groups file brings it back, only `vedette
    /// monitor` does.
    #[command(after_help = ORDER_HELP)]
    Remove(Plain),
    /// Have the groups of a file watched as it says
    ///
    /// Shows the difference first, and asks. Done twice is done once. Groups that the file does not
    /// declare are left alone unless --prune is given.
    Apply(Apply),
    /// Forget replicas that nobody sees
    ///
    /// Replicas that nobody has seen for 15 s are no longer shown nor waited for; one that comes
    /// back is welcome. Nothing is forgotten while the group is paused or its master is not well.
    Reset(Reset),
    /// Make another node master without losing a write
    ///
    /// The master's writes wait for some milliseconds until the other node holds everything, then
    /// the other takes over. If that does not work, the master goes on as it was. The master must
    /// answer: for one that does not, see `vedette failover`.
    Switchover(Switchover),
    /// Replace the master, whether anybody calls it down or not
    ///
    /// As a switchover if it answers, which loses nothing. Otherwise without it: then what no
    /// replica has received is lost.
    #[command(after_help = ORDER_HELP)]
    Failover(Plain),
    /// Switch over every group whose master is this node
    ///
    /// One group after the other; afterwards the node may be stopped.
    Drain(Drain),
    /// Show who votes, or change it
    ///
    /// Without `add` or `remove`: the roster that the voters go by, and how each of them is.
    Roster(Roster),
    /// Show who tells which sink what happened, try it, and have told again what did not arrive
    Notify(Notify),
    /// Run in a Sentinel's place, as its sentinel.conf says
    ///
    /// One process: prober, voter, orchestrator and gateway. Several of them find each other over
    /// NATS, which VEDETTE_NATS_URL or `sentinel nats-url` names. The file is only read.
    Sentinel(Sentinel),
    /// Translate a sentinel.conf into Vedette's own files
    ///
    /// Prints groups.toml and the services' files that mean the same, with a comment for each
    /// directive that is done otherwise.
    Import(Import),
}

const LIST_HELP: &str = "\
Exit code 0, whatever is listed; 1 if no voter answers.";

const ORDER_HELP: &str = "\
Exit code 0 when a majority of the voters has it, 1 if not.";

const STATUS_EXAMPLES: &str = "\
Examples:
  vedette status
  vedette status --nats nats://10.0.0.5:4222 --json

Exit code 0 when all is well, 1 when something needs attention, which is then listed.";

/// `vedette watch`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = WATCH_EXAMPLES)]
pub struct Watch {
    /// Only this group
    #[arg(long, value_name = "NAME")]
    pub group: Option<GroupName>,
    /// One JSON object a line, with the whole fact
    #[arg(long)]
    pub json: bool,
    /// Everything, repetitions too
    #[arg(long)]
    pub all: bool,
}

const WATCH_EXAMPLES: &str = "\
Examples:
  vedette watch
  vedette watch --group mymaster --json | jq .text
  vedette watch --all

The first column is seconds since the start. A line without a sender did not come from a service.

Exit code 0 after Ctrl-C, 1 when the connection to NATS is closed.";

/// `vedette master`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = MASTER_EXAMPLES)]
pub struct Master {
    /// The group
    pub group: GroupName,
    /// The whole record as JSON
    #[arg(long)]
    pub json: bool,
}

const MASTER_EXAMPLES: &str = "\
Examples:
  vedette master mymaster
  redis-cli -u redis://$(vedette master mymaster) ping

Exit code 1 if nobody knows the master.";

/// A verb that shows what is there.
#[derive(Debug, Clone, ClapArgs)]
pub struct Listing {
    /// JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Milliseconds to wait for the services' answers, 100 to 60000
    #[arg(long, default_value_t = 1_200, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub wait: u64,
}

/// `vedette nodes`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = LIST_HELP)]
pub struct Nodes {
    /// Only this group
    pub group: Option<GroupName>,
    #[command(flatten)]
    pub listing: Listing,
}

const DOCTOR_HELP: &str = "\
Exit code 0 if nothing worse than a warning was found, 1 if something was.";

const SURVIVE_HELP: &str = "\
ok: everything goes on, after a failover if a master was lost. weaker: it does, and the next loss may
be an outage. OUTAGE: a group is without a master, a dead master would not be replaced, or clients of
Sentinel have nobody to ask. Places of nodes are those of the group's node_places. A host dies with
the services that tell it for theirs and the nodes at its name or addresses. Not looked at: NATS
servers, for nobody tells where they run, and whether a replica may be promoted, which doctor says.

Exit code 0 if no single loss is an outage, 1 if one is.";

const COMPLETIONS_HELP: &str = "\
Examples:
  vedette completions bash > /etc/bash_completion.d/vedette
  vedette completions zsh > ~/.zfunc/_vedette

Exit code 0.";

/// A verb that needs a group and nothing else.
#[derive(Debug, Clone, ClapArgs)]
pub struct Plain {
    /// The group
    pub group: GroupName,
    /// The answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// `vedette roster`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = ROSTER_EXAMPLES)]
pub struct Roster {
    /// The answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub change: Option<RosterChange>,
}

/// A change of the roster.
#[derive(Debug, Clone, Subcommand)]
pub enum RosterChange {
    /// Add a voter, which must be running
    Add {
        /// Its id
        voter: VoterId,
    },
    /// Take a voter off, alive or dead
    Remove {
        /// Its id
        voter: VoterId,
    },
}

const ROSTER_EXAMPLES: &str = "\
Examples:
  vedette roster                         who votes, who answers, and who goes by another roster
  vedette roster add v4                  start vedette-voter --id v4 first
  vedette roster remove v2

To replace a dead voter v2: start v4, `vedette roster add v4`, wait until `vedette roster` shows it
well, `vedette roster remove v2`. A change needs a majority of the voters before and after it. It may
be repeated; what holds already is done.

Exit code 0 when a majority of the voters goes by it (or, for the list, when all is well), 1 if not.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// Every verb, and those below it, with their words.
    fn verbs() -> Vec<(String, clap::Command)> {
        let mut all = Vec::new();
        let mut below = vec![(String::new(), Args::command())];
        while let Some((words, command)) = below.pop() {
            for verb in command.get_subcommands() {
                below.push((format!("{words} {}", verb.get_name()), verb.clone()));
            }
            if !words.is_empty() {
                all.push((words.trim_start().to_owned(), command));
            }
        }
        all
    }

    #[test]
    fn every_verb_answers_in_json_and_says_its_exit_codes() {
        // What a shell reads is no answer, and neither is a process that speaks to clients.
        let plain = ["completions", "sentinel"];
        let verbs = verbs();
        assert!(verbs.len() > 20, "the list is clap's own");
        for (words, command) in &verbs {
            let json = |c: &clap::Command| c.get_arguments().any(|a| a.get_long() == Some("json"));
            let above = words.split(' ').next().and_then(|first| {
                verbs.iter().find(|(name, _)| name == first).map(|(_, command)| command)
            });
            let takes = json(command) || above.is_some_and(json);
            assert_eq!(takes, !plain.contains(&words.as_str()), "vedette {words} --json");
            let help = |c: &clap::Command| c.clone().render_long_help().to_string();
            let says = help(command).contains("Exit code")
                || above.is_some_and(|above| help(above).contains("Exit code"));
            assert!(says, "vedette {words} --help does not say its exit codes");
        }
    }

    #[test]
    fn common_flags_may_stand_behind_the_verb() {
        let args = Args::try_parse_from(["vedette", "master", "g", "--nats", "nats://h:1"]);
        assert_eq!(args.unwrap().common.nats, ["nats://h:1"]);
    }

    #[test]
    fn a_user_without_a_password_is_refused() {
        assert!(Args::try_parse_from(["vedette", "up", "h:1", "--user", "u"]).is_err());
        assert!(Args::try_parse_from(["vedette", "up", "no-port"]).is_err());
    }
}
