//! `vedette survive`: what would happen if one thing died now.
//!
//! Each service, each place and each host of nodes is taken away in thought, one at a time. NATS
//! servers are not among them: nobody tells where they run.

use crate::args::Listing;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{Heard, collect, ensure_voters, present, roster};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{GroupRecord, NodeAddr, Place, Roster, Service};
use vedette_runtime::Shutdown;

/// How bad it would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Everything goes on, if a master was lost after a failover.
    Ok,
    /// Everything goes on, and the next loss may be an outage.
    Weaker,
    /// A group is without a master, or a dead master would not be replaced.
    Outage,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weaker => "weaker",
            Self::Outage => "OUTAGE",
        }
    }
}

/// What dies: one service, everything of a place, or the nodes of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Service(Service, String),
    Place(Place),
    Host(String),
}

/// One loss and what comes of it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    loss: String,
    outcome: Outcome,
    /// What comes of it, in words.
    then: Vec<String>,
}

/// Prints what each loss would do; whether none of them would be an outage.
///
/// # Errors
/// What is wrong with NATS, or that no voter answers, with what to do about it.
pub async fn run(wanted: &Listing, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, Duration::from_millis(wanted.wait)).await?;
    ensure_voters(&heard, config)?;
    let lines = lines(&heard, &roster(&heard, &config.roster.roster()?));
    if wanted.json {
        out::line(&serde_json::to_string_pretty(&lines)?)?;
    } else {
        let rows: Vec<_> = lines
            .iter()
            .map(|line| [line.loss.clone(), line.outcome.word().into(), line.then.join("; ")])
            .collect();
        out::text(&columns(["IF THIS DIES", "IT IS", "BECAUSE"], &rows))?;
    }
    Ok(lines.iter().all(|line| line.outcome < Outcome::Outage))
}

fn lines(heard: &Heard, roster: &Roster) -> Vec<Line> {
    let mut losses = BTreeSet::new();
    for (service, id) in heard.services.keys().filter(|(service, _)| *service != Service::Client) {
        losses.insert(Loss::Service(*service, id.clone()));
    }
    losses.extend(heard.services.values().map(|beat| Loss::Place(beat.place.clone())));
    for record in heard.records.values() {
        losses.extend(present(record).map(|member| Loss::Host(member.addr.host().into())));
        let places = record.settings.node_places.iter();
        losses.extend(places.map(|known| Loss::Place(known.place.clone())));
    }
    losses.into_iter().map(|loss| Rest::without(heard, &loss).judged(heard, roster)).collect()
}

/// What is left.
struct Rest {
    /// Ids and places of the services that live.
    services: BTreeMap<Service, BTreeMap<String, Place>>,
    loss: Loss,
}

impl Rest {
    fn without(heard: &Heard, loss: &Loss) -> Self {
        let mut services: BTreeMap<Service, BTreeMap<String, Place>> = BTreeMap::new();
        for ((service, id), beat) in &heard.services {
            let dies = match loss {
                Loss::Service(other, dead) => service == other && id == dead,
                Loss::Place(place) => beat.place == *place,
                Loss::Host(_) => false,
            };
            if !dies {
                services.entry(*service).or_default().insert(id.clone(), beat.place.clone());
            }
        }
        Self { services, loss: loss.clone() }
    }

    /// Whether a node is among what died.
    fn is_dead(&self, record: &GroupRecord, node: &NodeAddr) -> bool {
        let mut places = record.settings.node_places.iter();
        match &self.loss {
            Loss::Service(..) => false,
            Loss::Host(host) => node.host() == host,
            Loss::Place(place) => places.any(|known| known.node == *node && known.place == *place),
        }
    }

    fn count(&self, service: Service) -> usize {
        self.services.get(&service).map_or(0, BTreeMap::len)
    }

    fn judged(&self, heard: &Heard, roster: &Roster) -> Line {
        let mut then = Vec::new();
        let mut outcome = self.services_left(heard, roster, &mut then);
        for record in heard.records.values() {
            outcome = outcome.max(self.group(heard, record, outcome, &mut then));
        }
        if then.is_empty() {
            then.push("everything goes on".into());
        }
        let loss = match &self.loss {
            Loss::Service(service, id) => format!("{service}/{id}"),
            Loss::Place(place) => format!("place {place}"),
            Loss::Host(host) => format!("nodes on {host}"),
        };
        Line { loss, outcome, then }
    }

    /// Whether a dead master would still be replaced.
    fn services_left(&self, heard: &Heard, roster: &Roster, then: &mut Vec<String>) -> Outcome {
        let (mut outcome, needed) = (Outcome::Ok, roster.majority().get());
        let alive = |voter: &&vedette_model::VoterId| {
            self.services.get(&Service::Voter).is_some_and(|all| all.contains_key(voter.as_str()))
        };
        let voters = roster.voters().iter().filter(alive).count();
        if voters < needed {
            then.push(format!("{voters} voters are left and {needed} are needed: nothing changes"));
            outcome = Outcome::Outage;
        } else if voters == needed && voters < roster.voters().len() {
            then.push(format!("{voters} voters are left, each of them is needed"));
            outcome = Outcome::Weaker;
        }
        let (before, after) =
            (heard.count(Service::Orchestrator), self.count(Service::Orchestrator));
        if after == 0 {
            then.push("no orchestrator is left: nobody replaces a master".into());
            outcome = Outcome::Outage;
        } else if after == 1 && before > 1 {
            then.push("one orchestrator is left".into());
            outcome = outcome.max(Outcome::Weaker);
        }
        if heard.count(Service::Gateway) > 0 && self.count(Service::Gateway) == 0 {
            then.push("no gateway is left: clients of Sentinel have nobody to ask".into());
            outcome = Outcome::Outage;
        }
        outcome
    }

