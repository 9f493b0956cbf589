//! Faults at random, each for a bounded time.

use super::Keep;
use super::nodes::Nodes;
use super::rng::Rng;
use super::story::Story;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use vedette_harness::{System, now, until};

/// Faults at the same time.
const AT_ONCE: usize = 4;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(100);
/// How long a fault lasts, in ms.
const LASTS: (u64, u64) = (100, 6_000);
/// Between the beginnings of two faults, in ms.
const APART: (u64, u64) = (150, 1_600);
/// Until it is looked again whether a node that keeps nothing may come back.
const NOT_YET: Duration = Duration::from_millis(200);

enum Fault {
    Dead(String),
    Frozen(String),
    /// From where to where nothing goes.
    Cut(Vec<(String, String)>),
}

impl Fault {
    fn hits(&self, name: &str) -> bool {
        match self {
            Self::Dead(victim) | Self::Frozen(victim) => victim == name,
            Self::Cut(_) => false,
        }
    }
}

/// What is wrong at the moment, and what comes next.
pub struct Faults {
    rng: Rng,
    keep: Keep,
    places: Vec<String>,
    active: Vec<(Instant, Fault)>,
    next: Instant,
}

impl Faults {
    /// Nothing is wrong yet.
    pub fn new(seed: u64, keep: Keep, system: &System) -> Self {
        let names = system.nats.iter().map(|server| server.name());
        let names = names.chain(system.nodes.iter().map(|node| node.name()));
        let names = names.chain(system.services.iter().map(|service| service.name()));
        let places = names.map(Into::into).collect();
        Self { rng: Rng::new(seed), keep, places, active: Vec::new(), next: now() }
    }

    /// Goes on to the next moment: ends what is over and begins what is due. Returns how many faults
    /// began.
    pub async fn step(
        &mut self,
        system: &mut System,
        nodes: &Nodes,
        story: &mut Story,
        notes: &mut Vec<String>,
        end: Instant,
    ) -> Result<u32> {
        let ends = self.active.iter().map(|(at, _)| *at);
        let due = ends.chain([self.next, end, now() + TICK]).min().unwrap_or(end);
        until(due).await;
        self.look_after(system, nodes, story, notes)?;
        if now() < self.next || now() >= end {
            return Ok(0);
        }
        self.next = now() + Duration::from_millis(self.rng.range(APART.0, APART.1));
        if self.active.len() >= AT_ONCE {
            return Ok(0);
        }
        Ok(u32::from(self.begin(system, nodes, story)?))
    }

    /// From now on everything is over.
    pub fn heal(&mut self) {
        for (end, _) in &mut self.active {
            *end = now();
        }
        self.next = now();
    }

    /// Ends what is over, and starts services again that have ended by themselves, as a supervisor
    /// does.
    pub fn look_after(
        &mut self,
        system: &mut System,
        nodes: &Nodes,
        story: &mut Story,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        self.end_those(system, nodes, story)?;
        for name in &self.places {
            let process = system.process(name)?;
            if let Some(status) = process.collect() {
                let log = process.log();
                let last = log.lines().rev().find(|line| !line.is_empty()).unwrap_or_default();
                let words = format!("{name} ended by itself with {status}: {last}");
                story.tell(&words);
                notes.push(words);
                process.start()?;
            }
        }
        Ok(())
    }

    fn end_those(&mut self, system: &mut System, nodes: &Nodes, story: &mut Story) -> Result<()> {
        let ended: Vec<(Instant, Fault)>;
        (ended, self.active) =
            std::mem::take(&mut self.active).into_iter().partition(|(end, _)| *end <= now());
        for (_, fault) in ended {
            match fault {
                // Replicas would copy its emptiness before anybody can prevent it.
                Fault::Dead(name) if self.empties(&name) && nodes.masters().is_empty() => {
                    self.active.push((now() + NOT_YET, Fault::Dead(name)));
                }
                Fault::Dead(name) => {
                    story.tell(&format!("start {name}"));
                    system.process(&name)?.start()?;
                }
                Fault::Frozen(name) => {
                    story.tell(&format!("continue {name}"));
                    system.process(&name)?.cont()?;
                }
                Fault::Cut(_) => {
                    story.tell("end of a cut");
                    self.cut(system)?;
                }
            }
        }
        Ok(())
    }

