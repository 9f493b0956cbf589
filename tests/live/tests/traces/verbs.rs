//! What people do: each verb of the command is a trace of its own, of one span.

use crate::support::{nothing_else, root, switched, traced, whole};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::net::TcpListener;
use vedette_harness::{GROUP, Home, LIMIT, Node, Plan, Process, System, binary, now, within};
use vedette_live::collector::{Collector, Taken};
use vedette_live::{ms, tell};

/// What a verb waits for a collector that does not answer, at most.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
/// Between two runs of one verb on a busy machine. One that waited without limit would never end.
const SLACK: Duration = Duration::from_secs(5);

/// A verb that was carried out.
struct Done {
    pid: u32,
    code: i32,
    took_ms: f64,
    said: String,
}

async fn carried_out(
    system: &System,
    environment: Vec<(String, String)>,
    words: &[&str],
) -> Result<Done> {
    let urls = system.urls().into_iter().flat_map(|url| ["--nats".into(), url]);
    let arguments = urls.chain(words.iter().map(ToString::to_string)).collect();
    let (home, name) = (Home::loopback(), words.join("-"));
    let begun = now();
    let program = binary::command_line()?;
    let mut verb =
        Process::spawn_at(home, environment, &name, program, arguments, &system.path()?)?;
    let pid = verb.pid().context("it runs")?;
    let ended = within(LIMIT, &format!("the end of {name}"), async || verb.collect()).await?;
    let code = ended.code().with_context(|| format!("{name} was killed: {ended}"))?;
    Ok(Done { pid, code, took_ms: ms(begun, now()), said: verb.log() })
}

/// The only span that a verb has told: it has ended, so nothing more comes.
fn only(collector: &Collector, words: &str, done: &Done) -> Result<Taken> {
    let of_verb = |span: &Taken| span.attribute("process.pid") == done.pid.to_string();
    let mut spans: Vec<_> = collector.taken().into_iter().filter(of_verb).collect();
    let span = spans.pop().with_context(|| format!("no span of {words}: {}", done.said))?;
    ensure!(spans.is_empty(), "more than one span of {words}: {spans:#?} {span:#?}");
    ensure!(!done.said.contains("otel.name"), "it shows in the log: {}", done.said);
    ensure!(span.name == format!("vedette {words}") && span.parent.is_none(), "{span:#?}");
    ensure!((&*span.service, &*span.instance) == ("vedette-cli", "cli"), "{span:#?}");
    ensure!(span.attribute("vedette.verb") == words, "{span:#?}");
    ensure!(span.attribute("process.executable.name") == "vedette", "{span:#?}");
    ensure!(span.attribute("process.exit.code") == done.code.to_string(), "{span:#?}");
    ensure!(span.error.is_some() == (done.code != 0), "{span:#?}");
    ensure!(span.attribute("user.name") == "nightly", "{span:#?}");
    ensure!(!span.attribute("host.name").is_empty() && span.events.is_empty(), "{span:#?}");
    Ok(span)
}

/// The collector's environment, and somebody who asks.
fn asker(collector: &Collector) -> Vec<(String, String)> {
    let mut environment = collector.environment();
    environment.push(("SUDO_USER".into(), "nightly".into()));
    // More than is to be told.
    environment.push(("VEDETTE_LOG__LEVEL".into(), "trace".into()));
    environment
}

