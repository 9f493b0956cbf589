//! `vedette survive`: what would happen if one thing died now.
//!
//! Each service, each place and each host is taken away in thought, one at a time; a host with the
//! nodes and the services on it. NATS servers are not among them: nobody tells where they run.

mod hosts;

use crate::args::Listing;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{Heard, collect, ensure_voters, present, roster};
use hosts::{Addresses, Hosts};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{GroupRecord, Heartbeat, NodeAddr, Place, Roster, Service};
use vedette_runtime::Shutdown;

/// How bad it would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// Everything goes on, if a master was lost after a failover.
    Ok,
    /// Everything goes on, and the next loss may be an outage.
    Weaker,
    /// A group is without a master, a dead master would not be replaced, or Sentinel's clients have
    /// nobody to ask.
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

/// What dies: one service, everything of a place, everything on a host, or the nodes of a host of
/// which no service tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Service(Service, String),
    Place(Place),
    Host(String),
    Nodes(String),
}

/// One loss and what comes of it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    loss: String,
    /// What dies with a place or a host: services and nodes.
    takes: Vec<String>,
    outcome: Outcome,
    /// What comes of it, in words.
    then: Vec<String>,
}

impl Line {
    /// What dies, in words.
    fn words(&self) -> String {
        match self.takes.len() {
            0 => self.loss.clone(),
            1 => format!("{} (with {})", self.loss, self.takes[0]),
            count => format!("{} ({count} services and nodes)", self.loss),
        }
    }
}

/// Prints what each loss would do; whether none of them would be an outage.
///
/// # Errors
/// What is wrong with NATS, or that no voter answers, with what to do about it.
pub async fn run(wanted: &Listing, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, Duration::from_millis(wanted.wait)).await?;
    ensure_voters(&heard, config)?;
    let roster = roster(&heard, &config.roster.roster()?);
    let lines = lines(&heard, &roster, &hosts::look_up(&heard).await);
    if wanted.json {
        out::line(&serde_json::to_string_pretty(&lines)?)?;
    } else {
        let rows: Vec<_> = lines
            .iter()
            .map(|line| [line.words(), line.outcome.word().into(), line.then.join("; ")])
            .collect();
        out::text(&columns(["IF THIS DIES", "IT IS", "BECAUSE"], &rows))?;
    }
    Ok(lines.iter().all(|line| line.outcome < Outcome::Outage))
}

fn lines(heard: &Heard, roster: &Roster, addresses: &Addresses) -> Vec<Line> {
    let hosts = Hosts::of(heard, addresses);
    let told: BTreeSet<_> = hosts::told(heard).map(|host| host.name.as_str()).collect();
    let mut losses: BTreeSet<_> = told.iter().map(|host| Loss::Host((*host).into())).collect();
    for (service, id) in heard.services.keys().filter(|(service, _)| *service != Service::Client) {
        losses.insert(Loss::Service(*service, id.clone()));
    }
    losses.extend(heard.services.values().map(|beat| Loss::Place(beat.place.clone())));
    for record in heard.records.values() {
        let of = present(record).map(|member| hosts.machine(member.addr.host()));
        losses.extend(of.filter(|host| !told.contains(host)).map(|host| Loss::Nodes(host.into())));
        let places = record.settings.node_places.iter();
        losses.extend(places.map(|known| Loss::Place(known.place.clone())));
    }
    let judged = |loss| Rest::without(heard, &hosts, loss).judged(heard, roster);
    losses.into_iter().map(judged).collect()
}

/// What is left.
struct Rest<'a> {
    hosts: &'a Hosts,
    /// Ids and places of the services that live.
    services: BTreeMap<Service, BTreeMap<String, Place>>,
    loss: Loss,
}

