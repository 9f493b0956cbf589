//! The groups file: which groups to seed, and with which settings.
//!
//! ```toml
//! [[group]]
//! name = "orders"
//! master = "10.0.0.1:6379"
//! quorum = 2
//! down_after_ms = 3000            # and any other setting; what is not named has its default
//! password_file = "orders.pass"   # or `password`; `user` for an ACL user
//! ```
//!
//! A declaration is a seed: once a group has a record, the record counts.

use anyhow::{Context, anyhow, bail, ensure};
use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use vedette_model::{Credentials, GroupName, NodeAddr, NodePlace, Place, Quorum, Secret, Settings};
use vedette_runtime::private;

/// What a groups file declares.
#[derive(Debug, Default)]
pub struct Groups {
    /// The groups in the file's order, each name once. Two groups may name the same master: that
    /// is told as an event, because it may also come about later.
    pub list: Vec<(GroupName, NodeAddr, Settings)>,
    /// What a person should mend soon, in words.
    pub warnings: Vec<String>,
    /// Whether a password stands in the file itself.
    plain_password: bool,
}

impl Groups {
    /// Reads and checks a groups file; `password_file` is taken relative to its folder.
    ///
    /// # Errors
    /// What is wrong, where, and what to do about it.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let place = || format!("the groups file {}", path.display());
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read: check groups_file", place()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut groups = Self::parse(&text, folder).with_context(place)?;
        if groups.plain_password {
            groups.warnings.extend(private::exposed(path, "a password"));
        }
        Ok(groups)
    }

    /// Parses and checks the text of a groups file; `folder` is where password files are.
    ///
    /// # Errors
    /// What is wrong, where, and what to do about it.
    pub fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let file: File =
            Figment::from(Toml::string(text)).extract().map_err(|error| anyhow!(words(&error)))?;
        let mut groups = Self::default();
        let mut masters: BTreeMap<GroupName, NodeAddr> = BTreeMap::new();
        if file.group.is_empty() {
            groups.warnings.push(
                "the groups file declares no group: add a [[group]] with name, master and quorum"
                    .into(),
            );
        }
        for declared in file.group {
            let (name, master) = (declared.name.clone(), declared.master.clone());
            if let Some(first) = masters.insert(name.clone(), master.clone()) {
                bail!(
                    "the group {name} is declared twice, with master {first} and with master \
                     {master}: give one of them another name or remove it"
                );
            }
            groups.plain_password |= declared.password.is_some();
            let settings = declared
                .settings(folder, &mut groups.warnings)
                .with_context(|| format!("the group {name}"))?;
            groups.list.push((name, master, settings));
        }
        Ok(groups)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    group: Vec<Declared>,
}

/// One `[[group]]`. The settings' units and ranges are those of [`Settings`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: GroupName,
    master: NodeAddr,
    quorum: Quorum,
    quorum_places: Option<u32>,
    down_after_ms: Option<u64>,
    crash_grace_ms: Option<u64>,
    busy_budget_ms: Option<u64>,
    failover_timeout_ms: Option<u64>,
    parallel_syncs: Option<u32>,
    hold_off_ms: Option<u64>,
    patience_ms: Option<u64>,
    max_lag_bytes: Option<u64>,
    trust_recorded_address: Option<bool>,
    loading_budget_ms: Option<u64>,
    switch_when_write_impaired: Option<bool>,
    flap_limit: Option<u32>,
    flap_window_ms: Option<u64>,
    chained_replicas: Option<bool>,
    tombstone_after_ms: Option<u64>,
    prune_after_ms: Option<u64>,
    preferred_place: Option<Place>,
    #[serde(default)]
    node_places: BTreeMap<NodeAddr, Place>,
    watchers_per_place: Option<u32>,
    user: Option<String>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
}

