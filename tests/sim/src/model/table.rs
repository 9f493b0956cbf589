//! Processes and messages by number. The cores are run once for each thing that can happen to each
//! state of a process; after that the step is looked up. So a state of the whole is a few numbers,
//! and the search costs no more than a table.

use super::scope::Scope;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use vedette_model::Fact;

/// Facts that reach a process at once, by number; the answers of a majority are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heard([u32; Self::MOST]);

impl Heard {
    /// A majority of the largest roster.
    pub const MOST: usize = 3;
    const NOTHING: u32 = u32::MAX;

    /// These facts; not more than [`Self::MOST`].
    pub fn these(facts: &[u32]) -> Self {
        let mut all = [Self::NOTHING; Self::MOST];
        all[..facts.len()].copy_from_slice(facts);
        Self(all)
    }

    /// The facts' numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.into_iter().filter(|fact| *fact != Self::NOTHING)
    }
}

/// A quick hasher for keys that are small numbers or hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(7) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

type Table<K, V> = HashMap<K, V, BuildHasherDefault<Mixed>>;

/// A process of the model.
pub trait Process: Clone + Debug {
    /// What can happen to it.
    type Input: Copy + Eq + Hash + Debug;

    /// What it hears with this input.
    fn heard(input: &Self::Input) -> Option<Heard>;

    /// Takes an input; false if it cannot happen now.
    fn step(
        &mut self,
        input: Self::Input,
        heard: &[&Fact],
        scope: &Scope,
        out: &mut Outcome,
    ) -> bool;

    /// What tells its states apart: 128 bits, so that no two are ever confused.
    fn key(&self) -> u128 {
        fingerprint(&format!("{self:?}"))
    }
}

fn fingerprint(text: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// What a step brings about.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Messages.
    pub said: Vec<Fact>,
    /// What the properties are about.
    pub events: Vec<Event>,
    /// What was reached that is worth reaching.
    pub seen: Vec<&'static str>,
}

/// What the properties are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A voter told that it promised a ballot.
    Promised {
        /// Code of the ballot.
        ballot: u8,
    },
    /// A voter told that it accepted a record.
    Accepted(Written),
    /// An orchestrator is elected by these voters.
    Elected {
        /// Code of its ballot.
        ballot: u8,
        /// One bit for each voter whose promise it used.
        voters: u8,
        /// Mark of the record that it starts from.
        mark: u64,
    },
    /// A leader takes a record for committed.
    Committed(Written),
    /// A node is told to be master.
    Promote {
        /// Under which epoch.
        epoch: u64,
        /// The node's number.
        node: u8,
    },
    /// A voter accepted a roster as the next one.
    RosterAccepted {
        /// The version that decides.
        from: u8,
        /// Code of the ballot.
        ballot: u8,
        /// One bit for each voter of the next one.
        next: u8,
    },
    /// Somebody goes by a roster.
    RosterUsed {
        /// Its version.
        version: u8,
        /// One bit for each voter.
        voters: u8,
    },
}

/// A record as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Written {
    /// Code of the ballot.
    pub ballot: u8,
    /// Its revision.
    pub revision: u8,
    /// The roster under which it was proposed.
    pub roster: u8,
    /// The epoch.
    pub epoch: u8,
    /// Who made it on top of what.
    pub mark: u64,
    /// Hash of all of it.
    pub content: u64,
}

/// A step that was computed.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The state after it.
    pub next: u32,
    /// Messages said.
    pub said: Vec<u32>,
    /// What the properties are about.
    pub events: Vec<Event>,
}

/// A renaming of voters: voter `n` becomes voter `renaming[n]`.
pub type Renaming = [usize; 3];

/// Every way to rename three voters but to leave them as they are.
pub const RENAMINGS: [Renaming; 5] = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// What a state or message is called after each renaming, once it is known.
type Images = [Option<u32>; RENAMINGS.len()];

/// All states of one kind of process.
#[derive(Debug)]
pub struct Kind<P: Process> {
    values: Vec<P>,
    images: Vec<Images>,
    ids: HashMap<u128, u32>,
    steps: Table<(u32, P::Input), Option<Step>>,
}

impl<P: Process> Kind<P> {
    /// None yet.
    pub fn new() -> Self {
        Self {
            values: Vec::new(),
            images: Vec::new(),
            ids: HashMap::new(),
            steps: Table::default(),
        }
    }

    /// The number of a state.
    pub fn number(&mut self, value: P) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(value.key()).or_insert(next);
        if id == next {
            self.values.push(value);
            self.images.push(Images::default());
        }
        id
    }

    /// The number of the state with the voters renamed.
    pub fn renamed(&mut self, id: u32, which: usize, rename: impl Fn(&P) -> P) -> u32 {
        if let Some(image) = self.images[id as usize][which] {
            return image;
        }
        let image = self.number(rename(self.value(id)));
        self.images[id as usize][which] = Some(image);
        image
    }

    /// The state of a number.
    pub fn value(&self, id: u32) -> &P {
        &self.values[id as usize]
    }

    /// What an input does to a state; none if it cannot happen.
    pub fn step(
        &mut self,
        id: u32,
        input: P::Input,
        facts: &mut Facts,
        scope: &Scope,
    ) -> Option<&Step> {
        if !self.steps.contains_key(&(id, input)) {
            let mut value = self.value(id).clone();
            let mut out = Outcome::default();
            let heard: Vec<_> = P::heard(&input)
                .iter()
                .flat_map(Heard::iter)
                .map(|fact| facts.fact(fact))
                .collect();
            let happens = value.step(input, &heard, scope, &mut out);
            let step = happens.then(|| {
                for what in out.seen {
                    *facts.seen.entry(what).or_default() += 1;
                }
                let said = out.said.into_iter().map(|fact| facts.number(fact)).collect();
                Step { next: self.number(value), said, events: out.events }
            });
            self.steps.insert((id, input), step);
        }
        self.steps.get(&(id, input)).and_then(Option::as_ref)
    }
}

impl<P: Process> Default for Kind<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// All messages that were ever said.
#[derive(Debug, Default)]
pub struct Facts {
    values: Vec<Fact>,
    images: Vec<Images>,
    ids: HashMap<Fact, u32>,
    /// What was reached in any step, and in how many different ones.
    pub seen: BTreeMap<&'static str, u64>,
}

impl Facts {
    /// The message of a number.
    pub fn fact(&self, id: u32) -> &Fact {
        &self.values[id as usize]
    }

    /// The number of a message.
    pub fn number(&mut self, fact: Fact) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        *self.ids.entry(fact).or_insert_with_key(|fact| {
            self.values.push(fact.clone());
            self.images.push(Images::default());
            next
        })
    }

    /// The number of the message with the voters renamed.
    pub fn renamed(&mut self, id: u32, which: usize) -> u32 {
        if let Some(image) = self.images[id as usize][which] {
            return image;
        }
        let image = self.number(super::names::renamed(self.fact(id), &RENAMINGS[which]));
        self.images[id as usize][which] = Some(image);
        image
    }
}
