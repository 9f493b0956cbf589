//! What a scenario does to a world; what it asks is in `asks`.
//!
//! ```
//! use vedette_sim::{Options, World, ms, secs};
//!
//! let mut world = World::settled(Options::new(1));
//! let first = world.master();
//! world.kill(first);
//! let took = world.run_until("another master", secs(3), |w| w.master() != first);
//! assert!(took < ms(1_500));
//! world.run_until_well(secs(10));
//! ```
//!
//! Every invariant is checked at every step; a violation, or a condition that does not come true,
//! panics with the story so far.

use crate::hook::{Harm, Hook, Moment};
use crate::net::Site;
use crate::node::{Mood, Node};
use crate::options::{NodeOptions, Options};
use crate::world::World;
use std::collections::BTreeSet;
use std::time::Duration;
use vedette_model::{GroupName, Instruction, NodeAddr, Outcome, Service, Verb};

/// So many milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many seconds.
pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A condition is looked at this often.
const STEP: Duration = Duration::from_micros(200);
/// Lines of the story that a panic shows.
const LINES_SHOWN: usize = 120;

pub(crate) fn process(site: Site) -> usize {
    match site {
        Site::Process(index) => index,
        Site::Node(_) => panic!("{site:?} is not a process"),
    }
}

pub(crate) fn node(site: Site) -> usize {
    match site {
        Site::Node(index) => index,
        Site::Process(_) => panic!("{site:?} is not a node"),
    }
}

/// Time.
impl World {
    /// A world in which every group has found its nodes and all is well.
    pub fn settled(options: Options) -> Self {
        let mut world = Self::new(options);
        let all_found = |w: &Self| {
            let found = |(i, g): (usize, &crate::world::Group)| {
                w.committed(i).is_some_and(|r| r.members.len() == g.nodes.len())
            };
            w.groups.iter().enumerate().all(found) && w.well().is_ok()
        };
        world.run_until("every group has found its nodes", secs(30), all_found);
        world.run_for(secs(2));
        world
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.advance(self.now + time);
        self.hold();
    }

    /// Lets time pass until something is so, at most `limit`; gives the time it took.
    pub fn run_until(
        &mut self,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Duration {
        let begun = self.now;
        while !is_so(self) {
            if self.now.since(begun) >= limit {
                let well = self.well();
                self.fail(&format!("not within {limit:?}: {what}; well: {well:?}"));
            }
            self.run_for(STEP);
        }
        self.now.since(begun)
    }

    /// Lets time pass until one master is followed by all, and everybody says so.
    pub fn run_until_well(&mut self, limit: Duration) -> Duration {
        self.run_until("all is well", limit, |w| w.well().is_ok())
    }

    fn hold(&self) {
        if let Some(violation) = &self.violation {
            self.fail(violation);
        }
    }

    /// Panics with the story so far.
    pub fn fail(&self, what: &str) -> ! {
        let lines = self.story_lines();
        let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        panic!("{what}\nseed {}, the story so far:\n{shown}", self.options.seed)
    }

    /// What happened, one line each.
    pub fn story_lines(&self) -> &[String] {
        self.story.as_ref().map_or(&[], |story| &story.lines)
    }
}

/// What is done to them.
impl World {
    /// `kill -9`.
    pub fn kill(&mut self, site: Site) {
        self.fault_line("kill", site);
        match site {
            Site::Process(index) => self.death(index),
            Site::Node(index) => self.kill_node_now(index),
        }
    }

    /// Starts what is dead.
    pub fn start(&mut self, site: Site) {
        self.fault_line("start", site);
        match site {
            Site::Process(index) if self.processes[index].role.is_none() => self.birth(index),
            Site::Process(_) => {}
            Site::Node(index) => self.start_node_now(index, false),
        }
    }

    /// Starts a dead node whose disk is empty.
    pub fn start_empty(&mut self, site: Site) {
        self.fault_line("start with an empty disk", site);
        self.start_node_now(node(site), true);
    }

    /// `SIGSTOP`.
    pub fn stop(&mut self, site: Site) {
        self.fault_line("stop", site);
        match site {
            Site::Process(index) => self.processes[index].stopped = true,
            Site::Node(index) => self.stop_node_now(index),
        }
    }

    /// `SIGCONT`.
    pub fn resume(&mut self, site: Site) {
        self.fault_line("continue", site);
        match site {
            Site::Process(index) => {
                self.processes[index].stopped = false;
                self.wake(index);
            }
            Site::Node(index) => self.continue_node_now(index),
        }
    }

    /// Nothing gets from one to the other, nor back.
    pub fn cut(&mut self, a: Site, b: Site) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Nothing gets from one to the other.
    pub fn cut_one_way(&mut self, from: Site, to: Site) {
        let (a, b) = (self.name(from), self.name(to));
        self.line("FAULT", || format!("cut {a} -> {b}"));
        self.net.cut.insert((from, to));
        if let (Site::Node(a), Site::Node(b)) = (from, to) {
            self.catch_up(self.nodes[a].group);
            let now = self.now;
            for (replica, master) in [(a, b), (b, a)] {
                let addr = self.nodes[master].addr.clone();
                let following = self.nodes[replica].following.as_ref();
                if following.is_some_and(|f| f.addr == addr) {
                    self.nodes[replica].unlink(now);
                }
            }
        }
    }

