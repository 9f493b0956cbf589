//! What goes wrong, and when: drawn from the seed, and carried out.

use crate::hook::{Harm, Hook, Moment};
use crate::net::Site;
use crate::node::Mood;
use crate::options::Keeps;
use crate::rng::Rng;
use crate::verbs::ms;
use crate::world::{Due, World};
use std::time::Duration;
use vedette_model::{Instruction, Service, Verb, VoterId};

/// Harm, or its end.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// `kill -9`.
    Kill(Site),
    /// `kill -9` of the recorded master.
    KillMaster,
    /// Started again.
    Start(Site),
    /// A node is started again with an empty disk.
    StartEmpty(Site),
    /// `SIGSTOP`.
    Stop(Site),
    /// `SIGSTOP` of the recorded master.
    StopMaster,
    /// The recorded master is cut off from all processes of ours.
    IsolateMaster,
    /// `SIGCONT`.
    Resume(Site),
    /// A path carries nothing, in one direction or both.
    Cut(Site, Site, bool),
    /// All paths carry again.
    Heal,
    /// Messages lost, repeated and late, slow writes: of a thousand each.
    Noise(u64, u64, u64, u64),
    /// A replica's link breaks.
    Unlink(Site),
    /// It is mended.
    Relink(Site),
    /// A replica is from now on so many milliseconds behind.
    Lag(Site, u64),
    /// A process's clock changes its rate, in parts of a million.
    Drift(Site, i32),
    /// What a node says.
    Mood(Site, Mood),
    /// Harm to whoever leads a failover, at a step of it.
    Strike(Hook),
    /// Nobody is struck any more.
    Recover,
    /// A voter dies, and its disk is empty when it starts again.
    LoseDisk(Site),
    /// Somebody wants this voter on the roster, or off it.
    Roster(Site, bool),
    /// Somebody wants another master, and insists on it if the present one does not answer.
    Switchover(bool),
}

/// What kind of schedule a seed stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One incident and what else goes wrong within a second.
    Short,
    /// Up to seven faults within eight seconds, noise, and one voter that may be gone for good.
    Long,
}

impl Kind {
    /// Faults last so long.
    pub const fn span(self) -> Duration {
        match self {
            Self::Short => ms(900),
            Self::Long => ms(8_000),
        }
    }

    /// All must be well for so long after the last fault; what still moves must come to rest.
    pub const fn rest(self) -> Duration {
        match self {
            Self::Short => ms(300),
            Self::Long => ms(8_000),
        }
    }
}

/// One seed's faults, being drawn.
struct Plan<'a> {
    rng: Rng,
    world: &'a World,
    kind: Kind,
    /// The master dies and does not come back: then no other node is harmed for good.
    for_good: bool,
    faults: Vec<(u64, Fault)>,
}

