//! What may catch a bug.

use crate::tree::Tree;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::fmt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// A build or a net that gives no answer for so many seconds is given up: the first build brings
/// every dependency along.
const LIMIT: u64 = 1_800;
/// Seconds that a process of a net may compute, of which each needs a few with sound sources: who
/// needs more is caught in a loop. It is not the clock's time, so that a busy machine catches
/// nothing.
const COMPUTE_LIMIT: u64 = 120;
/// Schedules between two looks at whether the simulator has found something.
const SEEDS_AT_ONCE: u64 = 500;
/// Of so many schedules one more is run that is long.
const ONE_IS_LONG_OF: u64 = 10;
/// Characters shown of a violation: records in it are long.
const TOLD: usize = 160;
/// What `timeout` exits with when it had to end its child.
const TIMED_OUT: i32 = 124;

/// What may catch a bug: those that look from outside first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Net {
    /// The simulator's schedules: behaviour as seen from outside.
    Sim,
    /// The simulator's stories: each a trouble that was once met.
    Scenarios,
    /// Tests beside the decision core.
    Protocol,
    /// Tests of subjects and bytes.
    Wire,
    /// Tests of commands and replies of a node, with a scripted server.
    Node,
    /// Tests of the voter's store and of the order in which it writes and answers.
    Voter,
    /// Tests of the orchestrator's errands.
    Orchestrator,
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sim => "sim",
            Self::Scenarios => "scenarios",
            Self::Protocol => "protocol",
            Self::Wire => "wire",
            Self::Node => "node",
            Self::Voter => "voter",
            Self::Orchestrator => "orchestrator",
        })
    }
}

/// The schedules that the simulator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds {
    /// The first one.
    pub from: u64,
    /// How many at most: it stops when it has caught something.
    pub count: u64,
}

/// What came of one net.
#[derive(Debug)]
pub struct Verdict {
    /// Which net.
    pub net: Net,
    /// The first thing that went wrong, if the net caught the bug.
    pub caught: Option<String>,
    /// How long it took to build what the net needs.
    pub built_in: Duration,
    /// How long the net took.
    pub ran_for: Duration,
}

impl Net {
    /// Builds the copy and tries the net on it.
    ///
    /// # Errors
    /// If the copy does not compile, or cargo cannot be run.
    pub fn run(self, tree: &Tree<'_>, seeds: Seeds) -> Result<Verdict> {
        let began = now();
        self.build(tree)?;
        let built = now();
        let caught = match self {
            Self::Sim => simulate(tree, seeds)?,
            Self::Scenarios
            | Self::Protocol
            | Self::Wire
            | Self::Node
            | Self::Voter
            | Self::Orchestrator => {
                let (subcommand, options, filter) = self.command();
                let args = [&[subcommand], options, filter].concat();
                first_failure(&run(tree, &args)?)
            }
        };
        let (built_in, ran_for) = (built.duration_since(began), built.elapsed());
        Ok(Verdict { net: self, caught, built_in, ran_for })
    }

    /// The cargo command, what it is about, and what is left out of it.
    const fn command(self) -> (&'static str, &'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Sim => ("run", &["--release", "--package", "vedette-sim"], &[]),
            Self::Scenarios => {
                ("test", &["--release", "--package", "vedette-sim", "--test", "scenarios"], &[])
            }
            Self::Protocol => ("test", &["--package", "vedette-protocol", "--lib"], &[]),
            Self::Wire => ("test", &["--package", "vedette-wire"], &[]),
            Self::Node => ("test", &["--package", "vedette-node"], &[]),
            Self::Voter => (
                "test",
                &["--package", "vedette-voter", "--lib", "--test", "voter"],
                // These start servers.
                &["--", "--skip", "service::"],
            ),
            Self::Orchestrator => ("test", &["--package", "vedette-orchestrator", "--lib"], &[]),
        }
    }

    fn build(self, tree: &Tree<'_>) -> Result<()> {
        let (subcommand, options, _) = self.command();
        let mut args = vec![subcommand];
        args.extend(options);
        match self {
            Self::Sim => args[0] = "build",
            Self::Scenarios
            | Self::Protocol
            | Self::Wire
            | Self::Node
            | Self::Voter
            | Self::Orchestrator => {
                args.push("--no-run");
            }
        }
        let output = cargo(tree, &args, &[])?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.starts_with("error"));
        bail!("it does not compile for {self}: {}", error.unwrap_or(said.trim()))
    }
}

/// Schedules, some at a time, until one is violated.
fn simulate(tree: &Tree<'_>, seeds: Seeds) -> Result<Option<String>> {
    let long = Seeds { count: seeds.count / ONE_IS_LONG_OF, ..seeds };
    for (seeds, at_once, kind) in
        [(seeds, SEEDS_AT_ONCE, None), (long, SEEDS_AT_ONCE / ONE_IS_LONG_OF, Some("--long"))]
    {
        let end = seeds.from + seeds.count;
        let mut from = seeds.from;
        while from < end {
            let count = at_once.min(end - from);
            let (from_text, count_text) = (from.to_string(), count.to_string());
            let (subcommand, options, _) = Net::Sim.command();
            let mut args = [&[subcommand], options].concat();
            args.extend(["--", "--from", &from_text, "--seeds", &count_text]);
            args.extend(kind);
            let caught = first_failure(&run(tree, &args)?);
            if caught.is_some() {
                return Ok(caught);
            }
            from += count;
        }
    }
    Ok(None)
}

/// Cargo that runs what is built already.
fn run(tree: &Tree<'_>, args: &[&str]) -> Result<Output> {
    cargo(tree, args, &["prlimit", &format!("--cpu={COMPUTE_LIMIT}")])
}

fn cargo(tree: &Tree<'_>, args: &[&str], under: &[&str]) -> Result<Output> {
    // It ends the tests that cargo started, too.
    let output = Command::new("timeout")
        .args(["--kill-after", "5", &LIMIT.to_string()])
        .args(under)
        .arg(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .current_dir(&tree.sources)
        .env("CARGO_TARGET_DIR", &tree.target)
        .env("CARGO_TERM_COLOR", "never")
        // A mutant changes one file: what else was built stays.
        .env("CARGO_INCREMENTAL", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .context("running cargo under timeout (of coreutils)")?;
    let args = args.join(" ");
    ensure!(output.status.code() != Some(TIMED_OUT), "no answer in {LIMIT} s: cargo {args}");
    Ok(output)
}

/// The first line that says what failed; none if nothing did.
fn first_failure(output: &Output) -> Option<String> {
    if output.status.success() {
        return None;
    }
    let (said, warned) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if warned.contains("SIGXCPU") {
        return Some(format!("it computed for {COMPUTE_LIMIT} s and came to no end"));
    }
    let seed = said.lines().find(|line| line.starts_with("seed "));
    let failed: Vec<_> = said.lines().filter_map(|line| test(line)).collect();
    let panicked = || warned.lines().find(|line| line.contains("panicked at"));
    Some(match (seed, failed.as_slice()) {
        (Some(seed), _) => seed.chars().take(TOLD).collect(),
        (None, [one]) => (*one).into(),
        (None, [first, others @ ..]) => format!("{first}, and {} more", others.len()),
        (None, []) => panicked().unwrap_or("it failed and did not say why").into(),
    })
}

/// The name of a test that failed.
fn test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "how long a net takes is told to people")]
    Instant::now()
}
