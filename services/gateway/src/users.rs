//! Who may log in, and what each may do.

use crate::config::ClientsConfig;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use vedette_model::Secret;
use vedette_runtime::{ConfigError, private};

/// Who one is without having logged in, and whom `AUTH` with one word means.
pub const DEFAULT: &str = "default";

/// What a client may do. Who may do more may also do less.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Rights {
    /// Ask and subscribe.
    #[default]
    Read,
    /// Change groups, and close other clients' connections, too.
    Admin,
}

/// One user as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserConfig {
    /// The password. Absent, with `password_file` absent too: none is needed, which only the user
    /// `default` may have.
    pub password: Option<Secret>,
    /// A file whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// `read` or `admin`.
    pub rights: Rights,
}

/// A user. The password itself is not kept.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// SHA-256 of the password; absent if none is needed.
    hash: Option<[u8; 32]>,
}

/// All users.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<String, Arc<User>>);

/// Why a login was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The default user has no password, so that a password alone says nothing.
    NoPassword,
    /// Unknown user or wrong password: which of both is not told.
    Wrong,
}

impl Users {
    /// Reads the password files. Without any user configured, everybody may do everything, as with
    /// a Sentinel.
    ///
    /// # Errors
    /// A file that cannot be read, or users that contradict each other.
    pub fn load(config: &ClientsConfig) -> Result<Self, ConfigError> {
        check(config)?;
        let mut users = BTreeMap::new();
        let mut add = |name: &str, rights, password: Option<&str>| {
            let hash = password.map(hashed);
            let user = User { name: name.into(), rights, hash };
            users.insert(name.to_owned(), Arc::new(user));
        };
        for (name, user) in &config.users {
            let read = user.password_file.as_ref().map(|path| first_line(name, path));
            let read = read.transpose()?;
            let given = user.password.as_ref().map(|password| password.expose());
            add(name, user.rights, read.as_deref().or(given));
        }
        if config.password.is_some() || config.users.is_empty() {
            let password = config.password.as_ref().map(|password| password.expose());
            add(DEFAULT, Rights::Admin, password);
        }
        Ok(Self(users))
    }

    /// Who one is before logging in; nobody if that needs a password.
    pub fn anonymous(&self) -> Option<Arc<User>> {
        self.0.get(DEFAULT).filter(|user| user.hash.is_none()).cloned()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Logs in; without a name as the default user.
    ///
    /// # Errors
    /// Why not.
    pub fn login(&self, name: Option<&[u8]>, password: &[u8]) -> Result<Arc<User>, Refused> {
        let wanted = name.unwrap_or(DEFAULT.as_bytes());
        let user = std::str::from_utf8(wanted).ok().and_then(|wanted| self.0.get(wanted));
        let given = hash_of(password);
        // An unknown user costs as much time as a known one.
        let hash = user.map_or(Some([0; 32]), |user| user.hash);
        let right = hash.is_none_or(|hash| bool::from(hash.ct_eq(&given)));
        match user {
            Some(user) if user.hash.is_none() && name.is_none() => {
                debug_assert_eq!(user.name, DEFAULT);
                Err(Refused::NoPassword)
            }
            Some(user) if right => Ok(Arc::clone(user)),
            Some(_) | None => Err(Refused::Wrong),
        }
    }
}

fn hashed(password: &str) -> [u8; 32] {
    hash_of(password.as_bytes())
}

fn hash_of(password: &[u8]) -> [u8; 32] {
    Sha256::digest(password).into()
}

/// What can be wrong without looking at files.
///
/// # Errors
/// Users that contradict each other, or that anybody could be.
pub fn check(config: &ClientsConfig) -> Result<(), ConfigError> {
    for (name, user) in &config.users {
        let key = format!("clients.users.{name}");
        let invalid = |why: &str| ConfigError::Invalid {
            key: key.clone(),
            given: format!("rights {:?}", user.rights).to_lowercase(),
            why: why.into(),
        };
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid("a user's name has 1 to 64 letters without spaces"));
        }
        if user.password.is_some() && user.password_file.is_some() {
            return Err(ConfigError::Clash {
                one: format!("{key}.password"),
                other: format!("{key}.password_file"),
                why: "there is one password: remove one of both".into(),
            });
        }
        if user.password.as_ref().is_some_and(|password| password.expose().is_empty()) {
            return Err(invalid("its password is empty"));
        }
        if name != DEFAULT && user.password.is_none() && user.password_file.is_none() {
            return Err(invalid("it needs password or password_file: only default may have none"));
        }
    }
    if config.password.is_some() && config.users.contains_key(DEFAULT) {
        return Err(ConfigError::Clash {
            one: "clients.password".into(),
            other: "clients.users.default".into(),
            why: "both say what the default user's password is: remove one of both".into(),
        });
    }
    Ok(())
}

