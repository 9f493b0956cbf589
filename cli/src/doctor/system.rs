//! Voters, probers, orchestrators and quorums.

use super::{Finding, Findings};
use crate::status::{Heard, roster};
use std::collections::BTreeSet;
use vedette_model::{Place, Roster, Service};

fn places(heard: &Heard, service: Service) -> BTreeSet<&Place> {
    let all = heard.services.iter().filter(|((kind, _), _)| *kind == service);
    all.map(|(_, beat)| &beat.place).collect()
}

/// Looks at what heartbeats and records say.
pub fn look(heard: &Heard, configured: &Roster, all: &mut Vec<Finding>) {
    let roster = roster(heard, configured);
    let count = roster.voters().len();
    let mut findings = Findings::about("voters".into(), all);
    findings.warn(
        count < 3,
        format!("{count} on the roster: none may die; add some with `vedette roster add`"),
    );
    findings.warn(
        count >= 3 && count.is_multiple_of(2),
        format!("{count} on the roster: one fewer may die just as well, an odd number is cheaper"),
    );
    findings.warn(
        count >= 3 && places(heard, Service::Voter).len() == 1,
        "all are in one place: when it is lost, nothing changes any more; place them apart",
    );
    findings.end(format!("{count} on the roster, {} are needed", roster.majority().get()));

    let probers = heard.count(Service::Prober);
    for record in heard.records.values() {
        let quorum = record.settings.quorum.get() as usize;
        let mut findings = Findings::about(record.group.to_string(), all);
        findings.warn(
            probers == quorum,
            format!(
                "its quorum {quorum} needs every prober that lives: start one more, or lower it"
            ),
        );
        let wanted = record.settings.quorum_places.map_or(0, |places| places as usize);
        let there = places(heard, Service::Prober).len();
        findings.err(
            there < wanted,
            format!("its quorum must come from {wanted} places, and probers live in {there}"),
        );
        findings.warn(
            quorum * 2 <= probers,
            format!(
                "its quorum {quorum} is no majority of {probers} probers: a part of them that is \
                 cut off may call a living master down"
            ),
        );
        findings.end(format!("quorum {quorum} of {probers} probers"));
    }

    let orchestrators = heard.count(Service::Orchestrator);
    let mut findings = Findings::about("orchestrators".into(), all);
    findings.warn(orchestrators == 1, "one lives: when it dies, nobody replaces a master; add one");
    findings.end(format!("{orchestrators} live"));
    let gateways = heard.count(Service::Gateway);
    let mut findings = Findings::about("gateways".into(), all);
    findings.warn(gateways == 1, "one lives: clients of Sentinel should know two; add one");
    findings.end(format!("{gateways} live"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;
    use crate::status::tests::{beat, healthy, roster};

    fn found(heard: &Heard) -> Vec<Finding> {
        let mut all = Vec::new();
        look(heard, &roster(), &mut all);
        all
    }

    fn about(heard: &Heard, about: &str) -> (Level, String) {
        let all = found(heard);
        let finding = all.into_iter().find(|finding| finding.about == about).unwrap();
        (finding.level, finding.text)
    }

    #[test]
    fn what_nothing_may_happen_to_is_a_warning() {
        let heard = healthy(1);
        for (name, words) in [
            ("voters", "all are in one place"),
            ("orders", "needs every prober"),
            ("orchestrators", "one lives"),
        ] {
            let (level, text) = about(&heard, name);
            assert!(level == Level::Warning && text.contains(words), "{name}: {text}");
        }
        assert_eq!(about(&heard, "gateways").0, Level::Ok, "nobody has to use them");
    }

    #[test]
    fn a_quorum_that_is_a_majority_with_one_to_spare_is_well() {
        let mut heard = healthy(2);
        for id in ["p2", "p3"] {
            heard.take(beat(Service::Prober, id).into());
        }
        assert_eq!(about(&heard, "orders"), (Level::Ok, "quorum 2 of 3 probers".into()));
        heard.take(beat(Service::Prober, "p4").into());
        assert!(about(&heard, "orders").1.contains("no majority of 4"));
    }

    #[test]
    fn places_that_no_prober_is_in_are_an_error() {
        let mut heard = healthy(1);
        heard.records.values_mut().next().unwrap().settings.quorum_places = Some(2);
        let all = found(&heard);
        assert!(all.iter().any(|finding| finding.level == Level::Error), "{all:?}");
    }
}
