//! What comes out of the trials of one setting.

use crate::moments::{Setting, Trial};
use crate::statistics::Distribution;
use crate::table::{self, Row};
use crate::trouble::Trouble;
use crate::world::Contestant;
use serde::Serialize;

/// A row, of each contestant.
struct Column {
    what: &'static str,
    /// Its value, ms.
    of: fn(&Trial) -> Option<f64>,
    /// Whether the contestants are compared in it, pair by pair.
    compared: bool,
}

/// A row that only those have who are told when the rule's wait began.
const BY_THE_RULE: &str = "announcement after the wait as the rule counts it";

/// All of them, in the order in which things happen.
const COLUMNS: &[Column] = &[
    Column { what: "first SDOWN", of: |t| t.moments.first_sdown_ms, compared: false },
    Column { what: "SDOWN of the quorum", of: |t| t.moments.quorum_sdown_ms, compared: false },
    Column { what: "ODOWN", of: |t| t.moments.odown_ms, compared: false },
    Column { what: "promotion", of: |t| t.moments.promoted_ms, compared: false },
    Column { what: "announcement", of: |t| t.moments.announced_ms, compared: true },
    Column { what: "`+switch-master`", of: |t| t.moments.switch_master_ms, compared: false },
    Column {
        what: "write of a client that is told",
        of: |t| t.moments.follower_write_ms,
        compared: true,
    },
    Column { what: "write of redis-py", of: |t| t.moments.redis_py_write_ms, compared: true },
    Column { what: "announcement after the wait", of: Trial::over_the_wait, compared: true },
    Column { what: BY_THE_RULE, of: Trial::over_the_rule, compared: false },
    Column {
        what: "announcement after the evidence",
        of: Trial::after_the_evidence,
        compared: true,
    },
];

/// What comes out of the trials of one setting.
#[derive(Debug, Serialize)]
pub struct Summary {
    setting: String,
    /// From the fault on, or as the row says.
    ms: Vec<Row>,
    /// How many times as long as Vedette Sentinel takes, pair by pair.
    times: Vec<Row>,
    /// Ms more than when nothing died with the master, pair by pair.
    more: Vec<Row>,
    /// What went wrong in which trial.
    errors: Vec<String>,
}

/// What comes out of the trials, setting by setting.
pub fn summaries(
    trials: &[Trial],
    settings: &[Setting],
    contestants: &[Contestant],
) -> Vec<Summary> {
    settings.iter().map(|setting| summary(trials, *setting, contestants)).collect()
}

fn summary(trials: &[Trial], setting: Setting, contestants: &[Contestant]) -> Summary {
    let calm = Setting { trouble: Trouble::None, ..setting };
    let calm = (setting != calm).then_some(calm);
    let calm: Vec<_> = trials.iter().filter(|trial| Some(trial.setting) == calm).collect();
    let trials: Vec<_> = trials.iter().filter(|trial| trial.setting == setting).collect();
    let (mut ms, mut times, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for Column { what, of, compared } in COLUMNS {
        for who in contestants {
            let own = trials.iter().filter(|trial| trial.contestant == *who);
            let spread = Distribution::of(own.clone().filter_map(|trial| of(trial)));
            if spread.is_some() || *what != BY_THE_RULE {
                ms.push(Row { what, who: who.to_string(), trials: own.clone().count(), spread });
            }
            if *compared && *who != Contestant::Sentinel {
                let spread = Distribution::of(ratios(&trials, (Contestant::Sentinel, *who), *of));
                times.push(Row { what, who: who.to_string(), trials: own.clone().count(), spread });
            }
            if *compared && !calm.is_empty() {
                let spread = Distribution::of(differences(own.clone().copied(), &calm, *of));
                more.push(Row { what, who: who.to_string(), trials: own.count(), spread });
            }
        }
    }
    let errors = trials.iter().filter_map(|trial| {
        Some(format!("pair {}, {}: {}", trial.pair, trial.contestant, trial.error.as_ref()?))
    });
    Summary { setting: setting.to_string(), ms, times, more, errors: errors.collect() }
}

/// How much more each takes than the trial of the same pair and contestant among the others.
fn differences<'a>(
    trials: impl Iterator<Item = &'a Trial>,
    others: &[&Trial],
    of: fn(&Trial) -> Option<f64>,
) -> Vec<f64> {
    let difference = |trial: &Trial| {
        let same = |one: &&&Trial| one.pair == trial.pair && one.contestant == trial.contestant;
        Some(of(trial)? - of(others.iter().find(same)?)?)
    };
    trials.filter_map(difference).collect()
}

