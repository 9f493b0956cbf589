//! The machine and its links against real servers, without a bus.

use crate::links::Links;
use crate::metrics::Metrics;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use vedette_harness::{Home, Node, within};
use vedette_model::{
    BallotNumber, Epoch, EventName, Evidence, Fact, GroupName, GroupRecord, Member, NodeState,
    OrchestratorId, Place, ProberId, Quorum, RecordCommitted, ReplId, RunId, Sender, Service,
    Settings,
};
use vedette_node::link::Ask;
use vedette_protocol::Machine;
use vedette_protocol::prober::{Config, Input, Output, Prober};
use vedette_runtime::Clock;
use vedette_runtime::metrics::Meter;

/// For a machine under load.
const LIMIT: Duration = Duration::from_secs(30);

/// A master, its replica, and one prober that watches both.
struct Stage {
    nodes: Vec<Node>,
    folder: TempDir,
    prober: Prober,
    links: Links,
    events: mpsc::Receiver<Input>,
    clock: Clock,
    said: Vec<Fact>,
}

impl Stage {
    async fn new(lines: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let folder = TempDir::new().unwrap();
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let homes = vec![Home::loopback(); 2];
        let nodes = Node::start_group_at(&homes, folder.path(), None, &lines).await.unwrap();
        let clock = Clock::start();
        let config = Config {
            sender: Sender::parse(Service::Prober, "p1", 1).unwrap(),
            id: ProberId::parse("p1").unwrap(),
            place: Place::parse("here").unwrap(),
        };
        let (inputs, events) = mpsc::channel(64);
        let links = {
            let metrics = Arc::new(Metrics::new(&Meter::default()));
            Links::new("vedette-prober-p1".into(), inputs, clock.clone(), metrics)
        };
        let prober = Prober::new(config, clock.now());
        Self { nodes, folder, prober, links, events, clock, said: Vec::new() }.watch(change).await
    }

    /// Declares both nodes to be a group, and waits until the prober has seen them.
    async fn watch(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::with_quorum(Quorum::parse(1).unwrap());
        change(&mut settings);
        let group = GroupName::parse("g").unwrap();
        let mut record = GroupRecord::first(group, self.nodes[0].addr().clone(), settings);
        record.members.clear();
        for node in &self.nodes {
            let run_id = RunId::parse(&node.info("server").await.unwrap()["run_id"]).unwrap();
            let (addr, run_id) = (node.addr().clone(), Some(run_id));
            record.members.push(Member::new(addr, run_id));
        }
        record.members.sort_by(|a, b| a.addr.cmp(&b.addr));
        let history = &self.nodes[0].info("replication").await.unwrap()["master_replid"];
        record.lineage.add(&ReplId::parse(history).unwrap());
        assert_eq!(record.epoch, Epoch(1));
        let proposer = OrchestratorId::parse("o1").unwrap();
        let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
        let committed = Fact::from(RecordCommitted { ballot, record });
        self.prober.handle(Input::Fact(committed), self.clock.now());
        for node in 0..2 {
            let addr = self.nodes[node].addr().clone();
            self.until("it is seen", |f| matches!(f, Fact::NodeReport(r) if r.node == addr)).await;
        }
        self
    }

