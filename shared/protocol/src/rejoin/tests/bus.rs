//! Voters with their disks, and a bus on which everything arrives at once.

use crate::Machine;
use crate::roster::Meta;
use crate::tests::{at, place, roster, voter};
use crate::voter::{Config, Input, Output, Stored, Voter};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use vedette_model::{Fact, GroupName, Heartbeat, Roster, Sender, Service, StatusQuery};

#[derive(Default)]
struct Disk {
    meta: Option<Meta>,
    groups: BTreeMap<GroupName, Stored>,
}

pub(super) struct World {
    now: u64,
    lives: u64,
    pub(super) first: Roster,
    voters: BTreeMap<usize, Voter>,
    disks: BTreeMap<usize, Disk>,
    /// Sent by, to one or to all, what, and where to answer.
    messages: VecDeque<(usize, Option<usize>, Fact, Option<String>)>,
    heartbeats: BTreeMap<usize, Heartbeat>,
    /// Answers to whoever asks from outside.
    answers: Vec<Fact>,
}

const OUTSIDE: &str = "outside";

impl World {
    /// Nobody runs yet; all are configured with a roster of so many.
    pub(super) fn new(size: usize) -> Self {
        Self {
            now: 10_000,
            lives: 0,
            first: roster(size),
            voters: BTreeMap::new(),
            disks: BTreeMap::new(),
            messages: VecDeque::new(),
            heartbeats: BTreeMap::new(),
            answers: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, n: usize) {
        self.lives += 1;
        let config = Config {
            sender: Sender::parse(Service::Voter, &format!("v{n}"), self.lives).unwrap(),
            id: voter(n),
            place: place("here"),
            roster: self.first.clone(),
        };
        let disk = self.disks.entry(n).or_default();
        let stored = disk.groups.values().cloned().collect();
        let voter = Voter::new(config, disk.meta.clone(), stored, at(self.now));
        self.voters.insert(n, voter);
    }

    pub(super) fn kill(&mut self, n: usize) {
        self.voters.remove(&n);
    }

    /// Kills it and takes all from its disk.
    pub(super) fn lose(&mut self, n: usize) {
        self.kill(n);
        self.disks.remove(&n);
    }

    pub(super) fn meta(&self, n: usize) -> Option<&Meta> {
        self.disks.get(&n)?.meta.as_ref()
    }

    pub(super) fn disk(&self, n: usize) -> Vec<Stored> {
        self.disks.get(&n).into_iter().flat_map(|disk| disk.groups.values().cloned()).collect()
    }

    /// Lets so many milliseconds pass; all that is said meanwhile arrives.
    pub(super) fn run(&mut self, millis: u64) {
        for _ in 0..=millis {
            let due = |voter: &Voter, now| voter.poll_timeout().is_some_and(|due| due <= at(now));
            let now = self.now;
            let woken: Vec<_> =
                self.voters.iter().filter(|(_, v)| due(v, now)).map(|(n, _)| *n).collect();
            for n in woken {
                if let Some(voter) = self.voters.get_mut(&n) {
                    voter.handle_timeout(at(now));
                }
                self.drain(n);
            }
            self.deliver();
            self.now += 1;
        }
        self.now -= 1;
    }

    fn deliver(&mut self) {
        while let Some((from, to, fact, reply_to)) = self.messages.pop_front() {
            let hears = |n: &usize| *n != from && to.is_none_or(|to| to == *n);
            let hearers: Vec<_> = self.voters.keys().copied().filter(hears).collect();
            for n in hearers {
                self.hand(n, fact.clone(), reply_to.clone());
            }
        }
    }

    fn hand(&mut self, n: usize, fact: Fact, reply_to: Option<String>) {
        if let Some(voter) = self.voters.get_mut(&n) {
            voter.handle(Input::Fact { fact, reply_to }, at(self.now));
        }
        self.drain(n);
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.voters.get_mut(&n).and_then(Machine::poll_output) {
            let disk = self.disks.entry(n).or_default();
            match output {
                Output::Persist(stored) => drop(disk.groups.insert(stored.group.clone(), stored)),
                Output::PersistMeta(meta) => disk.meta = Some(meta),
                Output::Publish(fact) => {
                    if let Fact::Heartbeat(beat) = &fact {
                        self.heartbeats.insert(n, beat.clone());
                    }
                    self.messages.push_back((n, None, fact, Some(n.to_string())));
                }
                Output::Reply { to, fact } if to == OUTSIDE => self.answers.push(fact),
                Output::Reply { to, fact } => {
                    self.messages.push_back((n, to.parse().ok(), fact, None));
                }
            }
        }
    }

    /// What voter `n` answers to somebody outside.
    pub(super) fn ask(&mut self, n: usize, fact: Fact) -> Option<Fact> {
        self.answers.clear();
        self.hand(n, fact, Some(OUTSIDE.into()));
        self.answers.pop()
    }

    pub(super) fn heartbeat(&mut self, n: usize) -> Heartbeat {
        self.hand(n, StatusQuery {}.into(), None);
        self.heartbeats[&n].clone()
    }
}
