//! `vedette notify`: the sinks of the notifiers, a sample through the real path, and what a sink did
//! not take.

use crate::args::{Notify, NotifyVerb, Which};
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::{out, progress};
use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use std::time::Duration;
use tokio::time::interval;
use vedette_history::when;
use vedette_model::{Epoch, Event, EventName, GroupName, NodeAddr, TraceId};
use vedette_runtime::outbox::{DeadLetters, KeptDead, Line, lines, place_of};
use vedette_runtime::{Bus, Clock, Shutdown};

/// Between two looks at how far the sinks are.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For the history to take the sample.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);

/// Does what is wanted; whether all is well.
///
/// # Errors
/// What is wrong with NATS or JetStream, with what to do about it.
pub async fn run(wanted: &Notify, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let json = wanted.json;
    match &wanted.verb {
        None => list(&bus, json).await,
        Some(NotifyVerb::Test { group, wait }) => {
            test(&bus, group, Duration::from_secs(*wait), json).await
        }
        Some(NotifyVerb::Dead { sink }) => dead(&bus, sink.as_deref(), json).await,
        Some(NotifyVerb::Replay(which)) => {
            let letters = DeadLetters::new(&bus);
            for kept in chosen(&letters, which).await? {
                let what = format!("{} of {}", kept.letter.event.id, kept.letter.sink);
                letters.tell_again(&kept).await.with_context(|| format!("{what} stays"))?;
                done("told again", &kept, json)?;
            }
            Ok(true)
        }
        Some(NotifyVerb::Forget(which)) => {
            let letters = DeadLetters::new(&bus);
            for kept in chosen(&letters, which).await? {
                letters.forget(kept.seq).await?;
                done("forgotten", &kept, json)?;
            }
            Ok(true)
        }
    }
}

async fn list(bus: &Bus, json: bool) -> anyhow::Result<bool> {
    let lines = lines(bus).await.context("the sinks cannot be listed")?;
    if json {
        out::line(&serde_json::to_string_pretty(&lines)?)?;
        return Ok(true);
    }
    if lines.is_empty() {
        out::note("no notifier has ever served a sink: configure one, such as sink.webhook.urls");
        return Ok(true);
    }
    let rows: Vec<[String; 3]> = lines.iter().map(row).collect();
    out::text(&columns(["SINK", "SERVED BY", "WAITING"], &rows))?;
    Ok(true)
}

fn row(line: &Line) -> [String; 3] {
    let by = line.by.as_ref().map_or_else(|| "nobody".into(), |by| format!("notifier/{by}"));
    [line.sink.clone(), by, line.waiting.to_string()]
}

/// What became of the sample at one sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Arrival {
    sink: String,
    arrived: bool,
    says: String,
}

async fn test(bus: &Bus, group: &GroupName, wait: Duration, json: bool) -> anyhow::Result<bool> {
    let clock = Clock::start();
    let event = sample(bus, group)?;
    bus.publish(&event.clone().into()).await;
    bus.flush(TAKEN_WITHIN).await?;
    let mut tick = interval(LOOK_EVERY);
    let taken = async {
        loop {
            tick.tick().await;
            match place_of(bus, &event).await {
                Ok(None) => {}
                other => return other,
            }
        }
    };
    let Ok(place) = tokio::time::timeout(TAKEN_WITHIN, taken).await else {
        bail!(
            "the history did not take the sample: is an orchestrator running? Notifiers tell it \
             all the same, as they hear it; see their logs for {}",
            event.id
        );
    };
    let place = place.context("the sample was sent; how it fares cannot be seen")?;
    let place = place.context("the sample was overtaken by another one")?;
    let letters = DeadLetters::new(bus);
    let end = clock.now() + wait;
    let look = async {
        loop {
            let arrivals = arrivals(&lines(bus).await?, &letters, place, &event).await?;
            let all = arrivals.iter().all(|arrival| arrival.arrived || arrival.is_final());
            if all || clock.now() >= end {
                return anyhow::Ok(arrivals);
            }
            tick.tick().await;
        }
    };
    let arrivals = progress::during("the sinks", look).await?;
    ensure!(
        !arrivals.is_empty(),
        "no notifier serves a sink that the history has a consumer for: configure one, such as \
         sink.webhook.urls"
    );
    let well = arrivals.iter().all(|arrival| arrival.arrived);
    if json {
        out::line(&serde_json::to_string_pretty(&arrivals)?)?;
        return Ok(well);
    }
    let rows: Vec<[String; 2]> =
        arrivals.into_iter().map(|arrival| [arrival.sink, arrival.says]).collect();
    out::text(&columns(["SINK", "SAMPLE"], &rows))?;
    Ok(well)
}

