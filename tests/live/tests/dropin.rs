//! Processes in Sentinels' places: plain files, a dead master, a restart of everything, and files that
//! real Sentinels wrote.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use vedette_harness::{Home, LIMIT, Plan, Process, System, binary, pick, ports, within};
use vedette_live::compare::{Asked, Form};
use vedette_live::tell;
use vedette_model::{NodeAddr, Settings};

const GREETINGS: &str = "__sentinel__:hello";

/// One process with its file.
struct Place {
    at: SocketAddr,
    file: PathBuf,
    process: Option<Process>,
}

impl Place {
    /// A plain file, as somebody writes it who starts with Sentinel.
    fn new(system: &System, n: usize) -> Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let folder = system.path()?.join(format!("s{n}"));
        std::fs::create_dir(&folder)?;
        let (group, master) = (system.group(), system.master());
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {group} {} {} 2\n\
             sentinel down-after-milliseconds {group} 1000\nsentinel failover-timeout {group} 10000\n",
            at.port(),
            folder.display(),
            master.host(),
            master.port()
        );
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text)?;
        Ok(Self { at, file, process: None })
    }

    fn folder(&self) -> Result<&Path> {
        self.file.parent().context("the file lies in a folder")
    }

    fn start(&mut self, system: &System) -> Result<()> {
        if let Some(process) = &mut self.process {
            return process.start();
        }
        let words = vec!["sentinel".into(), self.file.to_string_lossy().into_owned()];
        let environment = vec![("VEDETTE_NATS_URL".into(), system.urls().join(","))];
        let program = binary::command_line()?;
        let folder = self.folder()?.to_path_buf();
        let home = Home::loopback();
        let process = Process::spawn_at(home, environment, "vedette", program, words, &folder)?;
        self.process = Some(process);
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("it was started")
    }

    async fn ask(&self, words: &[&str]) -> Result<Form> {
        Asked::connect(self.at).await?.ask(words).await
    }

    async fn master(&self, group: &str) -> Result<NodeAddr> {
        let form = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]).await?;
        let Form::Array(two) = &form else { bail!("no address: {form:?}") };
        Ok(NodeAddr::new(two[0].text(), two[1].text().parse()?)?)
    }

    async fn id(&self) -> Result<String> {
        Ok(self.ask(&["SENTINEL", "MYID"]).await?.text().to_owned())
    }

    /// One field of the group's master, as it tells it.
    async fn field(&self, group: &str, name: &str) -> Result<String> {
        let form = self.ask(&["SENTINEL", "MASTER", group]).await?;
        form.entry().remove(name).with_context(|| format!("no {name}: {form:?}"))
    }

    /// The ids of the others that it lists.
    async fn others(&self, group: &str) -> Result<BTreeSet<String>> {
        let form = self.ask(&["SENTINEL", "SENTINELS", group]).await?;
        let Form::Array(entries) = form else { bail!("no list: {form:?}") };
        Ok(entries.iter().filter_map(|entry| entry.entry().remove("runid")).collect())
    }
}

/// Three of them, not started yet.
fn places(system: &System) -> Result<Vec<Place>> {
    (1..=3).map(|n| Place::new(system, n)).collect()
}

/// Waits until all of them serve, vote, list each other and can fail over; their ids.
async fn complete(system: &System, places: &[Place]) -> Result<Vec<String>> {
    let group = system.group().to_string();
    within(LIMIT, "all three vote", async || {
        let text = system.vedette(&["roster"]).await.ok()?;
        (text.contains(": 3 voters") && text.matches("  well").count() == 3).then_some(())
    })
    .await?;
    let mut ids = Vec::new();
    for place in places {
        ids.push(within(LIMIT, "it serves", async || place.id().await.ok()).await?);
    }
    for (place, id) in places.iter().zip(&ids) {
        let wanted: BTreeSet<_> = ids.iter().filter(|other| *other != id).cloned().collect();
        within(LIMIT, "it lists the others, and a quorum", async || {
            let all = place.others(&group).await.ok()? == wanted;
            let quorum = place.ask(&["SENTINEL", "CKQUORUM", &group]).await.ok()?;
            let good = matches!(&quorum, Form::Simple(text) if text.starts_with("OK 3 usable"));
            (all && good).then_some(())
        })
        .await?;
    }
    // A master that died before it has listed its replicas could not be replaced.
    system.members_are_known().await?;
    Ok(ids)
}

async fn all_say(places: &[Place], group: &str, master: &NodeAddr) -> Result<()> {
    for place in places {
        within(LIMIT, &format!("{} says {master}", place.at), async || {
            (place.master(group).await.ok()? == *master).then_some(())
        })
        .await?;
    }
    Ok(())
}

