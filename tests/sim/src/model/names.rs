//! The people and nodes of the model, and what nodes answer.

use vedette_model::{
    Answer, Ballot, Fact, GroupName, GroupRecord, Member, NodeAddr, NodeView, OrchestratorId,
    Place, ProposalReply, Quorum, ReplId, Role, Roster, RosterVersion, RunId, Settings, Upstream,
    VoterId,
};

use super::records::FIRST_MARK;
use super::table::Renaming;

const FIXED: &str = "the model's own names are well formed";

/// The one group.
pub fn group() -> GroupName {
    GroupName::parse("g").expect(FIXED)
}

/// Voter `v<index + 1>`.
pub fn voter(index: usize) -> VoterId {
    VoterId::parse(&format!("v{}", index + 1)).expect(FIXED)
}

/// Which voter it is.
pub fn voter_index(id: &VoterId) -> usize {
    id.as_str().trim_start_matches('v').parse::<usize>().map_or(0, |n| n - 1)
}

/// Orchestrator `o<index + 1>`.
pub fn orchestrator(index: u8) -> OrchestratorId {
    OrchestratorId::parse(&format!("o{}", index + 1)).expect(FIXED)
}

/// Node `n`.
pub fn node(n: u8) -> NodeAddr {
    NodeAddr::parse(&format!("n{n}:1")).expect(FIXED)
}

/// Which node it is.
pub fn number(addr: &NodeAddr) -> u8 {
    addr.host().trim_start_matches('n').parse().unwrap_or(0)
}

fn history() -> ReplId {
    ReplId::parse(&"1".repeat(40)).expect(FIXED)
}

/// The record that all begins with: node 1 is master of 1 to 3.
pub fn first() -> GroupRecord {
    let mut settings = Settings::with_quorum(Quorum::parse(1).expect(FIXED));
    settings.hold_off_ms = 0;
    settings.failover_timeout_ms = 5_000;
    settings.busy_budget_ms = FIRST_MARK;
    let mut record = GroupRecord::first(group(), node(1), settings);
    record.members = (1..=3).map(|n| Member::new(node(n), None)).collect();
    record.lineage.add(&history());
    record
}

fn view(addr: &NodeAddr, role: Role, offset: u64) -> Answer {
    let run_id = RunId::parse(&format!("{:040x}", number(addr))).expect(FIXED);
    let upstream = Upstream { addr: node(1), link_up: true, down_for_ms: None, syncing: false };
    let view = NodeView {
        run_id,
        role,
        replid: history(),
        replid2: None,
        second_offset: None,
        offset,
        priority: 100,
        upstream: (role == Role::Replica).then_some(upstream),
        replicas: Vec::new(),
        loading: false,
        loading_eta_ms: None,
        empty: false,
        persistence_ok: true,
        unsaved: false,
        hidden: false,
    };
    Answer::Done { view, rewrite_error: None, changed_by: None }
}

/// A replica; whoever prefers high numbers finds those furthest, anybody else low ones.
pub fn replica(addr: &NodeAddr, high: bool) -> Answer {
    let number = u64::from(number(addr));
    view(addr, Role::Replica, if high { 100 + number } else { 100 - number })
}

/// A node that was promoted.
pub fn master(addr: &NodeAddr) -> Answer {
    view(addr, Role::Master, 100)
}

/// A voter's life as its incarnation: no two have the same.
pub const fn incarnation(index: usize, life: u8) -> u64 {
    (index as u64 + 1) * 100 + life as u64
}

/// A roster's version as a small number.
pub fn version(version: RosterVersion) -> u8 {
    u8::try_from(version.0).unwrap_or(u8::MAX)
}

/// A roster as one bit for each voter.
pub fn bits(roster: &Roster) -> u8 {
    roster.voters().iter().map(|voter| 1 << voter_index(voter)).sum()
}

/// Where all are.
pub fn place() -> Place {
    Place::parse("here").expect(FIXED)
}

/// The message with the voters renamed, as far as it names any; not for rosters and rejoining.
pub fn renamed(fact: &Fact, renaming: &Renaming) -> Fact {
    let name = |id: &VoterId| voter(renaming[voter_index(id)]);
    match fact {
        Fact::Ballot(m) => Ballot { voter: name(&m.voter), ..m.clone() }.into(),
        Fact::ProposalReply(m) => ProposalReply { voter: name(&m.voter), ..m.clone() }.into(),
        other => other.clone(),
    }
}

/// Which voter's answer to a candidacy it is.
pub fn promised_by(fact: &Fact) -> Option<usize> {
    match fact {
        Fact::Ballot(Ballot { voter, .. }) => Some(voter_index(voter)),
        _ => None,
    }
}