    /// Cuts every path between the two sides.
    pub fn part(&mut self, one: &[Site], other: &[Site]) {
        for a in one {
            for b in other {
                self.cut(*a, *b);
            }
        }
    }

    /// Cuts one off from everybody else.
    pub fn isolate(&mut self, site: Site) {
        let all = [self.all_processes(), self.all_nodes()].concat();
        let others: Vec<_> = all.into_iter().filter(|other| *other != site).collect();
        self.part(&[site], &others);
    }

    /// Every path carries again; what was held back on the way arrives now.
    pub fn heal(&mut self) {
        self.line("FAULT", || "all cuts heal".to_string());
        let cut = std::mem::take(&mut self.net.cut);
        self.deliver_held();
        let mut back = BTreeSet::new();
        for (a, b) in cut {
            match (a, b) {
                (Site::Node(a), Site::Node(_)) => self.reach_for_master(a, 5, 1_000),
                (Site::Process(a), Site::Process(b)) => back.extend([a, b]),
                (Site::Process(_), Site::Node(_)) | (Site::Node(_), Site::Process(_)) => {}
            }
        }
        // Some kept their connection to the bus: servers of it had lost each other.
        back.retain(|_| self.rng.permille(500));
        for process in back {
            self.come_back(process);
        }
    }

    /// These lose their server of the bus, and with it all that they say and should hear, until they
    /// have found another one.
    pub fn lose_bus(&mut self, sites: &[Site], time: Duration) {
        let all = self.all_processes();
        for site in sites {
            let others: Vec<_> = all.iter().filter(|other| *other != site).copied().collect();
            self.part(&[*site], &others);
        }
        self.run_for(time);
        self.net.cut.clear();
        self.net.held.clear();
        self.line("FAULT", || "they have another server of the bus".to_string());
        for site in sites {
            self.come_back(process(*site));
        }
    }

    /// Of a thousand messages so many are lost, repeated, and up to 5 s late.
    pub fn noise(&mut self, lost: u64, repeated: u64, late: u64) {
        self.line("FAULT", || format!("noise {lost} lost, {repeated} twice, {late} late of 1000"));
        self.net.drop_permille = lost;
        self.net.repeat_permille = repeated;
        self.net.late_permille = late;
    }

    /// Of a thousand writes of voters so many take up to 400 ms.
    pub fn slow_disks(&mut self, permille: u64) {
        self.line("FAULT", || format!("{permille} of 1000 writes are slow"));
        self.net.slow_disk_permille = permille;
    }

    /// From now on nothing can be written to a voter's disk; what is on it stays.
    pub fn fail_disk(&mut self, voter: Site) {
        self.fault_line("the disk fails of", voter);
        self.net.failing_disks.insert(process(voter));
    }

    /// Its disk can be written to again; the process must be started anew to notice.
    pub fn mend_disk(&mut self, voter: Site) {
        self.fault_line("the disk is mended of", voter);
        self.net.failing_disks.remove(&process(voter));
    }

    /// Kills a voter and takes everything from its disk.
    pub fn lose_disk(&mut self, voter: Site) {
        self.kill(voter);
        self.fault_line("the disk is lost of", voter);
        self.processes[process(voter)].disk.clear();
        self.processes[process(voter)].meta = None;
    }

    /// The machine of a prober or a voter is cloned, its disk and its id too, and the clone started.
    pub fn clone_of(&mut self, site: Site) -> Site {
        self.fault_line("clone", site);
        let index = process(site);
        let (service, id) = (self.processes[index].sender.service, self.name(site));
        let twin = self.add_process(service, &id, index);
        self.processes[twin].disk = self.processes[index].disk.clone();
        self.processes[twin].meta = self.processes[index].meta.clone();
        self.birth(twin);
        Site::Process(twin)
    }

    /// A process's clock goes on at another rate: so many parts of a million fast, or slow.
    pub fn drift(&mut self, site: Site, ppm: i32) {
        let now = self.now;
        self.processes[process(site)].clock.set_rate(ppm, now);
        self.set_timer(process(site));
    }

    /// A replica's link to its master breaks and stays broken.
    pub fn unlink(&mut self, site: Site) {
        self.fault_line("break the replication link of", site);
        let index = node(site);
        self.catch_up(self.nodes[index].group);
        self.nodes[index].unlinked = true;
        let now = self.now;
        self.nodes[index].unlink(now);
    }

    /// It may be linked again.
    pub fn relink(&mut self, site: Site) {
        self.fault_line("mend the replication link of", site);
        self.nodes[node(site)].unlinked = false;
        self.reach_for_master(node(site), 5, 1_000);
    }