    fn group(
        &self,
        heard: &Heard,
        record: &GroupRecord,
        services: Outcome,
        then: &mut Vec<String>,
    ) -> Outcome {
        let (name, quorum) = (&record.group, record.settings.quorum.get() as usize);
        let mut outcome = Outcome::Ok;
        let nothing = BTreeMap::new();
        let probers = self.services.get(&Service::Prober).unwrap_or(&nothing);
        let places = probers.values().collect::<BTreeSet<_>>().len();
        let wanted = record.settings.quorum_places.map_or(0, |places| places as usize);
        if probers.len() < quorum {
            then.push(format!(
                "{name}: {} probers are left, its quorum is {quorum}",
                probers.len()
            ));
            outcome = Outcome::Outage;
        } else if places < wanted {
            then.push(format!("{name}: probers of {places} places are left, {wanted} are needed"));
            outcome = Outcome::Outage;
        }
        let down = |node: &NodeAddr| {
            let reports = heard.down.get(&(name.clone(), node.clone()));
            reports.is_some_and(|reports| !reports.is_empty())
        };
        let left = present(record).map(|member| &member.addr);
        let left = left.filter(|node| !self.is_dead(record, node) && !down(node));
        let replicas: Vec<_> = left.filter(|node| **node != record.master).collect();
        let names = replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        if self.is_dead(record, &record.master) {
            if replicas.is_empty() {
                then.push(format!("{name}: its master dies and nobody is left to take over"));
                return Outcome::Outage;
            }
            if services == Outcome::Outage || outcome == Outcome::Outage {
                then.push(format!("{name}: its master dies and is not replaced"));
                return Outcome::Outage;
            }
            then.push(format!("{name}: {names} takes over"));
        }
        let replaced = usize::from(self.is_dead(record, &record.master));
        let before = present(record).filter(|m| m.addr != record.master && !down(&m.addr)).count();
        if replicas.len() == replaced && before > 0 {
            then.push(format!("{name}: no replica is left"));
            outcome = outcome.max(Outcome::Weaker);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{beat, healthy, report, roster};
    use vedette_model::{Evidence, NodePlace, NodeState};

    fn of<'a>(lines: &'a [Line], loss: &str) -> &'a Line {
        lines.iter().find(|line| line.loss == loss).unwrap()
    }

    fn all(heard: &Heard) -> Vec<Line> {
        lines(heard, &roster())
    }

    #[test]
    fn the_last_orchestrator_and_the_last_prober_of_a_quorum_are_outages() {
        let mut heard = healthy(1);
        let lines = all(&heard);
        assert_eq!(of(&lines, "orchestrator/o1").outcome, Outcome::Outage);
        assert_eq!(of(&lines, "prober/p1").outcome, Outcome::Outage);
        assert_eq!(of(&lines, "notifier/n1").outcome, Outcome::Ok);
        for (service, id) in [(Service::Orchestrator, "o2"), (Service::Prober, "p2")] {
            heard.take(beat(service, id).into());
        }
        let lines = all(&heard);
        assert_eq!(of(&lines, "orchestrator/o1").outcome, Outcome::Weaker);
        assert_eq!(of(&lines, "prober/p1").outcome, Outcome::Ok);
    }

    #[test]
    fn of_three_voters_one_may_die_and_a_place_with_all_of_them_may_not() {
        let lines = all(&healthy(1));
        assert_eq!(of(&lines, "voter/v2").outcome, Outcome::Weaker);
        let place = of(&lines, "place a");
        assert_eq!(place.outcome, Outcome::Outage);
        assert!(place.then[0].contains("0 voters are left and 2 are needed"), "{:?}", place.then);
    }

    #[test]
    fn a_dead_host_is_survived_if_a_living_replica_is_elsewhere() {
        let mut heard = healthy(1);
        let lines = all(&heard);
        let host = of(&lines, "nodes on 127.0.0.1");
        assert_eq!(host.outcome, Outcome::Outage, "both nodes are on it");
        let place = |port: u16, place: &str| NodePlace {
            node: NodeAddr::new("127.0.0.1", port).unwrap(),
            place: Place::parse(place).unwrap(),
        };
        let record = heard.records.values_mut().next().unwrap();
        record.settings.node_places = vec![place(1, "x"), place(2, "y")];
        let lines = all(&heard);
        assert_eq!(
            of(&lines, "place x").then,
            ["orders: 127.0.0.1:2 takes over", "orders: no replica is left"]
        );
        assert_eq!(of(&lines, "place y").outcome, Outcome::Weaker);
        heard.take(report(2, NodeState::Down(Evidence::Crash { refused: 2 })).into());
        assert_eq!(of(&all(&heard), "place x").outcome, Outcome::Outage, "it is down");
    }
}
