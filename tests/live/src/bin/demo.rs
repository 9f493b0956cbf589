//! A master dies: what each service saw, how long each step took, and which writes were kept.
//!
//! Started by `scripts/demo`. All times are on one clock: when a message arrived here.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vedette_harness::{LIMIT, Plan, System, Write, Writer, describe, pick, signed_ms, within};
use vedette_live::collector::{Collector, Jaeger, tree};
use vedette_live::plain::PlainClient;
use vedette_model::{EventName, Fact, NodeAddr, NodeState, Step};

const HELP: &str = "usage: scripts/demo [--stay] [--jaeger]
  --stay    keep everything running afterwards, for exploring
  --jaeger  show the trace in Jaeger too, and stay; its program is VEDETTE_JAEGER or on the PATH";

#[tokio::main]
async fn main() -> ExitCode {
    let (mut stay, mut jaeger) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--stay" => stay = true,
            "--jaeger" => jaeger = true,
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("unknown argument {argument}\n{HELP}");
                return ExitCode::from(64);
            }
        }
    }
    match run(stay || jaeger, jaeger).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(stay: bool, jaeger: bool) -> Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whichever way this ends, dropping the system ends its processes.
    let logs = tempfile::tempdir()?;
    let jaeger = if jaeger { Some(Jaeger::start(logs.path()).await?) } else { None };
    let collector = match &jaeger {
        Some(jaeger) => Collector::before(jaeger.endpoint()).await?,
        None => Collector::start().await?,
    };
    let mut system = tokio::select! {
        system = demo(&collector, jaeger.as_ref()) => system?,
        () = either(&mut interrupt, &mut terminate) => bail!("interrupted"),
    };
    if stay {
        explain(&system)?;
        either(&mut interrupt, &mut terminate).await;
        println!("\nending all processes");
        // Some may have been killed by hand: that is what they were left running for.
        system.abandon();
        return Ok(());
    }
    system.shut_down().await
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

async fn demo(collector: &Collector, jaeger: Option<&Jaeger>) -> Result<System> {
    let service_environment = collector.environment();
    let plan = Plan { log_format: "text", service_environment, ..Plan::default() };
    println!(
        "starting 1 master, {} replicas, NATS with JetStream, {} probers, {} voters, {} \
         orchestrators, {} notifier, 2 gateways",
        plan.replicas, plan.probers, plan.voters, plan.orchestrators, plan.notifiers
    );
    let quorum = plan.quorum;
    let mut system = System::start(plan).await?;
    let old = system.master();
    let gateways = [system.start_gateway("g1", &[])?, system.start_gateway("g2", &[])?];
    for at in gateways {
        let what = format!("the gateway at {at} serves Sentinel clients");
        within(LIMIT, &what, async || TcpStream::connect(at).await.ok().map(drop)).await?;
    }
    let plain = PlainClient::start(&system, &gateways)?;
    plain.writes_on(&system, &old).await?;
    println!("{} asks the gateways {} and {} as Sentinels", plain.name(), gateways[0], gateways[1]);
    let writer = system.writer().await?;
    within(LIMIT, "500 acknowledged writes", async || {
        (writer.acknowledged().len() >= 500).then_some(())
    })
    .await?;

    let mut story = Story::new(&mut system, &old, quorum)?;
    story.watch(&system, &writer).await?;
    let moved = plain.writes_on(&system, &story.new).await?;
    let words = format!("SET acknowledged by {}, which a gateway told it", story.new);
    story.own.push((moved, "sentinel client", words));
    story.end(&mut system).await?;

    let writes = writer.stop().await?;
    let node = system.node(&story.new)?;
    let found = writes.nothing_received_is_missing_on(node).await?;
    print!("{}", story.told(&system));
    let trace = story.trace.clone();
    let spans = collector.whole(&trace, &[("incident", 1), ("return", 1)]).await?;
    print!("\ntrace {trace}\n{}", tree(&spans));
    match jaeger {
        Some(jaeger) => println!("in Jaeger: {}", jaeger.page(&trace)),
        None => println!(
            "the same spans go to any OpenTelemetry collector (telemetry.otlp_endpoint): look for \
             the trace id there, or see it in Jaeger with scripts/demo --jaeger"
        ),
    }
    println!("{}", story.summary(writes.acknowledged.len(), found)?);
    Ok(system)
}

