//! What is said of this Sentinel, not of one master.

use super::conf::Taken;
use super::server::{port, yes};
use std::collections::BTreeSet;
use vedette_model::{NodeAddr, VoterId};

const MALFORMED_ID: &str = "Malformed Sentinel id in myid option.";

/// What is this Sentinel's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Own {
    /// 40 hexadecimal digits; absent: kept in the data folder.
    pub id: Option<String>,
    /// Where clients reach it.
    pub announce_ip: Option<String>,
    /// The same for the port.
    pub announce_port: Option<u16>,
    /// Whether clients are told host names where the file names hosts.
    pub announce_hostnames: bool,
    /// Whether host names may stand in the file.
    pub resolve_hostnames: bool,
    /// The other Sentinels that this one has heard of.
    pub known: BTreeSet<String>,
    /// The first voters, in words of Vedette.
    pub voters: Vec<String>,
    /// The servers of NATS; empty: from the environment.
    pub nats: Vec<String>,
    /// The first word of all subjects.
    pub nats_prefix: Option<String>,
}

impl Own {
    /// Takes a line's words after `sentinel`.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn take(&mut self, words: &[&str]) -> Result<Taken, String> {
        let Some((name, values)) = words.split_first() else { return Ok(Taken::Unknown) };
        match (name.to_ascii_lowercase().as_str(), values) {
            ("myid", [id]) => self.id = Some(hex40(id).ok_or(MALFORMED_ID)?),
            ("announce-ip", [ip]) => self.announce_ip = host(ip)?,
            ("announce-port", [value]) => {
                self.announce_port = if *value == "0" { None } else { Some(port(value)?) };
            }
            ("announce-hostnames", [value]) => self.announce_hostnames = self::switch(name, value)?,
            ("resolve-hostnames", [value]) => self.resolve_hostnames = self::switch(name, value)?,
            ("deny-scripts-reconfig", [value]) if switch(name, value)? => {}
            ("deny-scripts-reconfig", [_]) => {
                return note("scripts are changed in this file only, never by SENTINEL SET");
            }
            ("sentinel-user" | "sentinel-pass", [_]) => {
                return note(
                    "not needed: these processes speak to each other over NATS, which has \
                             its own login",
                );
            }
            ("current-epoch", [_]) => {
                return note("not taken over: epochs begin at 1 and are kept by the voters");
            }
            ("nats-url", [_, ..]) => self.nats = values.iter().map(|v| (*v).to_owned()).collect(),
            ("nats-prefix", [prefix]) => self.nats_prefix = Some((*prefix).to_owned()),
            ("voters", [_, ..]) => self.voters(values)?,
            _ => return Ok(Taken::Unknown),
        }
        Ok(Taken::Done)
    }

    fn voters(&mut self, values: &[&str]) -> Result<(), String> {
        let ids: BTreeSet<&str> = values.iter().copied().collect();
        if ids.len() < values.len() {
            return Err("a voter is named twice".into());
        }
        for id in values {
            VoterId::parse(id).map_err(|error| error.to_string())?;
        }
        self.voters = values.iter().map(|id| (*id).to_owned()).collect();
        Ok(())
    }

    /// Takes the rest of `known-sentinel <master>`.
    pub fn known_sentinel(&mut self, values: &[&str]) -> Taken {
        match values {
            [_, _, id] => match hex40(id) {
                Some(id) => {
                    self.known.insert(id);
                    Taken::Done
                }
                None => Taken::Note("its id is none: it is not counted".into()),
            },
            // Sentinels of long ago wrote it so, and ignore it themselves.
            _ => Taken::Note("without an id it is not counted, as Sentinel does".into()),
        }
    }
}

fn note(text: &str) -> Result<Taken, String> {
    Ok(Taken::Note(text.into()))
}

fn hex40(id: &str) -> Option<String> {
    let good = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| id.to_ascii_lowercase())
}

fn host(ip: &str) -> Result<Option<String>, String> {
    if ip.is_empty() {
        return Ok(None);
    }
    NodeAddr::new(ip, 1).map_err(|error| error.to_string())?;
    Ok(Some(ip.to_owned()))
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    let name = name.to_ascii_lowercase();
    // Sentinel's own words, plural and all.
    let options = if name == "deny-scripts-reconfig" { "options" } else { "option" };
    yes(value).map_err(|_| format!("Please specify yes or no for the {name} {options}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &str) -> (Own, Result<Taken, String>) {
        let mut own = Own::default();
        let outcome = own.take(&line.split(' ').collect::<Vec<_>>());
        (own, outcome)
    }

    #[test]
    fn names_are_taken_in_any_case() {
        let (own, outcome) = take("RESOLVE-hostnames Yes");
        assert_eq!((own.resolve_hostnames, outcome), (true, Ok(Taken::Done)));
        let (own, _) = take("announce-ip 10.0.0.1");
        assert_eq!(own.announce_ip.as_deref(), Some("10.0.0.1"));
        assert_eq!(take("announce-port 0").0.announce_port, None);
        assert_eq!(take("announce-port 7").0.announce_port, Some(7));
        assert_eq!(take("nats-url nats://a:1 nats://b:2").0.nats.len(), 2);
    }

    #[test]
    fn refusals_are_in_sentinels_words() {
        for (line, expected) in [
            ("myid 12", MALFORMED_ID),
            (
                "resolve-hostnames maybe",
                "Please specify yes or no for the resolve-hostnames option.",
            ),
            (
                "deny-scripts-reconfig maybe",
                "Please specify yes or no for the deny-scripts-reconfig options.",
            ),
            ("announce-port x", "Invalid port number."),
            ("voters a a", "a voter is named twice"),
        ] {
            assert_eq!(take(line).1, Err(expected.into()), "{line}");
        }
        assert_eq!(take("monitor m 127.0.0.1 1 1").1, Ok(Taken::Unknown));
        assert!(matches!(take("deny-scripts-reconfig no").1, Ok(Taken::Note(_))));
        assert_eq!(take("deny-scripts-reconfig yes").1, Ok(Taken::Done));
    }
}