#[tokio::test]
async fn each_verb_is_one_span_with_its_exit_code() -> Result<()> {
    let (system, collector) = traced(Plan::default()).await?;
    let asker = asker(&collector);

    let done = carried_out(&system, asker.clone(), &["groups"]).await?;
    ensure!(done.code == 0, "{}", done.said);
    let listed = only(&collector, "groups", &done)?;
    let mut keys: BTreeSet<_> = listed.attributes.keys().map(String::as_str).collect();
    let common = [
        "process.executable.name",
        "process.pid",
        "process.exit.code",
        "vedette.verb",
        "user.name",
        "host.name",
    ];
    ensure!(keys == BTreeSet::from(common), "{listed:#?}");
    let took = Duration::from_nanos(listed.to - listed.from).as_secs_f64() * 1e3;
    ensure!(took > 0.0 && took < done.took_ms, "{took} of {} ms", done.took_ms);

    // One machine for all is a loss that is an outage.
    let done = carried_out(&system, asker.clone(), &["survive"]).await?;
    let found = only(&collector, "survive", &done)?;
    ensure!(done.code == 1 && found.attribute("error.type") == "attention", "{found:#?}");

    let done = carried_out(&system, asker.clone(), &["master", "nobody"]).await?;
    let failed = only(&collector, "master", &done)?;
    ensure!(done.code == 1 && failed.attribute("error.type") == "failure", "{failed:#?}");
    ensure!(failed.attribute("vedette.group") == "nobody", "{failed:#?}");
    let why = failed.error.clone().context("it failed")?;
    ensure!(done.said.contains(&why) && why.contains("nobody"), "{why:?} and not {}", done.said);

    let done = carried_out(&system, asker, &["notify", "dead"]).await?;
    only(&collector, "notify dead", &done)?;
    keys = ["vedette groups", "vedette survive", "vedette master", "vedette notify dead"].into();
    let told = collector.taken();
    ensure!(told.iter().map(|span| &*span.name).collect::<BTreeSet<_>>() == keys, "{told:#?}");
    ensure!(told.len() == keys.len() && collector.traces().len() == keys.len(), "{told:#?}");
    system.finish().await
}

#[tokio::test]
async fn a_verb_that_begins_an_incident_points_to_it() -> Result<()> {
    let (mut system, collector) = traced(Plan::default()).await?;
    system.announce(&[]);
    let (mark, old) = (system.watcher.mark(), system.master());
    let done = carried_out(&system, asker(&collector), &["switchover", GROUP]).await?;
    ensure!(done.code == 0, "{}", done.said);
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    let incident = root(&whole(&collector, &trace, &[("promote", 1)]).await?, "switched")?.clone();
    let asked = only(&collector, "switchover", &done)?;
    ensure!(asked.attribute("vedette.group") == GROUP, "{asked:#?}");
    ensure!(asked.links == [incident.id], "{asked:#?}");
    ensure!(asked.from <= incident.from, "the wish was there before what it began");
    nothing_else(&collector, &[&trace, &asked.trace])?;
    system.finish().await
}

#[tokio::test]
async fn a_collector_that_never_answers_delays_a_verb_by_two_seconds_at_most() -> Result<()> {
    let system = System::start(Plan::default()).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let told = vec![("VEDETTE_TELEMETRY__OTLP_ENDPOINT".into(), url)];
    let words = ["groups", "--wait", "500"];
    let alone = carried_out(&system, Vec::new(), &words).await?;
    let hindered = carried_out(&system, told, &words).await?;
    ensure!(listener.accept().await.is_ok(), "nobody tried to tell it");
    tell(&format!(
        "vedette groups took {:.0} ms, and {:.0} ms with a collector that hangs",
        alone.took_ms, hindered.took_ms
    ));
    ensure!((alone.code, hindered.code) == (0, 0), "{} {}", alone.said, hindered.said);
    let limit = (FLUSH_LIMIT + SLACK).as_secs_f64() * 1e3;
    ensure!(hindered.took_ms - alone.took_ms < limit, "{:.0} ms", hindered.took_ms);
    system.finish().await
}

#[tokio::test]
async fn a_whole_system_in_one_process_is_no_verb() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nodes = Node::start_group(1, folder.path(), None).await?;
    let collector = Collector::start().await?;
    let mut environment = asker(&collector);
    let nats = binary::nats()?.to_string_lossy().into_owned();
    environment.push(("VEDETTE_NATS_SERVER".into(), nats));
    let arguments = vec!["up".into(), nodes[0].addr().to_string()];
    let (home, program) = (Home::loopback(), binary::command_line()?);
    let mut up = Process::spawn_at(home, environment, "up", program, arguments, folder.path())?;
    let ready = async || up.log().contains("Try in another terminal").then_some(());
    within(LIMIT, "vedette up is ready", ready).await.with_context(|| up.log())?;
    let ended = up.terminate(LIMIT).await?;
    ensure!(ended.success(), "{ended}: {}", up.log());
    nothing_else(&collector, &[])
}