impl Arrival {
    /// Whether waiting is of no use.
    fn is_final(&self) -> bool {
        self.says.starts_with(REFUSED)
    }
}

const REFUSED: &str = "not taken";

async fn arrivals(
    lines: &[Line],
    letters: &DeadLetters,
    place: u64,
    event: &Event,
) -> anyhow::Result<Vec<Arrival>> {
    let dead = letters.list().await?;
    let arrival = |line: &Line| {
        let is_it =
            |kept: &&KeptDead| kept.letter.sink == line.sink && kept.letter.event.id == event.id;
        let (arrived, says) = match (dead.iter().find(is_it), &line.by) {
            (Some(kept), _) => (false, format!("{REFUSED}: {}", kept.letter.why)),
            // Nothing waits: then the consumer is past it, whatever it counts.
            (None, _) if line.settled >= place || line.waiting == 0 => (true, "arrived".into()),
            (None, None) => (false, "nobody serves this sink".into()),
            (None, Some(by)) => (
                false,
                format!("not yet: {} for it with notifier/{by}, see its log", waiting(line)),
            ),
        };
        Arrival { sink: line.sink.clone(), arrived, says }
    };
    Ok(lines.iter().map(arrival).collect())
}

fn waiting(line: &Line) -> String {
    counted(line.waiting, "event waits", "events wait")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn sample(bus: &Bus, group: &GroupName) -> anyhow::Result<Event> {
    let nobody = NodeAddr::new("0.0.0.0", 1)?;
    let sender = bus.sender();
    Ok(Event {
        id: format!("{}:test", sender.id),
        group: group.clone(),
        name: EventName::NotifyTest,
        payload: format!("test {group} nothing has happened"),
        cause: "a person tries whether notifications arrive".into(),
        epoch: Epoch(0),
        source: sender.to_string(),
        trace_id: TraceId::of(group, Epoch(0), &nobody, None),
    })
}

async fn dead(bus: &Bus, sink: Option<&str>, json: bool) -> anyhow::Result<bool> {
    let mut all = DeadLetters::new(bus).list().await.context("they cannot be listed")?;
    all.retain(|kept| sink.is_none_or(|sink| kept.letter.sink == sink));
    if json {
        out::line(&serde_json::to_string_pretty(&all)?)?;
        return Ok(true);
    }
    if all.is_empty() {
        out::note("there are no dead letters; vedette notify shows what waits");
        return Ok(true);
    }
    let rows: Vec<[String; 6]> = all
        .iter()
        .map(|kept| {
            let letter = &kept.letter;
            [
                kept.seq.to_string(),
                when::utc(letter.at_ms.saturating_mul(1_000)),
                letter.sink.clone(),
                letter.event.group.to_string(),
                letter.event.name.to_string(),
                format!("{}: {}", counted(letter.tries.into(), "try", "tries"), letter.why),
            ]
        })
        .collect();
    out::text(&columns(["NUMBER", "GIVEN UP", "SINK", "GROUP", "EVENT", "WHY"], &rows))?;
    Ok(true)
}

/// The dead letters that are meant, the oldest first.
async fn chosen(letters: &DeadLetters, which: &Which) -> anyhow::Result<Vec<KeptDead>> {
    let all = letters.list().await.context("the dead letters cannot be read")?;
    for number in &which.numbers {
        let known = all.iter().any(|kept| kept.seq == *number);
        ensure!(known, "there is no dead letter {number}; vedette notify dead lists them");
    }
    let is_meant = |kept: &KeptDead| {
        which.all
            || which.numbers.contains(&kept.seq)
            || which.sink.as_ref() == Some(&kept.letter.sink)
    };
    Ok(all.into_iter().filter(is_meant).collect())
}

fn done(what: &str, kept: &KeptDead, json: bool) -> anyhow::Result<()> {
    let letter = &kept.letter;
    if json {
        return out::line(&serde_json::to_string(&serde_json::json!({
            "number": kept.seq, "sink": letter.sink, "id": letter.event.id, "done": what,
        }))?);
    }
    out::line(&format!("{}  {}  {}  {what}", kept.seq, letter.sink, letter.event.id))
}
