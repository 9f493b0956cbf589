//! `vedette watch`: the bus in words.
//!
//! ```text
//!  everything under the prefix ─► chosen? ─► news? ─► one line
//!                                  group      not a repetition
//! ```

mod news;

use crate::args::Watch;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use news::News;
use serde_json::json;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use vedette_history::fact;
use vedette_model::{Instant, Service};
use vedette_runtime::bus::{Received, Seen};
use vedette_runtime::{Bus, Clock, Shutdown};

/// How often it is looked for services that have gone quiet.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows what passes until shutdown.
///
/// # Errors
/// What is wrong with NATS, or with standard output.
pub async fn run(wanted: &Watch, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let mut seen = bus.everything().await?;
    // Everybody answers with a heartbeat: who is there stands in the first lines.
    bus.publish(&vedette_model::StatusQuery {}.into()).await;
    let clock = Clock::start();
    let mut lines = Lines { wanted, bus: &bus, news: News::default() };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            message = seen.recv() => match message {
                Some(message) => lines.show(&message, clock.now())?,
                None => anyhow::bail!("the connection to nats is closed: start again"),
            },
            _ = look.tick() => lines.look_for_the_missing(clock.now())?,
        }
    }
}

struct Lines<'a> {
    wanted: &'a Watch,
    bus: &'a Bus,
    news: News,
}

impl Lines<'_> {
    fn show(&mut self, seen: &Seen, now: Instant) -> anyhow::Result<()> {
        match &seen.received {
            Ok(received) => self.show_fact(seen, received, now),
            Err(error) => {
                let group = self.bus.subjects().group_of(&seen.subject);
                if self.wanted.group.is_some() && group != self.wanted.group {
                    return Ok(());
                }
                let text = format!("not understood ({} bytes): {error}", seen.bytes);
                let line = Line { now, sender: "?", group: "-", text: &text, seen };
                self.print(&line, None)
            }
        }
    }

    fn show_fact(&mut self, seen: &Seen, received: &Received, now: Instant) -> anyhow::Result<()> {
        let (fact, header) = (&received.fact, received.header.as_ref());
        if header.is_some_and(|header| header.sender == *self.bus.sender()) {
            return Ok(());
        }
        let group = fact.group();
        let chosen = self.wanted.group.as_ref().is_none_or(|wanted| group == Some(wanted));
        // Asked before anything is left out, so that it knows all that passed.
        let news = self.news.tell(fact, now);
        let visitor = header.is_some_and(|header| header.sender.service == Service::Client);
        let shown = if self.wanted.all { true } else { news.is_some() && !visitor };
        if !chosen || !shown {
            return Ok(());
        }
        let sender = header.map_or_else(|| "-".into(), |header| header.sender.to_string());
        let text = news.filter(|_| !self.wanted.all).unwrap_or_else(|| fact.to_string());
        let group = group.map_or("-", |group| group.as_str());
        let line = Line { now, sender: &sender, group, text: &text, seen };
        self.print(&line, Some(received))
    }

    fn look_for_the_missing(&mut self, now: Instant) -> anyhow::Result<()> {
        for (sender, text) in self.news.missing(now) {
            if self.wanted.group.is_some() {
                continue;
            }
            if self.wanted.json {
                let line = json!({ "at_s": seconds(now), "sender": sender, "text": text });
                out::line(&line.to_string())?;
            } else {
                out::line(&columns(seconds(now), &sender, "-", &text))?;
            }
        }
        Ok(())
    }

    fn print(&self, line: &Line<'_>, received: Option<&Received>) -> anyhow::Result<()> {
        if !self.wanted.json {
            return out::line(&columns(seconds(line.now), line.sender, line.group, line.text));
        }
        let mut object = json!({
            "at_s": seconds(line.now),
            "sender": line.sender,
            "group": line.group,
            "text": line.text,
            "subject": line.seen.subject,
        });
        if let (Some(received), Some(fields)) = (received, object.as_object_mut()) {
            fields.insert("kind".into(), received.fact.kind().as_str().into());
            fields.insert("fact".into(), fact::value(&received.fact)?);
            if let Some(header) = &received.header {
                fields.insert("sent_at_ms".into(), header.sent_at_ms.into());
                fields.insert("traceparent".into(), header.traceparent.clone().into());
            }
        }
        out::line(&object.to_string())
    }
}

struct Line<'a> {
    now: Instant,
    sender: &'a str,
    group: &'a str,
    text: &'a str,
    seen: &'a Seen,
}

/// One line of what is said, from seconds since a beginning.
pub fn columns(seconds: f64, sender: &str, group: &str, text: &str) -> String {
    // What others sent stays in its line.
    let text: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    format!("{seconds:>9.3}  {sender:<16} {group:<12} {text}")
}

fn seconds(now: Instant) -> f64 {
    let micros = now.since(Instant::ZERO).as_micros();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let line = columns(1.5, "prober/p1", "g", "a\nb\u{1b}[2J");
        assert_eq!(line, "    1.500  prober/p1        g            a b [2J");
    }
}
