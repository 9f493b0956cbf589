//! Everything that is known of one incident.

use crate::incident::{Incident, Told};
use crate::reason::{self, Outcome};
use crate::{Heard, fact, when};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use vedette_model::{EventName, Fact, GroupName, LossBound, Step};
use vedette_runtime::Bus;
use vedette_runtime::bus::BusError;
use vedette_runtime::history::{Gap, Past, What};

/// A gap that ended so long before an incident began says nothing of it, in milliseconds.
const BEFORE_MS: u64 = 60_000;
/// For what the services say now.
const LISTEN: Duration = Duration::from_millis(1_200);

/// What is known of one incident.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its id.
    pub id: String,
    /// Whose.
    pub group: String,
    /// One word: `failover`, `switchover`, `set`, `given_up` or `no_attempt`.
    pub outcome: &'static str,
    /// What came of it, in words.
    pub text: String,
    /// When it began.
    pub began: String,
    /// When it ended; absent if it has not.
    pub ended: Option<String>,
    /// What the probers saw.
    pub evidence: Vec<Said>,
    /// What the voters made of it.
    pub verdicts: Vec<Said>,
    /// The voters that promised, of each attempt that was elected.
    pub votes: Vec<Vote>,
    /// The nodes that were looked at, of the last plan.
    pub candidates: Vec<Candidate>,
    /// What may have been lost at most.
    pub loss: Option<LossBound>,
    /// Each step.
    pub steps: Vec<StepAt>,
    /// Why there is no other master; empty if there is one.
    pub why_not: Vec<String>,
    /// Times in which somebody could not reach the history.
    pub gaps: Vec<Gap>,
    /// How it is now; absent if it is over.
    pub today: Option<Today>,
    /// Everything that was said.
    pub timeline: Vec<Line>,
}

/// Something that somebody said.
#[derive(Debug, Serialize)]
pub struct Said {
    /// Milliseconds since it began.
    pub at_ms: f64,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// An election.
#[derive(Debug, Serialize)]
pub struct Vote {
    /// Milliseconds since it began.
    pub at_ms: f64,
    /// Who was elected.
    pub leader: String,
    /// Under which ballot.
    pub ballot: Option<String>,
    /// By whom.
    pub promised: Vec<String>,
}

/// A node that was looked at.
#[derive(Debug, Serialize)]
pub struct Candidate {
    /// Which.
    pub node: String,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// A step of the failover.
#[derive(Debug, Serialize)]
pub struct StepAt {
    /// Milliseconds since it began.
    pub at_ms: f64,
    /// Milliseconds since the leader had a majority of verdicts, by its own clock.
    pub elapsed_ms: f64,
    /// Who was finished with it.
    pub by: String,
    /// Which.
    pub text: String,
    /// Which, with all that it holds.
    pub step: Step,
}

/// How it is now.
#[derive(Debug, Clone, Serialize)]
pub struct Today {
    /// The group's quorum.
    pub quorum: Option<u32>,
    /// Voters that answer.
    pub voters: usize,
    /// What the services say of the group.
    pub says: Vec<(String, String)>,
}

/// One line of all that was said.
#[derive(Debug, Serialize)]
pub struct Line {
    /// When, in UTC.
    pub at: String,
    /// Milliseconds since it began.
    pub at_ms: f64,
    /// Who.
    pub sender: String,
    /// What, in words.
    pub text: String,
    /// Which kind of fact.
    pub kind: &'static str,
    /// The whole fact.
    pub fact: Value,
}

impl Today {
    /// Asks the services, and listens for 1.2 s.
    ///
    /// # Errors
    /// [`BusError`] if the bus does not let us hear them.
    pub async fn of(bus: &Bus, group: &GroupName) -> Result<Self, BusError> {
        let heard = Heard::collect(bus, LISTEN).await?;
        let says = heard.services.iter().flat_map(|((service, id), beat)| {
            let standings =
                beat.standings.iter().filter(|s| s.group == *group && !s.text.is_empty());
            standings.map(move |standing| (format!("{service}/{id}"), standing.text.clone()))
        });
        let quorum = heard.records.get(group).map(|record| record.settings.quorum.get());
        Ok(Self { quorum, voters: heard.voters.len(), says: says.collect() })
    }
}

impl Report {
    /// Of an incident among all that is kept.
    pub fn of(incident: &Incident, past: &Past, today: Option<Today>) -> Self {
        let began_us = incident.began_us();
        let outcome = Outcome::of(incident);
        let quorum = today.as_ref().and_then(|today| today.quorum);
        let why_not = match outcome {
            Outcome::Switched(_) | Outcome::SwitchedTo(_) => Vec::new(),
            Outcome::GivenUp | Outcome::NotTried => reason::reasons(incident, quorum),
        };
        let (candidates, planned) = plan(incident);
        let loss = match &outcome {
            Outcome::Switched(record) => Some(record.loss),
            Outcome::SwitchedTo(_) | Outcome::GivenUp | Outcome::NotTried => planned,
        };
        let mut report = Self {
            id: incident.id.clone(),
            group: incident.group.to_string(),
            outcome: outcome.word(),
            text: outcome.text(incident),
            began: when::utc(began_us),
            ended: incident.ended_us.map(when::utc),
            evidence: said(incident, EventName::Sdown, "master "),
            verdicts: said(incident, EventName::Odown, ""),
            votes: Vec::new(),
            candidates,
            loss,
            steps: Vec::new(),
            why_not,
            gaps: gaps(incident, past),
            today,
            timeline: incident.told.iter().map(|told| line(told, began_us)).collect(),
        };
        report.steps(incident);
        report
    }