fn first_line(user: &str, path: &PathBuf) -> Result<String, ConfigError> {
    if let Some(found) = private::exposed(path, "a password") {
        tracing::warn!("{found}");
    }
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::File { path: path.clone(), source })?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(ConfigError::Invalid {
            key: format!("clients.users.{user}.password_file"),
            given: path.display().to_string(),
            why: "its first line must hold the password".into(),
        });
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(password: Option<&str>, rights: Rights) -> UserConfig {
        let password = password.map(|text| Secret::new(text.into()));
        UserConfig { password, password_file: None, rights }
    }

    fn configured(users: &[(&str, UserConfig)], password: Option<&str>) -> ClientsConfig {
        ClientsConfig {
            users: users.iter().map(|(name, user)| ((*name).into(), user.clone())).collect(),
            password: password.map(|text| Secret::new(text.into())),
            ..ClientsConfig::default()
        }
    }

    fn rights(users: &Users, name: Option<&str>, password: &str) -> Result<Rights, Refused> {
        users.login(name.map(str::as_bytes), password.as_bytes()).map(|user| user.rights)
    }

    #[test]
    fn without_users_everybody_may_do_everything() {
        let users = Users::load(&configured(&[], None)).unwrap();
        assert_eq!(users.anonymous().unwrap().rights, Rights::Admin);
        assert_eq!(rights(&users, None, "x"), Err(Refused::NoPassword));
        assert_eq!(rights(&users, Some("default"), "anything"), Ok(Rights::Admin));
        assert_eq!(rights(&users, Some("alice"), "x"), Err(Refused::Wrong));
    }

    #[test]
    fn a_password_must_be_said_exactly() {
        let users = Users::load(&configured(&[], Some("secret"))).unwrap();
        assert!(users.anonymous().is_none());
        assert_eq!(rights(&users, None, "secret"), Ok(Rights::Admin));
        assert_eq!(rights(&users, Some("default"), "secret"), Ok(Rights::Admin));
        for wrong in ["", "secre", "secret ", "Secret"] {
            assert_eq!(rights(&users, None, wrong), Err(Refused::Wrong), "{wrong:?}");
        }
    }

    #[test]
    fn each_user_has_its_own_rights_and_default_is_off_unless_it_is_named() {
        let alice = ("alice", user(Some("a"), Rights::Read));
        let root = ("root", user(Some("r"), Rights::Admin));
        let users = Users::load(&configured(&[alice.clone(), root.clone()], None)).unwrap();
        assert!(users.anonymous().is_none());
        assert_eq!(rights(&users, Some("alice"), "a"), Ok(Rights::Read));
        assert_eq!(rights(&users, Some("alice"), "r"), Err(Refused::Wrong));
        assert_eq!(rights(&users, Some("root"), "r"), Ok(Rights::Admin));
        assert_eq!(rights(&users, None, "a"), Err(Refused::Wrong));
        let anybody = ("default", user(None, Rights::Read));
        let users = Users::load(&configured(&[alice, root, anybody], None)).unwrap();
        assert_eq!(users.anonymous().unwrap().rights, Rights::Read);
    }

    #[test]
    fn a_password_file_is_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let mut one = user(None, Rights::Read);
        one.password_file = Some(path.clone());
        let config = configured(&[("alice", one)], None);
        assert!(matches!(Users::load(&config), Err(ConfigError::File { .. })));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Users::load(&config), Err(ConfigError::Invalid { .. })));
        std::fs::write(&path, "with space \r\nrest").unwrap();
        let users = Users::load(&config).unwrap();
        assert_eq!(rights(&users, Some("alice"), "with space "), Ok(Rights::Read));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let nobody = configured(&[("alice", user(None, Rights::Read))], None);
        let empty = configured(&[("alice", user(Some(""), Rights::Read))], None);
        let spaced = configured(&[("a b", user(Some("x"), Rights::Read))], None);
        let twice = configured(&[("default", user(None, Rights::Read))], Some("x"));
        let mut both = user(Some("x"), Rights::Read);
        both.password_file = Some("/dev/null".into());
        for config in [nobody, empty, spaced, twice, configured(&[("alice", both)], None)] {
            assert!(check(&config).is_err(), "{config:?}");
        }
    }
}