    fn cut(&self, system: &System) -> Result<()> {
        let mut all = Vec::new();
        for (_, fault) in &self.active {
            if let Fault::Cut(directions) = fault {
                all.extend(directions.iter().cloned());
            }
        }
        all.sort();
        all.dedup();
        system.network().context("there is a network")?.cut(&all)
    }

    /// Whether a fault was brought about: some do not fit what is wrong already.
    fn begin(&mut self, system: &mut System, nodes: &Nodes, story: &mut Story) -> Result<bool> {
        let kind = self.rng.range(0, 100);
        let lasts = self.rng.range(LASTS.0, LASTS.1);
        // The master is what it is all about.
        let masters = nodes.masters();
        let aimed = self.rng.permille(300).then(|| self.rng.pick(&masters).cloned()).flatten();
        let any = self.rng.pick(&self.places).cloned().context("there are processes")?;
        let victim = aimed.unwrap_or(any);
        let fault = match kind {
            0..60 => {
                if self.active.iter().any(|(_, fault)| fault.hits(&victim)) {
                    return Ok(false);
                }
                if kind < 35 {
                    if self.empties(&victim) && !self.may_be_emptied(nodes) {
                        return Ok(false);
                    }
                    story.tell(&format!("kill -9 {victim} for {lasts} ms"));
                    system.process(&victim)?.kill9()?;
                    Fault::Dead(victim)
                } else {
                    story.tell(&format!("stop {victim} for {lasts} ms"));
                    system.process(&victim)?.stop()?;
                    Fault::Frozen(victim)
                }
            }
            _ => {
                let (words, directions) = self.directions(&victim);
                story.tell(&format!("cut {words} for {lasts} ms"));
                Fault::Cut(directions)
            }
        };
        let is_cut = matches!(fault, Fault::Cut(_));
        self.active.push((now() + Duration::from_millis(lasts), fault));
        if is_cut {
            self.cut(system)?;
        }
        Ok(true)
    }

    /// Whether a kill empties it.
    fn empties(&self, name: &str) -> bool {
        self.keep == Keep::Nothing && name.starts_with("redis")
    }

    /// Nodes that keep nothing are killed one after the other, each only while the others have
    /// everything: whoever empties all copies loses all, whoever is master.
    fn may_be_emptied(&self, nodes: &Nodes) -> bool {
        let count = self.places.iter().filter(|name| name.starts_with("redis")).count();
        let hit = self.places.iter().filter(|name| name.starts_with("redis"));
        let hit = hit.filter(|name| self.active.iter().any(|(_, fault)| fault.hits(name)));
        hit.count() == 0 && nodes.all_in_line(count)
    }

    /// One from all others, or two random sides; both ways or one way only.
    fn directions(&mut self, victim: &str) -> (String, Vec<(String, String)>) {
        let mut everybody = self.places.clone();
        everybody.push("writer".into());
        let alone = self.rng.permille(500);
        let side = |rng: &mut Rng, name: &String| match alone {
            true => name == victim,
            false => rng.permille(400),
        };
        let (these, those): (Vec<String>, Vec<String>) = {
            let rng = &mut self.rng;
            everybody.into_iter().partition(|name| side(rng, name))
        };
        let (out, back) = match self.rng.range(0, 4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let mut directions = Vec::new();
        for one in &these {
            for other in &those {
                if out {
                    directions.push((one.clone(), other.clone()));
                }
                if back {
                    directions.push((other.clone(), one.clone()));
                }
            }
        }
        let arrow = match (out, back) {
            (true, true) => "<->",
            (true, false) => "->",
            (false, _) => "<-",
        };
        (format!("[{}] {arrow} the others", these.join(" ")), directions)
    }
}
