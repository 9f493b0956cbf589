//! Every secret of the system holds one word, and that word is nowhere but where it has to be.

use crate::works::{Bus, Crew};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use tokio::process::Command;
use vedette_harness::{GROUP, LIMIT, binary, within};
use vedette_live::collector::Taken;
use vedette_live::page::{Page, page};
use vedette_live::tell;
use vedette_model::Service;

/// The word.
const WORD: &str = "hush";

/// Who records spans.
const TELLERS: [&str; 6] = [
    "vedette-prober",
    "vedette-voter",
    "vedette-orchestrator",
    "vedette-notifier",
    "vedette-gateway",
    "vedette-cli",
];

/// A secret.
pub fn hushed(whose: &str) -> String {
    format!("{whose}-{WORD}")
}

/// Keys of a notifier's secrets: of what is sent, and of a channel that cannot be reached.
pub fn of_sinks() -> Vec<String> {
    vec![
        format!("sink.webhook.token = \"{}\"", hushed("token")),
        format!("sink.webhook.secrets = [\"whsec_{}\"]", WORD.repeat(8)),
        format!("sink.slack.secret_url = \"http://127.0.0.1:1/{}\"", hushed("slack")),
        format!("sink.pagerduty.routing_key = \"{}\"", hushed("route")),
        "sink.pagerduty.url = \"http://127.0.0.1:1/\"".into(),
    ]
}

/// Neither in what is logged, shown, measured or told, nor in what JetStream keeps.
pub async fn are_nowhere(bus: &Bus, crew: &Crew, folder: &Path) -> Result<()> {
    let mut places = 0;
    let mut look = |place: &str, text: &str| {
        places += 1;
        let line = text.lines().find(|line| line.contains(WORD)).unwrap_or_default();
        ensure!(!text.contains(WORD), "{place} holds a secret: {line}");
        ensure!(!text.is_empty(), "{place} is empty: nothing was looked at");
        anyhow::Ok(())
    };
    for process in &crew.processes {
        look(&format!("the log of {}", process.name()), &process.log())?;
        let shown = shown(bus, process.service(), process.name(), folder).await?;
        ensure!(shown.contains("******"), "{} masks nothing: {shown}", process.name());
        look(&format!("what {} prints of its configuration", process.name()), &shown)?;
    }
    for server in &bus.servers {
        look(&format!("the log of {}", server.name()), &server.log())?;
        let store = folder.join(server.name()).join("store");
        look(&format!("what {} keeps", server.name()), &everything_in(&store)?)?;
    }
    let explain = format!("/groups/{GROUP}/explain");
    for path in ["/metrics", "/groups", "/history", &explain] {
        look(&format!("the gateway's {path}"), &got(crew, path).await?)?;
    }
    look("what the collector was told", &told(bus).await?)?;
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["groups", "--json"],
        &["nodes", "--json"],
        &["history", "--json"],
        &["explain", GROUP, "--json"],
        &["doctor"],
        &["notify", "--json"],
        &["notify", "dead", "--json"],
    ] {
        look(&format!("vedette {}", words.join(" ")), &bus.vedette(words).await?)?;
    }
    tell(&format!("no secret in {places} places"));
    Ok(())
}

/// All spans of the system, once everybody has told some, and both changes of master are there.
async fn told(bus: &Bus) -> Result<String> {
    let whole = |spans: &[Taken]| {
        let heard = |teller: &&str| spans.iter().any(|span| span.service == *teller);
        let incidents = spans.iter().filter(|span| span.name == "incident");
        TELLERS.iter().all(heard) && incidents.count() >= 2
    };
    let spans = || bus.collector.taken();
    let everybody = async || whole(&spans()).then(|| format!("{:#?}", spans()));
    let told = within(LIMIT, "everybody has told spans", everybody).await;
    told.with_context(|| format!("there are only {:#?}", spans()))
}

/// `--print-config` of a process, with its file and its environment.
async fn shown(bus: &Bus, service: Service, id: &str, folder: &Path) -> Result<String> {
    let mut command = Command::new(binary::service(service)?);
    command.arg("--config").arg(folder.join(format!("{id}.toml"))).arg("--print-config");
    command.envs(bus.login(service.as_str())).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.context("no end")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

async fn got(crew: &Crew, path: &str) -> Result<String> {
    let Page { status, text } = page(crew.http, path).await?;
    ensure!(status == 200, "{path}: {status} {text}");
    Ok(text)
}

/// All bytes of all files, as text.
fn everything_in(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            text += &everything_in(&path)?;
            continue;
        }
        // One that was replaced meanwhile.
        let Ok(bytes) = std::fs::read(&path) else { continue };
        text += &String::from_utf8_lossy(&bytes);
    }
    Ok(text)
}
