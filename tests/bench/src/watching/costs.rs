//! What comes out of the trials of one setting.

use super::{Setting, Trial};
use crate::guards::Guard;
use crate::process::{Share, kinds};
use crate::statistics::Distribution;
use crate::table::{self, Row};
use serde::Serialize;

/// What comes out of the trials of one setting.
#[derive(Debug, Serialize)]
pub struct Summary {
    setting: String,
    /// Processor time, and memory, per watched node.
    costs: Vec<Row>,
    /// How many times as much one needs as the other.
    times: Vec<Row>,
    /// What went wrong in which trial, and what it could not do for lack of a machine.
    remarks: Vec<String>,
}

/// What comes out of the trials, setting by setting.
pub fn summaries(trials: &[Trial], settings: &[Setting], guards: &[Guard]) -> Vec<Summary> {
    settings.iter().map(|setting| summary(trials, *setting, guards)).collect()
}

/// A row, of each kind of process.
type Column = (&'static str, fn(&Trial, &[&Share]) -> f64);

const COLUMNS: &[Column] = &[
    ("µs of a core per second", |trial, shares| {
        let cpu_s: f64 = shares.iter().map(|share| share.cpu_s).sum();
        cpu_s * 1e6 / trial.window_s / trial.setting.nodes as f64
    }),
    ("KiB of memory", |trial, shares| {
        let kib: u64 = shares.iter().map(|share| share.rss_kib).sum();
        kib as f64 / trial.setting.nodes as f64
    }),
];

/// Two to compare: what is shown, the one, the other.
type Pair = (&'static str, Part, Part);

/// A part of those who watch.
#[derive(Debug, Clone, Copy)]
enum Part {
    Pinger,
    /// One of so many Sentinels.
    Sentinel(usize),
    /// So many.
    Sentinels(usize),
    Prober,
    /// All of Vedette.
    All,
}

const PAIRS: &[Pair] = &[
    ("a prober : the bare pinger", Part::Prober, Part::Pinger),
    ("one of three Sentinels : a prober", Part::Sentinel(3), Part::Prober),
    ("a lone Sentinel : a prober", Part::Sentinel(1), Part::Prober),
    ("three Sentinels : all of Vedette", Part::Sentinels(3), Part::All),
    ("a lone Sentinel : all of Vedette", Part::Sentinel(1), Part::All),
];

impl Part {
    /// Its share of a trial's costs; none if the trial is not one of it.
    fn of(self, trial: &Trial, of: fn(&Trial, &[&Share]) -> f64) -> Option<f64> {
        let cost = |kind: &str| {
            let shares: Vec<&Share> = trial.shares.iter().filter(|s| s.is(kind)).collect();
            (!shares.is_empty()).then(|| (of(trial, &shares), shares.len() as f64))
        };
        let whole = || Some(of(trial, &trial.shares.iter().collect::<Vec<_>>()));
        let whole = whole().filter(|_| !trial.shares.is_empty());
        match (self, trial.guard) {
            (Self::Pinger, Guard::Pinger) | (Self::All, Guard::Vedette(_)) => whole,
            (Self::Sentinels(count), Guard::Sentinels(own)) if count == own => whole,
            (Self::Sentinel(count), Guard::Sentinels(own)) if count == own => {
                cost("Sentinel").map(|(all, count)| all / count)
            }
            (Self::Prober, Guard::Vedette(_)) => cost("prober").map(|(all, count)| all / count),
            (
                Self::Pinger | Self::All | Self::Sentinels(_) | Self::Sentinel(_) | Self::Prober,
                Guard::Pinger | Guard::Sentinels(_) | Guard::Vedette(_),
            ) => None,
        }
    }
}

fn summary(trials: &[Trial], setting: Setting, guards: &[Guard]) -> Summary {
    let trials: Vec<_> = trials.iter().filter(|trial| trial.setting == setting).collect();
    let (mut costs, mut times) = (Vec::new(), Vec::new());
    for (what, of) in COLUMNS {
        for guard in guards {
            let own: Vec<_> = trials.iter().filter(|trial| trial.guard == *guard).collect();
            let mut row = |who: String, value: &dyn Fn(&Trial) -> Option<f64>| {
                let spread = Distribution::of(own.iter().filter_map(|trial| value(trial)));
                costs.push(Row { what, who, trials: own.len(), spread });
            };
            let several = own.iter().any(|trial| trial.shares.len() > 1);
            let shares = own.iter().flat_map(|trial| &trial.shares).filter(|_| several);
            row(format!("{guard}: all"), &|trial| {
                let all: Vec<&Share> = trial.shares.iter().collect();
                (!all.is_empty()).then(|| of(trial, &all))
            });
            for kind in kinds(shares) {
                row(format!("{guard}: each {kind}"), &|trial| {
                    let own: Vec<&Share> = trial.shares.iter().filter(|s| s.is(kind)).collect();
                    (!own.is_empty()).then(|| of(trial, &own) / own.len() as f64)
                });
            }
        }
        for (pair, one, other) in PAIRS {
            let value = |part: Part, round| {
                let own = trials.iter().filter(|trial| trial.round == round);
                own.filter_map(|trial| part.of(trial, *of)).next()
            };
            let rounds = trials.iter().filter(|trial| one.of(trial, *of).is_some());
            let ratios = rounds.filter_map(|trial| {
                let below = value(*other, trial.round).filter(|cost| *cost > 0.0)?;
                Some(value(*one, trial.round)? / below)
            });
            let ratios: Vec<f64> = ratios.collect();
            let (count, spread) = (ratios.len(), Distribution::of(ratios));
            if count > 0 {
                times.push(Row { what, who: (*pair).into(), trials: count, spread });
            }
        }
    }
    let remarks = trials.iter().map(|trial| remark(trial)).collect();
    Summary { setting: setting.to_string(), costs, times, remarks }
}

fn remark(trial: &Trial) -> String {
    let Trial { round, guard, settled_s, busy, needless, error, .. } = trial;
    let settled =
        settled_s.map_or_else(|| "never".into(), |seconds| format!("after {seconds:.0} s"));
    let busy = busy.map_or_else(|| "-".into(), |busy| format!("{:.0} %", busy * 100.0));
    let error = error.as_ref().map(|error| format!("; FAILED: {error}")).unwrap_or_default();
    format!(
        "round {round}, {guard}: settled {settled}, machine {busy} busy, {} false +sdown, {needless} needless changes of master{error}",
        trial.happened.count("+sdown")
    )
}

impl Summary {
    /// As Markdown.
    pub fn text(&self) -> String {
        let Self { setting, costs, times, remarks } = self;
        let mut text = format!("### {setting}\n\n{}", table::of("per watched node", costs));
        text += &table::of("times as much", times);
        for remark in remarks {
            text += &format!("* {remark}\n");
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guards::Happened;

    const SETTING: Setting = Setting { nodes: 1_000, every_ms: 1_000 };

    /// Processes of one kind, which used so many seconds of a core in 10 s each, and 2,000 KiB.
    fn trial(guard: Guard, processes: &[(&'static str, f64)]) -> Trial {
        let share = |(kind, cpu_s): &(&'static str, f64)| Share {
            kind,
            name: (*kind).into(),
            cpu_s: *cpu_s,
            rss_kib: 2_000,
            peak_kib: 3_000,
        };
        Trial {
            round: 1,
            guard,
            setting: SETTING,
            settled_s: Some(2.0),
            window_s: 10.0,
            shares: processes.iter().map(share).collect(),
            busy: Some(0.25),
            needless: 0,
            happened: Happened::of(&[("event: +sdown", 3)]),
            error: None,
        }
    }

    fn all() -> Summary {
        let ours = &[("prober", 2.0), ("prober", 4.0), ("voter", 3.0)];
        let trials = [
            trial(Guard::Pinger, &[("pinger", 1.5)]),
            trial(Guard::Vedette(2), ours),
            trial(Guard::Sentinels(3), &[("Sentinel", 9.0); 3]),
            trial(Guard::Sentinels(1), &[]),
        ];
        let guards = trials.each_ref().map(|trial| trial.guard);
        summary(&trials, SETTING, &guards)
    }

    fn value(rows: &[Row], what: &str, who: &str) -> Option<f64> {
        let row = rows.iter().find(|row| row.what == what && row.who == who)?;
        row.spread.map(|spread| spread.max)
    }

    #[test]
    fn costs_are_per_node_and_second_and_of_one_process_of_a_kind() {
        let Summary { costs, .. } = all();
        let cpu = |who| value(&costs, "µs of a core per second", who);
        assert_eq!(cpu("bare pinger: all"), Some(150.0));
        assert_eq!(cpu("bare pinger: each pinger"), None, "it is all there is");
        assert_eq!(cpu("Vedette, 2 probers: each prober"), Some(300.0));
        assert_eq!(cpu("Vedette, 2 probers: all"), Some(900.0));
        assert_eq!(value(&costs, "KiB of memory", "3 Sentinels: all"), Some(6.0));
    }

    #[test]
    fn like_is_compared_with_like() {
        let Summary { times, .. } = all();
        let ratio = |who| value(&times, "µs of a core per second", who);
        assert_eq!(ratio("a prober : the bare pinger"), Some(2.0));
        assert_eq!(ratio("one of three Sentinels : a prober"), Some(3.0));
        assert_eq!(ratio("three Sentinels : all of Vedette"), Some(3.0));
        assert_eq!(ratio("a lone Sentinel : a prober"), None, "it did not come to it");
    }

    #[test]
    fn a_remark_says_what_stood_in_the_way() {
        let mut failed = trial(Guard::Sentinels(1), &[]);
        failed.error = Some("no descriptors".into());
        let words = remark(&failed);
        for part in ["machine 25 % busy", "3 false +sdown", "FAILED: no descriptors"] {
            assert!(words.contains(part), "{words}");
        }
    }
}
