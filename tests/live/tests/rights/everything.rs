//! Every subject with every credential against a real server.

use crate::may::{Row, Who, rows};
use crate::table;
use crate::wire::Wire;
use anyhow::{Context as _, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use vedette_harness::{LIMIT, NatsServer, within};
use vedette_live::tell;
use vedette_wire::Subjects;

/// What a user was found to be able to do: the rows whose subject it may publish and subscribe to.
pub struct Found {
    pub says: BTreeSet<String>,
    pub hears: BTreeSet<String>,
}

#[tokio::test]
async fn every_subject_is_for_those_it_is_for_and_nobody_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    let rows = rows(&Subjects::parse("vedette")?);
    let mut found = BTreeMap::new();
    let mut wrong = Vec::new();
    for who in Who::ALL {
        let one = tried(&nats, who, &rows).await.with_context(|| who.name())?;
        for row in &rows {
            for (can, may, verb) in [
                (one.says.contains(&row.subject), row.say.contains(&who), "publish to"),
                (one.hears.contains(&row.subject), row.hear.contains(&who), "subscribe to"),
            ] {
                if can != may {
                    let found = if can { "may, and must not," } else { "must, and may not," };
                    wrong.push(format!("{} {found} {verb} {}", who.name(), row.subject));
                }
            }
        }
        found.insert(who.name(), one);
    }
    ensure!(wrong.is_empty(), "deploy/nats/rights.conf is wrong:\n{}", wrong.join("\n"));
    let tries = 2 * rows.len() * Who::ALL.len();
    tell(&format!("{} subjects, {tries} tries", rows.len()));
    let matrix = table::of(&rows, &found);
    tell(&format!("\n{matrix}"));
    table::is_in_the_document(&matrix)
}

/// What the server lets the user do: what it refuses is not carried out, all else is.
async fn tried(nats: &NatsServer, who: Who, rows: &[Row]) -> Result<Found> {
    let subjects: Vec<String> = rows.iter().map(|row| row.subject.clone()).collect();
    let all: BTreeSet<String> = subjects.iter().cloned().collect();
    ensure!(all.len() == rows.len(), "two rows have the same subject");

    let mut observer = Wire::connect(nats, "all").await?;
    observer.hears(&[">".into()]).await?;
    let mut user = Wire::connect(nats, who.name()).await?;
    let unsaid = user.says(&subjects).await?.unsaid;
    let came = observer.does("").await?.messages;
    // JetStream tells of each question that it was asked.
    let came =
        came.into_iter().map(|(subject, _)| subject).filter(|to| !to.contains("ADVISORY.API"));
    let came: BTreeSet<String> = came.collect();
    let says: BTreeSet<String> = all.difference(&unsaid).cloned().collect();
    let said = rows.iter().filter(|row| says.contains(&row.subject));
    let said: BTreeSet<String> = said.map(|row| row.inside.clone()).collect();
    let differs: Vec<_> = said.symmetric_difference(&came).collect();
    ensure!(differs.is_empty(), "not refused and did not come, or the other way: {differs:?}");

    let mut user = Wire::connect(nats, who.name()).await?;
    let unheard = user.hears(&subjects).await?.unheard;
    let mut observer = Wire::connect(nats, "all").await?;
    observer.says(&subjects).await?;
    if who == Who::Application {
        // Nobody inside reaches an inbox of that account but by an answer.
        let mut neighbour = Wire::connect(nats, "all-applications").await?;
        neighbour.says(&["_INBOX.x.y".into()]).await?;
    }
    let came = user.does("").await?.messages;
    let came: BTreeSet<String> = came.into_iter().map(|(subject, _)| subject).collect();
    let hears: BTreeSet<String> = all.difference(&unheard).cloned().collect();
    let differs: Vec<_> = hears.symmetric_difference(&came).collect();
    ensure!(differs.is_empty(), "not refused and not heard, or the other way: {differs:?}");
    Ok(Found { says, hears })
}

