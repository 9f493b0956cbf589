//! Changes of single settings: what operators name, and what two of them may change at once.

use crate::{Credentials, NodeAddr, NodePlace, Place, Quorum, Secret, Settings, SettingsError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes a user's name or a password may have.
const CREDENTIAL_LIMIT: usize = 512;

/// Why a changed setting cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingError {
    /// No setting is called so.
    #[error("there is no setting {0}: see the list of settings in docs/operations.md")]
    Unknown(String),
    /// The value has another form.
    #[error("{name} must be {form}, not {given:?}")]
    Form {
        /// The setting.
        name: &'static str,
        /// What it takes.
        form: &'static str,
        /// What was given.
        given: String,
    },
}

/// A kind of value that a setting has.
trait Value: Sized {
    const FORM: &'static str;
    fn read(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

impl Value for u32 {
    const FORM: &'static str = "a whole number";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const FORM: &'static str = "a whole number";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const FORM: &'static str = "true or false";
    fn read(text: &str) -> Option<Self> {
        match text {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => None,
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Quorum {
    const FORM: &'static str = "a whole number of 1 or greater";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().and_then(|count| Self::parse(count).ok())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Place {
    const FORM: &'static str = "a place, or nothing";
    fn read(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// Nothing is a value too.
impl<T: Value> Value for Option<T> {
    const FORM: &'static str = T::FORM;
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::read(text).map(Some) }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, T::show)
    }
}

macro_rules! settings {
    ($($variant:ident($kind:ty) = $field:ident,)+) => {
        /// One setting with its new value. Units and ranges are those of [`Settings`].
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Setting {
            $(
                #[doc = concat!("[`Settings::", stringify!($field), "`].")]
                $variant($kind),
            )+
            /// [`Credentials::user`]; none is the default user.
            User(Option<String>),
            /// [`Credentials::password`]; none means no login.
            Password(Option<Secret>),
            /// One of [`Settings::node_places`]; none takes it off the list.
            NodePlace {
                /// The node.
                node: NodeAddr,
                /// Where it is.
                place: Option<Place>,
            },
        }

        impl Setting {
            /// Every name that [`Setting::parse`] takes, but for `node_place.HOST:PORT`.
            pub const NAMES: &[&str] = &[$(stringify!($field),)+ "user", "password"];

            /// Its name, as in a groups file.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($field),)+
                    Self::User(_) => "user",
                    Self::Password(_) => "password",
                    Self::NodePlace { .. } => "node_place",
                }
            }

            /// Its value in words; a password's is hidden.
            pub fn value(&self) -> String {
                match self {
                    $(Self::$variant(value) => value.show(),)+
                    Self::User(user) => user.clone().unwrap_or_default(),
                    Self::Password(_) => "******".into(),
                    Self::NodePlace { place, .. } => place.show(),
                }
            }

            fn parse_plain(name: &str, value: &str) -> Result<Self, SettingError> {
                match name {
                    $(stringify!($field) => read(stringify!($field), value).map(Self::$variant),)+
                    "user" => Ok(Self::User(some(value))),
                    "password" => Ok(Self::Password(some(value).map(Secret::new))),
                    _ => Err(SettingError::Unknown(name.into())),
                }
            }

            fn apply(&self, settings: &mut Settings) {
                match self {
                    $(Self::$variant(value) => settings.$field.clone_from(value),)+
                    Self::User(user) => credentials(settings).user.clone_from(user),
                    Self::Password(password) => change_password(settings, password.as_ref()),
                    Self::NodePlace { node, place } => {
                        settings.node_places.retain(|known| known.node != *node);
                        let named = |place: &Place| {
                            NodePlace { node: node.clone(), place: place.clone() }
                        };
                        settings.node_places.extend(place.as_ref().map(named));
                        settings.node_places.sort_by(|a, b| a.node.cmp(&b.node));
                    }
                }
            }
        }

        impl Settings {
            /// What was changed since `before`.
            pub fn changed_since(&self, before: &Self) -> Vec<Setting> {
                let mut changed = Vec::new();
                $(
                    if self.$field != before.$field {
                        changed.push(Setting::$variant(self.$field.clone()));
                    }
                )+
                self.others_changed_since(before, &mut changed);
                changed
            }
        }
    };
}

settings! {
    Quorum(Quorum) = quorum,
    QuorumPlaces(Option<u32>) = quorum_places,
    DownAfterMs(u64) = down_after_ms,
    CrashGraceMs(u64) = crash_grace_ms,
    BusyBudgetMs(u64) = busy_budget_ms,
    FailoverTimeoutMs(u64) = failover_timeout_ms,
    ParallelSyncs(u32) = parallel_syncs,
    HoldOffMs(u64) = hold_off_ms,
    PatienceMs(u64) = patience_ms,
    MaxLagBytes(u64) = max_lag_bytes,
    TrustRecordedAddress(bool) = trust_recorded_address,
    LoadingBudgetMs(Option<u64>) = loading_budget_ms,
    SwitchWhenWriteImpaired(bool) = switch_when_write_impaired,
    FlapLimit(u32) = flap_limit,
    FlapWindowMs(u64) = flap_window_ms,
    ChainedReplicas(bool) = chained_replicas,
    TombstoneAfterMs(u64) = tombstone_after_ms,
    PruneAfterMs(u64) = prune_after_ms,
    PreferredPlace(Option<Place>) = preferred_place,
    WatchersPerPlace(u32) = watchers_per_place,
}

/// Options of `SENTINEL SET`, each with the setting it changes.
const SENTINEL_OPTIONS: [(&str, &str); 8] = [
    ("down-after-milliseconds", "down_after_ms"),
    ("failover-timeout", "failover_timeout_ms"),
    ("parallel-syncs", "parallel_syncs"),
    ("quorum", "quorum"),
    ("master-reboot-down-after-period", "loading_budget_ms"),
    ("primary-reboot-down-after-period", "loading_budget_ms"),
    ("auth-user", "user"),
    ("auth-pass", "password"),
];

impl Setting {
    /// Parses `name` and `value` as an operator writes them; a node's place is called
    /// `node_place.HOST:PORT`. Nothing as a value takes away what may be absent.
    ///
    /// # Errors
    /// [`SettingError`]. Ranges are checked by [`Settings::with`].
    pub fn parse(name: &str, value: &str) -> Result<Self, SettingError> {
        let Some(node) = name.strip_prefix("node_place.") else {
            return Self::parse_plain(name, value);
        };
        let form = |name, form, given: &str| SettingError::Form { name, form, given: given.into() };
        let node = NodeAddr::parse(node).map_err(|_| form("node_place", "of a host:port", node))?;
        Ok(Self::NodePlace { node, place: read("node_place", value)? })
    }

    /// The setting that an option of `SENTINEL SET`, in lower case, changes.
    pub fn of_sentinel_option(option: &str) -> Option<&'static str> {
        SENTINEL_OPTIONS.iter().find(|(known, _)| *known == option).map(|(_, name)| *name)
    }

    /// The option of `SENTINEL SET` that changes it, or its own name.
    pub fn sentinel_option(&self) -> &'static str {
        let name = self.name();
        SENTINEL_OPTIONS.iter().find(|(_, known)| *known == name).map_or(name, |(option, _)| option)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::NodePlace { node, .. } = self {
            write!(f, ".{node}")?;
        }
        write!(f, "={}", self.value())
    }
}