    fn steps(&mut self, incident: &Incident) {
        for told in &incident.told {
            let Fact::FailoverStep(step) = &told.fact else { continue };
            let at_ms = since(told.at_us, incident.began_us());
            if step.step == Step::Claimed {
                self.votes.push(Vote {
                    at_ms,
                    leader: told.sender.clone(),
                    ballot: step.ballot.as_ref().map(ToString::to_string),
                    promised: step.votes.iter().map(ToString::to_string).collect(),
                });
            }
            self.steps.push(StepAt {
                at_ms,
                elapsed_ms: since(step.elapsed_us, 0),
                by: told.sender.clone(),
                text: step.step.to_string(),
                step: step.step.clone(),
            });
        }
    }
}

/// Milliseconds from one moment to another, both in microseconds.
#[allow(clippy::cast_precision_loss, reason = "to be read by people")]
fn since(at_us: u64, began_us: u64) -> f64 {
    at_us.saturating_sub(began_us) as f64 / 1e3
}

fn said(incident: &Incident, name: EventName, payload: &str) -> Vec<Said> {
    let events = incident.events(name).filter(|(_, event)| event.payload.starts_with(payload));
    let said = events.map(|(told, event)| Said {
        at_ms: since(told.at_us, incident.began_us()),
        by: told.sender.clone(),
        text: event.cause.clone(),
    });
    said.collect()
}

/// The nodes of the last plan, the chosen one first, and its bound.
fn plan(incident: &Incident) -> (Vec<Candidate>, Option<LossBound>) {
    let plans = reason::steps(incident).filter_map(|step| {
        let Step::Selected { target } = &step.step else { return None };
        let chosen = Candidate { node: target.to_string(), chosen: true, reason: None };
        let rejected = step.rejected.iter().map(|rejection| Candidate {
            node: rejection.node.to_string(),
            chosen: false,
            reason: Some(rejection.reason.to_string()),
        });
        Some(([chosen].into_iter().chain(rejected).collect(), step.loss))
    });
    plans.last().unwrap_or_default()
}

fn gaps(incident: &Incident, past: &Past) -> Vec<Gap> {
    let from_ms = (incident.began_us() / 1_000).saturating_sub(BEFORE_MS);
    let to_ms = incident.ended_us.map_or(u64::MAX, |at| at / 1_000);
    let gaps = past.kept.iter().filter_map(|kept| match &kept.what {
        What::Gap(gap) if gap.to_ms >= from_ms && gap.from_ms <= to_ms => Some(gap.clone()),
        What::Gap(_) | What::Said { .. } | What::Unreadable(_) => None,
    });
    gaps.collect()
}

fn line(told: &Told, began_us: u64) -> Line {
    Line {
        at: when::utc(told.at_us),
        at_ms: since(told.at_us, began_us),
        sender: told.sender.clone(),
        text: told.fact.to_string(),
        kind: told.fact.kind().as_str(),
        fact: fact::value(&told.fact).unwrap_or_default(),
    }
}