impl<'a> Rest<'a> {
    fn without(heard: &Heard, hosts: &'a Hosts, loss: Loss) -> Self {
        let mut services: BTreeMap<Service, BTreeMap<String, Place>> = BTreeMap::new();
        for ((service, id), beat) in &heard.services {
            let dies = match &loss {
                Loss::Service(other, dead) => service == other && id == dead,
                Loss::Place(place) => beat.place == *place,
                Loss::Host(host) => is_on(beat, host),
                Loss::Nodes(_) => false,
            };
            if !dies {
                services.entry(*service).or_default().insert(id.clone(), beat.place.clone());
            }
        }
        Self { hosts, services, loss }
    }

    /// Whether a node is among what died.
    fn is_dead(&self, record: &GroupRecord, node: &NodeAddr) -> bool {
        let mut places = record.settings.node_places.iter();
        match &self.loss {
            Loss::Service(..) => false,
            Loss::Host(host) | Loss::Nodes(host) => self.hosts.machine(node.host()) == host,
            Loss::Place(place) => places.any(|known| known.node == *node && known.place == *place),
        }
    }

    fn count(&self, service: Service) -> usize {
        self.services.get(&service).map_or(0, BTreeMap::len)
    }

    fn judged(&self, heard: &Heard, roster: &Roster) -> Line {
        let mut then = Vec::new();
        let services = self.services_left(heard, roster, &mut then);
        let mut outcome = services;
        for record in heard.records.values() {
            outcome = outcome.max(self.group(heard, record, services, &mut then));
        }
        // No failover waits for a gateway.
        if heard.count(Service::Gateway) > 0 && self.count(Service::Gateway) == 0 {
            then.push("no gateway is left: clients of Sentinel have nobody to ask".into());
            outcome = Outcome::Outage;
        }
        if then.is_empty() {
            then.push("everything goes on".into());
        }
        let loss = match &self.loss {
            Loss::Service(service, id) => format!("{service}/{id}"),
            Loss::Place(place) => format!("place {place}"),
            Loss::Host(host) => format!("host {host}"),
            Loss::Nodes(host) => format!("nodes on {host}"),
        };
        Line { loss, takes: self.takes(heard), outcome, then }
    }