/// How many times as long the one takes as the other, pair by pair: only where both have the value,
/// and the other's is above zero.
fn ratios(
    trials: &[&Trial],
    (one, other): (Contestant, Contestant),
    of: fn(&Trial) -> Option<f64>,
) -> Vec<f64> {
    let value = |pair, who| {
        let found = trials.iter().find(|trial| trial.pair == pair && trial.contestant == who);
        found.and_then(|trial| of(trial))
    };
    let pairs = trials.iter().filter(|trial| trial.contestant == one).map(|trial| trial.pair);
    let ratio = |pair| Some(value(pair, one)? / value(pair, other).filter(|ms| *ms > 0.0)?);
    pairs.filter_map(ratio).collect()
}

impl Summary {
    /// As Markdown.
    pub fn text(&self) -> String {
        let Self { setting, ms, times, more, errors } = self;
        let mut text = format!("### {setting}\n\n{}", table::of("ms from the fault to", ms));
        for (title, rows) in [
            ("times as long with Sentinel", times),
            ("ms more than when the master dies alone", more),
        ] {
            if rows.iter().any(|row| row.spread.is_some()) {
                text += &table::of(title, rows);
            }
        }
        for error in errors {
            text += &format!("* {error}\n");
        }
        if !errors.is_empty() {
            text += "\n";
        }
        text
    }
}

