//! `vedette roster`: who votes, and how that is changed.

use crate::args::{Roster as Wanted, RosterChange};
use crate::config::Config;
use crate::connect::connect;
use crate::status::{Heard, collect};
use crate::{instruct, out};
use anyhow::bail;
use serde::Serialize;
use std::time::Duration;
use vedette_model::{Health, Heartbeat, Instruction, Roster, Service, Verb};
use vedette_runtime::{Bus, Shutdown};

/// For the heartbeats: each service says twice a second or once that it lives, and when asked.
const LISTEN: Duration = Duration::from_millis(1_200);
/// For a change; one that the voters keep refusing is given up after fifteen seconds, and deciding
/// on two changes one after the other may take as long again.
const CHANGE_LIMIT: Duration = Duration::from_secs(32);

/// Shows the roster, or has it changed; whether all is well.
///
/// # Errors
/// What is wrong with NATS, nobody answered, or the change was refused, with what to do about it.
pub async fn run(wanted: &Wanted, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, LISTEN).await?;
    match &wanted.change {
        None => show(&heard, wanted.json, config),
        Some(change) => {
            let verb = match change {
                RosterChange::Add { voter } => Verb::AddVoter(voter.clone()),
                RosterChange::Remove { voter } => Verb::RemoveVoter(voter.clone()),
            };
            change_it(&bus, &heard, verb, wanted.json, config).await
        }
    }
}

async fn change_it(
    bus: &Bus,
    heard: &Heard,
    verb: Verb,
    json: bool,
    config: &Config,
) -> anyhow::Result<bool> {
    if !heard.services.keys().any(|(service, _)| *service == Service::Orchestrator) {
        bail!(
            "no orchestrator is heard under the prefix {}: start one, or correct --nats or --prefix",
            config.common.nats.prefix
        );
    }
    let instruction = Instruction { group: None, verb };
    if !instruct::order(bus, instruction, CHANGE_LIMIT, json).await? {
        bail!(
            "no orchestrator answered within {} s. It may have been done all the same: see \
             `vedette roster`, then repeat it",
            CHANGE_LIMIT.as_secs()
        );
    }
    Ok(true)
}

/// Who votes, and how each voter is.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Shown {
    version: u64,
    needed: usize,
    voters: Vec<Line>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    voter: String,
    on_roster: bool,
    well: bool,
    state: String,
}

fn show(heard: &Heard, json: bool, config: &Config) -> anyhow::Result<bool> {
    let Some(shown) = Shown::of(heard) else {
        bail!(
            "no voter that has memory is heard under the prefix {}: start the voters, or correct \
             --nats or --prefix; `vedette status` says how they are",
            config.common.nats.prefix
        );
    };
    if json {
        out::line(&serde_json::to_string_pretty(&shown)?)?;
    } else {
        out::text(&shown.table())?;
    }
    Ok(shown.voters.iter().all(|line| line.well))
}

impl Shown {
    /// The newest roster that a voter goes by.
    fn of(heard: &Heard) -> Option<Self> {
        let beats = || heard.services.values().filter(|beat| beat.service == Service::Voter);
        let rosters = beats().filter_map(|beat| beat.roster.as_ref());
        let newest = rosters.max_by_key(|roster| roster.version)?;
        let on = newest.voters().iter().map(|voter| {
            let beat = heard.services.get(&(Service::Voter, voter.to_string()));
            line(voter.as_str(), beat, newest)
        });
        let strangers = beats().filter(|b| !newest.voters().iter().any(|v| v.as_str() == b.id));
        let strangers = strangers.map(|beat| line(&beat.id, Some(beat), newest));
        Some(Self {
            version: newest.version.0,
            needed: newest.majority().get(),
            voters: on.chain(strangers).collect(),
        })
    }

    fn table(&self) -> String {
        let on = self.voters.iter().filter(|line| line.on_roster).count();
        let head = format!("roster {}: {on} voters, {} needed\n", self.version, self.needed);
        let width = self.voters.iter().map(|line| line.voter.len()).max().unwrap_or(0);
        let line = |l: &Line| format!("  {:width$}  {}\n", l.voter, l.state);
        head + &self.voters.iter().map(line).collect::<String>()
    }
}

fn line(voter: &str, beat: Option<&Heartbeat>, roster: &Roster) -> Line {
    let on_roster = roster.voters().iter().any(|v| v.as_str() == voter);
    let (well, state) = match beat.map(|beat| (&beat.health, &beat.roster)) {
        None => (false, format!("silent: start it, or `vedette roster remove {voter}`")),
        Some((Health::Impaired(why), _)) => (false, why.clone()),
        Some((Health::Well, Some(other))) if other.version != roster.version => {
            (false, format!("goes by {other} still; it follows within a second if it is reached"))
        }
        Some((Health::Well, _)) => (true, "well".to_owned()),
    };
    Line { voter: voter.to_owned(), on_roster, well, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Place, RosterVersion, VoterId};

    fn roster(version: u64, voters: &[&str]) -> Roster {
        let voters = voters.iter().map(|id| VoterId::parse(id).unwrap()).collect();
        Roster::parse(RosterVersion(version), voters).unwrap()
    }

    fn heard(beats: &[(&str, Health, Option<Roster>)]) -> Heard {
        let mut heard = Heard::default();
        for (id, health, roster) in beats {
            let beat = Heartbeat {
                service: Service::Voter,
                id: (*id).to_owned(),
                incarnation: 1,
                tick: 1,
                place: Place::parse("here").unwrap(),
                health: health.clone(),
                roster: roster.clone(),
                standings: vec![],
                serves: None,
                back: false,
                host: None,
            };
            heard.services.insert((Service::Voter, beat.id.clone()), beat);
        }
        heard
    }

    #[test]
    fn the_newest_roster_counts_and_each_voter_says_how_it_is() {
        let (old, new) = (roster(1, &["v1", "v2"]), roster(2, &["v1", "v2", "v3"]));
        let joining = Health::Impaired("no memory yet".into());
        let shown = Shown::of(&heard(&[
            ("v1", Health::Well, Some(new)),
            ("v2", Health::Well, Some(old)),
            ("v4", joining, None),
        ]));
        let table = shown.unwrap().table();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[..2], ["roster 2: 3 voters, 2 needed", "  v1  well"]);
        assert!(lines[2].starts_with("  v2  goes by roster 1 (v1, v2) still"), "{table}");
        assert!(lines[3].starts_with("  v3  silent"), "{table}");
        assert_eq!(lines[4], "  v4  no memory yet");
    }

    #[test]
    fn voters_without_memory_alone_name_no_roster() {
        let joining = Health::Impaired("no memory yet".into());
        assert_eq!(Shown::of(&heard(&[("v1", joining, None)])), None);
    }
}
