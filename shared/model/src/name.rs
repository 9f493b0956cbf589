//! Names and ids, each a type of its own so that none can stand in for another.

use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a name or an address was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// The text is empty or longer than its limit, in bytes.
    #[error("{what} must have 1 to {limit} bytes, this has {len}")]
    Length {
        /// What was parsed.
        what: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes given.
        len: usize,
    },
    /// A character that the kind of name does not allow.
    #[error("{what} must not contain {found:?}")]
    Character {
        /// What was parsed.
        what: &'static str,
        /// The first character refused.
        found: char,
    },
    /// Not of the form the kind of value needs.
    #[error("{given:?} is not {what}")]
    Form {
        /// What was expected.
        what: &'static str,
        /// What was given.
        given: String,
    },
}

/// Makes a string newtype whose only way in is `parse`, also for deserialisation.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text; see the type for what it allows.
            ///
            /// # Errors
            /// A [`NameError`](crate::NameError) that names what is wrong with the text.
            pub fn parse(text: &str) -> Result<Self, $crate::NameError> {
                let check: fn(&str) -> Result<(), $crate::NameError> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text_newtype;

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() || text.len() > limit {
        return Err(NameError::Length { what, limit, len: text.len() });
    }
    Ok(())
}

/// What a host's name or address may be.
pub(crate) fn check_host(text: &str) -> Result<(), NameError> {
    let what = "a host";
    check_length(what, text, 255)?;
    let bad = |c: &char| c.is_whitespace() || c.is_control() || "[]/@".contains(*c);
    text.chars().find(bad).map_or(Ok(()), |found| Err(NameError::Character { what, found }))
}

fn check_id(what: &'static str, text: &str) -> Result<(), NameError> {
    check_length(what, text, 64)?;
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-' || *c == '_')) {
        Some(found) => Err(NameError::Character { what, found }),
        None => Ok(()),
    }
}

text_newtype!(
    /// A group's name, Sentinel's *master name*: 1 to 128 bytes of any characters except white
    /// space and control characters (Sentinel's event payloads separate words by spaces).
    GroupName,
    |text| {
        check_length("a group name", text, 128)?;
        match text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            Some(found) => Err(NameError::Character { what: "a group name", found }),
            None => Ok(()),
        }
    }
);
text_newtype!(
    /// A prober's id: 1 to 64 of `[A-Za-z0-9_-]`.
    ProberId,
    |text| check_id("a prober id", text)
);
text_newtype!(
    /// A voter's id: 1 to 64 of `[A-Za-z0-9_-]`.
    VoterId,
    |text| check_id("a voter id", text)
);
text_newtype!(
    /// An orchestrator's id: 1 to 64 of `[A-Za-z0-9_-]`.
    OrchestratorId,
    |text| check_id("an orchestrator id", text)
);
text_newtype!(
    /// Where a process runs (datacenter, rack, host): 1 to 64 of `[A-Za-z0-9_-]`.
    Place,
    |text| check_id("a place", text)
);

/// The kinds of process that speak on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Watches nodes.
    Prober,
    /// Tallies and keeps the records.
    Voter,
    /// Carries out failovers.
    Orchestrator,
    /// Tells people and hooks.
    Notifier,
    /// Answers Sentinel clients.
    Gateway,
    /// The `vedette` command and anything else that only asks.
    Client,
}

impl Service {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Prober,
        Self::Voter,
        Self::Orchestrator,
        Self::Notifier,
        Self::Gateway,
        Self::Client,
    ];

    /// The one word used in subjects, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prober => "prober",
            Self::Voter => "voter",
            Self::Orchestrator => "orchestrator",
            Self::Notifier => "notifier",
            Self::Gateway => "gateway",
            Self::Client => "client",
        }
    }

    /// Parses the one word.
    ///
    /// # Errors
    /// [`NameError::Form`] for any other word.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .iter()
            .copied()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| NameError::Form { what: "a service", given: text.to_string() })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who sent a message: the kind of process, its id, and which life of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sender {
    /// The kind of process.
    pub service: Service,
    /// Its id, 1 to 64 of `[A-Za-z0-9_-]`.
    pub id: String,
    /// A random number drawn at each start. Two lives of one id differ in it; it has no order.
    pub incarnation: u64,
}

