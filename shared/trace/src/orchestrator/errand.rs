//! Commands to nodes.

use super::Orchestrators;
use crate::names;
use crate::{Span, Value};
use vedette_model::{Answer, Command, GroupName, NodeAddr, NodeFault, TraceId};

/// A command that was sent in an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    trace: TraceId,
    group: GroupName,
    node: NodeAddr,
    what: What,
    from_us: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Inspect,
    Act { name: &'static str, operation: &'static str, attribute: Option<(&'static str, Value)> },
}

impl Orchestrators {
    /// A command goes to a node. None if no incident is under way, or it is of no interest there.
    pub fn sends(
        &mut self,
        group: &GroupName,
        node: &NodeAddr,
        command: &Command,
        at_us: u64,
    ) -> Option<Errand> {
        let known = self.groups.get_mut(group)?;
        let before = known.before.as_ref().filter(|(before, _)| before == node);
        let act = |name, operation| What::Act { name, operation, attribute: None };
        let what = match command {
            Command::Inspect => {
                known.case.as_mut()?.inspects(node, at_us).then_some(What::Inspect)?
            }
            Command::Promote { .. } => act(names::PROMOTE, "REPLICAOF NO ONE"),
            Command::PauseWrites { .. } => act(names::PAUSE_WRITES, "CLIENT PAUSE"),
            Command::Freeze => act(names::FREEZE, "REPLICAOF"),
            Command::Unpause => act(names::UNPAUSE, "CLIENT UNPAUSE"),
            Command::Save => act(names::SAVE, "CONFIG REWRITE"),
            Command::Follow { master, .. } => What::Act {
                name: if before.is_some() { names::RETURN } else { names::REPOINT },
                operation: "REPLICAOF",
                attribute: Some((names::NEW_MASTER, master.to_string().into())),
            },
        };
        let is_return = matches!(&what, What::Act { name, .. } if *name == names::RETURN);
        // The old master may come back long after the end.
        let late = before.filter(|_| is_return).map(|(_, trace)| *trace);
        let open = known.case.as_ref().filter(|case| case.calm_us.is_none());
        let trace = open.map(|case| case.trace).or(late)?;
        Some(Errand { trace, group: group.clone(), node: node.clone(), what, from_us: at_us })
    }

    /// What came of it.
    pub fn answered_by(&mut self, errand: Errand, answer: &Answer, at_us: u64) {
        let Errand { trace, group, node, what, from_us } = errand;
        let fault = match answer {
            Answer::Done { .. } => None,
            Answer::Failed(fault) => Some(fault),
        };
        let words = fault.map(ToString::to_string);
        match what {
            What::Inspect => {
                if let Some(case) = self.open(&group).filter(|case| case.trace == trace) {
                    case.inspected(&node, from_us, at_us, words);
                }
            }
            What::Act { name, operation, attribute } => {
                if fault.is_some_and(|fault| *fault == NodeFault::Expired) && name == names::REPOINT
                {
                    return;
                }
                let who = format!("{node}/{from_us}");
                let mut span = Span::new(trace, name, &who, from_us, at_us)
                    .with(names::GROUP, group.as_str())
                    .to_node(&node, operation)
                    .failed(words);
                span.attributes.extend(attribute);
                self.notes.span(span);
            }
        }
    }
}