async fn all_show(places: &[Place], group: &str, name: &str, value: &str) -> Result<()> {
    for place in places {
        within(LIMIT, &format!("{} shows {name} {value}", place.at), async || {
            (place.field(group, name).await.ok()? == value).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Has one of them do something, which it answers with `+OK`.
async fn does(place: &Place, words: &[&str]) -> Result<()> {
    let answer = place.ask(words).await?;
    ensure!(answer == Form::Simple("OK".into()), "{words:?}: {answer:?}");
    Ok(())
}

/// Listens on a node's channel until greetings of all ids have come.
async fn greetings(node: &NodeAddr, group: &str, ids: &[String]) -> Result<()> {
    let at = SocketAddr::new(node.host().parse()?, node.port());
    let mut listening = Asked::connect(at).await?;
    let _ = listening.ask(&["SUBSCRIBE", GREETINGS]).await?;
    let mut missing: BTreeSet<_> = ids.iter().cloned().collect();
    while !missing.is_empty() {
        let Form::Array(message) = listening.reply().await? else { bail!("no message") };
        let fields: Vec<_> = message[2].text().split(',').collect();
        ensure!(fields.len() == 8, "{fields:?}");
        let numbers = [fields[1], fields[3], fields[6], fields[7]];
        ensure!(numbers.iter().all(|number| number.parse::<u64>().is_ok()), "{fields:?}");
        ensure!(fields[4] == group, "{fields:?}");
        missing.remove(fields[2]);
    }
    Ok(())
}

#[tokio::test]
async fn three_with_plain_files_are_three_sentinels() -> Result<()> {
    let mut system = System::start_servers(Plan::default()).await?;
    let group = system.group().to_string();
    let mut places = places(&system)?;
    let texts: Vec<_> = places.iter().map(|place| std::fs::read(&place.file)).collect();
    for place in &mut places {
        place.start(&system)?;
    }
    let ids = complete(&system, &places).await?;
    let old = system.master();
    all_say(&places, &group, &old).await?;
    for node in &system.nodes {
        greetings(node.addr(), &group, &ids).await?;
    }
    tell("three plain files: one roster, greetings heard on every node");

    let mut listening = Asked::connect(places[1].at).await?;
    let _ = listening.ask(&["SUBSCRIBE", "+switch-master"]).await?;
    system.nodes[0].kill9()?;
    let Form::Array(message) = listening.reply().await? else { bail!("no switch") };
    let words: Vec<_> = message[2].text().split(' ').collect();
    ensure!(words[..3] == [&group, old.host(), &old.port().to_string()], "{words:?}");
    let new = NodeAddr::new(words[3], words[4].parse()?)?;
    all_say(&places, &group, &new).await?;
    drop(listening);

    for place in &mut places {
        place.running()?.kill9()?;
    }
    for place in &mut places {
        place.start(&system)?;
    }
    ensure!(complete(&system, &places).await? == ids, "an id changed");
    all_say(&places, &group, &new).await?;
    for (place, text) in places.iter().zip(texts) {
        ensure!(std::fs::read(&place.file)? == text?, "{} was written", place.file.display());
    }
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    for place in &mut places {
        let ended = place.running()?.terminate(LIMIT).await?;
        ensure!(ended.success(), "{ended:?}: {}", place.running()?.log());
    }
    system.finish().await
}

#[tokio::test]
async fn two_of_three_fail_over_and_one_of_three_does_not() -> Result<()> {
    let mut system = System::start_servers(Plan::default()).await?;
    let group = system.group().to_string();
    let mut places = places(&system)?;
    for place in &mut places {
        place.start(&system)?;
    }
    let _ = complete(&system, &places).await?;
    places[0].running()?.kill9()?;
    let old = system.master();
    system.nodes[0].kill9()?;
    let rest = &places[1..];
    let new = within(LIMIT, "the others fail over", async || {
        rest[0].master(&group).await.ok().filter(|master| *master != old)
    })
    .await?;
    all_say(rest, &group, &new).await?;
    places[1].running()?.kill9()?;
    let last = places[2].at;
    within(LIMIT, "the last one lets nobody in", async || {
        Asked::connect(last).await.is_err().then_some(())
    })
    .await?;
    for place in &mut places[..2] {
        place.start(&system)?;
    }
    let _ = complete(&system, &places).await?;
    all_say(&places, &group, &new).await?;
    for place in &mut places {
        place.running()?.terminate(LIMIT).await?;
    }
    system.finish().await
}

#[tokio::test]
async fn what_one_is_told_at_run_time_is_true_at_all_and_kept() -> Result<()> {
    let system = System::start_servers(Plan::default()).await?;
    let (group, master) = (system.group().to_string(), system.master());
    let mut places = places(&system)?;
    for place in &mut places {
        place.start(&system)?;
    }
    let ids = complete(&system, &places).await?;
    let of_file = system.members_are_known().await?.settings;
    let (name, value) = ("down-after-milliseconds", "1500");
    all_show(&places, &group, name, "1000").await?;
    does(&places[0], &["SENTINEL", "SET", &group, name, value]).await?;
    all_show(&places, &group, name, value).await?;
    for place in &mut places {
        place.running()?.kill9()?;
    }
    for place in &mut places {
        place.start(&system)?;
    }
    ensure!(complete(&system, &places).await? == ids, "an id changed");
    // The files still say 1000.
    all_show(&places, &group, name, value).await?;

    // As a group of the file, but for the directives that the files have.
    does(&places[1], &["SENTINEL", "REMOVE", &group]).await?;
    within(LIMIT, "another has heard of it", async || {
        let known = places[2].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &group]).await.ok()?;
        matches!(known, Form::Null(_)).then_some(())
    })
    .await?;
    let (mark, port) = (system.watcher.mark(), master.port().to_string());
    does(&places[2], &["SENTINEL", "MONITOR", &group, master.host(), &port, "2"]).await?;
    all_show(&places, &group, name, "30000").await?;
    all_show(&places, &group, "failover-timeout", "180000").await?;
    let watched = |fact: &_| pick::record(fact).filter(|record| !record.removed).cloned();
    let what = "the record of a group that is watched again";
    let (_, record) = system.watcher.wait(mark, LIMIT, what, watched).await?;
    let bare = Settings {
        down_after_ms: 30_000,
        busy_budget_ms: 30_000,
        failover_timeout_ms: 180_000,
        ..of_file
    };
    ensure!(record.settings == bare, "{:?}", record.settings.changed_since(&bare));
    all_say(&places, &group, &master).await?;
    // Told in turn, by a name: it is the same group, whatever was changed meanwhile.
    does(&places[2], &["SENTINEL", "SET", &group, name, value]).await?;
    let monitor = |host| ["SENTINEL", "MONITOR", &group, host, &port, "2"];
    for place in &places {
        does(place, &monitor("localhost")).await?;
    }
    all_show(&places, &group, name, value).await?;
    let answer = places[0].ask(&monitor("no-such.invalid")).await?;
    ensure!(
        matches!(&answer, Form::Error(why) if why.contains("Invalid IP address or hostname")),
        "{answer:?}"
    );
    // Where the one that is told next may not have heard of that yet.
    does(&places[0], &["SENTINEL", "REMOVE", &group]).await?;
    does(&places[1], &monitor(master.host())).await?;
    all_show(&places, &group, name, "30000").await?;
    all_say(&places, &group, &master).await?;
    for place in &mut places {
        place.running()?.terminate(LIMIT).await?;
    }
    system.finish().await
}

#[tokio::test]
async fn what_real_sentinels_wrote_is_taken_over() -> Result<()> {
    let mut system = System::start_servers(Plan::default()).await?;
    let group = system.group().to_string();
    let mut places = places(&system)?;
    let mut real = Vec::new();
    for place in &places {
        let words = vec![place.file.to_string_lossy().into_owned(), "--sentinel".into()];
        real.push(Process::spawn("sentinel", binary::redis()?, words, place.folder()?)?);
    }
    for place in &places {
        within(LIMIT, "the real ones know each other", async || {
            let text = std::fs::read_to_string(&place.file).ok()?;
            let all = text.matches("known-sentinel").count() == 2
                && text.matches("known-replica").count() == 2;
            all.then_some(())
        })
        .await?;
    }
    let _ = places[0].ask(&["SENTINEL", "FAILOVER", &group]).await?;
    let old = system.master();
    let new = within(LIMIT, "they fail over", async || {
        places[0].master(&group).await.ok().filter(|master| *master != old)
    })
    .await?;
    let named = format!("sentinel monitor {group} {} {} 2", new.host(), new.port());
    for place in &places {
        within(LIMIT, "it is written", async || {
            std::fs::read_to_string(&place.file).ok()?.contains(&named).then_some(())
        })
        .await?;
    }
    system.all_follow(&new).await?;
    let mut ids = Vec::new();
    for place in &places {
        ids.push(place.id().await?);
    }
    for sentinel in &mut real {
        let _ = sentinel.terminate(LIMIT).await?;
    }
    for place in &mut places {
        place.start(&system)?;
    }
    ensure!(complete(&system, &places).await? == ids, "an id changed");
    all_say(&places, &group, &new).await?;
    let at = system.nodes.iter().position(|node| *node.addr() == new).context("a node")?;
    system.nodes[at].kill9()?;
    within(LIMIT, "they fail over too", async || {
        places[0].master(&group).await.ok().filter(|master| *master != new)
    })
    .await?;
    for place in &mut places {
        place.running()?.terminate(LIMIT).await?;
    }
    system.finish().await
}
