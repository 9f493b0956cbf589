//! What came of the mutants, for people.

use crate::mutant::Mutant;
use crate::net::{Net, Verdict};
use std::time::Duration;

/// What came of one mutant; the sound sources are one without a bug.
#[derive(Debug)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What each net said, or why it could not be asked.
    pub outcome: Result<Vec<Verdict>, String>,
    /// Why some net cannot see it.
    pub unseen: Option<String>,
}

impl Report {
    /// What the nets made of the mutant.
    pub fn new(mutant: &Mutant, outcome: anyhow::Result<Vec<Verdict>>) -> Self {
        let outcome = outcome.map_err(|error| format!("{error:#}"));
        Self { name: mutant.name.clone(), outcome, unseen: mutant.unseen.clone() }
    }

    fn verdicts(&self) -> &[Verdict] {
        self.outcome.as_deref().unwrap_or_default()
    }

    /// Whether the mutant was built and run, and no net noticed.
    pub fn survived(&self) -> bool {
        self.outcome.is_ok() && self.verdicts().iter().all(|v| v.caught.is_none())
    }

    /// Whether it did not apply or not compile.
    pub const fn is_broken(&self) -> bool {
        self.outcome.is_err()
    }

    /// Whether the net noticed.
    pub fn caught_by(&self, net: Net) -> bool {
        self.verdicts().iter().any(|v| v.net == net && v.caught.is_some())
    }

    /// One line for each net.
    pub fn print(&self) {
        let word = if self.is_broken() {
            "BROKEN"
        } else if self.survived() {
            "SURVIVED"
        } else {
            "caught"
        };
        println!("{word:<8} {}", self.name);
        if let Err(why) = &self.outcome {
            println!("           {why}");
        }
        for Verdict { net, caught, built_in, ran_for } in self.verdicts() {
            let (built_in, ran_for) = (seconds(*built_in), seconds(*ran_for));
            let what = caught.as_deref().unwrap_or("saw nothing");
            println!("           {net:<12} build {built_in} run {ran_for}  {what}");
        }
        if let Some(why) = &self.unseen {
            println!("           {why}");
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:5.1} s", duration.as_secs_f64())
}
