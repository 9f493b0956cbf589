//! What came of an incident, and why nothing did.

use crate::incident::Incident;
use std::collections::BTreeSet;
use vedette_model::{
    EventName, Fact, FailoverStep, LossBound, MasterRecord, NodeAddr, Step, SwitchReason,
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There is another master.
    Switched(Box<MasterRecord>),
    /// There is another master; its announcement is not kept.
    SwitchedTo(NodeAddr),
    /// There were attempts, and none came to its end.
    GivenUp,
    /// There was no attempt.
    NotTried,
}

impl Outcome {
    /// Of an incident.
    pub fn of(incident: &Incident) -> Self {
        let record = incident.told.iter().rev().find_map(|told| match_master(&told.fact));
        let promoted = steps(incident).filter_map(|step| match_promoted(&step.step));
        match (incident.switched, record, promoted.last()) {
            (Some(_), Some(record), _) => Self::Switched(Box::new(record.clone())),
            (Some(_), None, Some(target)) => Self::SwitchedTo(target.clone()),
            (Some(_), None, None) | (None, _, _) => {
                if is_tried(incident) {
                    Self::GivenUp
                } else {
                    Self::NotTried
                }
            }
        }
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Switched(record) => match record.reason {
                SwitchReason::Seeded => "set",
                SwitchReason::Failover => "failover",
                SwitchReason::Switchover => "switchover",
            },
            Self::SwitchedTo(_) => "failover",
            Self::GivenUp => "given_up",
            Self::NotTried => "no_attempt",
        }
    }

    /// In one line.
    pub fn text(&self, incident: &Incident) -> String {
        match self {
            Self::Switched(record) => {
                let old =
                    record.previous.as_ref().map_or_else(String::new, |old| format!("{old} → "));
                let still =
                    if incident.is_over() { "" } else { "; the others are not all in line" };
                format!(
                    "{}: {old}{}, epoch {}, {}{still}",
                    self.word(),
                    record.master,
                    record.epoch,
                    loss(record.loss)
                )
            }
            Self::SwitchedTo(target) => format!("failover: to {target}"),
            Self::GivenUp | Self::NotTried => {
                let what = if *self == Self::NotTried { "no attempt" } else { "no failover" };
                let end = if incident.is_over() { "; the master came back" } else { "" };
                format!("{what}: {}{end}", reasons(incident, None).join("; "))
            }
        }
    }
}

fn match_master(fact: &Fact) -> Option<&MasterRecord> {
    if let Fact::MasterRecord(record) = fact { Some(record) } else { None }
}

fn match_promoted(step: &Step) -> Option<&NodeAddr> {
    if let Step::Promoted { target } = step { Some(target) } else { None }
}

/// The steps, in order.
pub fn steps(incident: &Incident) -> impl Iterator<Item = &FailoverStep> {
    incident.told.iter().filter_map(|told| {
        let Fact::FailoverStep(step) = &told.fact else { return None };
        Some(step)
    })
}

/// What may have been lost, in words.
pub fn loss(loss: LossBound) -> String {
    if loss == (LossBound { bytes: Some(0), as_of_ms: Some(0) }) {
        return "nothing lost".into();
    }
    let bytes = loss.bytes.map_or_else(|| "an unknown number of".into(), |b| b.to_string());
    let since = loss
        .as_of_ms
        .map_or_else(String::new, |ms| format!(" and what came in the last {ms} ms before"));
    format!("lost at most {bytes} bytes{since}")
}

fn is_tried(incident: &Incident) -> bool {
    let attempt = |step: &FailoverStep| {
        matches!(step.step, Step::Claimed | Step::Surveyed { .. } | Step::Aborted { .. })
    };
    incident.events(EventName::TryFailover).next().is_some() || steps(incident).any(attempt)
}

/// Why there is no other master, the last word last; with the quorum, where it is known.
pub fn reasons(incident: &Incident, quorum: Option<u32>) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for step in steps(incident) {
        if let Step::Waiting { why } | Step::Aborted { why } = &step.step {
            said.retain(|before| before != why);
            said.push(why.clone());
        }
    }
    if !said.is_empty() {
        return said;
    }
    let who = |name| {
        let all: BTreeSet<_> = incident.events(name).map(|(told, _)| told.sender.clone()).collect();
        (all.len(), all.into_iter().collect::<Vec<_>>().join(", "))
    };
    let ((probers, prober_names), (voters, voter_names)) =
        (who(EventName::Sdown), who(EventName::Odown));
    let why = match (voters, probers) {
        (0, _) => {
            let needed = quorum.map_or_else(|| "a quorum".into(), |quorum| format!("{quorum}"));
            format!(
                "{probers} probers called the master down ({prober_names}), and no voter counted \
                 {needed} of them"
            )
        }
        _ if is_tried(incident) => "what became of the attempt is not kept".into(),
        _ => format!(
            "{voters} voters said odown ({voter_names}), and no orchestrator made an attempt: none \
             was there, or none heard a majority of the voters"
        ),
    };
    vec![why]
}