    /// Lets the prober work until it says this; what it says up to then is forgotten.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Fact) -> bool) -> Fact {
        let clock = self.clock.clone();
        let limit = clock.now() + LIMIT;
        loop {
            while let Some(output) = self.prober.poll_output() {
                match output {
                    Output::Publish(fact) => self.said.push(fact),
                    Output::Connect { watch, attempt, credentials } => {
                        self.links.connect(watch, attempt, credentials);
                    }
                    Output::Ping { watch } => self.links.ask(&watch, Ask::Ping),
                    Output::Info { watch } => self.links.ask(&watch, Ask::Info),
                    Output::Role { watch } => self.links.ask(&watch, Ask::Role),
                    Output::Forget { watch } => self.links.forget(&watch),
                }
            }
            if let Some(at) = self.said.iter().position(&wanted) {
                return self.said.drain(..=at).next_back().unwrap();
            }
            assert!(clock.now() < limit, "not in time: {what}; it said {:#?}", self.said);
            let due = self.prober.poll_timeout().unwrap();
            tokio::select! {
                input = self.events.recv() => self.prober.handle(input.unwrap(), clock.now()),
                () = clock.sleep_until(due) => self.prober.handle_timeout(clock.now()),
            }
        }
    }

    async fn down(&mut self, wanted: impl Fn(&Evidence) -> bool) {
        let master = self.nodes[0].addr().clone();
        let is_it = |fact: &Fact| {
            let Fact::SdownReport(report) = fact else { return false };
            let NodeState::Down(evidence) = &report.state else { return false };
            report.node == master && wanted(evidence)
        };
        let _ = self.until("the master is down", is_it).await;
    }

    async fn event(&mut self, name: EventName) -> String {
        let is_it = |fact: &Fact| matches!(fact, Fact::Event(event) if event.name == name);
        let Fact::Event(event) = self.until(name.as_str(), is_it).await else { unreachable!() };
        event.cause
    }

    async fn fill(&self, keys: usize) {
        let value = "x".repeat(2_000);
        for key in 0..keys {
            let key = format!("key{key}");
            let _: String = self.nodes[0].command(&["SET", &key, &value]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_master_that_restarts_empty_at_once_is_reborn() {
    let mut stage = Stage::new(&[], |_| {}).await;
    stage.fill(100).await;
    stage.nodes[0].kill9().unwrap();
    stage.nodes[0].start().unwrap();
    let cause = stage.event(EventName::DataLossRisk).await;
    assert!(cause.contains("an empty data set") && cause.contains("called down"), "{cause}");
    stage.down(|evidence| matches!(evidence, Evidence::Rebirth { .. })).await;
}

#[tokio::test]
async fn a_master_that_restarts_with_its_data_is_a_reboot_only() {
    let mut stage = Stage::new(&["save 3600 1"], |s| s.crash_grace_ms = 0).await;
    stage.fill(100).await;
    let _ = stage.nodes[0].terminate(LIMIT).await.unwrap();
    stage.nodes[0].start().unwrap();
    let _ = stage.event(EventName::Reboot).await;
    let master = stage.nodes[0].addr().clone();
    // Until its replica follows it again.
    let linked = |fact: &Fact| {
        assert!(!matches!(fact, Fact::SdownReport(_)), "{fact:?}");
        let Fact::NodeReport(report) = fact else { return false };
        report.view.upstream.as_ref().is_some_and(|up| up.addr == master && up.link_up)
    };
    let _ = stage.until("the replica follows it", linked).await;
}

#[tokio::test]
async fn a_master_that_loads_for_long_is_down_by_its_own_estimate() {
    let lines = [
        "save 3600 1",
        "key-load-delay 50000",
        "loading-process-events-interval-bytes 1024",
        "rdbcompression no",
    ];
    let patient = |s: &mut Settings| {
        (s.down_after_ms, s.crash_grace_ms, s.loading_budget_ms) = (1_000, 0, Some(5_000));
    };
    let mut stage = Stage::new(&lines, patient).await;
    // 20 s.
    stage.fill(400).await;
    stage.nodes[0].save().await.unwrap();
    stage.nodes[0].restart().unwrap();
    let cause = stage.event(EventName::Loading).await;
    assert!(cause.contains("it loads its data set"), "{cause}");
    stage
        .down(|evidence| matches!(evidence, Evidence::Loading { for_ms } if *for_ms < 5_000))
        .await;
}

#[tokio::test]
async fn a_master_whose_disk_fails_is_down_if_its_replicas_works() {
    let quick = |s: &mut Settings| s.down_after_ms = 1_000;
    let mut stage = Stage::new(&["save 3600 1"], quick).await;
    fs::remove_dir_all(stage.folder.path().join("redis1")).unwrap();
    // Its replica's first synchronisation may still be saving.
    let saving = within(LIMIT, "it saves", async || {
        stage.nodes[0].command::<String>(&["BGSAVE"]).await.ok()
    });
    let _ = saving.await.unwrap();
    let _ = stage.event(EventName::WriteImpaired).await;
    stage.down(|evidence| matches!(evidence, Evidence::WriteImpaired { .. })).await;
}
