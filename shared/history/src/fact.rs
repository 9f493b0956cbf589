//! Facts as JSON.

use serde_json::Value;
use vedette_model::Fact;

/// The whole fact, without passwords.
///
/// # Errors
/// The library's.
pub fn value(fact: &Fact) -> serde_json::Result<Value> {
    let mut value = match fact {
        Fact::SdownReport(f) => serde_json::to_value(f),
        Fact::NodeReport(f) => serde_json::to_value(f),
        Fact::OdownVerdict(f) => serde_json::to_value(f),
        Fact::Candidacy(f) => serde_json::to_value(f),
        Fact::Ballot(f) => serde_json::to_value(f),
        Fact::Proposal(f) => serde_json::to_value(f),
        Fact::ProposalReply(f) => serde_json::to_value(f),
        Fact::Beat(f) => serde_json::to_value(f),
        Fact::BeatReply(f) => serde_json::to_value(f),
        Fact::RecordCommitted(f) => serde_json::to_value(f),
        Fact::FailoverStep(f) => serde_json::to_value(f),
        Fact::Digest(f) => serde_json::to_value(f),
        Fact::DigestReply(f) => serde_json::to_value(f),
        Fact::Heartbeat(f) => serde_json::to_value(f),
        Fact::RosterBallot(f) => serde_json::to_value(f),
        Fact::RosterAnswer(f) => serde_json::to_value(f),
        Fact::Rejoin(f) => serde_json::to_value(f),
        Fact::RejoinAnswer(f) => serde_json::to_value(f),
        Fact::Instruction(f) => serde_json::to_value(f),
        Fact::InstructionReply(f) => serde_json::to_value(f),
        Fact::StatusQuery(f) => serde_json::to_value(f),
        Fact::MasterQuery(f) => serde_json::to_value(f),
        Fact::MasterRecord(f) => serde_json::to_value(f),
        Fact::Event(f) => serde_json::to_value(f),
    }?;
    hide(&mut value);
    Ok(value)
}

/// Records hold the nodes' passwords.
fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, below) in fields {
                if name.ends_with("password") {
                    *below = "******".into();
                } else {
                    hide(below);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{
        BallotNumber, Credentials, GroupName, GroupRecord, NodeAddr, OrchestratorId, Proposal,
        Quorum, Secret, Settings,
    };

    #[test]
    fn a_records_password_is_not_shown() {
        let mut settings = Settings::with_quorum(Quorum::parse(1).unwrap());
        let password = Secret::new("s3cret".into());
        settings.credentials = Some(Credentials::new(None, password));
        let master = NodeAddr::parse("h:1").unwrap();
        let record = GroupRecord::first(GroupName::parse("g").unwrap(), master, settings);
        let proposer = OrchestratorId::parse("o1").unwrap();
        let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
        let text =
            value(&Proposal { ballot, roster: vedette_model::RosterVersion(1), record }.into())
                .unwrap()
                .to_string();
        assert!(text.contains("******") && !text.contains("s3cret"), "{text}");
    }
}
