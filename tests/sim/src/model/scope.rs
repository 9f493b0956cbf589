//! The bounds of one search.

use super::bug::Bug;
use super::{lease, names};
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
    /// Beats of one tenure. With any, time passes, and `o1` has been elected at the beginning.
    pub beats: u8,
    /// Whether answers are late, lost and repeated as questions are, and not heard at once.
    pub slow_answers: bool,
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
    /// Whether a second roster, with one voter more, is decided on at the beginning.
    pub midway: bool,
    /// Whether all of them begin with the first roster, and not each with the one before it.
    pub at_once: bool,
    /// How often each begins anew.
    pub tries: [u8; 2],
    /// What must be reached besides, or the search shows nothing.
    pub reaches: Vec<&'static str>,
    /// Every voter keeps its name, so that steps can be read; that takes six times as long.
    pub plain_names: bool,
    /// A bug that is planted.
    pub bug: Option<Bug>,
}

const REJOINED: &str = "a voter without memory votes";
const ONCE: &str = "a voter goes by roster 2";
const TWICE: &str = "a voter goes by roster 3";

fn roster(voters: usize) -> Roster {
    let voters: Vec<VoterId> = (0..voters).map(names::voter).collect();
    Roster::parse(RosterVersion(1), voters).expect("distinct voters")
}

impl Scope {
    /// The voter that loses its file: one for all, since names have no meaning.
    pub const FORGETS: usize = 0;

    /// What `cargo model` searches.
    pub fn all() -> Vec<Self> {
        vec![
            Self::vote(),
            Self::restart(),
            Self::disk(),
            Self::takeover(),
            Self::lease(),
            Self::tenures(),
            Self::late(),
            Self::rejoin(),
            Self::roster(),
            Self::rivals(),
            Self::grow(),
            Self::replace(),
        ]
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
            beats: 0,
            slow_answers: false,
            failures: 0,
            commits_heard: true,
            slow_disks: false,
            voter_crashes: 0,
            losses: 0,
            changes_of_roster: Vec::new(),
            midway: false,
            at_once: false,
            tries: [0, 0],
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

    /// Time passes: `o1` leads, `o2` is elected meanwhile, a voter is restarted.
    pub fn lease() -> Self {
        Self { changes: 1, ..Self::handover() }
    }

    /// The same in a second.
    pub fn handover() -> Self {
        Self {
            changes: 0,
            beats: 1,
            voter_crashes: 1,
            reaches: vec![lease::WAITS, lease::WAITED],
            ..Self::quiet("lease")
        }
    }

    /// Each of the two is elected after the other.
    pub fn tenures() -> Self {
        Self { name: "tenures", stands: [2, 1], voter_crashes: 0, ..Self::handover() }
    }

    /// Answers come as late as questions do.
    pub fn late() -> Self {
        Self { name: "late", slow_answers: true, voter_crashes: 0, ..Self::handover() }
    }

    /// A voter loses its file and learns anew.
    pub fn rejoin() -> Self {
        Self { losses: 1, reaches: vec![REJOINED], ..Self::quiet("rejoin") }
    }

    /// Two voters leave one after the other: no majority of the last roster need be in one of the
    /// first.
    pub fn roster() -> Self {
        Self {
            changes_of_roster: vec![
                (0, Wanted::Remove(names::voter(2))),
                (0, Wanted::Remove(names::voter(1))),
            ],
            stands: [1, 0],
            reaches: vec![TWICE],
            ..Self::quiet("roster")
        }
    }

    /// A voter joins.
    pub fn grow() -> Self {
        Self {
            voters: 3,
            roster: roster(2),
            changes_of_roster: vec![(0, Wanted::Add(names::voter(2)))],
            stands: [1, 0],
            reaches: vec![ONCE, REJOINED],
            ..Self::quiet("grow")
        }
    }

    /// A voter has joined, two do not know it yet, and one of these loses its file.
    pub fn replace() -> Self {
        Self {
            voters: 4,
            losses: 1,
            midway: true,
            stands: [1, 0],
            reaches: vec![ONCE, REJOINED],
            ..Self::quiet("replace")
        }
    }

    /// Where all of it begins midway, the second roster; `v3` and `v4` go by it.
    pub fn second(&self) -> Option<Roster> {
        let voters = (0..self.voters).map(names::voter).collect();
        self.midway.then(|| Roster::parse(RosterVersion(2), voters).expect("distinct voters"))
    }

    /// Two orchestrators change the first roster in different ways.
    pub fn rivals() -> Self {
        Self {
            changes_of_roster: vec![
                (0, Wanted::Add(names::voter(3))),
                (1, Wanted::Remove(names::voter(0))),
            ],
            at_once: true,

            stands: [0, 0],
            reaches: vec![ONCE],
            ..Self::quiet("rivals")
        }
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
