//! What a process in a Sentinel's place may claim, from what is written down and who is heard.

use super::super::conf::Conf;
use anyhow::ensure;
use std::collections::BTreeMap;
use std::time::Duration;
use vedette_model::{
    Fact, Heartbeat, Instant, NodeAddr, Roster, RosterVersion, Service, Verb, VoterId,
};
use vedette_runtime::retained::founding::Founding;

/// A voter that was not heard for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(4);

/// Who it is.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The voter.
    pub id: VoterId,
    /// Where clients reach it.
    pub address: NodeAddr,
    /// Whether it may ask to be added: who was taken off stays off.
    pub is_new: bool,
}

impl Claim {
    /// Whether it may begin without memory: not as the only voter of a system that has begun, whose
    /// memory that was.
    pub fn may_begin(&self, founding: &Founding) -> bool {
        !(founding.founded && founding.roster.voters() == [self.id.clone()])
    }

    /// What is to be written down.
    pub fn news(&self, roster: Roster) -> Founding {
        let mut news = Founding { founded: true, ..Founding::first(roster) };
        if news.roster.contains(&self.id) {
            news.addresses.insert(self.id.clone(), self.address.clone());
        }
        news
    }

    /// Whether that is written down already.
    pub fn is_written(&self, written: &Founding, newest: &Roster) -> bool {
        written.founded
            && written.roster.version >= newest.version
            && (!newest.contains(&self.id)
                || written.addresses.get(&self.id) == Some(&self.address))
    }

    /// What is to be changed for this process to vote: first the one in whose place it is goes, if
    /// that one was not heard since `started`, for long enough.
    pub fn wish(
        &self,
        written: &Founding,
        newest: &Roster,
        voters: &Voters,
        started: Instant,
        now: Instant,
    ) -> Option<Verb> {
        if !self.is_new || newest.contains(&self.id) {
            return None;
        }
        let before = written
            .addresses
            .iter()
            .find(|(id, at)| **at == self.address && **id != self.id && newest.contains(id));
        match before {
            Some((before, _)) if !voters.lives(before, now) => {
                let gone = now.since(started) > GONE_AFTER;
                gone.then(|| Verb::RemoveVoter(before.clone()))
            }
            // Alive at the same address: the addresses are announced wrongly, and each counts.
            Some(_) | None => Some(Verb::AddVoter(self.id.clone())),
        }
    }
}

/// The voters that are heard.
#[derive(Debug, Default)]
pub struct Voters {
    /// The newest roster that one of them goes by.
    pub newest: Option<Roster>,
    heard: BTreeMap<VoterId, Instant>,
}

impl Voters {
    /// Takes what was said on the bus.
    pub fn hear(&mut self, fact: &Fact, now: Instant) {
        self.newest = newer(self.newest.take(), roster_in(fact));
        if let Some(beat) = voter_beat(fact)
            && let Ok(id) = VoterId::parse(&beat.id)
        {
            self.heard.insert(id, now);
            self.heard.retain(|_, heard| now.since(*heard) < GONE_AFTER);
        }
    }

    fn lives(&self, id: &VoterId, now: Instant) -> bool {
        self.heard.get(id).is_some_and(|heard| now.since(*heard) < GONE_AFTER)
    }
}

fn voter_beat(fact: &Fact) -> Option<&Heartbeat> {
    let Fact::Heartbeat(beat) = fact else { return None };
    (beat.service == Service::Voter).then_some(beat)
}

/// The roster that a voter says it goes by.
pub fn roster_in(fact: &Fact) -> Option<&Roster> {
    voter_beat(fact)?.roster.as_ref()
}

/// The newer of two.
pub fn newer(known: Option<Roster>, heard: Option<&Roster>) -> Option<Roster> {
    match (known, heard) {
        (Some(known), Some(heard)) if heard.version > known.version => Some(heard.clone()),
        (None, Some(heard)) => Some(heard.clone()),
        (known, _) => known,
    }
}