impl Plan<'_> {
    fn process(&mut self) -> Site {
        Site::Process(self.below(self.world.processes.len()))
    }

    fn node(&mut self) -> Site {
        Site::Node(self.below(self.world.nodes.len()))
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.rng.range(0, count as u64)).expect("small")
    }

    fn add(&mut self, at: u64, fault: Fault) {
        self.faults.push((at, fault));
    }

    /// What the schedule is about.
    fn incident(&mut self, at: u64) {
        match self.rng.range(0, 100) {
            0..50 => self.add(at, Fault::KillMaster),
            50..70 => self.add(at, Fault::StopMaster),
            70..80 => self.add(at, Fault::IsolateMaster),
            80..90 => self.kill_everything(at),
            _ => {}
        }
    }

    /// Everything dies at once and is started again in any order, perhaps without the master.
    fn kill_everything(&mut self, at: u64) {
        let world = self.world;
        let everything = [world.all_processes(), world.all_nodes()].concat();
        // Whoever comes back must be able to succeed, and must not die for good itself.
        let all_keep = world.nodes.iter().all(|n| n.is.keeps != Keeps::Nothing);
        let dies = self.faults.iter().any(|(_, fault)| matches!(fault, Fault::KillMaster));
        let without = (all_keep && !dies && self.rng.permille(300)).then(|| world.master());
        self.for_good |= without.is_some();
        for site in everything {
            self.add(at, Fault::Kill(site));
            if Some(site) != without {
                let start = at + self.rng.range(20, 600);
                self.add(start, Fault::Start(site));
            }
        }
    }

    fn strike(&mut self) {
        let moment = Moment::ALL[self.below(Moment::ALL.len())];
        let harm = if self.rng.permille(500) { Harm::Kill } else { Harm::Stop };
        let before = self.rng.permille(500);
        self.add(0, Fault::Strike(Hook { moment, before, harm }));
    }

    /// Something else, from `at` to `until`.
    fn complication(&mut self, at: u64, until: u64) {
        let (process, node) = (self.process(), self.node());
        let harmless_to_nodes = 8;
        match self.rng.range(0, if self.for_good { harmless_to_nodes } else { 14 }) {
            0 => self.faults.extend([(at, Fault::Kill(process)), (until, Fault::Start(process))]),
            1 => self.faults.extend([(at, Fault::Stop(process)), (until, Fault::Resume(process))]),
            2 => {
                let other = self.process();
                let cut = Fault::Cut(process, other, self.rng.permille(500));
                self.faults.extend([(at, cut), (until, Fault::Heal)]);
            }
            3 => {
                let cut = Fault::Cut(process, node, self.rng.permille(300));
                self.faults.extend([(at, cut), (until, Fault::Heal)]);
            }
            4 => self.strike(),
            5 => {
                let ppm = i32::try_from(self.rng.range(0, 2 * DRIFT_LIMIT)).expect("small");
                self.add(at, Fault::Drift(process, ppm - DRIFT_LIMIT as i32));
            }
            6 => {
                let lag = self.rng.range(0, 400);
                self.add(at, Fault::Lag(node, lag));
            }
            7 => {
                let mood = [Mood::Busy, Mood::Misconf, Mood::Denies, Mood::Unresolved];
                let mood = mood[self.below(4)];
                let fine = Fault::Mood(node, Mood::Well);
                self.faults.extend([(at, Fault::Mood(node, mood)), (until, fine)]);
            }
            8 => self.add(at, Fault::KillMaster),
            9 => self.faults.extend([(at, Fault::Kill(node)), (until, Fault::Start(node))]),
            // An empty disk hides the history; only where addresses are trusted does it come back.
            10 if self.world.groups[0].settings.trust_recorded_address => {
                self.faults.extend([(at, Fault::Kill(node)), (until, Fault::StartEmpty(node))])
            }
            10 | 11 => self.faults.extend([(at, Fault::Stop(node)), (until, Fault::Resume(node))]),
            12 => {
                let other = self.node();
                let cut = Fault::Cut(node, other, false);
                self.faults.extend([(at, cut), (until, Fault::Heal)]);
            }
            _ => self.faults.extend([(at, Fault::Unlink(node)), (until, Fault::Relink(node))]),
        }
    }

    fn noise(&mut self) {
        let rng = &mut self.rng;
        let noise =
            Fault::Noise(rng.range(0, 150), rng.range(0, 150), rng.range(0, 60), rng.range(0, 200));
        self.add(0, noise);
    }

    fn draw(&mut self, span: u64) {
        self.for_good = self.rng.permille(250);
        if self.rng.permille(match self.kind {
            Kind::Short => 250,
            Kind::Long => 400,
        }) {
            self.noise();
        }
        match self.kind {
            Kind::Short => {
                let at = self.rng.range(0, 100);
                self.incident(at);
                for _ in 0..self.rng.range(0, 4) {
                    let at = self.rng.range(0, span - 200);
                    let until = at + self.rng.range(20, 800);
                    self.complication(at, until);
                }
            }
            Kind::Long => {
                if self.for_good {
                    let at = self.rng.range(0, span / 2);
                    self.add(at, Fault::KillMaster);
                }
                for _ in 0..self.rng.range(1, 7) {
                    let at = self.rng.range(0, span);
                    if self.rng.permille(150) && !self.for_good {
                        self.incident(at);
                        continue;
                    }
                    let until = at + self.rng.range(20, 3_000);
                    self.complication(at, until);
                }
            }
        }
    }
}

/// Clocks differ from the world's by at most so many parts of a million: 1 %. Leases of 300 ms
/// assume that clocks run at nearly the same rate, and no clock that works is that far off.
const DRIFT_LIMIT: u64 = 10_000;

impl World {
    /// Draws a seed's faults, and ends them all after the kind's span.
    pub fn plan_faults(&mut self, seed: u64, kind: Kind) {
        let span = u64::try_from(kind.span().as_millis()).expect("short");
        let (rng, faults) = (Rng::new(seed ^ 0x5eed), Vec::new());
        let mut plan = Plan { rng, world: self, kind, for_good: false, faults };
        plan.draw(span);
        let Plan { mut rng, for_good, faults, .. } = plan;
        for (millis, fault) in faults {
            self.schedule(ms(millis.min(span - 1)), Due::Fault(fault));
        }
        let chance = match kind {
            Kind::Short => 100,
            Kind::Long => 333,
        };
        let again = kind == Kind::Long && !for_good;
        let gone = rng.permille(chance).then(|| self.lose_a_voter(&mut rng, kind.span(), again));
        // Two voters of three that forgot what they voted for are beyond help, and so is a roster
        // of one that did.
        let forgets = gone.is_none() && rng.permille(chance);
        if forgets {
            self.forget(&mut rng, span);
        }
        // Of two voters none may be gone.
        if kind == Kind::Long && gone.is_none() && rng.permille(chance) {
            self.move_voters(&mut rng, span, forgets);
        }
        self.wish(seed, span);
        self.end_faults(kind.span(), for_good, gone);
    }

