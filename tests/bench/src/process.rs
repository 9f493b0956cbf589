//! What a process has used, as the kernel says.

use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// The kernel's unit of processor time in `/proc`: a hundredth of a second on all machines of
/// today (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

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

/// What the processes of each kind have used since then: seconds of a core, and the KiB that each
/// had at the most, together.
///
/// # Errors
/// If one has ended.
pub fn since(processes: &[Watched], before: &[Used]) -> Result<BTreeMap<&'static str, (f64, u64)>> {
    let mut kinds = BTreeMap::<_, (f64, u64)>::new();
    for (process, before) in processes.iter().zip(before) {
        let (used, sum) = (process.used()?, kinds.entry(process.kind).or_default());
        sum.0 += used.cpu_s - before.cpu_s;
        sum.1 += used.peak_kib;
    }
    Ok(kinds)
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
    fn memory_is_in_kib() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((kib(status, "VmRSS"), kib(status, "VmHWM")), (Some(1_024), Some(2_048)));
        assert_eq!(kib("VmHWM:\t12 MB\n", "VmHWM"), None);
    }
}
