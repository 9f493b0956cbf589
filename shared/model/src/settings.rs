//! A group's settings. They are declared in a file, seeded once, and live in the record.

use crate::{NodeAddr, Place, Quorum};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that never prints.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for handing it to the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

/// How to log in to a group's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// ACL user; absent means the default user.
    pub user: Option<String>,
    /// Password.
    pub password: Secret,
    /// Taken where `password` is refused: the one before or the one after it, while a password is
    /// being changed. Absent means that there is no other.
    #[serde(default)]
    pub other_password: Option<Secret>,
}

impl Credentials {
    /// With one password.
    pub const fn new(user: Option<String>, password: Secret) -> Self {
        Self { user, password, other_password: None }
    }
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} must be {range}, not {given}")]
pub struct SettingsError {
    /// The field's name.
    pub field: &'static str,
    /// What it allows.
    pub range: &'static str,
    /// What was given.
    pub given: u64,
}

/// The settings of one group. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Distinct probers that must report SDOWN before a voter says ODOWN. 1 or more.
    pub quorum: Quorum,
    /// Distinct places the quorum must come from; absent means any. 1 or more.
    #[serde(default)]
    pub quorum_places: Option<u32>,
    /// Silence that makes a node SDOWN. 100 to 3,600,000; smaller is faster and less tolerant.
    pub down_after_ms: u64,
    /// Time over which a refused reconnect after a broken link proves a crash; 0 switches the
    /// crash path off, so that only silence counts. 0 to 60,000.
    pub crash_grace_ms: u64,
    /// How long a node may answer `BUSY` before it counts as silent. 0 to 3,600,000.
    pub busy_budget_ms: u64,
    /// Bound of a whole failover; a step's own limit is a part of it. 1,000 to 3,600,000.
    pub failover_timeout_ms: u64,
    /// Replicas that are pointed at a new master at a time. 1 or more; more is sooner repaired and
    /// loads the new master more.
    pub parallel_syncs: u32,
    /// Rest after an automatic failover before the next may start. 0 to 3,600,000.
    pub hold_off_ms: u64,
    /// After this long without a fresh enough replica the best of what is left is taken.
    /// 0 to 3,600,000; smaller prefers availability, larger prefers data.
    pub patience_ms: u64,
    /// Replicas whose offset is at most this many bytes behind the furthest compete by priority;
    /// those further behind are passed over.
    pub max_lag_bytes: u64,
    /// Whether a node that comes back at a member's address with an unknown history is taken for
    /// that member. A server that keeps only an append-only file shows one after a crash. True
    /// lets it be made a replica, which replaces its data set; false leaves it alone and says so.
    #[serde(default)]
    pub trust_recorded_address: bool,
    /// How long a node may answer `LOADING` before it counts as down (Sentinel's
    /// `master-reboot-down-after-period`). 0 to 3,600,000; absent means `down_after_ms`, 0 that it
    /// may load for ever.
    #[serde(default)]
    pub loading_budget_ms: Option<u64>,
    /// Whether a master that refuses writes because its disk does not work counts as down after
    /// `down_after_ms`, if a replica's disk works. False only tells of it.
    #[serde(default = "yes")]
    pub switch_when_write_impaired: bool,
    /// Automatic failovers in a row, each within `flap_window_ms` of the one before and for a
    /// reason that may come and go (silence, not a crash), after which the group is held until a
    /// person releases it. 0 to 1,000; 0 never holds it.
    #[serde(default = "flap_limit")]
    pub flap_limit: u32,
    /// See `flap_limit`. 0 to 86,400,000.
    #[serde(default = "flap_window_ms")]
    pub flap_window_ms: u64,
    /// Whether a replica that follows another replica of the group is left alone. False makes it
    /// follow the master.
    #[serde(default)]
    pub chained_replicas: bool,
    /// A replica that has not been seen for so long is no longer shown nor waited for; it is
    /// still watched and welcome. 1,000 to 86,400,000.
    #[serde(default = "tombstone_after_ms")]
    pub tombstone_after_ms: u64,
    /// So long after that it is forgotten; if it comes back as a master then, nobody corrects it.
    /// 1,000 to 31,536,000,000.
    #[serde(default = "prune_after_ms")]
    pub prune_after_ms: u64,
    /// Where the master should be: of replicas that are near enough, one in this place is
    /// promoted before all others. Absent means anywhere.
    #[serde(default)]
    pub preferred_place: Option<Place>,
    /// Where nodes are, for `preferred_place`; at most 256. A node that is not named is nowhere.
    #[serde(default)]
    pub node_places: Vec<NodePlace>,
    /// How many probers of one place watch each of the group's nodes; they share the groups of
    /// an installation among them. 1 to 1,000.
    #[serde(default = "watchers_per_place")]
    pub watchers_per_place: u32,
    /// How to log in to the nodes; absent means no authentication.
    #[serde(default)]
    pub credentials: Option<Credentials>,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodePlace {
    /// The node.
    pub node: NodeAddr,
    /// Its place.
    pub place: Place,
}