    /// In some schedules people want another master, and some of their leaders come to harm.
    fn wish(&mut self, seed: u64, span: u64) {
        let mut rng = Rng::new(seed ^ 0x0005_317c);
        if !rng.permille(350) {
            return;
        }
        for _ in 0..rng.range(1, 4) {
            let wish = Fault::Switchover(rng.permille(250));
            self.schedule(ms(rng.range(0, span)), Due::Fault(wish));
        }
        if rng.permille(400) {
            let moments = Moment::OF_HANDOVERS;
            let nth = usize::try_from(rng.range(0, moments.len() as u64)).expect("small");
            let harm = if rng.permille(500) { Harm::Kill } else { Harm::Stop };
            let hook = Hook { moment: moments[nth], before: rng.permille(500), harm };
            self.schedule(Duration::ZERO, Due::Fault(Fault::Strike(hook)));
        }
    }

    /// A voter's disk is lost.
    fn forget(&mut self, rng: &mut Rng, span: u64) {
        let voters = self.options.voters as u64;
        let voter = self.voter(usize::try_from(rng.range(0, voters)).expect("small"));
        let at = rng.range(0, span - 100);
        self.schedule(ms(at), Due::Fault(Fault::LoseDisk(voter)));
        self.schedule(ms(at + rng.range(10, 90)), Due::Fault(Fault::Start(voter)));
    }

    /// The roster changes, some times: spare voters come, others go, and nobody waits for it.
    ///
    /// Not where one `forgets`: a new voter is like one that forgot until it has learned, and two of
    /// three such are beyond help. Then one is removed.
    fn move_voters(&mut self, rng: &mut Rng, span: u64, forgets: bool) {
        let voters: Vec<_> = self.of(Service::Voter).collect();
        let changes = if forgets { 1 } else { rng.range(1, 5) };
        for _ in 0..changes {
            let voter = voters[usize::try_from(rng.range(0, voters.len() as u64)).expect("small")];
            let add = !forgets && rng.permille(600);
            self.schedule(ms(rng.range(0, span)), Due::Fault(Fault::Roster(voter, add)));
        }
    }

    fn end_faults(&mut self, end: Duration, for_good: bool, gone: Option<Site>) {
        // No strike any more: whoever wakes now might be struck, and there is nobody to wake it again.
        let mut ends = vec![Fault::Recover, Fault::Heal, Fault::Noise(0, 0, 0, 0)];
        for process in self.all_processes() {
            ends.extend([Fault::Resume(process), Fault::Drift(process, 0)]);
            if Some(process) != gone {
                ends.push(Fault::Start(process));
            }
        }
        for node in self.all_nodes() {
            ends.extend([Fault::Mood(node, Mood::Well), Fault::Relink(node), Fault::Resume(node)]);
            if !for_good {
                ends.push(Fault::Start(node));
            }
        }
        for fault in ends {
            self.schedule(end, Due::Fault(fault));
        }
    }

    /// One voter does not come back, and when all else is well the master dies once more: a
    /// majority is enough, also if one of it was a record behind.
    fn lose_a_voter(&mut self, rng: &mut Rng, end: Duration, master_too: bool) -> Site {
        let nth = rng.range(0, self.options.voters as u64);
        let voter = self.voter(usize::try_from(nth).expect("small"));
        self.schedule(end, Due::Fault(Fault::Kill(voter)));
        if master_too {
            let later = end + ms(rng.range(7_000, 7_900));
            self.schedule(later, Due::Fault(Fault::KillMaster));
        }
        voter
    }

    pub(crate) fn commit(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(site) => self.kill(site),
            Fault::KillMaster => self.kill(self.master()),
            Fault::Start(site) => self.start(site),
            Fault::StartEmpty(site) => self.start_empty(site),
            Fault::Stop(site) => self.stop(site),
            Fault::StopMaster => self.stop(self.master()),
            Fault::IsolateMaster => {
                let master = self.master();
                self.part(&[master], &self.all_processes());
            }
            Fault::Resume(site) => self.resume(site),
            Fault::Cut(a, b, true) => self.cut_one_way(a, b),
            Fault::Cut(a, b, false) => self.cut(a, b),
            Fault::Heal => self.heal(),
            Fault::Noise(lost, repeated, late, slow) => {
                self.noise(lost, repeated, late);
                self.slow_disks(slow);
            }
            Fault::Unlink(node) => self.unlink(node),
            Fault::Relink(node) => self.relink(node),
            Fault::Lag(node, millis) => self.properties(node).lag = ms(millis),
            Fault::Drift(process, ppm) => self.drift(process, ppm),
            Fault::Mood(node, mood) => self.mood(node, mood),
            Fault::Strike(hook) => self.hooks.push(hook),
            Fault::Recover => self.hooks.clear(),
            Fault::Switchover(forced) => self.ask_for_another_master(forced),
            Fault::LoseDisk(voter) => self.lose_disk(voter),
            Fault::Roster(voter, add) => {
                let id = VoterId::parse(&self.name(voter)).expect("a voter");
                let verb = if add { Verb::AddVoter(id) } else { Verb::RemoveVoter(id) };
                let fact = Instruction { group: None, verb }.into();
                let orchestrators: Vec<_> = self.of(Service::Orchestrator).collect();
                self.say_to(&orchestrators, &fact);
            }
        }
    }
}
