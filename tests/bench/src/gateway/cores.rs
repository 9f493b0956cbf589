//! Who answers and who asks on a core each, so that neither takes the other's.

use anyhow::{Context as _, Result, ensure};
use std::fmt;
use std::process::Command;

/// The cores of a run.
pub struct Cores {
    /// All that this program may use, as the kernel writes them.
    all: String,
    /// Of who answers, and this program's. None if there is but one.
    pub pair: Option<(usize, usize)>,
}

impl Cores {
    /// Looks which there are.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn look() -> Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let all = line.context("/proc/self/status has no Cpus_allowed_list")?.trim().to_owned();
        let pair = first_two(&all);
        Ok(Self { all, pair })
    }

    /// Gives this process one core, and this program the other.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn apart(&self, answering: u32) -> Result<()> {
        let Some((theirs, ours)) = self.pair else { return Ok(()) };
        pin(answering, &theirs.to_string())?;
        pin(std::process::id(), &ours.to_string())
    }

    /// Gives this program all cores again.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn together(&self) -> Result<()> {
        if self.pair.is_some() { pin(std::process::id(), &self.all) } else { Ok(()) }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pair {
            Some((theirs, ours)) => {
                write!(f, "who answers is on core {theirs}, and who asks on core {ours}")
            }
            None => write!(f, "who answers and who asks share core {}", self.all),
        }
    }
}

/// The first two of a list like `0-3,6`.
fn first_two(list: &str) -> Option<(usize, usize)> {
    let mut cores = list.split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let ends = first.parse::<usize>().ok().zip(last.parse().ok());
        ends.into_iter().flat_map(|(first, last)| first..=last)
    });
    cores.next().zip(cores.next())
}

/// Keeps all threads of a process on these cores.
fn pin(pid: u32, cores: &str) -> Result<()> {
    let done = Command::new("taskset").args(["-apc", cores, &pid.to_string()]).output();
    let done = done.context("taskset is missing: `apt-get install util-linux`")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_cores_of_a_list_need_not_be_neighbours() {
        assert_eq!(first_two("0-3"), Some((0, 1)));
        assert_eq!(first_two("2,5-7"), Some((2, 5)));
        assert_eq!(first_two("4"), None);
        assert_eq!(first_two(""), None);
    }
}