const fn yes() -> bool {
    true
}

const fn flap_limit() -> u32 {
    2
}

const fn flap_window_ms() -> u64 {
    600_000
}

const fn tombstone_after_ms() -> u64 {
    60_000
}

const fn prune_after_ms() -> u64 {
    86_400_000
}

const fn watchers_per_place() -> u32 {
    3
}

impl Settings {
    /// The defaults: Sentinel's where it has one, except for the times that Vedette's several
    /// probers and its crash evidence make safe to shorten.
    pub fn with_quorum(quorum: Quorum) -> Self {
        Self {
            quorum,
            quorum_places: None,
            down_after_ms: 5_000,
            crash_grace_ms: 100,
            busy_budget_ms: 30_000,
            failover_timeout_ms: 60_000,
            parallel_syncs: 1,
            hold_off_ms: 5_000,
            patience_ms: 10_000,
            max_lag_bytes: 1_048_576,
            trust_recorded_address: false,
            loading_budget_ms: None,
            switch_when_write_impaired: yes(),
            flap_limit: flap_limit(),
            flap_window_ms: flap_window_ms(),
            chained_replicas: false,
            tombstone_after_ms: tombstone_after_ms(),
            prune_after_ms: prune_after_ms(),
            preferred_place: None,
            node_places: Vec::new(),
            watchers_per_place: watchers_per_place(),
            credentials: None,
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// The first field out of its range.
    pub fn check(&self) -> Result<(), SettingsError> {
        const HOUR: u64 = 3_600_000;
        const DAY: u64 = 24 * HOUR;
        let ranges = [
            ("down_after_ms", self.down_after_ms, 100, HOUR, "100 to 3600000"),
            ("crash_grace_ms", self.crash_grace_ms, 0, 60_000, "0 to 60000"),
            ("busy_budget_ms", self.busy_budget_ms, 0, HOUR, "0 to 3600000"),
            ("failover_timeout_ms", self.failover_timeout_ms, 1_000, HOUR, "1000 to 3600000"),
            ("parallel_syncs", u64::from(self.parallel_syncs), 1, 1_000, "1 to 1000"),
            ("hold_off_ms", self.hold_off_ms, 0, HOUR, "0 to 3600000"),
            ("patience_ms", self.patience_ms, 0, HOUR, "0 to 3600000"),
            ("loading_budget_ms", self.loading_budget_ms.unwrap_or(0), 0, HOUR, "0 to 3600000"),
            ("flap_limit", u64::from(self.flap_limit), 0, 1_000, "0 to 1000"),
            ("flap_window_ms", self.flap_window_ms, 0, DAY, "0 to 86400000"),
            ("tombstone_after_ms", self.tombstone_after_ms, 1_000, DAY, "1000 to 86400000"),
            ("prune_after_ms", self.prune_after_ms, 1_000, 365 * DAY, "1000 to 31536000000"),
            ("watchers_per_place", u64::from(self.watchers_per_place), 1, 1_000, "1 to 1000"),
            ("node_places", self.node_places.len() as u64, 0, 256, "at most 256 nodes"),
            (
                "quorum_places",
                u64::from(self.quorum_places.unwrap_or(1)),
                1,
                u64::from(self.quorum.get()),
                "1 to the quorum",
            ),
        ];
        for (field, given, low, high, range) in ranges {
            if given < low || given > high {
                return Err(SettingsError { field, range, given });
            }
        }
        Ok(())
    }

    /// `down_after_ms` as a duration.
    pub const fn down_after(&self) -> Duration {
        Duration::from_millis(self.down_after_ms)
    }

    /// How long a node may load; none for ever.
    pub fn loading_budget(&self) -> Option<Duration> {
        let millis = self.loading_budget_ms.unwrap_or(self.down_after_ms);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Time between two pings: a tenth of `down_after`, at least 50 ms and at most 1 s.
    pub fn ping_interval(&self) -> Duration {
        (self.down_after() / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    fn defaults() -> Settings {
        Settings::with_quorum(Quorum::parse(2).unwrap())
    }

    fn check(change: impl FnOnce(&mut Settings)) -> Result<(), &'static str> {
        let mut settings = defaults();
        change(&mut settings);
        settings.check().map_err(|error| error.field)
    }

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(defaults().check(), Ok(()));
    }

    #[test]
    fn each_end_of_each_range_is_in_and_the_next_is_out() {
        type Field = (&'static str, fn(&mut Settings) -> &mut u64, u64, u64);
        let fields: [Field; 6] = [
            ("down_after_ms", |s| &mut s.down_after_ms, 100, 3_600_000),
            ("crash_grace_ms", |s| &mut s.crash_grace_ms, 0, 60_000),
            ("busy_budget_ms", |s| &mut s.busy_budget_ms, 0, 3_600_000),
            ("failover_timeout_ms", |s| &mut s.failover_timeout_ms, 1_000, 3_600_000),
            ("hold_off_ms", |s| &mut s.hold_off_ms, 0, 3_600_000),
            ("patience_ms", |s| &mut s.patience_ms, 0, 3_600_000),
        ];
        for (name, field, low, high) in fields {
            assert_eq!(check(|s| *field(s) = low), Ok(()), "{name}");
            assert_eq!(check(|s| *field(s) = high), Ok(()), "{name}");
            assert_eq!(check(|s| *field(s) = high + 1), Err(name));
            if low > 0 {
                assert_eq!(check(|s| *field(s) = low - 1), Err(name));
            }
        }
        for (value, expected) in [
            (0, Err("parallel_syncs")),
            (1, Ok(())),
            (1_000, Ok(())),
            (1_001, Err("parallel_syncs")),
        ] {
            assert_eq!(check(|s| s.parallel_syncs = value), expected);
        }
    }

    #[test]
    fn a_quorum_of_two_cannot_come_from_three_places() {
        for (value, expected) in [
            (None, Ok(())),
            (Some(0), Err("quorum_places")),
            (Some(1), Ok(())),
            (Some(2), Ok(())),
            (Some(3), Err("quorum_places")),
        ] {
            assert_eq!(check(|s| s.quorum_places = value), expected);
        }
    }

    #[test]
    fn an_error_names_the_field_its_range_and_what_was_given() {
        let mut settings = defaults();
        settings.down_after_ms = 99;
        let error = settings.check().unwrap_err().to_string();
        assert_eq!(error, "down_after_ms must be 100 to 3600000, not 99");
    }

    #[test]
    fn a_ping_comes_ten_times_in_down_after_between_50_ms_and_a_second() {
        for (down_after_ms, ping_ms) in
            [(100, 50), (500, 50), (501, 50), (2_000, 200), (10_000, 1_000), (60_000, 1_000)]
        {
            let settings = Settings { down_after_ms, ..defaults() };
            assert_eq!(settings.ping_interval().as_millis(), ping_ms, "{down_after_ms}");
        }
    }

    #[test]
    fn a_secret_never_prints() {
        let credentials = Credentials::new(Some("app".into()), Secret::new("hush".into()));
        let settings = Settings { credentials: Some(credentials), ..defaults() };
        let text = format!("{settings:?} {settings:#?}");
        assert!(!text.contains("hush") && text.contains("******"), "{text}");
        assert_eq!(settings.credentials.unwrap().password.expose(), "hush");
    }

    #[test]
    fn what_may_be_absent_has_a_default_when_it_is_read() {
        let mut value = serde_json::to_value(defaults()).unwrap();
        let object = value.as_object_mut().unwrap();
        for field in ["quorum_places", "trust_recorded_address", "credentials"] {
            assert!(object.remove(field).is_some(), "{field}");
        }
        assert_eq!(serde_json::from_value::<Settings>(value).unwrap(), defaults());
    }
}