    /// What dies with a place or a host.
    fn takes(&self, heard: &Heard) -> Vec<String> {
        if matches!(self.loss, Loss::Service(..)) {
            return Vec::new();
        }
        let lives =
            |service, id| self.services.get(&service).is_some_and(|all| all.contains_key(id));
        let services = heard.services.keys().filter(|(service, id)| !lives(*service, id));
        let services = services.map(|(service, id)| format!("{service}/{id}"));
        let nodes = heard.records.values().flat_map(|record| {
            let nodes = present(record).map(|member| &member.addr);
            nodes.filter(move |node| self.is_dead(record, node))
        });
        let nodes: BTreeSet<_> = nodes.map(ToString::to_string).collect();
        services.chain(nodes).collect()
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

fn is_on(beat: &Heartbeat, machine: &str) -> bool {
    beat.host.as_ref().is_some_and(|host| host.name.as_str() == machine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{beat, healthy, report, roster};
    use vedette_model::{Evidence, Host, HostName, NodePlace, NodeState};

    fn of<'a>(lines: &'a [Line], loss: &str) -> &'a Line {
        lines.iter().find(|line| line.loss == loss).unwrap()
    }

    fn all(heard: &Heard) -> Vec<Line> {
        let known = ["127.0.0.1", "10.0.0.1"];
        let known = known.map(|address| (address.into(), vec![address.parse().unwrap()]));
        lines(heard, &roster(), &known.into())
    }

    /// A service on a machine with this name and address.
    fn on(host: &str, address: &str, service: Service, id: &str) -> vedette_model::Fact {
        let name = HostName::parse(host).unwrap();
        let host = Some(Host { name, addresses: vec![address.parse().unwrap()] });
        Heartbeat { host, ..beat(service, id) }.into()
    }

    /// The master on db-1, its replica on db-2, and on each of them a prober and an orchestrator;
    /// voters on these and on db-3.
    fn on_three_hosts(quorum: u32) -> Heard {
        let mut heard = healthy(quorum);
        for (n, (host, address)) in
            [("db-1", "10.0.0.1"), ("db-2", "10.0.0.2"), ("db-3", "10.0.0.3")].iter().enumerate()
        {
            heard.take(on(host, address, Service::Voter, &format!("v{}", n + 1)));
            if n < 2 {
                heard.take(on(host, address, Service::Prober, &format!("p{}", n + 1)));
                heard.take(on(host, address, Service::Orchestrator, &format!("o{}", n + 1)));
            }
        }
        let record = heard.records.values_mut().next().unwrap();
        record.master = NodeAddr::new("10.0.0.1", 1).unwrap();
        record.members[0].addr = record.master.clone();
        record.members[1].addr = NodeAddr::new("db-2", 2).unwrap();
        heard
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

    #[test]
    fn a_dead_host_takes_its_nodes_and_its_services_together() {
        let mut heard = on_three_hosts(1);
        let lines = all(&heard);
        let host = of(&lines, "host db-1");
        assert_eq!(host.takes, ["prober/p1", "voter/v1", "orchestrator/o1", "10.0.0.1:1"]);
        assert_eq!(host.outcome, Outcome::Weaker);
        assert!(host.then.contains(&"orders: db-2:2 takes over".into()), "{:?}", host.then);
        assert!(host.then.contains(&"one orchestrator is left".into()), "{:?}", host.then);
        assert_eq!(of(&lines, "host db-2").takes.last().unwrap(), "db-2:2");
        assert!(!lines.iter().any(|line| line.loss.starts_with("nodes on")), "all were matched");
        // One voter more on the master's machine, and nobody can decide.
        heard.take(on("db-1", "10.0.0.1", Service::Voter, "v3"));
        let lines = all(&heard);
        let host = of(&lines, "host db-1");
        assert_eq!(host.outcome, Outcome::Outage);
        assert_eq!(host.then.last().unwrap(), "orders: its master dies and is not replaced");
        assert_eq!(of(&lines, "host db-2").outcome, Outcome::Weaker);
        assert!(!lines.iter().any(|line| line.loss == "host db-3"), "nothing is left on it");
    }

    #[test]
    fn a_host_with_a_prober_of_the_quorum_or_the_last_gateway_is_an_outage() {
        let lines = all(&on_three_hosts(2));
        let host = of(&lines, "host db-1");
        assert_eq!(host.outcome, Outcome::Outage);
        assert!(host.then.contains(&"orders: 1 probers are left, its quorum is 2".into()));
        let mut heard = on_three_hosts(1);
        assert_eq!(of(&all(&heard), "host db-3").outcome, Outcome::Weaker);
        heard.take(on("db-1", "10.0.0.1", Service::Gateway, "g1"));
        let lines = all(&heard);
        let host = of(&lines, "host db-1");
        assert_eq!(host.outcome, Outcome::Outage);
        assert!(host.then.contains(&"orders: db-2:2 takes over".into()), "{:?}", host.then);
        assert_eq!(
            host.then.last().unwrap(),
            "no gateway is left: clients of Sentinel have nobody to ask"
        );
    }

    #[test]
    fn what_is_an_outage_for_one_group_is_none_for_the_next() {
        let mut heard = on_three_hosts(1);
        let mut other = heard.records.values().next().unwrap().clone();
        other.group = vedette_model::GroupName::parse("alone").unwrap();
        other.members.retain(|member| member.addr == other.master);
        heard.records.insert(other.group.clone(), other);
        let lines = all(&heard);
        let host = of(&lines, "host db-1");
        assert_eq!(host.outcome, Outcome::Outage);
        let alone = "alone: its master dies and nobody is left to take over";
        assert!(host.then.contains(&alone.into()), "{:?}", host.then);
        assert!(host.then.contains(&"orders: db-2:2 takes over".into()), "{:?}", host.then);
    }
}