/// One failover, on the demo's clock.
struct Story {
    killed: Instant,
    pid: u32,
    mark: usize,
    quorum: usize,
    old: NodeAddr,
    new: NodeAddr,
    /// What is not on the bus: who, when, what.
    own: Vec<(Instant, &'static str, String)>,
    steps: Vec<(&'static str, Option<Instant>)>,
    announced: Option<Instant>,
    last_needed: Option<Instant>,
    first_write: Option<Instant>,
    /// The trace id of the incident.
    trace: String,
}

impl Story {
    /// Begins with the kill.
    fn new(system: &mut System, old: &NodeAddr, quorum: u32) -> Result<Self> {
        let mark = system.watcher.mark();
        let pid = system.nodes[0].pid().context("the master runs")?;
        let killed = system.nodes[0].kill9()?;
        Ok(Self {
            killed,
            pid,
            mark,
            quorum: usize::try_from(quorum)?,
            old: old.clone(),
            new: old.clone(),
            own: vec![(killed, "demo", format!("kill -9 {pid}, the master {old}"))],
            steps: Vec::new(),
            announced: None,
            last_needed: None,
            first_write: None,
            trace: String::new(),
        })
    }

    /// Until the first write on the new master, and what the notifier and late subscribers see.
    async fn watch(&mut self, system: &System, writer: &Writer) -> Result<()> {
        let (announced, master) =
            system.watcher.new_master(self.mark, LIMIT, &system.group(), &self.old).await?;
        self.new = master.master.clone();
        self.trace = master.trace_id.to_string();
        let write: Write = writer.write_on(&self.new, self.killed, LIMIT).await?;
        self.announced = Some(announced);
        self.first_write = Some(write.at);
        let words = format!("SET seq:{} acknowledged by {}", write.number, self.new);
        self.own.push((write.at, "writer", words));

        let name = EventName::SwitchMaster.as_str();
        let notifier = system.services.iter().find(|service| service.name() == "n1");
        let notifier = notifier.context("there is a notifier")?;
        let notified = within(LIMIT, "the notifier hears +switch-master", async || {
            notifier.log().contains(name).then(vedette_harness::now)
        })
        .await?;
        self.own.push((notified, "notifier/n1", format!("told its sinks {name}")));
        let kept = within(LIMIT, "the new master is retained for late subscribers", async || {
            let record = system.retained().await.ok().flatten()?;
            (record.master == self.new).then(vedette_harness::now)
        })
        .await?;
        self.own.push((kept, "jetstream", format!("retains {} for late subscribers", self.new)));
        Ok(())
    }

    /// Until all nodes are in line, the old master among them.
    async fn end(&mut self, system: &mut System) -> Result<()> {
        let ended = |fact: &Fact| pick::step(fact).filter(|s| s.step == Step::Ended).map(|_| ());
        system.watcher.wait(self.mark, LIMIT, "the failover's end", ended).await?;
        system.all_follow(&self.new).await?;
        self.measure(system);

        let started = vedette_harness::now();
        system.nodes[0].start()?;
        system.nodes[0].answers().await?;
        self.own.push((started, "demo", format!("starts the old master {} again", self.old)));
        system.all_follow(&self.new).await?;
        let words = format!("{} follows {}", self.old, self.new);
        self.own.push((vedette_harness::now(), "old master", words));
        Ok(())
    }

    fn measure(&mut self, system: &System) {
        let (downs, verdicts) = (self.downs(system), self.verdicts(system));
        self.last_needed = downs.get(self.quorum - 1).map(|(at, _)| *at);
        let step = |wanted: fn(&Step) -> bool| {
            let found = system.watcher.first(self.mark, |fact| {
                pick::step(fact).filter(|step| wanted(&step.step)).map(|_| ())
            });
            found.map(|(at, ())| at)
        };
        let committed = system.watcher.first(self.mark, |fact| {
            pick::record(fact).filter(|record| record.master == self.new).map(|_| ())
        });
        self.steps = vec![
            ("first prober: sdown", downs.first().map(|(at, _)| *at)),
            ("last needed prober: sdown", self.last_needed),
            ("majority of voters: odown", verdicts.get(1).map(|(at, _)| *at)),
            ("orchestrator elected", step(|s| matches!(s, Step::Claimed))),
            ("replica selected, plan written", step(|s| matches!(s, Step::Selected { .. }))),
            ("replica promoted", step(|s| matches!(s, Step::Promoted { .. }))),
            ("new master announced", self.announced),
            ("first write on the new master", self.first_write),
            ("new master committed", committed.map(|(at, ())| at)),
            ("other replica follows", step(|s| matches!(s, Step::Repaired { .. }))),
            ("failover ended", step(|s| matches!(s, Step::Ended))),
        ];
    }

    /// Each prober's first report that the master is down, in order.
    fn downs(&self, system: &System) -> Vec<(Instant, String)> {
        self.firsts(system, |fact| {
            let report = pick::sdown(fact).filter(|report| report.node == self.old)?;
            let down = matches!(report.state, NodeState::Down(_));
            down.then(|| report.prober.to_string())
        })
    }

    /// Each voter's first verdict that the master is down, in order.
    fn verdicts(&self, system: &System) -> Vec<(Instant, String)> {
        self.firsts(system, |fact| {
            let verdict = pick::odown(fact).filter(|verdict| verdict.master == self.old)?;
            verdict.reached.then(|| verdict.voter.to_string())
        })
    }

    fn firsts(
        &self,
        system: &System,
        pick: impl Fn(&Fact) -> Option<String>,
    ) -> Vec<(Instant, String)> {
        let mut known = BTreeSet::new();
        let seen = system.watcher.since(self.mark).into_iter();
        let picked = seen.filter_map(|seen| pick(&seen.fact).map(|who| (seen.at, who)));
        picked.filter(|(_, who)| known.insert(who.clone())).collect()
    }

    /// The screen: what each service saw, then how long each step took.
    fn told(&self, system: &System) -> String {
        let mut lines = self.own.clone();
        let mut known = BTreeSet::new();
        for seen in system.watcher.since(self.mark) {
            let Some(words) = self.words(&seen.fact) else { continue };
            let who = seen.sender.map_or_else(|| "?".into(), |sender| sender.to_string());
            let state = Self::state(&seen.fact).unwrap_or_else(|| words.clone());
            if known.insert((who.clone(), state)) {
                lines.push((seen.at, "", format!("{who:<16} {words}")));
            }
        }
        lines.sort_by_key(|(at, ..)| *at);
        let mut text = String::from("\n      ms  who              what it said or saw\n");
        for (at, who, words) in lines {
            let ms = signed_ms(at, self.killed);
            match who {
                "" => text += &format!("{ms:8.1}  {words}\n"),
                who => text += &format!("{ms:8.1}  {who:<16} {words}\n"),
            }
        }
        text += "\n   at ms  took ms  step\n";
        let mut before = self.killed;
        for (name, at) in &self.steps {
            match at {
                Some(at) => {
                    let (ms, took) = (signed_ms(*at, self.killed), signed_ms(*at, before));
                    text += &format!("{ms:8.1} {took:8.1}  {name}\n");
                    before = *at;
                }
                None => text += &format!("{:>8} {:>8}  {name}\n", "-", "not seen"),
            }
        }
        text
    }

    fn words(&self, fact: &Fact) -> Option<String> {
        let ours = pick::sdown(fact).is_none_or(|report| report.node == self.old);
        let shown = match fact {
            Fact::SdownReport(_)
            | Fact::OdownVerdict(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::FailoverStep(_)
            | Fact::MasterRecord(_) => true,
            Fact::NodeReport(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::RecordCommitted(_)
            | Fact::Digest(_)
            | Fact::DigestReply(_)
            | Fact::Heartbeat(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::StatusQuery(_)
            | Fact::MasterQuery(_)
            | Fact::Event(_) => false,
        };
        (ours && shown).then(|| describe(fact)).flatten()
    }

    /// Reports and verdicts are repeated while they hold, with other numbers: what stays the same.
    fn state(fact: &Fact) -> Option<String> {
        let report = pick::sdown(fact).map(|report| (&report.node, report.state == NodeState::Up));
        let verdict = pick::odown(fact).map(|verdict| (&verdict.master, !verdict.reached));
        let (node, good) = report.or(verdict)?;
        Some(format!("{node} {good}"))
    }

    fn summary(&self, acknowledged: usize, found: usize) -> Result<String> {
        let announced = self.announced.context("a new master was announced")?;
        let needed = self.last_needed.context("a quorum of probers reported")?;
        let write = self.first_write.context("a write was acknowledged")?;
        Ok(format!(
            "\nSUMMARY kill -9 of pid {} to announcement {:.1} ms; last needed SDOWN report to \
             announcement {:.1} ms; kill to first write {:.1} ms; {acknowledged} writes \
             acknowledged, {found} found again",
            self.pid,
            signed_ms(announced, self.killed),
            signed_ms(announced, needed),
            signed_ms(write, self.killed),
        ))
    }
}

fn explain(system: &System) -> Result<()> {
    let (url, folder) = (&system.urls()[0], system.path()?);
    // Built beside this one.
    let vedette = std::env::current_exe()?.with_file_name("vedette");
    let vedette = vedette.display();
    println!("\nEverything keeps running until Ctrl-C. To explore it from another terminal:");
    println!("  {vedette} --nats {url} status");
    println!("  {vedette} --nats {url} watch");
    println!("  {vedette} --nats {url} master {}", system.group());
    println!("  the gateways' addresses stand at the top, for any Sentinel client");
    for node in &system.nodes {
        if let Some(pid) = node.pid() {
            println!(
                "  redis-cli -p {} role    ({}; kill -9 {pid})",
                node.addr().port(),
                node.name()
            );
        }
    }
    for service in &system.services {
        if let Some(pid) = service.pid() {
            println!("  kill -9 {pid}    ({}/{})", service.service(), service.name());
        }
    }
    println!("  {}    (configuration and logs)", folder.display());
    Ok(())
}