/// Subscriptions that take in more than somebody may hear.
const WIDE: &[(&str, &[Who])] = &[
    (">", &[]),
    ("*.>", &[]),
    ("*.v1.>", &[]),
    ("*.v1.record.*", &[]),
    ("vedette.>", &[]),
    ("vedette.*.record.*", &[]),
    ("vedette.v1.>", &[Who::Operator]),
    ("vedette.v1.*", &[Who::Operator]),
    ("vedette.v1.*.*", &[Who::Operator]),
    ("vedette.v1.*.*.*", &[Who::Operator]),
    ("vedette.v1.reply.>", &[Who::Operator]),
    ("vedette.v1.reply.*.*.*", &[Who::Operator]),
    // NATS takes `>` for one word where `*` is allowed. Below these there is nothing.
    (
        "vedette.v1.record.>",
        &[Who::Prober, Who::Voter, Who::Orchestrator, Who::Gateway, Who::Operator],
    ),
    ("vedette.v1.proposal.>", &[Who::Voter, Who::Operator]),
    ("$JS.>", &[]),
    ("$JS.API.>", &[]),
    ("$KV.>", &[]),
    ("vedette.dead.*", &[]),
    ("vedette.history.>", &[]),
    ("$SYS.>", &[]),
    (
        "_INBOX.>",
        &[Who::Orchestrator, Who::Notifier, Who::Gateway, Who::Operator, Who::Application],
    ),
];

#[tokio::test]
async fn no_wildcard_and_no_queue_hears_more() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    for who in Who::ALL {
        for queue in ["", " q"] {
            let patterns: Vec<_> = WIDE.iter().map(|(wide, _)| format!("{wide}{queue}")).collect();
            let mut user = Wire::connect(&nats, who.name()).await?;
            let refused = user.hears(&patterns).await?.unheard;
            for (wide, may) in WIDE {
                let can = !refused.contains(*wide);
                ensure!(can == may.contains(&who), "{} and {wide}{queue}: {can}", who.name());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_application_is_answered_once_and_names_no_subject_of_ours() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    let mut orchestrator = Wire::connect(&nats, "orchestrator").await?;
    orchestrator.hears(&["vedette.v1.ask.master.*".into()]).await?;
    let mut application = Wire::connect(&nats, "application").await?;
    application.hears(&["_INBOX.app.1".into()]).await?;
    let unasked = orchestrator.says(&["_INBOX.app.1".into()]).await?.unsaid;
    ensure!(!unasked.is_empty(), "nobody asked");
    for (named, answers) in [("_INBOX.app.1", 1), ("$KV.vedette-masters.orders", 0)] {
        let asks = format!("PUB vedette.v1.ask.master.orders {named} 0\r\n\r\n");
        application.does(&asks).await?;
        let asked = orchestrator.does("").await?.reply_to.context("the question came")?;
        ensure!(asked.starts_with("_R_."), "{asked} is a subject of ours");
        for _ in 0..2 {
            orchestrator.says(std::slice::from_ref(&asked)).await?;
        }
        let came = application.does("").await?.messages;
        ensure!(came.len() == answers, "{named}: {came:?}");
    }
    Ok(())
}

/// JetStream answers with its own rights, wherever the question says.
#[tokio::test]
async fn an_application_cannot_have_jetstream_write_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    let context = async_nats::jetstream::new(nats.client().await?);
    let config = async_nats::jetstream::kv::Config {
        bucket: "vedette-masters".into(),
        ..async_nats::jetstream::kv::Config::default()
    };
    let store = context.create_key_value(config).await?;
    store.put("orders", "its master".into()).await?;
    let mut application = Wire::connect(&nats, "application").await?;
    let mut observer = Wire::connect(&nats, "all").await?;
    observer.hears(&["$KV.>".into(), "vedette.>".into()]).await?;
    for question in [
        "DIRECT.GET.KV_vedette-masters.$KV.vedette-masters.orders",
        "STREAM.INFO.KV_vedette-masters",
    ] {
        for named in ["$KV.vedette-masters.other", "vedette.v1.master.orders"] {
            let asks = format!("PUB $JS.vedette.API.{question} {named} 0\r\n\r\n");
            ensure!(application.does(&asks).await?.unsaid.is_empty(), "{question} is allowed");
        }
    }
    // Asked later and answered: so are those before.
    application.hears(&["_INBOX.app.1".into()]).await?;
    let last = "STREAM.INFO.KV_vedette-masters _INBOX.app.1";
    application.does(&format!("PUB $JS.vedette.API.{last} 0\r\n\r\n")).await?;
    within(LIMIT, "the last answer", async || {
        let came = application.does("").await.ok()?.messages;
        (!came.is_empty()).then_some(())
    })
    .await?;
    let came = observer.does("").await?.messages;
    ensure!(came.is_empty(), "JetStream wrote {came:?}");
    ensure!(store.get("other").await?.is_none(), "the bucket holds what an application wrote");
    Ok(())
}

#[tokio::test]
async fn nobody_else_gets_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    for stranger in ["", "nobody", "vedette", "system"] {
        ensure!(Wire::connect(&nats, stranger).await.is_err(), "{stranger:?} got in");
    }
    Ok(())
}
