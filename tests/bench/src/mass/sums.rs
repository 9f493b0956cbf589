//! What comes out of the trials.

use super::Trial;
use crate::guards::Guard;
use crate::process::{Share, kinds};
use crate::statistics::Distribution;
use crate::table::{self, Row};
use serde::Serialize;

/// What comes out of all trials.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// From the first death on.
    ms: Vec<Row>,
    /// Seconds of a core from the first death to the last announcement, or to the end of waiting.
    cpu: Vec<Row>,
    /// How often what went wrong.
    times: Vec<Row>,
    /// What happened in each trial.
    remarks: Vec<String>,
}

/// What a row shows of a trial.
type Column = (&'static str, fn(&Trial) -> Option<f64>);

const MS: &[Column] = &[
    ("the first announcement", |trial| trial.switched_ms.first().copied()),
    ("half of them", |trial| Some(Distribution::of(trial.switched_ms.iter().copied())?.p50)),
    ("99 of 100", |trial| Some(Distribution::of(trial.switched_ms.iter().copied())?.p99)),
    ("the last", |trial| trial.switched_ms.last().copied().filter(|_| trial.open() == Some(0))),
    ("settled after (ms)", |trial| trial.settled_s.map(|seconds| seconds * 1e3)),
];

const TIMES: &[Column] = &[
    ("masters not replaced", |trial| Some(trial.open()? as f64)),
    ("attempts", |trial| Some(trial.attempts()?.0 as f64)),
    ("repeated attempts", |trial| Some(trial.attempts()?.1 as f64)),
    ("aborted", |trial| Some(trial.aborted()? as f64)),
    ("errors in logs", |trial| trial.errors.map(|count| count as f64)),
    ("needless changes of master", |trial| trial.open().map(|_| trial.needless as f64)),
];

/// What comes out of the trials of these settings.
pub fn summary(trials: &[Trial], groups: usize, die: &[usize], guards: &[Guard]) -> Summary {
    let (mut ms, mut cpu, mut times) = (Vec::new(), Vec::new(), Vec::new());
    // So many die, and who watches.
    let each = || die.iter().flat_map(|die| guards.iter().map(|guard| (*die.min(&groups), *guard)));
    let all = |(die, guard): (usize, Guard)| {
        let own = trials.iter().filter(move |trial| trial.guard == guard && trial.die == die);
        (format!("{die} of {groups}, {guard}"), own.collect::<Vec<_>>())
    };
    for (columns, rows) in [(MS, &mut ms), (TIMES, &mut times)] {
        for (what, of) in columns {
            for (who, own) in each().map(all) {
                let spread = Distribution::of(own.iter().filter_map(|trial| of(trial)));
                rows.push(Row { what, who, trials: own.len(), spread });
            }
        }
    }
    for (who, own) in each().map(all) {
        let mut row = |what, value: &dyn Fn(&Trial) -> Option<f64>| {
            let spread = Distribution::of(own.iter().filter_map(|trial| value(trial)));
            cpu.push(Row { what, who: who.clone(), trials: own.len(), spread });
        };
        row("% of the machine that was busy", &|trial| Some(trial.busy? * 100.0));
        row("all who watch", &|trial| trial.cpu_s(|share| !share.is_beside()));
        for kind in kinds(own.iter().flat_map(|trial| &trial.shares)) {
            row(kind, &|trial| trial.cpu_s(|share| share.is(kind)));
        }
    }
    Summary { ms, cpu, times, remarks: trials.iter().map(remark).collect() }
}

impl Trial {
    /// How many of the dead were not replaced; none if nobody died.
    pub fn open(&self) -> Option<usize> {
        self.dying_ms.map(|_| self.die - self.switched_ms.len())
    }

    /// How often somebody began to replace a master, and how many of these were not the first of the
    /// same group.
    fn attempts(&self) -> Option<(usize, usize)> {
        let all = self.happenings.tries.values().sum::<usize>();
        self.open().map(|_| (all, all - self.happenings.tries.len()))
    }

    /// How often one was given up: Sentinel says so by an event, Vedette by a step.
    fn aborted(&self) -> Option<usize> {
        let count = |part: &str| self.happenings.count(part);
        self.open().map(|_| match self.guard {
            Guard::Sentinels(_) | Guard::Pinger => count("-failover-abort-"),
            Guard::Vedette(_) => count("step: aborted"),
        })
    }

    /// Seconds of a core of these; none if nothing was measured.
    fn cpu_s(&self, which: impl Fn(&Share) -> bool) -> Option<f64> {
        let own = self.shares.iter().filter(|share| which(share));
        (!self.shares.is_empty()).then(|| own.map(|share| share.cpu_s).sum())
    }
}

/// What a trial cost and what happened in it.
fn remark(trial: &Trial) -> String {
    let Trial { round, guard, die, needless, unsettled, error, .. } = trial;
    let open =
        trial.open().map_or_else(|| "nobody died".into(), |open| format!("{open} not replaced"));
    let (count, again) = trial.attempts().unwrap_or_default();
    let (aborted, errors) = (trial.aborted().unwrap_or_default(), trial.errors.unwrap_or_default());
    let busy = trial.busy.map_or_else(|| "-".into(), |busy| format!("{:.0} %", busy * 100.0));
    let costs = trial.shares.iter().map(|Share { name, cpu_s, peak_kib, .. }| {
        format!("{name} {cpu_s:.1} s of a core and at most {} MiB", peak_kib / 1_024)
    });
    let happened = trial.happenings.counts.iter().map(|(name, count)| format!("{count} {name}"));
    let mut text = format!(
        "round {round}, {die} die, {guard}: {open}, {needless} needless, {count} attempts of which {again} repeat \
         another, {aborted} aborted, {errors} errors in logs; in {:.1} s the machine was {busy} busy: {}; {}",
        trial.window_s,
        costs.collect::<Vec<_>>().join(", "),
        happened.collect::<Vec<_>>().join(", ")
    );
    for (what, words) in [("not settled, and tried all the same", unsettled), ("FAILED", error)] {
        if let Some(words) = words {
            text += &format!("\n  * {what}: {words}");
        }
    }
    text
}

impl Summary {
    /// As Markdown.
    pub fn text(&self) -> String {
        let Self { ms, cpu, times, remarks } = self;
        let mut text = table::of("ms", ms);
        text += &table::of("seconds of a core until the last", cpu);
        text += &table::of("how many until the last", times);
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
    use vedette_model::GroupName;

    const GUARDS: [Guard; 2] = [Guard::Sentinels(3), Guard::Vedette(3)];

    /// Two of five masters died; the first was tried so often, the second once.
    fn trial(guard: Guard, switched_ms: &[f64], tries: usize, counts: &[(&str, usize)]) -> Trial {
        let group = |name| GroupName::parse(name).unwrap();
        let share = |kind, cpu_s| Share { kind, name: kind.into(), cpu_s, rss_kib: 1, peak_kib: 1 };
        Trial {
            dying_ms: Some(1.0),
            switched_ms: switched_ms.to_vec(),
            busy: Some(0.5),
            shares: vec![share("prober", 1.0), share("prober", 2.0), share("fleet", 4.0)],
            happenings: Happened {
                tries: [(group("a"), tries), (group("b"), 1)].into(),
                ..Happened::of(counts)
            },
            errors: Some(7),
            ..Trial::new(1, guard, 5, 2)
        }
    }

    fn value(rows: &[Row], what: &str, who: &str) -> Option<f64> {
        let row = rows.iter().find(|row| row.what == what && row.who == format!("2 of 5, {who}"));
        row.and_then(|row| Some(row.spread?.max))
    }

    fn all() -> Summary {
        let counts = [("-failover-abort-not-elected", 3), ("-failover-abort-no-good-slave", 1)];
        let steps = [("step: aborted: late", 2), ("event: -failover-abort-slave-timeout", 2)];
        let trials =
            [trial(GUARDS[0], &[900.0], 4, &counts), trial(GUARDS[1], &[90.0, 120.0], 1, &steps)];
        summary(&trials, 5, &[2], &GUARDS)
    }

    #[test]
    fn the_last_is_told_only_once_all_are_replaced() {
        let Summary { ms, times, .. } = all();
        assert_eq!(value(&ms, "the first announcement", "3 Sentinels"), Some(900.0));
        assert_eq!(value(&ms, "the last", "3 Sentinels"), None);
        assert_eq!(value(&ms, "the last", "Vedette, 3 probers"), Some(120.0));
        assert_eq!(value(&times, "masters not replaced", "3 Sentinels"), Some(1.0));
        assert_eq!(value(&times, "masters not replaced", "Vedette, 3 probers"), Some(0.0));
    }

    #[test]
    fn what_was_tried_again_and_what_was_given_up_is_counted_for_both() {
        let Summary { times, .. } = all();
        let both = |what| GUARDS.map(|guard| value(&times, what, &guard.to_string()));
        assert_eq!(both("attempts"), [Some(5.0), Some(2.0)]);
        assert_eq!(both("repeated attempts"), [Some(3.0), Some(0.0)]);
        assert_eq!(both("aborted"), [Some(4.0), Some(2.0)]);
        assert_eq!(both("errors in logs"), [Some(7.0), Some(7.0)]);
    }

    #[test]
    fn who_answers_for_the_nodes_does_not_watch() {
        let Summary { cpu, .. } = all();
        let ours = |what| value(&cpu, what, "Vedette, 3 probers");
        assert_eq!(ours("all who watch"), Some(3.0));
        assert_eq!((ours("prober"), ours("fleet")), (Some(3.0), Some(4.0)));
        assert_eq!(ours("% of the machine that was busy"), Some(50.0));
    }

    #[test]
    fn a_trial_in_which_nobody_died_has_no_counts() {
        let mut failed = Trial::new(1, GUARDS[0], 5, 2);
        failed.error = Some("no descriptors".into());
        let Summary { times, remarks, .. } = summary(&[failed], 5, &[2], &GUARDS[..1]);
        assert!(times.iter().all(|row| row.trials == 1 && row.spread.is_none()));
        assert!(
            remarks[0].contains("nobody died") && remarks[0].contains("FAILED: no descriptors")
        );
    }
}