impl Declared {
    fn settings(self, folder: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Settings> {
        let default = Settings::with_quorum(self.quorum);
        let settings = Settings {
            quorum: self.quorum,
            quorum_places: self.quorum_places,
            down_after_ms: self.down_after_ms.unwrap_or(default.down_after_ms),
            crash_grace_ms: self.crash_grace_ms.unwrap_or(default.crash_grace_ms),
            busy_budget_ms: self.busy_budget_ms.unwrap_or(default.busy_budget_ms),
            failover_timeout_ms: self.failover_timeout_ms.unwrap_or(default.failover_timeout_ms),
            parallel_syncs: self.parallel_syncs.unwrap_or(default.parallel_syncs),
            hold_off_ms: self.hold_off_ms.unwrap_or(default.hold_off_ms),
            patience_ms: self.patience_ms.unwrap_or(default.patience_ms),
            max_lag_bytes: self.max_lag_bytes.unwrap_or(default.max_lag_bytes),
            trust_recorded_address: self
                .trust_recorded_address
                .unwrap_or(default.trust_recorded_address),
            loading_budget_ms: self.loading_budget_ms,
            switch_when_write_impaired: self
                .switch_when_write_impaired
                .unwrap_or(default.switch_when_write_impaired),
            flap_limit: self.flap_limit.unwrap_or(default.flap_limit),
            flap_window_ms: self.flap_window_ms.unwrap_or(default.flap_window_ms),
            chained_replicas: self.chained_replicas.unwrap_or(default.chained_replicas),
            tombstone_after_ms: self.tombstone_after_ms.unwrap_or(default.tombstone_after_ms),
            prune_after_ms: self.prune_after_ms.unwrap_or(default.prune_after_ms),
            preferred_place: self.preferred_place.clone(),
            node_places: self
                .node_places
                .iter()
                .map(|(node, place)| NodePlace { node: node.clone(), place: place.clone() })
                .collect(),
            watchers_per_place: self.watchers_per_place.unwrap_or(default.watchers_per_place),
            credentials: self.credentials(folder, warnings)?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn credentials(
        &self,
        folder: &Path,
        warnings: &mut Vec<String>,
    ) -> anyhow::Result<Option<Credentials>> {
        let password = match (&self.password, &self.password_file) {
            (Some(_), Some(file)) => bail!(
                "password = \"******\" and password_file = {file:?} are both given: remove one"
            ),
            (Some(password), None) => password.clone(),
            (None, Some(file)) => {
                let path = folder.join(file);
                warnings.extend(private::exposed(&path, "a password"));
                read_password(&path)?
            }
            (None, None) => {
                ensure!(
                    self.user.is_none(),
                    "user = {:?} is given without password or password_file: add one of them",
                    self.user.as_deref().unwrap_or_default()
                );
                return Ok(None);
            }
        };
        ensure!(!password.expose().is_empty(), "the password is empty: remove it or set one");
        Ok(Some(Credentials::new(self.user.clone(), password)))
    }
}

/// The file's text without the line end that editors add.
fn read_password(path: &Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("the password file {} cannot be read: check password_file", path.display())
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line).into()))
}

