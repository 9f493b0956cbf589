//! The bounds of one search.

use super::bug::Bug;
use super::names;
use vedette_model::{Roster, RosterVersion, VoterId};
use vedette_protocol::roster::change::Wanted;

/// What a candidate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aim {
    /// A failover.
    Failover,
    /// A takeover.
    Takeover,
    /// Quiet work.
    Configure,
}

/// The bounds of one search. Messages are without bound: whatever was said may be heard any number
/// of times, in any order, however late, or never.
#[derive(Debug, Clone)]
pub struct Scope {
    /// What it is called.
    pub name: &'static str,
    /// Voters, on the roster or not.
    pub voters: usize,
    /// The first roster.
    pub roster: Roster,
    /// Candidacies of each orchestrator, over all its lives.
    pub stands: [u8; 2],
    /// Restarts of each orchestrator. Without a restart it may fall silent for ever.
    pub leader_crashes: u8,
    /// What orchestrators stand for.
    pub aims: Vec<Aim>,
    /// Records written in one tenure of quiet work.
    pub changes: u8,
    /// Promotions that fail in one tenure.
    pub failures: u8,
    /// Whether voters hear what is committed.
    pub commits_heard: bool,
    /// Whether other things happen between a write and its sync.
    pub slow_disks: bool,
    /// Crashes of voters that lose what was not synced.
    pub voter_crashes: u8,
    /// Voters that lose their file.
    pub losses: u8,
    /// Instructions to change the roster, and the orchestrator that carries each out.
    pub changes_of_roster: Vec<(u8, Wanted)>,
    /// How often each begins anew.
    pub tries: u8,
    /// What must be reached besides, or the search shows nothing.
    pub reaches: Vec<&'static str>,
    /// Every voter keeps its name, so that steps can be read; that takes six times as long.
    pub plain_names: bool,
    /// A bug that is planted.
    pub bug: Option<Bug>,
}

fn roster(voters: usize) -> Roster {
    let voters: Vec<VoterId> = (0..voters).map(names::voter).collect();
    Roster::parse(RosterVersion(1), voters).expect("distinct voters")
}

impl Scope {
    /// What `cargo model` searches.
    pub fn all() -> Vec<Self> {
        vec![Self::vote(), Self::restart(), Self::disk(), Self::takeover()]
    }

    fn quiet(name: &'static str) -> Self {
        Self {
            name,
            voters: 3,
            roster: roster(3),
            stands: [1, 1],
            leader_crashes: 0,
            aims: vec![Aim::Configure],
            changes: 1,
            failures: 0,
            commits_heard: true,
            slow_disks: false,
            voter_crashes: 0,
            losses: 0,
            changes_of_roster: Vec::new(),
            tries: 0,
            reaches: Vec::new(),
            plain_names: false,
            bug: None,
        }
    }

    /// Ballots, promises and records.
    pub fn vote() -> Self {
        Self { stands: [2, 2], ..Self::quiet("vote") }
    }

    /// The same in a second.
    pub fn small() -> Self {
        Self { stands: [2, 1], ..Self::quiet("small") }
    }

    /// An orchestrator is restarted and forgets its ballots.
    pub fn restart() -> Self {
        Self { stands: [2, 1], leader_crashes: 1, ..Self::quiet("restart") }
    }

    /// The same with a bug planted.
    #[must_use]
    pub fn with(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    /// Disks take their time, and crashes lose what was not synced.
    pub fn disk() -> Self {
        Self {
            slow_disks: true,
            voter_crashes: 2,
            reaches: vec!["a crash loses a write that was not synced"],
            ..Self::quiet("disk")
        }
    }

    /// Failovers, and takeovers of them.
    pub fn takeover() -> Self {
        Self {
            aims: vec![Aim::Failover, Aim::Takeover],
            failures: 1,
            reaches: vec!["a failover is completed", "a takeover is completed"],
            ..Self::quiet("takeover")
        }
    }

    /// Whether voters are told apart by nothing but their names.
    pub fn is_symmetric(&self) -> bool {
        self.voters == 3
            && self.losses == 0
            && self.changes_of_roster.is_empty()
            && self.bug.is_none()
            && !self.plain_names
    }

    /// The roster that an orchestrator counts by at its start.
    pub fn counted_by(&self, leader: u8) -> Roster {
        if self.bug != Some(Bug::MajorityOfTheHeard) {
            return self.roster.clone();
        }
        let voters = self.roster.voters().iter().enumerate();
        let heard = voters.filter(|(v, _)| (*v == 0) == (leader == 0)).map(|(_, id)| id.clone());
        Roster::parse(self.roster.version, heard.collect()).expect("somebody is heard")
    }
}
