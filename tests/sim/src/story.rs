//! The story of a world: a column of transitions, the events said and the commands sent.

use crate::world::{World, describe};
use std::fmt::Display;
use vedette_model::{Command, Event, Fact, Instant, NodeAddr, NodeState};

/// An event that somebody published.
#[derive(Debug, Clone)]
pub struct Told {
    /// When.
    pub at: Instant,
    /// By which process.
    pub by: String,
    /// What.
    pub event: Event,
}

/// A command that changes a node, as it was given out.
#[derive(Debug, Clone)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// By which process.
    pub by: String,
    /// To which node.
    pub node: NodeAddr,
    /// What.
    pub command: Command,
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// One line each.
    pub lines: Vec<String>,
    /// Events said.
    pub events: Vec<Told>,
    /// Commands sent.
    pub commands: Vec<Sent>,
}

impl World {
    /// Writes a line about a process.
    pub(crate) fn note(&mut self, index: usize, text: impl FnOnce() -> String) {
        if self.story.is_some() {
            let who = self.processes[index].sender.id.clone();
            self.line(&who, text);
        }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, who: impl Display, text: impl FnOnce() -> String) {
        let millis = self.now.as_nanos() / 1_000_000;
        let micros = self.now.as_nanos() / 1_000 % 1_000;
        if let Some(story) = &mut self.story {
            let who = who.to_string();
            story.lines.push(format!("{millis:>7}.{micros:03}  {who:<14} {}", text()));
        }
    }

    pub(crate) fn tell_fact(&mut self, from: usize, fact: &Fact) {
        if self.story.is_none() {
            return;
        }
        if let Some(text) = tell(fact) {
            self.note(from, || text);
        }
        if let (Fact::Event(event), Some(story)) = (fact, &mut self.story) {
            let by = self.processes[from].sender.id.clone();
            story.events.push(Told { at: self.now, by, event: event.clone() });
        }
    }

    pub(crate) fn tell_command(&mut self, from: usize, node: &NodeAddr, command: &Command) {
        let text = match command {
            Command::Inspect => return,
            Command::PauseWrites { for_ms } => format!("pauses writes at {node} for {for_ms} ms"),
            Command::Freeze => format!("sends REPLICAOF itself to {node}"),
            Command::Unpause => format!("sends CLIENT UNPAUSE to {node}"),
            Command::Save => format!("sends CONFIG REWRITE to {node}"),
            Command::Promote { .. } => format!("sends REPLICAOF NO ONE to {node}"),
            Command::Follow { master, .. } => format!("sends REPLICAOF {master} to {node}"),
        };
        self.note(from, || text);
        if let Some(story) = &mut self.story {
            let (by, node) = (self.processes[from].sender.id.clone(), node.clone());
            story.commands.push(Sent { at: self.now, by, node, command: command.clone() });
        }
    }
}

/// A fact as a line; none for those that come all the time.
fn tell(fact: &Fact) -> Option<String> {
    if let Fact::Event(event) = fact {
        Some(format!("{} {} ({})", event.name, event.payload, event.cause))
    } else if let Fact::FailoverStep(step) = fact {
        Some(format!("step {:?}", step.step))
    } else if let Fact::Candidacy(candidacy) = fact {
        Some(format!("stands with ballot {} for {:?}", candidacy.ballot, candidacy.purpose))
    } else if let Fact::Proposal(proposal) = fact {
        Some(format!("proposes under {}: {}", proposal.ballot, describe(&proposal.record)))
    } else if let Fact::MasterRecord(master) = fact {
        Some(format!("announces {} of epoch {}", master.master, master.epoch))
    } else if let Fact::SdownReport(report) = fact {
        match &report.state {
            NodeState::Up => Some(format!("reports {} up", report.node)),
            NodeState::Down(_) => None,
        }
    } else {
        None
    }
}
