//! What a process has used, as the kernel says.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::process::Command;

/// The kernel's unit of processor time in `/proc`: a hundredth of a second on all machines of
/// today (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

/// The kind of processes that pretend to be nodes.
pub const FLEET: &str = "fleet";
/// The kind of this process.
const BENCH: &str = "bench";

/// A process that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// What it is: its share in the sum.
    pub kind: &'static str,
    pub name: String,
    pub pid: u32,
}

/// What it has used since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Used {
    /// Seconds of a core, its own and the kernel's for it.
    pub cpu_s: f64,
    /// KiB of memory that it has now.
    pub rss_kib: u64,
    /// The most that it ever had.
    pub peak_kib: u64,
}

impl Watched {
    /// This process.
    pub fn this() -> Self {
        Self { kind: BENCH, name: BENCH.into(), pid: std::process::id() }
    }

    /// Until now.
    ///
    /// # Errors
    /// If it has ended.
    pub fn used(&self) -> Result<Used> {
        let read = |what: &str| {
            let path = format!("/proc/{}/{what}", self.pid);
            std::fs::read_to_string(&path).with_context(|| format!("{} has ended", self.name))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let cpu_s = seconds(&stat).with_context(|| format!("{}: {stat:?}", self.name))?;
        let kib = |name| kib(&status, name).with_context(|| format!("{} has ended", self.name));
        Ok(Used { cpu_s, rss_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
    }
}

/// What all of them have used until now, in their order.
///
/// # Errors
/// If one has ended.
pub fn used(processes: &[Watched]) -> Result<Vec<Used>> {
    processes.iter().map(Watched::used).collect()
}

/// That a process of ours may have open: it hands the limit on to those it starts.
///
/// # Errors
/// If the kernel does not say.
pub fn descriptors() -> Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    soft.and_then(|soft| soft.parse().ok()).context("/proc/self/limits has no `Max open files`")
}

/// Raises that to what is needed.
///
/// # Errors
/// If this program may not, and how it can be allowed to.
pub fn allow_descriptors(needed: usize) -> Result<()> {
    let allowed = descriptors()?;
    if allowed >= needed {
        return Ok(());
    }
    let (own, limit) = (std::process::id().to_string(), format!("--nofile={needed}:"));
    let done = Command::new("prlimit").args(["--pid", &own, &limit]).output();
    ensure!(
        done.is_ok_and(|done| done.status.success()) && descriptors()? >= needed,
        "{needed} descriptors are needed and {allowed} allowed: `ulimit -n {needed}` before, as root if need be"
    );
    Ok(())
}

/// What a process used in some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    pub kind: &'static str,
    pub name: String,
    /// Seconds of a core.
    pub cpu_s: f64,
    /// KiB of memory at the end of that time.
    pub rss_kib: u64,
    /// The most that it ever had.
    pub peak_kib: u64,
}

impl Share {
    pub fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    /// Whether it belongs to the measurement and not to those who watch.
    pub fn is_beside(&self) -> bool {
        self.is(FLEET) || self.is(BENCH)
    }
}

/// The kinds among them, each once, in their order.
pub fn kinds<'a>(shares: impl IntoIterator<Item = &'a Share>) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for share in shares {
        if !kinds.contains(&share.kind) {
            kinds.push(share.kind);
        }
    }
    kinds
}

/// What these processes have used since then.
///
/// # Errors
/// If one has ended.
pub fn since(processes: &[Watched], before: &[Used]) -> Result<Vec<Share>> {
    let share = |(process, before): (&Watched, &Used)| {
        let Used { cpu_s, rss_kib, peak_kib } = process.used()?;
        let (kind, name) = (process.kind, process.name.clone());
        Ok(Share { kind, name, cpu_s: cpu_s - before.cpu_s, rss_kib, peak_kib })
    };
    processes.iter().zip(before).map(share).collect()
}

/// What all cores together have done since the machine's start.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    idle: f64,
    all: f64,
}

impl Machine {
    /// # Errors
    /// If the kernel does not say.
    pub fn now() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        Self::parse(&stat).context("/proc/stat has no line of all cores")
    }

    /// `cpu user nice system idle iowait irq softirq steal …`
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks = line.split_whitespace().take(8).map(str::parse::<f64>);
        let ticks: Vec<f64> = ticks.collect::<Result<_, _>>().ok()?;
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().sum() })
    }

    /// The share of all cores that was not idle since then, 0 to 1.
    pub fn busy_since(&self, before: &Self) -> Option<f64> {
        let all = self.all - before.all;
        (all > 0.0).then(|| 1.0 - (self.idle - before.idle) / all)
    }
}

/// `pid (name) state …`: fields 14 and 15 are what it used itself and what the kernel did for it.
fn seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

fn kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 1 1 20 0 5 0 99";
        assert_eq!(seconds(stat), Some(2.0));
        assert_eq!(seconds("7 (a) S 1"), None);
    }

    #[test]
    fn what_is_not_idle_is_busy() {
        let before = Machine::parse("cpu  10 0 10 80 0 0 0 0 0 0\ncpu0 …").unwrap();
        let after = Machine::parse("cpu  40 0 30 120 10 0 0 0 7 7\n").unwrap();
        assert_eq!(after.busy_since(&before), Some(0.5));
        assert_eq!(before.busy_since(&before), None);
    }

    #[test]
    fn memory_is_in_kib() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((kib(status, "VmRSS"), kib(status, "VmHWM")), (Some(1_024), Some(2_048)));
        assert_eq!(kib("VmHWM:\t12 MB\n", "VmHWM"), None);
    }
}