    /// What a node says from now on.
    pub fn mood(&mut self, site: Site, mood: Mood) {
        let name = self.name(site);
        self.line("FAULT", || format!("{name} is {mood:?}"));
        let index = node(site);
        self.catch_up(self.nodes[index].group);
        self.nodes[index].mood = mood;
        self.nodes[index].written_until = self.now;
    }

    /// Somebody else sends `REPLICAOF` to a node; to nobody means `NO ONE`.
    pub fn outsider_replicaof(&mut self, site: Site, master: Option<Site>) {
        self.fault_line("an outsider sends REPLICAOF to", site);
        match master {
            Some(master) => {
                let addr = self.addr(master).clone();
                self.follow(node(site), &addr);
            }
            None => self.promote(node(site)),
        }
    }

    /// A node, dead or killed now, gives its address up to another node: of another group, or one
    /// that nobody here knows. Gives the node that listens there now.
    pub fn replace(&mut self, site: Site, by: Option<Site>) -> Site {
        let left = node(site);
        self.kill_node_now(left);
        let addr = self.nodes[left].addr.clone();
        let index = match by {
            Some(other) => {
                let index = node(other);
                self.kill_node_now(index);
                let before = self.nodes[index].addr.clone();
                self.occupants.remove(&before);
                self.nodes[index].addr = addr.clone();
                self.start_node_now(index, false);
                index
            }
            None => self.add_stranger(addr.clone()),
        };
        self.occupants.insert(addr.clone(), index);
        self.line("FAULT", || format!("another node listens at {addr}"));
        Site::Node(index)
    }

    /// A master of its own, with 10,000 bytes of a history that no group knows.
    fn add_stranger(&mut self, addr: NodeAddr) -> usize {
        let nobody = usize::MAX;
        let is = NodeOptions::default();
        let mut stranger = Node::new(nobody, addr, None, is, &mut self.rng);
        stranger.write(10_000, &mut self.branches);
        self.nodes.push(stranger);
        self.nodes.len() - 1
    }

    /// Harm to the first orchestrator that comes to this moment, before the world hears of it.
    pub fn strike_before(&mut self, moment: Moment, harm: Harm) {
        self.hooks.push(Hook { moment, before: true, harm });
    }

    /// The same, right after the world was told.
    pub fn strike_after(&mut self, moment: Moment, harm: Harm) {
        self.hooks.push(Hook { moment, before: false, harm });
    }

    /// An operator gives all orchestrators an instruction, and again until it is carried out.
    pub fn instruct(&mut self, group: Option<&str>, verb: &Verb, limit: Duration) {
        let group = group.map(|name| GroupName::parse(name).expect("a valid group name"));
        let fact = Instruction { group, verb: verb.clone() }.into();
        let begun = self.now;
        self.answers.clear();
        while !matches!(self.outcome(), Some(Outcome::Done { .. })) {
            if self.now.since(begun) >= limit {
                self.fail(&format!("not within {limit:?}: {verb:?}; {:?}", self.outcome()));
            }
            let orchestrators: Vec<_> = self.of(Service::Orchestrator).collect();
            self.say_to(&orchestrators, &fact);
            self.run_for(ms(300));
        }
    }

    /// Somebody gives all orchestrators an instruction for the first group, once.
    pub fn request(&mut self, verb: &Verb) {
        self.answers.clear();
        let group = Some(self.groups[0].name.clone());
        let orchestrators: Vec<_> = self.of(Service::Orchestrator).collect();
        self.say_to(&orchestrators, &Instruction { group, verb: verb.clone() }.into());
    }

    /// Lets time pass until an orchestrator has come to this moment, at most `limit`.
    pub fn run_until_moment(&mut self, moment: Moment, limit: Duration) {
        self.passed.clear();
        self.run_until(&format!("{moment:?}"), limit, |w| w.passed.contains(&moment));
    }

    /// Somebody asks all orchestrators once for another master of the first group.
    pub fn ask_for_another_master(&mut self, forced: bool) {
        let Some(epoch) = self.committed(0).map(|record| record.epoch) else { return };
        let verb = if forced {
            Verb::Failover { epoch }
        } else {
            Verb::Switchover { epoch, to: None, dry_run: false }
        };
        self.request(&verb);
    }

    /// Clients of the first group write to this node, whatever is announced next.
    pub fn write_here(&mut self, site: Site) {
        self.write_to(0, Some(node(site)));
    }

    pub(crate) fn name(&self, site: Site) -> String {
        match site {
            Site::Process(index) => self.processes[index].sender.id.clone(),
            Site::Node(index) => self.nodes[index].addr.to_string(),
        }
    }

    fn fault_line(&mut self, verb: &str, site: Site) {
        if self.story.is_some() {
            let name = self.name(site);
            self.line("FAULT", || format!("{verb} {name}"));
        }
    }
}
