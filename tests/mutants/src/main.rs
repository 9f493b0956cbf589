//! `cargo mutant [--only NAME]… [--seeds N] [--from S] [--jobs N] [--until-caught] [--list]`.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use vedette_mutants::{Mutant, Net, Report, Seeds, Snapshot, Tree, Verdict, all, root};

/// Puts known bugs back into a copy of the sources and shows which test notices.
#[derive(Debug, Parser)]
#[command(name = "cargo mutant --")]
struct Args {
    /// Only the mutants of this name; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Short schedules that the simulator runs at most on each mutant; one tenth as many long ones
    /// follow.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Mutants at the same time, each in a copy of its own.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Tries a mutant's next net only if those before it have caught nothing.
    #[arg(long)]
    until_caught: bool,
    /// Says what there is, and runs nothing.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let mut mutants = all()?;
    if let Some(name) = args.only.iter().find(|name| mutants.iter().all(|m| m.name != **name)) {
        anyhow::bail!("there is no mutant {name}; --list says which there are");
    }
    mutants.retain(|mutant| args.only.is_empty() || args.only.contains(&mutant.name));
    if args.list {
        for Mutant { name, bug, breaks, .. } in &mutants {
            println!("{name}: {bug} {breaks}");
        }
        return Ok(true);
    }
    let seeds = Seeds { from: args.from, count: args.seeds };
    let folder = root().join("target/mutants");
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join("lock"))?;
    ensure!(lock.try_lock().is_ok(), "another run has {} at the moment", folder.display());
    let sources = Snapshot::read()?;
    check_the_sound(&sources, &mutants, seeds)?;
    let reports = run_all(&sources, &mutants, seeds, args);
    Ok(conclude(&reports))
}

/// A net that fails without a bug would catch everything.
fn check_the_sound(sources: &Snapshot, mutants: &[Mutant], seeds: Seeds) -> Result<()> {
    let tree = Tree::new(sources, 0);
    tree.restore()?;
    let nets: BTreeSet<Net> = mutants.iter().flat_map(|mutant| mutant.nets.clone()).collect();
    for net in nets {
        let verdict = net.run(&tree, seeds).context("the sound sources")?;
        let caught = verdict.caught.unwrap_or_default();
        ensure!(caught.is_empty(), "{net} fails without any bug: {caught}");
        println!("sound    {net} in {:.1} s", verdict.ran_for.as_secs_f64());
    }
    Ok(())
}

fn run_all(sources: &Snapshot, mutants: &[Mutant], seeds: Seeds, args: &Args) -> Vec<Report> {
    let jobs = args.jobs.clamp(1, mutants.len());
    let waiting: Mutex<VecDeque<_>> = Mutex::new(mutants.iter().collect());
    let reports = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (next, reports) = (&next, &reports);
            scope.spawn(move || {
                let tree = Tree::new(sources, job);
                while let Some(mutant) = next() {
                    let report =
                        Report::new(mutant, try_nets(&tree, mutant, seeds, args.until_caught));
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    report.print();
                    reports.push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn try_nets(
    tree: &Tree<'_>,
    mutant: &Mutant,
    seeds: Seeds,
    until_caught: bool,
) -> Result<Vec<Verdict>> {
    tree.restore()?;
    tree.spoil(mutant)?;
    let mut verdicts: Vec<Verdict> = Vec::new();
    for net in &mutant.nets {
        if until_caught && verdicts.iter().any(|v| v.caught.is_some()) {
            break;
        }
        // Both are the simulator; the stories are for what chance does not find.
        let seen = verdicts.iter().any(|v| v.net == Net::Sim && v.caught.is_some());
        if !(seen && *net == Net::Scenarios) {
            verdicts.push(net.run(tree, seeds)?);
        }
    }
    Ok(verdicts)
}

/// Whether every mutant was caught.
fn conclude(reports: &[Report]) -> bool {
    let names = |choose: &dyn Fn(&Report) -> bool| {
        let chosen: Vec<_> = reports.iter().filter(|r| choose(r)).map(|r| &*r.name).collect();
        (chosen.len(), chosen.join(", "))
    };
    let (broken, which_broken) = names(&Report::is_broken);
    let (survived, which_survived) = names(&Report::survived);
    let sees = |report: &Report| [Net::Sim, Net::Scenarios].iter().any(|n| report.caught_by(*n));
    let (seen, _) = names(&sees);
    let (tested, _) = names(&|report| report.caught_by(Net::Protocol));
    let total = reports.len();
    println!("{total} mutants: {} caught", total - broken - survived);
    println!("  {seen} by the simulator, {tested} by the tests of the core");
    if survived > 0 {
        println!("  {survived} survived: {which_survived}");
    }
    if broken > 0 {
        println!("  {broken} broken: {which_broken}");
    }
    broken + survived == 0
}
