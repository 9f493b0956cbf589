//! What is kept of a failover, and of one that did not come about.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use vedette_harness::{GROUP, LIMIT, Plan, System, now, within};
use vedette_live::page::page;
use vedette_live::{finish, switched, tell, writing};
use vedette_model::Service;

/// What `vedette explain` says of the group as JSON, once `fits`.
async fn explained(system: &System, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    within(LIMIT, &format!("vedette explain says: {what}"), async || {
        let said = system.vedette(&["explain", GROUP, "--json"]).await.ok()?;
        serde_json::from_str(&said).ok().filter(&fits)
    })
    .await
}

fn texts<'a>(value: &'a Value, list: &str, key: &str) -> Vec<&'a str> {
    let list = value[list].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|item| item[key].as_str()).collect()
}

#[tokio::test]
async fn a_failover_is_explained_and_the_history_outlives_nats() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "nats", "retained", "bus", "lost"]);
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();

    let said = explained(&system, "it is over", |said| said["ended"].is_string()).await?;
    ensure!(said["outcome"] == "failover", "{said:#}");
    ensure!(said["id"] == switch.master.trace_id.to_string(), "{said:#}");
    ensure!(said["loss"]["bytes"] == serde_json::to_value(switch.master.loss.bytes)?, "{said:#}");
    let evidence = texts(&said, "evidence", "text").join("\n");
    ensure!(evidence.contains("link broken"), "{evidence}");
    ensure!(texts(&said, "verdicts", "by").len() >= 2, "a majority of the voters: {said:#}");
    let promised = said["votes"][0]["promised"].as_array().map_or(0, Vec::len);
    ensure!(promised >= 2, "{said:#}");
    let chosen = said["candidates"].as_array().context("there are candidates")?;
    ensure!(chosen[0]["node"] == new.to_string() && chosen[0]["chosen"] == true, "{said:#}");
    let reasons = texts(&said, "candidates", "reason");
    ensure!(reasons.contains(&"the failed master") && reasons.len() == 2, "{reasons:?}");
    let steps = texts(&said, "steps", "text").join("\n");
    for step in [
        "odown by a majority",
        "elected",
        "answered the survey",
        "selected",
        "promoted",
        "committed",
        "follows",
        "ended",
    ] {
        ensure!(steps.contains(step), "{step} is missing:\n{steps}");
    }
    let text = system.vedette(&["explain", GROUP]).await?;
    tell(&text);
    ensure!(text.contains(&format!("failover: {old} → {new}, epoch 2")), "{text}");

    let list = system.vedette(&["history", GROUP]).await?;
    ensure!(list.contains(&format!("failover: {old} → {new}")), "{list}");
    let id = said["id"].as_str().and_then(|id| id.get(..12)).context("it has an id")?;
    ensure!(list.contains(id), "{list}");
    system.process("nats1")?.restart()?;
    within(LIMIT, "the history is there after a restart of nats", async || {
        let said = system.vedette(&["explain", id]).await.ok()?;
        said.contains(&format!("failover: {old} → {new}, epoch 2")).then_some(())
    })
    .await?;
    finish(system, writer, &new).await
}

#[tokio::test]
async fn a_failover_without_jetstream_is_in_the_history_once_that_is_back() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "nats", "bus", "jetstream", "retained", "lost"]);
    let writer = writing(&system).await?;
    within(LIMIT, "jetstream retains the master", async || system.retained().await.ok().flatten())
        .await?;
    let file = system.path()?.join("nats1.nats.conf");
    let with = std::fs::read_to_string(&file)?;
    let without: Vec<_> = with.lines().filter(|line| !line.starts_with("jetstream")).collect();
    std::fs::write(&file, without.join("\n"))?;
    system.process("nats1")?.restart()?;
    writer.write_on(&system.master(), now(), LIMIT).await?;
    let (old, mark) = (system.master(), system.watcher.mark());
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();
    within(LIMIT, "the leader misses jetstream", async || {
        system.services.iter().any(|one| one.log().contains("are not retained")).then_some(())
    })
    .await?;
    std::fs::write(&file, with)?;
    system.process("nats1")?.restart()?;
    let id = switch.master.trace_id.to_string();
    let mut list = String::new();
    let healed = within(LIMIT, "the failover is in the history", async || {
        list = system.vedette(&["history", GROUP]).await.ok()?;
        let told = format!("failover: {old} → {new}");
        (list.contains(&told) && list.contains(&id[..12])).then_some(())
    });
    healed.await.with_context(|| list.clone())?;
    tell(&list);
    let said = explained(&system, "the loss", |said| said["outcome"] == "failover").await?;
    ensure!(said["id"] == id, "{said:#}");
    ensure!(said["loss"]["bytes"] == serde_json::to_value(switch.master.loss.bytes)?, "{said:#}");
    finish(system, writer, &new).await
}