impl Settings {
    /// These settings with the changes, all of them or none.
    ///
    /// # Errors
    /// The first field that would be out of its range.
    pub fn with(&self, changes: &[Setting]) -> Result<Self, SettingsError> {
        let mut next = self.clone();
        changes.iter().for_each(|change| change.apply(&mut next));
        if let Some(given) = &next.credentials {
            let user = given.user.as_ref().map_or(0, String::len);
            for (field, len) in [("user", user), ("password", given.password.expose().len())] {
                if len > CREDENTIAL_LIMIT {
                    let given = u64::try_from(len).unwrap_or(u64::MAX);
                    return Err(SettingsError { field, range: "at most 512 bytes", given });
                }
            }
            if given.user.is_none() && given.password.expose().is_empty() {
                next.credentials = None;
            }
        }
        next.check()?;
        Ok(next)
    }

    /// How to log in to the nodes. A user without a password, of whom operators told one after the
    /// other, is none yet.
    pub fn login(&self) -> Option<&Credentials> {
        self.credentials.as_ref().filter(|given| !given.password.expose().is_empty())
    }

    fn others_changed_since(&self, before: &Self, changed: &mut Vec<Setting>) {
        let user = |s: &Self| s.credentials.as_ref().and_then(|given| given.user.clone());
        let password = |s: &Self| s.login().map(|given| given.password.clone());
        if user(self) != user(before) {
            changed.push(Setting::User(user(self)));
        }
        if password(self) != password(before) {
            changed.push(Setting::Password(password(self)));
        }
        let was = |node: &NodeAddr| before.node_places.iter().find(|known| known.node == *node);
        for NodePlace { node, place } in &self.node_places {
            if was(node).is_none_or(|known| known.place != *place) {
                changed.push(Setting::NodePlace { node: node.clone(), place: Some(place.clone()) });
            }
        }
        for NodePlace { node, .. } in &before.node_places {
            if !self.node_places.iter().any(|known| known.node == *node) {
                changed.push(Setting::NodePlace { node: node.clone(), place: None });
            }
        }
    }
}

