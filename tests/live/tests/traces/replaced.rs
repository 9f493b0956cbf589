//! Masters that are replaced.

use crate::support::{
    FAILOVER, WORDS, bereaved, first, moments, nothing_else, root, switched, traced, whole,
};
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tokio::net::TcpListener;
use vedette_harness::{GROUP, LIMIT, Plan, System, now, within};
use vedette_live::collector::{Collector, Taken};
use vedette_live::{ms, tell};
use vedette_model::NodeAddr;

#[tokio::test]
async fn a_master_that_is_killed() -> Result<()> {
    let (mut system, collector) = traced(Plan::default()).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    let master = switched(&system, mark, &old).await?;
    let trace = master.trace_id.to_string();
    let spans = whole(&collector, &trace, FAILOVER).await?;
    nothing_else(&collector, &[&trace])?;

    let incident = root(&spans, "switched")?;
    ensure!(incident.attribute("vedette.master.old") == old.to_string());
    ensure!(incident.attribute("vedette.master.new") == master.master.to_string());
    ensure!(moments(incident).contains_key("+switch-master"), "{incident:?}");
    ensure!(moments(incident).contains_key("+failover-end"), "{incident:?}");
    evidence(&spans)?;
    votes(&spans)?;
    choice(&spans, &system)?;
    let promote = first(&spans, "promote")?;
    ensure!(promote.attribute("db.system.name") == "redis");
    ensure!(promote.attribute("server.port") == master.port.to_string());
    let announce = first(&spans, "announce")?;
    ensure!(announce.attribute("messaging.system") == "nats");
    ensure!(announce.attribute("messaging.destination.name").contains(".master."));

    let said = system.vedette(&["explain", GROUP]).await?;
    ensure!(said.contains(&trace), "explain does not name the trace:\n{said}");
    system.nodes[0].start()?;
    let back = collector.span(&trace, "return").await?;
    ensure!(back.attribute("server.port") == old.port().to_string(), "{back:?}");
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

/// Each prober says what it found and how often it tried; each voter which of that it counted.
fn evidence(spans: &[Taken]) -> Result<()> {
    for detect in spans.iter().filter(|span| span.name == "detect") {
        ensure!(["crash", "silence"].contains(&detect.attribute("vedette.evidence")));
        ensure!(detect.attribute("vedette.attempts") != "0", "{detect:?}");
        let silence: u64 = detect.attribute("vedette.silence_ms").parse()?;
        let took = (detect.to - detect.from) / 1_000_000;
        ensure!(took.abs_diff(silence) <= 1, "{took} ms and {silence} ms");
    }
    for verdict in spans.iter().filter(|span| span.name == "verdict") {
        ensure!(verdict.links.len() >= 2 && verdict.events.len() >= 2, "{verdict:?}");
        for link in &verdict.links {
            let linked = spans.iter().find(|span| span.id == *link);
            ensure!(linked.is_some_and(|span| span.name == "detect"), "{verdict:?}");
        }
    }
    Ok(())
}

/// Candidacy and commits name each voter's answer; the voters' own spans point to them.
fn votes(spans: &[Taken]) -> Result<()> {
    let won =
        spans.iter().find(|s| s.name == "candidacy" && s.attribute("vedette.outcome") == "won");
    ensure!(won.context("a candidacy that was won")?.events.len() >= 2);
    let stages: Vec<_> = spans.iter().filter(|span| span.name == "commit").collect();
    let words: Vec<_> = stages.iter().map(|span| span.attribute("vedette.commit")).collect();
    ensure!(words == ["plan", "master", "end"], "{words:?}");
    ensure!(stages.iter().all(|commit| commit.events.len() >= 2), "{stages:?}");
    for answer in spans.iter().filter(|s| s.name == "ballot" || s.name == "accept") {
        let asked = answer.links.first().context("it points to the question")?;
        let asked = spans.iter().find(|span| span.id == *asked);
        ensure!(asked.is_some_and(|s| s.name == "candidacy" || s.name == "commit"), "{answer:?}");
    }
    Ok(())
}

/// Every member is chosen, or not chosen for a reason.
fn choice(spans: &[Taken], system: &System) -> Result<()> {
    let select = first(spans, "select")?;
    let candidates = moments(select);
    for node in &system.nodes {
        let about = candidates.get(node.addr().to_string().as_str());
        let about = about.with_context(|| format!("nothing of {}: {select:?}", node.addr()))?;
        let chosen = about.get("vedette.outcome").is_some_and(|outcome| outcome == "chosen");
        ensure!(chosen || about.contains_key("vedette.reason"), "{about:?}");
    }
    let survey = first(spans, "survey")?;
    let infos = spans.iter().filter(|span| span.name == "info");
    ensure!(infos.clone().all(|info| info.parent.as_ref() == Some(&survey.id)));
    ensure!(infos.count() == 2);
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_frozen_told_over_http() -> Result<()> {
    let collector = Collector::start().await?;
    let service_environment = collector.environment_http();
    let mut system = System::start(Plan { service_environment, ..Plan::default() }).await?;
    system.announce(WORDS);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].stop()?;
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    let spans = whole(&collector, &trace, FAILOVER).await?;
    root(&spans, "switched")?;
    ensure!(first(&spans, "detect")?.attribute("vedette.evidence") == "silence");
    system.nodes[0].cont()?;
    collector.span(&trace, "return").await?;
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_master_that_a_script_keeps_busy() -> Result<()> {
    let mut plan = Plan::default();
    plan.settings.push("busy_budget_ms = 1000".into());
    plan.node_lines.push("busy-reply-threshold 100".into());
    let (mut system, collector) = traced(plan).await?;
    system.announce(&["busy"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    let busy = async {
        let node = system.node(&old)?;
        // It is killed, or cut off, sooner or later: what it answers is of no interest.
        let _: Result<Option<String>> = node.command(&["EVAL", "while true do end", "0"]).await;
        anyhow::Ok(())
    };
    let trace = tokio::select! {
        master = switched(&system, mark, &old) => master?.trace_id.to_string(),
        ended = busy => { ended?; switched(&system, mark, &old).await?.trace_id.to_string() }
    };
    let spans = whole(&collector, &trace, FAILOVER).await?;
    root(&spans, "switched")?;
    ensure!(first(&spans, "detect")?.attribute("vedette.evidence") == "busy");
    system.nodes[0].kill9()?;
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_master_whose_failover_loses_its_leader() -> Result<()> {
    let plan = Plan { fault_points: true, ..Plan::default() };
    let (mut system, collector) = traced(plan).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    system.arm("kill@promoted")?;
    system.nodes[0].kill9()?;
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    let wanted = [
        ("incident", 1),
        ("detect", 2),
        ("verdict", 2),
        ("candidacy", 1),
        ("ballot", 4),
        ("commit", 3),
        ("accept", 6),
        ("promote", 1),
        ("announce", 1),
        ("repoint", 1),
    ];
    let spans = bereaved(&collector, &trace, &wanted).await?;
    root(&spans, "switched")?;
    let takes_over =
        |s: &&Taken| s.name == "candidacy" && s.attribute("vedette.purpose") == "takeover";
    ensure!(spans.iter().filter(takes_over).count() >= 1, "nobody took over");
    nothing_else(&collector, &[&trace])?;
    let killed = system.services.iter_mut().find_map(|s| s.collect().map(|_| s.name().to_owned()));
    system.service(&killed.context("a leader was killed")?)?.start()?;
    system.finish().await
}

#[tokio::test]
async fn a_new_master_that_dies_during_the_hold_off_has_a_trace_of_its_own() -> Result<()> {
    let mut plan = Plan::of_many_failovers();
    plan.settings = vec!["hold_off_ms = 3000".into(), "flap_limit = 0".into()];
    let (mut system, collector) = traced(plan).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    let one = switched(&system, mark, &old).await?;
    // What is seen before the first incident's end belongs to it, and so would the second death.
    whole(&collector, &one.trace_id.to_string(), FAILOVER).await?;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&one.master).await?;
    let mark = system.watcher.mark();
    let dead = position(&system, &one.master)?;
    system.nodes[dead].kill9()?;
    let other = switched(&system, mark, &one.master).await?;
    let (one, other) = (one.trace_id.to_string(), other.trace_id.to_string());
    ensure!(one != other, "two incidents in one trace");
    let spans = whole(&collector, &other, FAILOVER).await?;
    root(&spans, "switched")?;
    let candidacies: Vec<_> = spans.iter().filter(|span| span.name == "candidacy").collect();
    let outcomes: Vec<_> = candidacies.iter().map(|c| c.attribute("vedette.outcome")).collect();
    ensure!(outcomes.contains(&"lost") && outcomes.contains(&"won"), "{outcomes:?}");
    nothing_else(&collector, &[&one, &other])?;
    system.finish().await
}

fn position(system: &System, addr: &NodeAddr) -> Result<usize> {
    let at = system.nodes.iter().position(|node| node.addr() == addr);
    at.context("the node is one of ours")
}

/// From the kill to the announcement at most, in ms, whatever the collector does.
const UNHINDERED_MS: f64 = 3_000.0;

#[tokio::test]
async fn a_collector_that_never_answers_costs_nothing() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let service_environment = vec![("VEDETTE_TELEMETRY__OTLP_ENDPOINT".into(), url)];
    let mut system = System::start(Plan { service_environment, ..Plan::default() }).await?;
    system.announce(WORDS);
    system.announce(&["spans were dropped"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    let killed = system.nodes[0].kill9()?;
    let group = system.group();
    let (announced, _) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    let took = ms(killed, announced);
    tell(&format!("kill -9 to announcement {took:.0} ms, with a collector that hangs"));
    ensure!(took < UNHINDERED_MS, "{took:.0} ms");
    // Their last spans do not keep the services from ending either.
    within(LIMIT, "somebody tried to tell it", async || {
        listener.accept().await.is_ok().then_some(())
    })
    .await?;
    let ending = now();
    system.finish().await?;
    ensure!(ms(ending, now()) < Duration::from_secs(60).as_secs_f64() * 1e3);
    Ok(())
}
