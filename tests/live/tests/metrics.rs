//! What the services count, as a real Prometheus reads it: `observability/` speaks of nothing else.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vedette_harness::{GROUP, LIMIT, Plan, Process, System, ports, within};
use vedette_live::{finish, tell, writing};
use vedette_model::Service;

/// A page must have come by then.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The body that is answered with 200.
async fn page(at: SocketAddr, path: &str, accept: &str) -> Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect(at).await?;
        let head = format!("GET {path} HTTP/1.0\r\nHost: test\r\nAccept: {accept}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, anyhow::Error>(answer)
    };
    let answer = tokio::time::timeout(ANSWER_LIMIT, asked).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.contains(" 200 "), "{path}: {head}\n{body}");
    Ok(body.into())
}

fn program(name: &str) -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("{name} is missing: `apt-get install prometheus`"))
}

fn observability(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../observability").join(path)
}

/// Runs `promtool` over what it is given.
fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(program("promtool")?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("it reads")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    ensure!(output.status.success(), "promtool {arguments:?}: {words}");
    Ok(())
}

/// What every panel of the dashboards asks, with its place.
fn questions() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for board in ["fleet", "group", "failover"] {
        let text = std::fs::read_to_string(observability(&format!("grafana/{board}.json")))?;
        let board: Value = serde_json::from_str(&text)?;
        for panel in board["panels"].as_array().context("panels")? {
            for target in panel["targets"].as_array().context("targets")? {
                let ask = target["expr"].as_str().context("expr")?;
                let ask = ask.replace("$group", GROUP).replace("$__rate_interval", "1m");
                all.push((format!("{}: {}", board["title"], panel["title"]), ask));
            }
        }
    }
    Ok(all)
}

/// A real server that reads all of the system's services.
async fn prometheus(system: &System, folder: &Path) -> Result<(Process, SocketAddr)> {
    let targets: Vec<_> = system.http.values().map(ToString::to_string).collect();
    let text = format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s }}\n\
         rule_files: [{:?}]\n\
         scrape_configs: [{{ job_name: vedette, static_configs: [{{ targets: {targets:?} }}] }}]\n",
        observability("prometheus/alerts.yaml").canonicalize()?
    );
    let file = folder.join("prometheus.yaml");
    std::fs::write(&file, text)?;
    let at = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let arguments = vec![
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
        format!("--web.listen-address={at}"),
    ];
    let process = Process::spawn("prometheus", program("prometheus")?, arguments, folder)?;
    let ready =
        within(LIMIT, "prometheus is ready", async || page(at, "/-/ready", "*/*").await.ok());
    ready.await?;
    Ok((process, at))
}

/// What Prometheus answers to a query.
async fn query(at: SocketAddr, ask: &str) -> Result<Vec<Value>> {
    let encoded: String = ask.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let text = page(at, &format!("/api/v1/query?query={encoded}"), "application/json").await?;
    let answer: Value = serde_json::from_str(&text)?;
    ensure!(answer["status"] == "success", "{ask}: {answer}");
    Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboards_and_alerts_ask_for_what_is_told() -> Result<()> {
    promtool(
        &["test", "rules", &observability("prometheus/alerts.test.yaml").to_string_lossy()],
        "",
    )?;
    let plan = Plan { http: true, notifiers: 1, ..Plan::default() };
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "reboot"]);
    system.start_service(Service::Gateway, "g1")?;
    let folder = tempfile::tempdir()?;
    let (mut server, at) = prometheus(&system, folder.path()).await?;
    let services = system.http.len();
    within(LIMIT, "every service is read", async || {
        let up = query(at, "sum(up)").await.ok()?;
        (up.first()?["value"][1] == services.to_string().as_str()).then_some(())
    })
    .await?;

    // A failover and a switchover, so that everything has been counted once.
    let writer = writing(&system).await?;
    let (mark, old) = (system.watcher.mark(), system.master());
    let at_old = system.nodes.iter().position(|node| *node.addr() == old).context("the master")?;
    system.nodes[at_old].kill9()?;
    let (_, new) = system.watcher.new_master(mark, LIMIT, &system.group(), &old).await?;
    system.nodes[at_old].start()?;
    system.nodes[at_old].answers().await?;
    system.all_follow(&new.master).await?;
    let (mark, old) = (system.watcher.mark(), new.master);
    let _ = system.vedette(&["switchover", GROUP]).await?;
    let (_, new) = system.watcher.new_master(mark, LIMIT, &system.group(), &old).await?;
    system.all_follow(&new.master).await?;

    let failovers = "sum by (reason) (vedette_orchestrator_failovers_total{outcome=\"switched\"})";
    within(LIMIT, "both changes are counted", async || {
        let found = query(at, failovers).await.ok()?;
        let reasons: BTreeSet<_> =
            found.iter().filter_map(|one| one["metric"]["reason"].as_str()).collect();
        (reasons == BTreeSet::from(["failover", "switchover"])).then_some(())
    })
    .await?;
    let questions = questions()?;
    let mut empty = String::new();
    let all = within(LIMIT, "every panel shows something", async || {
        for (place, ask) in &questions {
            match query(at, ask).await {
                Ok(found) if !found.is_empty() => {}
                other => {
                    empty = format!("{place} asks {ask} and gets {other:?}");
                    return None;
                }
            }
        }
        Some(())
    });
    all.await.with_context(|| empty)?;
    rules(at).await?;
    for (id, at) in &system.http {
        ensure!(page(*at, "/healthz", "*/*").await? == "ok\n", "{id}");
        ensure!(page(*at, "/readyz", "*/*").await? == "ok\n", "{id}");
        let text = page(*at, "/metrics", "text/plain").await?;
        promtool(&["check", "metrics"], &text).with_context(|| id.clone())?;
        let text = page(*at, "/metrics", "application/openmetrics-text; version=1.0.0").await?;
        ensure!(text.ends_with("# EOF\n"), "{id} does not answer in OpenMetrics");
    }
    tell(&format!("{} panels and all alerts have what they ask for", questions.len()));
    server.terminate(LIMIT).await?;
    finish(system, writer, &new.master).await
}

/// Every rule was evaluated without an error, and each metric it names was there.
async fn rules(at: SocketAddr) -> Result<()> {
    let text = page(at, "/api/v1/rules", "application/json").await?;
    let answer: Value = serde_json::from_str(&text)?;
    let groups = answer["data"]["groups"].as_array().context("groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    let mut count = 0;
    for rule in rules {
        count += 1;
        ensure!(rule["health"] == "ok", "{rule}");
        let ask = rule["query"].as_str().context("query")?;
        let words = ask.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        // Nothing is lost here, and what was never counted is not told.
        let told = |word: &&str| word.starts_with("vedette_") && !word.contains("_lost_");
        for name in words.filter(told) {
            // A new master lists its replicas when it is asked the next time.
            let what = format!("{name}, which {} asks for", rule["name"]);
            within(LIMIT, &what, async || {
                let found = query(at, &format!("count({name})")).await.ok()?;
                (!found.is_empty()).then_some(())
            })
            .await?;
        }
    }
    ensure!(count > 10, "{count} rules");
    Ok(())
}
