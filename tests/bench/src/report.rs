//! What all benches have: how often, in which order, and where the results go.

use crate::surroundings::{Surroundings, load};
use anyhow::{Context as _, Result};
use clap::{Args, Command, CommandFactory as _};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;
use vedette_live::chaos::rng::Rng;

/// What all benches are told.
#[derive(Debug, Args)]
pub struct Common {
    /// Trials of each contestant in each setting
    #[arg(long)]
    trials: Option<usize>,
    /// Decides order and moments; by the time of day
    #[arg(long)]
    seed: Option<u64>,
    /// Where every number goes, written anew after each round of trials
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Common {
    /// How many trials, of a bench that has so many by itself.
    pub fn trials(&self, usual: usize) -> usize {
        self.trials.unwrap_or(usual)
    }
}

/// A run of a bench.
pub struct Run {
    bench: &'static str,
    seed: u64,
    /// What this program was told, word by word.
    command: Vec<String>,
    /// Each option with its value, also those that nobody told.
    options: Value,
    surroundings: Surroundings,
    json: Option<PathBuf>,
    /// The run's one source of chance.
    pub rng: Rng,
}

impl Run {
    /// Begins one, and prints with what.
    pub fn begin(bench: &'static str, common: &Common, surroundings: Surroundings) -> Self {
        let clock = UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = common.seed.unwrap_or(clock.as_secs());
        println!("{}\n{bench}, seed {seed}\n", surroundings.words());
        let command: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        Self {
            bench,
            seed,
            options: options(crate::Arguments::command(), &command),
            command,
            surroundings,
            json: common.json.clone(),
            rng: Rng::new(seed),
        }
    }

    /// These in some order.
    pub fn shuffled<T: Copy>(&mut self, all: &[T]) -> Vec<T> {
        let mut all: Vec<_> = all.iter().map(|one| (self.rng.next(), *one)).collect();
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, one)| one).collect()
    }

    /// Writes down what there is so far.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, trials: &Value, summary: &Value) -> Result<()> {
        let Some(file) = &self.json else { return Ok(()) };
        let all = json!({
            "bench": self.bench,
            "command": self.command,
            "options": self.options,
            "seed": self.seed,
            "surroundings": self.surroundings,
            "load_after": load(),
            "trials": trials,
            "summary": summary,
        });
        let text = serde_json::to_string_pretty(&all)?;
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    /// Prints the table.
    pub fn end(&self, table: &str) {
        println!("{table}load after {}", load());
    }
}

/// The value of each option of the subcommand that these words name, as it would be written; several are
/// a list. Those without a value are left out.
fn options(mut program: Command, words: &[String]) -> Value {
    let Ok(matches) = program.try_get_matches_from_mut(words) else { return Value::Null };
    let Some((name, given)) = matches.subcommand() else { return Value::Null };
    let mut options = Map::new();
    for known in program.find_subcommand(name).into_iter().flat_map(Command::get_arguments) {
        let id = known.get_id().as_str();
        let Ok(Some(values)) = given.try_get_raw(id) else { continue };
        let mut values: Vec<Value> = values.map(|value| json!(value.to_string_lossy())).collect();
        let only = if values.len() == 1 { values.pop() } else { None };
        let name = known.get_long().unwrap_or(id).to_owned();
        options.insert(name, only.unwrap_or(Value::Array(values)));
    }
    Value::Object(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn run(seed: u64) -> Run {
        let surroundings = Surroundings::default();
        Run {
            bench: "",
            seed,
            command: Vec::new(),
            options: Value::Null,
            surroundings,
            json: None,
            rng: Rng::new(seed),
        }
    }

    #[test]
    fn options_are_kept_also_where_nobody_told_them() {
        let words = "bench-vs mass --groups 5 --die 2,3 --who vedette".split(' ');
        let words: Vec<String> = words.map(Into::into).collect();
        let kept = options(crate::Arguments::command(), &words);
        let wanted =
            [("groups", json!("5")), ("die", json!(["2", "3"])), ("who", json!("vedette"))];
        for (name, value) in wanted {
            assert_eq!(kept[name], value, "{kept}");
        }
        assert_eq!((&kept["down-after"], &kept["declare"]), (&json!("5s"), &json!("file")));
        assert_eq!(kept["seed"], Value::Null, "{kept}");
    }

    #[test]
    fn everybody_comes_once_in_an_order_that_the_seed_decides() {
        let mut orders = BTreeSet::new();
        for seed in 0..50 {
            let mut order = run(seed).shuffled(&[1, 2, 3, 4]);
            assert_eq!(order, run(seed).shuffled(&[1, 2, 3, 4]));
            orders.insert(order.clone());
            order.sort_unstable();
            assert_eq!(order, [1, 2, 3, 4]);
        }
        assert!(orders.len() > 10, "{} orders", orders.len());
    }
}