/// The roster that this process would begin with.
///
/// # Errors
/// The file's list of voters does not name this process, or cannot be a roster.
pub fn proposed(conf: &Conf, id: &VoterId) -> anyhow::Result<Roster> {
    let mut ids = if conf.own.voters.is_empty() {
        conf.own.known.iter().cloned().collect()
    } else {
        let voters = conf.own.voters.clone();
        ensure!(
            voters.iter().any(|voter| voter == id.as_str()),
            "sentinel voters names {}, and this process is {id}: set its sentinel myid to one of \
             them, or correct the list",
            voters.join(", ")
        );
        voters
    };
    if !ids.iter().any(|known| known == id.as_str()) {
        ids.push(id.to_string());
    }
    let ids: Result<Vec<_>, _> = ids.iter().map(|id| VoterId::parse(id)).collect();
    Ok(Roster::parse(RosterVersion(1), ids?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> VoterId {
        VoterId::parse(name).unwrap()
    }

    fn roster(version: u64, voters: &[&str]) -> Roster {
        let voters = voters.iter().map(|name| id(name)).collect();
        Roster::parse(RosterVersion(version), voters).unwrap()
    }

    fn at(port: u16) -> NodeAddr {
        NodeAddr::new("10.0.0.1", port).unwrap()
    }

    /// Three that vote, at ports 1 to 3.
    fn founded() -> Founding {
        let roster = roster(3, &["a", "b", "c"]);
        let addresses = [("a", 1), ("b", 2), ("c", 3)];
        let addresses = addresses.into_iter().map(|(name, port)| (id(name), at(port))).collect();
        Founding { roster, founded: true, addresses }
    }

    fn claim(name: &str, port: u16) -> Claim {
        Claim { id: id(name), address: at(port), is_new: true }
    }

    const START: Instant = Instant::ZERO;

    fn after(ms: u64) -> Instant {
        START + Duration::from_millis(ms)
    }

    /// All that is wished when these were heard so many milliseconds after the start.
    fn wish(claim: &Claim, heard: &[(&str, u64)], now: u64) -> Option<Verb> {
        let (written, mut voters) = (founded(), Voters::default());
        for (name, ms) in heard {
            voters.heard.insert(id(name), after(*ms));
        }
        claim.wish(&written, &written.roster, &voters, START, after(now))
    }

    #[test]
    fn a_new_process_asks_to_be_added_and_one_that_votes_asks_for_nothing() {
        assert_eq!(wish(&claim("d", 4), &[], 0), Some(Verb::AddVoter(id("d"))));
        assert_eq!(wish(&claim("a", 1), &[], 0), None);
    }

    #[test]
    fn who_was_taken_off_stays_off() {
        assert_eq!(wish(&Claim { is_new: false, ..claim("d", 4) }, &[], 9_000), None);
    }

    #[test]
    fn a_new_id_at_the_address_of_one_that_is_gone_has_it_taken_off_first() {
        let newcomer = claim("d", 2);
        assert_eq!(wish(&newcomer, &[], 4_000), None, "it may not have been heard yet");
        assert_eq!(wish(&newcomer, &[], 4_001), Some(Verb::RemoveVoter(id("b"))));
        let silent = [("b", 1_000)];
        assert_eq!(wish(&newcomer, &silent, 5_000), Some(Verb::RemoveVoter(id("b"))));
    }

    #[test]
    fn one_that_lives_at_the_same_address_is_never_taken_off() {
        let alive = [("b", 1_001)];
        assert_eq!(wish(&claim("d", 2), &alive, 5_000), Some(Verb::AddVoter(id("d"))));
    }

    #[test]
    fn one_that_no_longer_votes_is_in_nobodys_way() {
        let (written, newest) = (founded(), roster(4, &["a", "c"]));
        let wish = claim("d", 2).wish(&written, &newest, &Voters::default(), START, after(0));
        assert_eq!(wish, Some(Verb::AddVoter(id("d"))));
    }

    #[test]
    fn the_only_voter_of_a_system_that_has_begun_does_not_begin_again() {
        let alone = Founding::first(roster(1, &["a"]));
        assert!(claim("a", 1).may_begin(&alone), "nobody has gone by it yet");
        let founded = Founding { founded: true, ..alone };
        assert!(!claim("a", 1).may_begin(&founded));
        assert!(claim("b", 2).may_begin(&founded), "the memory is another's");
        assert!(claim("a", 1).may_begin(&self::founded()), "the others remember");
    }

    #[test]
    fn a_new_address_is_written_down_again() {
        let (written, moved) = (founded(), claim("a", 9));
        assert!(claim("a", 1).is_written(&written, &written.roster));
        assert!(!moved.is_written(&written, &written.roster));
        assert_eq!(moved.news(written.roster).addresses.get(&id("a")), Some(&at(9)));
    }

    #[test]
    fn of_two_rosters_the_newer_counts() {
        let (old, new) = (roster(1, &["a"]), roster(2, &["a", "b"]));
        assert_eq!(newer(Some(old.clone()), Some(&new)), Some(new.clone()));
        assert_eq!(newer(Some(new.clone()), Some(&old)), Some(new.clone()));
        assert_eq!(
            (newer(None, Some(&old)), newer(Some(new.clone()), None)),
            (Some(old), Some(new))
        );
    }
}
