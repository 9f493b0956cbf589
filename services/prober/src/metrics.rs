//! What a prober counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vedette_model::{Evidence, Fact, NodeState, SdownReport};
use vedette_node::link::Ask;
use vedette_protocol::prober::Watch;
use vedette_runtime::metrics::{
    Counter, Counters, Histogram, Labels, Meter, Times, flag, label, number, took,
};

/// The prober's counters, and the watched nodes as it sees them.
#[derive(Debug)]
pub struct Metrics {
    ping: Histogram,
    info: Histogram,
    role: Histogram,
    /// Established links that broke.
    pub lost: Counter,
    /// Attempts to connect or to log in that failed.
    pub failed: Counter,
    downs: Counters,
    detection: Times,
    nodes: Nodes,
}

#[derive(Debug, Clone, Default)]
struct Nodes(Arc<Mutex<BTreeMap<Watch, Option<NodeState>>>>);

impl Nodes {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Watch, Option<NodeState>>> {
        // A list that is added to and taken from is whole after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are up, down, and not known yet.
    fn by_state(&self) -> Vec<(Labels, f64)> {
        let (mut up, mut down, mut unknown) = (0, 0, 0);
        for state in self.all().values() {
            match state {
                Some(NodeState::Up) => up += 1,
                Some(NodeState::Down(_)) => down += 1,
                None => unknown += 1,
            }
        }
        let counts = [("up", up), ("down", down), ("unknown", unknown)];
        counts.into_iter().map(|(state, n)| (label("state", state), number(n))).collect()
    }

    fn downs(&self) -> Vec<(Labels, f64)> {
        let all = self.all();
        let known = all.iter().filter_map(|(watch, state)| Some((watch, state.as_ref()?)));
        let told = known.map(|(Watch { group, node }, state)| {
            let labels = vec![("group", group.to_string()), ("node", node.to_string())];
            (labels, flag(matches!(state, NodeState::Down(_))))
        });
        told.collect()
    }
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new(meter: &Meter) -> Self {
        let nodes = Nodes::default();
        let counted = nodes.clone();
        meter.look("prober_nodes", "Nodes watched, by state", move || counted.by_state());
        let seen = nodes.clone();
        let help = "1 while this prober calls the node down";
        meter.look("prober_node_down", help, move || seen.downs());
        let help = "From a question to its answer, by command";
        let answers = meter.times("prober_answer_seconds", help);
        let of = |command| answers.get_or_create_owned(&label("command", command));
        Self {
            ping: of("ping"),
            info: of("info"),
            role: of("role"),
            lost: meter.count("prober_links_lost", "Links to nodes that broke"),
            failed: meter.count("prober_connects_failed", "Attempts to connect that failed"),
            downs: meter.counts("prober_downs", "Times that a node was called down, by evidence"),
            detection: meter.times(
                "prober_detection_seconds",
                "From the last good reply to calling the node down, by evidence",
            ),
            nodes,
        }
    }

    /// A node answered.
    pub fn answered(&self, ask: Ask, after: Duration) {
        let of = match ask {
            Ask::Ping => &self.ping,
            Ask::Info => &self.info,
            Ask::Role => &self.role,
        };
        of.observe(after.as_secs_f64());
    }

    /// A node is watched from now on.
    pub fn watches(&self, watch: &Watch) {
        self.nodes.all().entry(watch.clone()).or_default();
    }

    /// It is not watched any more.
    pub fn forgets(&self, watch: &Watch) {
        self.nodes.all().remove(watch);
    }

    /// This was told to everybody.
    pub fn told(&self, fact: &Fact) {
        if let Fact::SdownReport(report) = fact {
            self.reported(report);
        } else if let Fact::NodeReport(report) = fact {
            let watch = Watch { group: report.group.clone(), node: report.node.clone() };
            if let Some(state @ None) = self.nodes.all().get_mut(&watch) {
                *state = Some(NodeState::Up);
            }
        }
    }

    fn reported(&self, report: &SdownReport) {
        let watch = Watch { group: report.group.clone(), node: report.node.clone() };
        let before = match self.nodes.all().get_mut(&watch) {
            Some(known) => known.replace(report.state.clone()),
            None => return,
        };
        let NodeState::Down(evidence) = &report.state else { return };
        if matches!(before, Some(NodeState::Down(_))) {
            return;
        }
        let labels = label("evidence", word(evidence));
        self.downs.get_or_create(&labels).inc();
        if let Some(ms) = report.last_good_ms {
            took(&self.detection, &labels, Duration::from_millis(ms));
        }
    }
}

const fn word(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::Silence { .. } => "silence",
        Evidence::Crash { .. } => "crash",
        Evidence::Busy { .. } => "busy",
        Evidence::Loading { .. } => "loading",
        Evidence::Rebirth { .. } => "rebirth",
        Evidence::WrongRole { .. } => "wrong_role",
        Evidence::WriteImpaired { .. } => "write_impaired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Epoch, GroupName, NodeAddr, Place, ProberId};
    use vedette_runtime::metrics::Form;

    fn watch() -> Watch {
        let node = NodeAddr::parse("10.0.0.1:6379").unwrap();
        Watch { group: GroupName::parse("orders").unwrap(), node }
    }

    fn report(state: NodeState) -> Fact {
        let Watch { group, node } = watch();
        let report = SdownReport {
            group,
            epoch: Epoch(1),
            node,
            prober: ProberId::parse("p1").unwrap(),
            place: Place::parse("here").unwrap(),
            state,
            last_good_ms: Some(100),
            run_id: None,
            echo: Vec::new(),
        };
        report.into()
    }

    #[test]
    fn a_node_goes_down_once_however_often_that_is_said() {
        let meter = Meter::default();
        let metrics = Metrics::new(&meter);
        metrics.watches(&watch());
        let down = NodeState::Down(Evidence::Crash { refused: 3 });
        for state in [down.clone(), down.clone(), NodeState::Up, down] {
            metrics.told(&report(state));
        }
        let text = meter.text(Form::OpenMetrics).unwrap();
        for line in [
            "vedette_prober_downs_total{evidence=\"crash\"} 2",
            "vedette_prober_detection_seconds_count{evidence=\"crash\"} 2",
            "vedette_prober_nodes{state=\"down\"} 1.0",
            "vedette_prober_node_down{group=\"orders\",node=\"10.0.0.1:6379\"} 1.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        metrics.forgets(&watch());
        assert!(!meter.text(Form::OpenMetrics).unwrap().contains("10.0.0.1"));
    }
}
