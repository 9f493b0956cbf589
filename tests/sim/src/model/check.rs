//! One search to its end, and what came of it.

use super::scope::Scope;
use super::table::Facts;
use super::{lease, world};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::fmt::Write;
use std::hash::Hash;

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

/// A model that can say what happens in it and what was seen.
trait Told: Model {
    fn words(&self, action: Self::Action) -> String;
    fn missed(&self) -> Vec<&'static str>;
}

impl Told for world::System {
    fn words(&self, action: world::Action) -> String {
        self.describe(action)
    }

    fn missed(&self) -> Vec<&'static str> {
        missed(&self.scope, &self.tables().facts)
    }
}

impl Told for lease::System {
    fn words(&self, action: lease::Action) -> String {
        self.describe(action)
    }

    fn missed(&self) -> Vec<&'static str> {
        missed(&self.scope, &self.tables().facts)
    }
}

fn missed(scope: &Scope, facts: &Facts) -> Vec<&'static str> {
    let seen = |what: &&&'static str| facts.seen.contains_key(**what);
    scope.reaches.iter().filter(|what| !seen(what)).copied().collect()
}

/// Visits every state within the bounds, up to the first that breaks a property.
pub fn check(scope: Scope) -> Report {
    if scope.beats > 0 {
        return search(lease::System::new(scope));
    }
    let report = search(world::System::new(scope.clone()));
    if report.broken.is_empty() || !scope.is_symmetric() {
        return report;
    }
    check(Scope { plain_names: true, ..scope })
}

fn search<M>(model: M) -> Report
where
    M: Told + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let system = checker.model();
    let mut found = checker.discoveries();
    let mut broken = Vec::new();
    let mut missed = system.missed();
    for property in system.properties() {
        match (property.expectation, found.remove(property.name)) {
            (Expectation::Always, Some(path)) => {
                let actions = path.into_actions();
                let steps = actions.into_iter().map(|action| system.words(action)).collect();
                broken.push((property.name, steps));
            }
            (Expectation::Sometimes, None) => missed.push(property.name),
            (Expectation::Always, None)
            | (Expectation::Sometimes, Some(_))
            | (Expectation::Eventually, _) => {}
        }
    }
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
    let crashes = if scope.slow_disks {
        "crashes of voters with a write not synced"
    } else {
        "restarts of voters"
    };
    let counts = [
        (scope.changes, "records written in a tenure of quiet work"),
        (scope.beats, "beats in a tenure"),
        (scope.failures, "failed promotions in a tenure"),
        (scope.leader_crashes, "restarts of each orchestrator"),
        (scope.voter_crashes, crashes),
        (scope.losses, "lost files"),
        (u8::try_from(scope.changes_of_roster.len()).unwrap_or(u8::MAX), "changes of the roster"),
        (scope.tries.iter().sum(), "new beginnings of one"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, ", {count} {what}");
    }
    if scope.beats > 0 {
        text.push_str(", o1 elected at the beginning, time without end");
    }
    if scope.slow_answers {
        text.push_str(", late answers");
    }
    text
}
