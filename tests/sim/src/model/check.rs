//! One search to its end, and what came of it.

use super::scope::Scope;
use super::world::System;
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::fmt::Write;

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// States reached, each as often as it was.
    pub reached: usize,
    /// Steps to the state farthest from the beginning.
    pub depth: usize,
    /// Properties that do not hold, each with the steps to where it does not.
    pub broken: Vec<(&'static str, Vec<String>)>,
    /// What should have been reached and was not.
    pub missed: Vec<&'static str>,
}

impl Report {
    /// Whether every state within the bounds was visited, nothing is broken in any, and everything
    /// worth reaching was reached.
    pub const fn is_good(&self) -> bool {
        self.broken.is_empty() && self.missed.is_empty()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { states, reached, depth, broken, missed } = self;
        write!(f, "{states} states, reached {reached} times, depth {depth}")?;
        f.write_str(if broken.is_empty() { ", exhausted" } else { ", NOT exhausted" })?;
        for (property, steps) in broken {
            write!(f, "\n  BROKEN: {property}")?;
            for (n, step) in steps.iter().enumerate() {
                write!(f, "\n  {:>3}. {step}", n + 1)?;
            }
        }
        missed.iter().try_for_each(|what| write!(f, "\n  NEVER: {what}"))
    }
}

/// Visits every state within the bounds, up to the first that breaks a property.
pub fn check(scope: Scope) -> Report {
    let checker = System::new(scope.clone())
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let report = report(&checker);
    if report.broken.is_empty() || !scope.is_symmetric() {
        return report;
    }
    check(Scope { plain_names: true, ..scope })
}

fn report(checker: &impl Checker<System>) -> Report {
    let system = checker.model();
    let mut found = checker.discoveries();
    let mut broken = Vec::new();
    let mut missed = Vec::new();
    for property in system.properties() {
        match (property.expectation, found.remove(property.name)) {
            (Expectation::Always, Some(path)) => {
                let actions = path.into_actions();
                let steps = actions.into_iter().map(|action| system.describe(action)).collect();
                broken.push((property.name, steps));
            }
            (Expectation::Sometimes, None) => missed.push(property.name),
            (Expectation::Always, None)
            | (Expectation::Sometimes, Some(_))
            | (Expectation::Eventually, _) => {}
        }
    }
    let tables = system.tables();
    let seen = |what: &&&'static str| tables.facts.seen.contains_key(**what);
    missed.extend(system.scope.reaches.iter().filter(|what| !seen(what)));
    Report {
        states: checker.unique_state_count(),
        reached: checker.state_count(),
        depth: checker.max_depth(),
        broken,
        missed,
    }
}

/// The bounds in words.
pub fn bounds(scope: &Scope) -> String {
    let mut text = format!("{} voters", scope.voters);
    let [first, second] = scope.stands;
    let _ = write!(text, ", candidacies of o1 {first} and of o2 {second} for {:?}", scope.aims);
    let counts = [
        (scope.changes, "records written in a tenure of quiet work"),
        (scope.failures, "failed promotions in a tenure"),
        (scope.leader_crashes, "restarts of each orchestrator"),
        (scope.voter_crashes, "crashes of voters with a write not synced"),
        (scope.losses, "lost files"),
        (u8::try_from(scope.changes_of_roster.len()).unwrap_or(u8::MAX), "changes of the roster"),
        (scope.tries.iter().sum(), "new beginnings of one"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    text
}
