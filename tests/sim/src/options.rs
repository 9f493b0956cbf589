//! What a world is made of.

use std::time::Duration;
use vedette_model::{Quorum, Settings};

/// What a node still has after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Data and history, as with RDB files.
    All,
    /// Data, while its history is forgotten, as with an append-only file after a crash.
    DataOnly,
    /// Nothing: persistence is off.
    Nothing,
}

/// One node.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// What it keeps over a restart.
    pub keeps: Keeps,
    /// `replica-priority`.
    pub priority: u32,
    /// How far it is behind its master, in time.
    pub lag: Duration,
    /// How long it loads its data set after a restart.
    pub loads_for: Duration,
    /// How long a synchronisation takes; none draws 5 to 60 ms.
    pub syncs_for: Option<Duration>,
    /// How long it writes its data set down after a full synchronisation, if it keeps the data
    /// only: until then a restart brings the data set of before back.
    pub saves_for: Duration,
    /// `CONFIG REWRITE` fails, so that a restart brings the role of the beginning back.
    pub read_only_config: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            keeps: Keeps::All,
            priority: 100,
            lag: Duration::ZERO,
            loads_for: Duration::ZERO,
            syncs_for: None,
            saves_for: Duration::ZERO,
            read_only_config: false,
        }
    }
}

/// One group; its first node is the declared master.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Its name.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<NodeOptions>,
    /// Its declared settings.
    pub settings: Settings,
}

impl GroupOptions {
    /// Three nodes, quorum 2, and times that suit a story of seconds.
    pub fn new(name: &str) -> Self {
        let settings = Settings {
            down_after_ms: 1_000,
            crash_grace_ms: 100,
            busy_budget_ms: 5_000,
            failover_timeout_ms: 5_000,
            hold_off_ms: 1_000,
            patience_ms: 2_000,
            // Stories hold many failovers in a row, and nobody who releases a group.
            flap_limit: 0,
            flap_window_ms: 0,
            ..Settings::with_quorum(Quorum::parse(2).expect("not zero"))
        };
        Self { name: name.into(), nodes: vec![NodeOptions::default(); 3], settings }
    }
}

/// Everything a world is made of. The default: three probers, three voters, two orchestrators and
/// one group, `mymaster`, of three nodes with quorum 2.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// Probers.
    pub probers: usize,
    /// Voters, all in the roster.
    pub voters: usize,
    /// Further voters that run and are not on the roster yet.
    pub spare_voters: usize,
    /// Orchestrators.
    pub orchestrators: usize,
    /// Places, given to the processes of each kind in turn.
    pub places: Vec<String>,
    /// The groups.
    pub groups: Vec<GroupOptions>,
    /// Clocks are fast or slow by up to so many parts of a million.
    pub drift_ppm: u32,
    /// What clients write to each announced master, in bytes per millisecond.
    pub written: u64,
    /// Whether a story of what happens is kept.
    pub story: bool,
}

impl Options {
    /// The default under a seed, its story kept.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            probers: 3,
            voters: 3,
            spare_voters: 0,
            orchestrators: 2,
            places: vec!["dc1".into()],
            groups: vec![GroupOptions::new("mymaster")],
            drift_ppm: 100,
            written: 12,
            story: true,
        }
    }

    /// So many probers.
    #[must_use]
    pub const fn probers(mut self, count: usize) -> Self {
        self.probers = count;
        self
    }

    /// So many voters.
    #[must_use]
    pub const fn voters(mut self, count: usize) -> Self {
        self.voters = count;
        self
    }

    /// So many voters more that run and are not on the roster yet.
    #[must_use]
    pub const fn spare_voters(mut self, count: usize) -> Self {
        self.spare_voters = count;
        self
    }

    /// So many orchestrators.
    #[must_use]
    pub const fn orchestrators(mut self, count: usize) -> Self {
        self.orchestrators = count;
        self
    }

    /// The processes of each kind live in these places in turn.
    #[must_use]
    pub fn places(mut self, places: &[&str]) -> Self {
        self.places = places.iter().map(ToString::to_string).collect();
        self
    }

    /// So many nodes in every group named so far.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        for group in &mut self.groups {
            group.nodes.resize(count, NodeOptions::default());
        }
        self
    }

    /// Changes one node of every group named so far; node 0 is the first master.
    #[must_use]
    pub fn node(mut self, node: usize, change: impl Fn(&mut NodeOptions)) -> Self {
        for group in &mut self.groups {
            change(&mut group.nodes[node]);
        }
        self
    }

    /// Changes the settings of every group named so far.
    #[must_use]
    pub fn settings(mut self, change: impl Fn(&mut Settings)) -> Self {
        for group in &mut self.groups {
            change(&mut group.settings);
        }
        self
    }

    /// One more group.
    #[must_use]
    pub fn group(mut self, group: GroupOptions) -> Self {
        self.groups.push(group);
        self
    }

    /// Copies of the first group, until there are so many.
    #[must_use]
    pub fn groups(mut self, count: usize) -> Self {
        for number in self.groups.len()..count {
            let name = format!("group{number}");
            self.groups.push(GroupOptions { name, ..self.groups[0].clone() });
        }
        self
    }
}