#[tokio::test]
async fn without_a_majority_of_voters_it_says_why_nothing_happened() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "voter"]);
    let old = system.master();
    let writer = writing(&system).await?;
    for voter in ["v2", "v3"] {
        system.service(voter)?.kill9()?;
    }
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let why = "1 of 2 needed voters say odown, v2 and v3 do not";
    let said = explained(&system, why, |said| said["why_not"].to_string().contains(why)).await?;
    ensure!(said["outcome"] == "no_attempt" && said["ended"].is_null(), "{said:#}");
    ensure!(texts(&said, "verdicts", "by") == ["voter/v1"], "{said:#}");
    ensure!(said["today"]["voters"] == 1, "{said:#}");
    tell(&system.vedette(&["explain", GROUP]).await?);

    // What comes of it in the end belongs to the same incident.
    system.service("v2")?.start()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let said = explained(&system, "a failover", |said| said["outcome"] == "failover").await?;
    ensure!(said["timeline"].to_string().contains(why), "{said:#}");
    finish(system, writer, &switch.master.master).await
}

#[tokio::test]
async fn without_a_node_that_may_be_master_it_names_each_and_why() -> Result<()> {
    let mut plan = Plan::default();
    plan.node_lines.push("replica-priority 0".into());
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "no-good-slave"]);
    system.nodes[0].kill9()?;
    let why = "priority 0";
    let said = explained(&system, why, |said| said["why_not"].to_string().contains(why)).await?;
    ensure!(said["outcome"] == "given_up", "{said:#}");
    let list = said["why_not"].to_string();
    for node in &system.nodes {
        ensure!(list.contains(&node.addr().to_string()), "{list}");
    }
    system.finish().await
}

/// What the gateway tells on this path, once it `fits`.
async fn told(at: SocketAddr, path: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let (what, mut last) = (format!("the gateway tells {path}"), String::new());
    let told = within(LIMIT, &what, async || {
        let page = page(at, path).await.ok()?;
        last = format!("{} {}", page.status, page.text);
        let told: Option<Value> = serde_json::from_str(&page.text).ok().filter(&fits);
        told.filter(|_| page.status == 200)
    });
    told.await.with_context(|| last)
}

#[tokio::test]
async fn a_gateway_tells_the_past_as_the_command_does() -> Result<()> {
    let mut system = System::start(Plan { http: true, ..Plan::default() }).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    system.start_service(Service::Gateway, "g1")?;
    let at = *system.http.get("g1").context("g1 has a second port")?;
    within(LIMIT, "g1 is ready", async || {
        (page(at, "/readyz").await.ok()?.status == 200).then_some(())
    })
    .await?;
    let old = system.master();
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();

    let said = explained(&system, "it is over", |said| said["ended"].is_string()).await?;
    let latest = format!("/groups/{GROUP}/explain");
    told(at, &latest, |told| *told == said).await?;
    let id = said["id"].as_str().and_then(|id| id.get(..12)).context("it has an id")?;
    told(at, &format!("/explain/{id}"), |told| *told == said).await?;

    // Something may be kept between the two questions.
    for (words, path) in [
        (&["history", "--json"][..], "/history".to_string()),
        (
            &["history", GROUP, "--since", "1h", "--json"],
            format!("/history?group={GROUP}&since=1h"),
        ),
    ] {
        let (what, mut lines) = (format!("{path} is what the command lists"), String::new());
        let mut told = Value::Null;
        let same = within(LIMIT, &what, async || {
            lines = system.vedette(words).await.ok()?;
            let parsed = lines.lines().map(serde_json::from_str::<Value>);
            let listed = Value::Array(parsed.collect::<Result<_, _>>().ok()?);
            let page = page(at, &path).await.ok()?;
            told = serde_json::from_str(&page.text).ok()?;
            (told["history"] == listed).then_some(())
        });
        same.await.with_context(|| format!("{told:#}\n{lines}"))?;
        let told = told["history"].to_string();
        ensure!(told.contains(&format!("failover: {old} → {new}")), "{told}");
    }

    for (path, status) in [
        ("/explain/nothing", 404),
        ("/groups/nobody/explain", 404),
        ("/history?since=yesterday", 400),
        ("/history?group=a%20b", 400),
    ] {
        let answer = page(at, path).await?;
        ensure!(answer.status == status, "{path}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.text)?;
        ensure!(body["error"].is_string(), "{path}: {body}");
    }
    finish(system, writer, &new).await
}

#[tokio::test]
async fn a_gateway_says_that_jetstream_is_not_there() -> Result<()> {
    let plan = Plan { http: true, jetstream: false, ..Plan::default() };
    let mut system = System::start(plan).await?;
    system.announce(&["jetstream"]);
    system.start_service(Service::Gateway, "g1")?;
    let at = *system.http.get("g1").context("g1 has a second port")?;
    let said = within(LIMIT, "it answers", async || {
        page(at, "/history").await.ok().filter(|page| page.status == 503)
    });
    let said = said.await?;
    ensure!(said.text.contains("the history cannot be read: jetstream"), "{said:?}");
    ensure!(page(at, "/readyz").await.is_ok(), "the port goes on");
    system.finish().await
}