/// All settings in one table: the half and 99 of 100 of each contestant, ms, and the half of how many
/// times as long Sentinel takes.
pub fn overview(summaries: &[Summary]) -> String {
    let Some(first) = summaries.first() else { return String::new() };
    let of = |rows: &[Row], what: &str, show: fn(&Distribution) -> String| {
        let own = rows.iter().filter(|row| row.what == what);
        let cells = own.map(|row| row.spread.as_ref().map_or_else(|| "-".into(), show));
        cells.collect::<Vec<_>>().join(" | ")
    };
    let all = first.ms.iter().filter(|row| row.what == COLUMNS[0].what);
    let sentinel = Contestant::Sentinel.to_string();
    let beside = all.clone().any(|row| row.who == sentinel);
    let (mut head, mut ratios, mut lines) = (String::new(), String::new(), "|---|---|".to_owned());
    for Row { who, .. } in all {
        head += &format!(" {who} |");
        lines += "---|";
        if beside && *who != sentinel {
            ratios += &format!(" Sentinel : {who} |");
            lines += "---|";
        }
    }
    let mut text = format!("| p50, p99 in ms | |{head}{ratios}\n{lines}\n");
    for Column { what, .. } in COLUMNS.iter().filter(|column| column.compared) {
        for (n, Summary { setting, ms, times, .. }) in summaries.iter().enumerate() {
            let ms = of(ms, what, |spread| format!("{:.0}, {:.0}", spread.p50, spread.p99));
            let times = of(times, what, |spread| format!("{:.1}", spread.p50));
            let what = if n == 0 { what } else { "" };
            let times = if beside { format!(" {times} |") } else { String::new() };
            text += &format!("| {what} | {setting} | {ms} |{times}\n");
        }
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::tests::{OURS, trial};

    fn some() -> Vec<Trial> {
        let mut trials = vec![
            trial(1, Contestant::Sentinel, Some(2_000.0)),
            trial(2, OURS, Some(100.0)),
            trial(1, OURS, Some(200.0)),
            trial(2, Contestant::Sentinel, Some(5_000.0)),
            trial(3, Contestant::Sentinel, Some(9_000.0)),
            trial(3, OURS, None),
        ];
        trials[5].error = Some("no announcement".into());
        // Of another setting: no partner of the third.
        trials.push(trial(3, OURS, Some(1.0)));
        trials[6].setting.down_after_ms = 1_000;
        trials
    }

    #[test]
    fn a_ratio_is_taken_within_a_pair_and_only_of_what_both_have() {
        let trials = some();
        let setting = trials[0].setting;
        let summary = summary(&trials, setting, &[Contestant::Sentinel, OURS]);
        let row = summary.times.iter().find(|row| row.what == "announcement").unwrap();
        let spread = row.spread.unwrap();
        assert_eq!((row.trials, spread.count, spread.min, spread.max), (3, 2, 10.0, 50.0));
    }

    #[test]
    fn what_a_servers_death_adds_is_taken_within_a_pair() {
        let mut trials = some();
        for (pair, ms) in [(1, 250.0), (2, 90.0), (3, 400.0)] {
            let mut troubled = trial(pair, OURS, Some(ms));
            troubled.setting.trouble = Trouble::Services;
            trials.push(troubled);
        }
        let setting = trials[7].setting;
        let troubled = summary(&trials, setting, &[Contestant::Sentinel, OURS]);
        let of = |row: &&Row| row.what == "announcement" && row.who == OURS.to_string();
        let row = troubled.more.iter().find(of).unwrap();
        let spread = row.spread.unwrap();
        assert_eq!((row.trials, spread.count, spread.min, spread.max), (3, 2, -10.0, 50.0));
        assert!(!troubled.text().contains("with Sentinel"), "{}", troubled.text());
        let calm = summary(&trials, trials[0].setting, &[OURS]);
        assert!(calm.more.is_empty());
    }

    #[test]
    fn a_failed_trial_is_counted_and_told() {
        let trials = some();
        let summary = summary(&trials, trials[0].setting, &[Contestant::Sentinel, OURS]);
        let of = |row: &&Row| row.what == "announcement" && row.who == OURS.to_string();
        let row = summary.ms.iter().find(of).unwrap();
        assert_eq!((row.trials, row.spread.unwrap().count), (3, 2));
        assert_eq!(summary.errors, ["pair 3, Vedette, 1 NATS: no announcement"]);
        assert!(summary.text().contains("| 2 of 3 |"), "{}", summary.text());
    }

    #[test]
    fn who_is_not_told_when_the_wait_began_has_no_row_of_it() {
        let mut trials = some();
        for trial in trials.iter_mut().filter(|trial| trial.contestant == Contestant::Sentinel) {
            trial.rule_over_ms = None;
        }
        let summary = summary(&trials, trials[0].setting, &[Contestant::Sentinel, OURS]);
        let rows: Vec<_> = summary.ms.iter().filter(|row| row.what == BY_THE_RULE).collect();
        assert!(matches!(rows[..], [row] if row.who == OURS.to_string()), "{rows:?}");
        assert!(summary.times.iter().all(|row| row.what != BY_THE_RULE));
    }

    #[test]
    fn the_overview_has_a_line_for_each_setting_and_what_is_compared() {
        let trials = some();
        let contestants = [Contestant::Sentinel, OURS];
        let settings = [trials[0].setting, trials[6].setting];
        let all = settings.map(|setting| summary(&trials, setting, &contestants));
        let text = overview(&all);
        let first = "| announcement | kill -9, down_after 500 ms | 5000, 9000 | 100, 200 | 10.0 |";
        let second = "|  | kill -9, down_after 1000 ms | - | 1, 1 | - |";
        assert!(text.contains(&format!("{first}\n{second}\n")), "{text}");
        let compared = COLUMNS.iter().filter(|column| column.compared).count();
        assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 2 + 2 * compared);
    }
}