impl Sender {
    /// A sender with a checked id.
    ///
    /// # Errors
    /// A [`NameError`] if the id is not 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn parse(service: Service, id: &str, incarnation: u64) -> Result<Self, NameError> {
        check_id("a service id", id)?;
        Ok(Self { service, id: id.into(), incarnation })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> NameError {
        GroupName::parse(text).unwrap_err()
    }

    #[test]
    fn a_group_name_takes_whatever_sentinel_takes() {
        for text in ["mymaster", "a.b*>:/=%", "größe", "主", "-", &"x".repeat(128)] {
            assert_eq!(GroupName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_group_name_has_no_white_space_and_no_control_characters() {
        for (text, found) in
            [("a b", ' '), ("a\tb", '\t'), ("\na", '\n'), ("a\u{3000}", '\u{3000}'), ("\0", '\0')]
        {
            assert_eq!(refused(text), NameError::Character { what: "a group name", found });
        }
        assert_eq!(refused("a b").to_string(), "a group name must not contain ' '");
    }

    #[test]
    fn a_name_is_neither_empty_nor_longer_than_its_limit_in_bytes() {
        let error = |limit, len| NameError::Length { what: "a group name", limit, len };
        assert_eq!(refused(""), error(128, 0));
        assert_eq!(refused(&"x".repeat(129)), error(128, 129));
        assert_eq!(refused(&"ö".repeat(65)), error(128, 130), "bytes, not characters");
        assert_eq!(error(128, 0).to_string(), "a group name must have 1 to 128 bytes, this has 0");
    }

    #[test]
    fn ids_are_made_of_letters_digits_dash_and_underscore() {
        for text in ["v1", "A-z_09", &"x".repeat(64)] {
            assert_eq!(VoterId::parse(text).unwrap().as_str(), text);
            assert_eq!(ProberId::parse(text).unwrap().as_str(), text);
            assert_eq!(OrchestratorId::parse(text).unwrap().as_str(), text);
            assert_eq!(Place::parse(text).unwrap().as_str(), text);
            assert_eq!(Sender::parse(Service::Voter, text, 1).unwrap().id, text);
        }
        for text in ["", "a.b", "a b", "*", ">", "ä", &"x".repeat(65)] {
            assert!(VoterId::parse(text).is_err(), "{text:?}");
            assert!(ProberId::parse(text).is_err(), "{text:?}");
            assert!(OrchestratorId::parse(text).is_err(), "{text:?}");
            assert!(Place::parse(text).is_err(), "{text:?}");
            assert!(Sender::parse(Service::Voter, text, 1).is_err(), "{text:?}");
        }
    }

    #[test]
    fn deserialising_a_name_is_parsing_it() {
        assert_eq!(serde_json::from_str::<VoterId>("\"v1\"").unwrap().as_str(), "v1");
        let error = serde_json::from_str::<VoterId>("\"v.1\"").unwrap_err().to_string();
        assert!(error.contains("a voter id must not contain '.'"), "{error}");
        assert!(serde_json::from_str::<GroupName>("\"\"").is_err());
    }

    #[test]
    fn a_service_has_one_word() {
        for word in ["prober", "voter", "orchestrator", "notifier", "gateway", "client"] {
            let service = Service::parse(word).unwrap();
            assert_eq!(service.to_string(), word);
            assert_eq!(serde_json::to_string(&service).unwrap(), alloc::format!("\"{word}\""));
        }
        for word in ["", "Voter", "voters", "gateway "] {
            assert!(Service::parse(word).is_err(), "{word:?}");
        }
    }

    #[test]
    fn a_sender_shows_as_service_and_id() {
        let sender = Sender::parse(Service::Prober, "p1", 7).unwrap();
        assert_eq!(sender.to_string(), "prober/p1");
    }
}
