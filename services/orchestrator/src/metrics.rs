//! What an orchestrator counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use vedette_model::{
    Answer, Command, Fact, FailoverStep, GroupName, Health, NodeFault, Step, SwitchReason, TraceId,
};
use vedette_runtime::metrics::{Counters, Labels, Meter, Times, flag, number, single, took};
use vedette_runtime::{Historian, Retainer};

/// The orchestrator's counters.
#[derive(Debug)]
pub struct Metrics {
    failovers: Counters,
    switches: Times,
    steps: Times,
    commands: Counters,
    answers: Times,
    walks: Mutex<BTreeMap<GroupName, Walk>>,
}

/// What was told of a group so far.
#[derive(Debug, Default)]
struct Walk {
    /// Whether its master was called down since the last attempt.
    is_down: bool,
    /// The incident and how long ago it began when the last step was finished.
    last: Option<(TraceId, u64)>,
    /// Why the master that was announced last is one.
    reason: Option<SwitchReason>,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new(meter: &Meter) -> Self {
        Self {
            failovers: meter.counts(
                "orchestrator_failovers",
                "Attempts to make another node master, by outcome and reason",
            ),
            switches: meter.times(
                "orchestrator_switch_seconds",
                "From a majority of voters calling the master down, or a person's wish, to the \
                 commit of the new one, by reason",
            ),
            steps: meter.times("orchestrator_step_seconds", "From the step before, by step"),
            commands: meter
                .counts("orchestrator_commands", "Commands to nodes, by command and outcome"),
            answers: meter.times(
                "orchestrator_command_seconds",
                "From a command to its answer, connecting included, by command",
            ),
            walks: Mutex::default(),
        }
    }

    /// A node answered, or did not.
    pub fn answered(&self, command: &Command, answer: &Answer, after: Duration) {
        let name = match command {
            Command::Inspect => "inspect",
            Command::Promote { .. } => "promote",
            Command::PauseWrites { .. } => "pause",
            Command::Freeze => "freeze",
            Command::Unpause => "unpause",
            Command::Save => "save",
            Command::Follow { .. } => "follow",
        };
        let outcome = match answer {
            Answer::Done { .. } => "done",
            Answer::Failed(fault) => word(fault),
        };
        let mut labels: Labels = vec![("command", name.into())];
        took(&self.answers, &labels, after);
        labels.push(("outcome", outcome.into()));
        self.commands.get_or_create(&labels).inc();
    }

    /// This is told to everybody.
    pub fn told(&self, fact: &Fact) {
        // A map that is added to and taken from is whole after a panic elsewhere.
        let mut walks = self.walks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Fact::MasterRecord(master) = fact {
            walks.entry(master.group.clone()).or_default().reason = Some(master.reason);
        } else if let Fact::FailoverStep(step) = fact {
            self.stepped(step, walks.entry(step.group.clone()).or_default());
        }
    }

    fn stepped(&self, made: &FailoverStep, walk: &mut Walk) {
        let before =
            walk.last.filter(|(trace, _)| *trace == made.trace_id).map_or(0, |last| last.1);
        walk.last = Some((made.trace_id, made.elapsed_us));
        let since = Duration::from_micros(made.elapsed_us.saturating_sub(before));
        let whole = Duration::from_micros(made.elapsed_us);
        let step = match &made.step {
            Step::Odown => {
                walk.is_down = true;
                return;
            }
            Step::Waiting { .. } => return,
            Step::Aborted { .. } => {
                let reason =
                    if std::mem::take(&mut walk.is_down) { "failover" } else { "switchover" };
                self.ended("aborted", reason);
                return;
            }
            Step::Committed { .. } => {
                walk.is_down = false;
                let reason = match walk.reason {
                    Some(SwitchReason::Switchover) => "switchover",
                    Some(SwitchReason::Failover) => "failover",
                    Some(SwitchReason::Seeded) | None => "declared",
                };
                self.ended("switched", reason);
                took(&self.switches, &vec![("reason", reason.into())], whole);
                "committed"
            }
            Step::Claimed => "claimed",
            Step::Surveyed { .. } => "surveyed",
            Step::Selected { .. } => "selected",
            Step::Paused => "paused",
            Step::Level { .. } => "level",
            Step::Frozen => "frozen",
            Step::Promoted { .. } => "promoted",
            Step::Repaired { .. } => "repaired",
            Step::Ended => "ended",
        };
        took(&self.steps, &vec![("step", step.into())], since);
    }

    fn ended(&self, outcome: &str, reason: &str) {
        let labels = vec![("outcome", outcome.into()), ("reason", reason.into())];
        self.failovers.get_or_create(&labels).inc();
    }
}

/// How the durable lane is.
pub fn durable(meter: &Meter, retainer: &Retainer, historian: &Historian) {
    let (health, left): (watch::Receiver<Health>, _) =
        (retainer.watch_health(), retainer.watch_left());
    let help = "1 while JetStream takes the masters for latecomers";
    meter.look("jetstream_well", help, move || single(flag(*health.borrow() == Health::Well)));
    let help = "Masters that JetStream has not acknowledged yet";
    meter.look("jetstream_waiting", help, move || {
        single(number(u64::try_from(*left.borrow()).unwrap_or(u64::MAX)))
    });
    let reached = historian.watch();
    let help = "1 while JetStream keeps the history";
    meter.look("history_kept", help, move || single(flag(*reached.borrow())));
}

const fn word(fault: &NodeFault) -> &'static str {
    match fault {
        NodeFault::Refused => "refused",
        NodeFault::Broken(_) => "broken",
        NodeFault::TimedOut => "timed_out",
        NodeFault::Expired => "expired",
        NodeFault::Replaced => "replaced",
        NodeFault::Unresolved(_) => "unresolved",
        NodeFault::Denied(_) => "denied",
        NodeFault::Error(_) => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Epoch, NodeAddr};
    use vedette_runtime::metrics::Form;

    fn step(step: Step, elapsed_us: u64) -> Fact {
        let group = GroupName::parse("orders").unwrap();
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let trace_id = TraceId::of(&group, Epoch(1), &master, None);
        let (votes, rejected) = (Vec::new(), Vec::new());
        FailoverStep {
            group,
            ballot: None,
            step,
            elapsed_us,
            trace_id,
            votes,
            rejected,
            loss: None,
        }
        .into()
    }

    #[test]
    fn an_attempt_counts_by_its_outcome_and_its_reason() {
        let meter = Meter::default();
        let metrics = Metrics::new(&meter);
        metrics.told(&step(Step::Odown, 0));
        metrics.told(&step(Step::Claimed, 5_000));
        metrics.told(&step(Step::Aborted { why: "no good slave".into() }, 6_000));
        metrics.told(&step(Step::Claimed, 1_000));
        metrics.told(&step(Step::Aborted { why: "not level".into() }, 2_000));
        let text = meter.text(Form::OpenMetrics).unwrap();
        for line in [
            "vedette_orchestrator_failovers_total{outcome=\"aborted\",reason=\"failover\"} 1",
            "vedette_orchestrator_failovers_total{outcome=\"aborted\",reason=\"switchover\"} 1",
            "vedette_orchestrator_step_seconds_count{step=\"claimed\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
    }
}