/// The error in words that name the place and never a password.
fn words(error: &figment::Error) -> String {
    let field = error.path.last().map_or("", String::as_str);
    let kind = if field == "password" {
        "it must be a text in quotes".to_string()
    } else {
        error.kind.to_string()
    };
    match error.path.as_slice() {
        [group, index, rest @ ..] if group == "group" => {
            let number = index.parse::<usize>().map_or(0, |index| index + 1);
            match rest {
                [] => format!("[[group]] number {number}: {kind}"),
                _ => format!("[[group]] number {number}, {}: {kind}", rest.join(".")),
            }
        }
        [] => kind,
        path => format!("{}: {kind}", path.join(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const ORDERS: &str = "[[group]]\nname = \"orders\"\nmaster = \"10.0.0.1:6379\"\nquorum = 2\n";

    fn parse(text: &str) -> anyhow::Result<Groups> {
        Groups::parse(text, Path::new(""))
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", parse(text).expect_err("refused"))
    }

    #[test]
    fn what_is_not_named_has_its_default() {
        let groups = parse(ORDERS).unwrap();
        let expected = Settings::with_quorum(Quorum::parse(2).unwrap());
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        assert_eq!(groups.list, [(GroupName::parse("orders").unwrap(), master, expected)]);
        assert!(groups.warnings.is_empty());
    }

    #[test]
    fn every_setting_can_be_named() {
        let text = format!(
            "{ORDERS}quorum_places = 2\ndown_after_ms = 1000\ncrash_grace_ms = 0\n\
             busy_budget_ms = 1\nfailover_timeout_ms = 2000\nparallel_syncs = 3\n\
             hold_off_ms = 4\npatience_ms = 5\nmax_lag_bytes = 6\n\
             trust_recorded_address = true\nloading_budget_ms = 7\n\
             switch_when_write_impaired = false\nflap_limit = 8\nflap_window_ms = 9\n\
             chained_replicas = true\ntombstone_after_ms = 1001\nprune_after_ms = 1002\n\
             preferred_place = \"dc1\"\nnode_places = {{ \"10.0.0.1:6379\" = \"dc1\" }}\n\
             watchers_per_place = 4\nuser = \"u\"\npassword = \"p\"\n"
        );
        let expected = Settings {
            quorum: Quorum::parse(2).unwrap(),
            quorum_places: Some(2),
            down_after_ms: 1000,
            crash_grace_ms: 0,
            busy_budget_ms: 1,
            failover_timeout_ms: 2000,
            parallel_syncs: 3,
            hold_off_ms: 4,
            patience_ms: 5,
            max_lag_bytes: 6,
            trust_recorded_address: true,
            loading_budget_ms: Some(7),
            switch_when_write_impaired: false,
            flap_limit: 8,
            flap_window_ms: 9,
            chained_replicas: true,
            tombstone_after_ms: 1001,
            prune_after_ms: 1002,
            preferred_place: Some(Place::parse("dc1").unwrap()),
            node_places: vec![NodePlace {
                node: NodeAddr::parse("10.0.0.1:6379").unwrap(),
                place: Place::parse("dc1").unwrap(),
            }],
            watchers_per_place: 4,
            credentials: Some(Credentials::new(Some("u".into()), Secret::new("p".into()))),
        };
        assert_eq!(parse(&text).unwrap().list[0].2, expected);
    }

    #[test]
    fn two_groups_of_one_name_are_refused_with_both_masters() {
        let text = format!("{ORDERS}{}", ORDERS.replace("10.0.0.1", "10.0.0.2"));
        let words = refusal(&text);
        assert!(words.contains("10.0.0.1:6379") && words.contains("10.0.0.2:6379"), "{words}");
    }

    #[test]
    fn two_groups_of_one_master_are_left_to_the_protocol() {
        let text = format!("{ORDERS}{}", ORDERS.replace("orders", "bills"));
        assert_eq!(parse(&text).unwrap().list.len(), 2);
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        for (from, to, expected) in [
            ("quorum = 2", "quorum = 0", ["number 1, quorum", "1 or greater"]),
            ("quorum = 2", "quorum = -1", ["number 1, quorum", "invalid"]),
            ("quorum = 2", "", ["number 1", "missing field `quorum`"]),
            ("10.0.0.1:6379", "10.0.0.1", ["number 1, master", "host:port"]),
            ("\"orders\"", "\"or ders\"", ["number 1, name", "' '"]),
            ("quorum = 2", "quorum = 2\nquorrum = 3", ["number 1", "`quorrum`"]),
            ("quorum = 2", "quorum = 2\ndown_after_ms = 1", ["the group orders", "100 to 3600000"]),
            ("quorum = 2", "quorum = 2\nquorum_places = 3", ["quorum_places", "1 to the quorum"]),
            ("quorum = 2", "quorum =", ["", "line 4"]),
            ("[[group]]", "[[groups]]", ["", "unknown field"]),
        ] {
            let words = refusal(&ORDERS.replace(from, to));
            assert!(expected.iter().all(|part| words.contains(part)), "{to}: {words}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let text = format!("{ORDERS}password = 12345\n");
        let words = refusal(&text);
        assert!(words.contains("password") && !words.contains("12345"), "{words}");
        let text = format!("{ORDERS}password = \"12345\"\npassword_file = \"a\"\n");
        let words = refusal(&text);
        assert!(words.contains("password_file = \"a\"") && !words.contains("12345"), "{words}");
        let text = format!("{ORDERS}password = \"12345\"\n");
        assert!(!format!("{:?}", parse(&text).unwrap()).contains("12345"));
    }

    #[test]
    fn half_given_credentials_are_refused() {
        assert!(refusal(&format!("{ORDERS}user = \"u\"\n")).contains("password_file"));
        assert!(refusal(&format!("{ORDERS}password = \"\"\n")).contains("empty"));
        let words = refusal(&format!("{ORDERS}password_file = \"no-such-file\"\n"));
        assert!(words.contains("no-such-file"), "{words}");
    }

    #[test]
    fn a_password_file_lies_beside_the_groups_file_and_should_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let (file, secret) = (dir.path().join("groups.toml"), dir.path().join("orders.pass"));
        std::fs::write(&file, format!("{ORDERS}password_file = \"orders.pass\"\n")).unwrap();
        std::fs::write(&secret, "s3cret\n").unwrap();
        for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
            std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).unwrap();
            let groups = Groups::load(&file).unwrap();
            let credentials = groups.list[0].2.credentials.as_ref().unwrap();
            assert_eq!(credentials.password.expose(), "s3cret");
            assert_eq!(groups.warnings.len(), warnings, "{:?}", groups.warnings);
        }
    }

    #[test]
    fn a_groups_file_with_plain_passwords_should_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("groups.toml");
        for (text, warnings) in [(format!("{ORDERS}password = \"p\"\n"), 1), (ORDERS.into(), 0)] {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
            assert_eq!(Groups::load(&file).unwrap().warnings.len(), warnings);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let words = format!("{:#}", Groups::load(Path::new("/no/groups.toml")).unwrap_err());
        assert!(words.contains("/no/groups.toml") && words.contains("groups_file"), "{words}");
    }
}