fn credentials(settings: &mut Settings) -> &mut Credentials {
    settings.credentials.get_or_insert_with(|| Credentials::new(None, no_password()))
}

const fn no_password() -> Secret {
    Secret::new(String::new())
}

/// The one before goes on being taken: nodes may be told of the new one later.
fn change_password(settings: &mut Settings, password: Option<&Secret>) {
    let given = credentials(settings);
    let Some(password) = password else {
        (given.password, given.other_password) = (no_password(), None);
        return;
    };
    if given.password != *password {
        let before = core::mem::replace(&mut given.password, password.clone());
        given.other_password = Some(before).filter(|before| !before.expose().is_empty());
    }
}

fn read<T: Value>(name: &'static str, value: &str) -> Result<T, SettingError> {
    let error = || SettingError::Form { name, form: T::FORM, given: value.to_string() };
    T::read(value).ok_or_else(error)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_string())
}

/// Changes in one line, passwords hidden.
pub(crate) fn line(changes: &[Setting]) -> String {
    let each: Vec<_> = changes.iter().map(|change| format!("{change}")).collect();
    each.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Settings {
        Settings::with_quorum(Quorum::parse(2).unwrap())
    }

    fn parse(name: &str, value: &str) -> Setting {
        Setting::parse(name, value).unwrap()
    }

    /// A value of each setting that is not its default.
    fn each() -> Vec<Setting> {
        let other = |name: &&&str| match **name {
            "preferred_place" => "dc1",
            "user" | "password" => "text",
            "quorum_places" => "2",
            "quorum" => "3",
            "trust_recorded_address" | "chained_replicas" => "true",
            "switch_when_write_impaired" => "false",
            _ => "1001",
        };
        let all = Setting::NAMES
            .iter()
            .filter(|name| !["parallel_syncs", "flap_limit", "watchers_per_place"].contains(name));
        let mut all: Vec<_> = all.map(|name| parse(name, other(&name))).collect();
        for name in ["parallel_syncs", "flap_limit", "watchers_per_place"] {
            all.push(parse(name, "7"));
        }
        all.push(parse("node_place.10.0.0.1:6379", "dc2"));
        all
    }

    #[test]
    fn each_setting_changes_its_field_and_no_other() {
        for change in each() {
            let changed = defaults().with(core::slice::from_ref(&change)).unwrap();
            assert_ne!(changed, defaults(), "{change}");
            assert_eq!(changed.changed_since(&defaults()), [change]);
        }
        let all = defaults().with(&each()).unwrap();
        assert_eq!(all.changed_since(&defaults()).len(), each().len());
    }

    #[test]
    fn a_setting_has_one_name_in_files_on_the_wire_and_in_words() {
        for change in each() {
            let value = serde_json::to_value(&change).unwrap();
            assert_eq!(value.as_object().unwrap().keys().next().unwrap(), change.name());
            assert_eq!(serde_json::from_value::<Setting>(value).unwrap(), change);
        }
    }

    #[test]
    fn nothing_takes_away_what_may_be_absent_and_nothing_else() {
        let all = defaults().with(&each()).unwrap();
        for name in [
            "quorum_places",
            "loading_budget_ms",
            "preferred_place",
            "user",
            "password",
            "node_place.10.0.0.1:6379",
        ] {
            assert_ne!(all.with(&[parse(name, "")]).unwrap(), all, "{name}");
        }
        assert!(
            Setting::parse("quorum", "").is_err() && Setting::parse("patience_ms", "").is_err()
        );
        let none = all.with(&[parse("user", ""), parse("password", "")]).unwrap();
        assert_eq!(none.credentials, None);
    }

    #[test]
    fn what_is_out_of_range_changes_nothing() {
        let changes = [parse("parallel_syncs", "4"), parse("down_after_ms", "99")];
        let why = defaults().with(&changes).unwrap_err().to_string();
        assert_eq!(why, "down_after_ms must be 100 to 3600000, not 99");
        let long = "x".repeat(513);
        for name in ["user", "password"] {
            let why = defaults().with(&[parse(name, &long)]).unwrap_err().to_string();
            assert_eq!(why, format!("{name} must be at most 512 bytes, not 513"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_what_is_wanted() {
        let words = |name, value| Setting::parse(name, value).unwrap_err().to_string();
        assert_eq!(
            words("quorum", "0"),
            "quorum must be a whole number of 1 or greater, not \"0\""
        );
        assert_eq!(
            words("chained_replicas", "1"),
            "chained_replicas must be true or false, not \"1\""
        );
        assert!(words("quorrum", "1").starts_with("there is no setting quorrum"));
        assert!(words("node_place.x", "dc1").contains("host:port"));
    }

    #[test]
    fn a_user_alone_is_no_login() {
        let user = defaults().with(&[parse("user", "app")]).unwrap();
        assert_eq!(user.login(), None);
        let both = user.with(&[parse("password", "hush")]).unwrap();
        assert_eq!(both.login().unwrap().user.as_deref(), Some("app"));
    }

    #[test]
    fn the_password_before_goes_on_being_taken() {
        let one = defaults().with(&[parse("password", "one")]).unwrap();
        let two = one.with(&[parse("password", "two")]).unwrap();
        let given = two.login().unwrap();
        let other = given.other_password.as_ref().map(Secret::expose);
        assert_eq!((given.password.expose(), other), ("two", Some("one")));
        assert_eq!(two.with(&[parse("password", "two")]).unwrap(), two, "told again");
        assert_eq!(two.with(&[parse("password", "")]).unwrap(), defaults());
    }

    #[test]
    fn sentinels_options_are_settings_and_a_password_never_prints() {
        for (option, name) in SENTINEL_OPTIONS {
            assert_eq!(Setting::of_sentinel_option(option), Some(name));
            assert!(Setting::NAMES.contains(&name), "{name}");
        }
        let password = parse("password", "hush");
        assert_eq!(
            (password.sentinel_option(), password.value().as_str()),
            ("auth-pass", "******")
        );
        assert_eq!(parse("hold_off_ms", "1").sentinel_option(), "hold_off_ms");
        assert_eq!(line(&[password, parse("quorum", "1")]), "password=****** quorum=1");
    }
}
