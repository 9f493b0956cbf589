//! A fault at one exact point of a failover, for the tests on real processes.
//!
//! The environment variable `VEDETTE_FAULT_POINT` names a file. Whenever that file exists and says
//! `kill@<point>` or `stop@<point>`, the first process that passes the point takes the file away
//! and sends itself SIGKILL or SIGSTOP right there; what it said before has left the process. The
//! points are below, in the order in which a failover passes them. No flag and no key sets this,
//! and without the variable nothing is looked at.

use nix::sys::signal::{Signal, raise};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vedette_model::{Command, Fact, GroupRecord, Step};
use vedette_protocol::orchestrator::Output;
use vedette_runtime::Bus;

const VARIABLE: &str = "VEDETTE_FAULT_POINT";
/// For what was said before the fault.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// Looks out for the one point.
#[derive(Debug, Default)]
pub struct FaultPoint {
    file: Option<PathBuf>,
    /// Since the last plan this process proposed: tells the end of a failover from quiet work.
    planned: AtomicBool,
}

impl FaultPoint {
    /// Where the environment says, which in production is nowhere.
    pub fn from_environment() -> Self {
        let file = std::env::var_os(VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
        Self { file, planned: AtomicBool::default() }
    }

    /// Right before an output is carried out.
    pub async fn before(&self, bus: &Bus, output: &Output) {
        if self.file.is_some() {
            let point = self.point_before(output);
            self.pass(point, Some(bus)).await;
        }
    }

    /// Right after an output was carried out; `point` is what [`FaultPoint::after`] said of it.
    pub async fn done(&self, bus: &Bus, point: Option<&'static str>) {
        self.pass(point, Some(bus)).await;
    }

    /// Right after a node carried out a command and before the machine hears of it.
    pub async fn answered(&self, command: &Command) {
        let point = match command {
            Command::Inspect | Command::Save => None,
            Command::PauseWrites { .. } => Some("pause-sent"),
            Command::Freeze => Some("freeze-sent"),
            Command::Unpause => Some("unpause-sent"),
            Command::Promote { .. } => Some("promote-sent"),
            Command::Follow { .. } => Some("re-pointed"),
        };
        self.pass(point, None).await;
    }

    fn point_before(&self, output: &Output) -> Option<&'static str> {
        let Output::Publish(fact) = output else { return None };
        if let Fact::RecordCommitted(committed) = fact {
            return match stage(&committed.record) {
                Stage::Planned => Some("plan-committed"),
                Stage::Switched => Some("master-committed"),
                Stage::Quiet => None,
            };
        }
        if let Fact::Proposal(proposal) = fact {
            return match stage(&proposal.record) {
                Stage::Planned => None,
                Stage::Switched => Some("promoted"),
                Stage::Quiet => self.planned.load(Ordering::Relaxed).then_some("ending"),
            };
        }
        matches!(fact, Fact::MasterRecord(_)).then_some("announcing")
    }

    /// The point that is passed once this output has been carried out.
    pub fn after(&self, output: &Output) -> Option<&'static str> {
        self.file.as_ref()?;
        let Output::Publish(fact) = output else { return None };
        if let Fact::FailoverStep(step) = fact {
            return match step.step {
                Step::Claimed => Some("claimed"),
                Step::Surveyed { .. } => Some("surveyed"),
                Step::Selected { .. } => Some("selected"),
                Step::Paused => Some("paused"),
                Step::Level { .. } => Some("level"),
                Step::Frozen => Some("frozen"),
                Step::Repaired { .. } => Some("repaired"),
                Step::Ended => Some("ended"),
                Step::Odown
                | Step::Promoted { .. }
                | Step::Committed { .. }
                | Step::Aborted { .. }
                | Step::Waiting { .. } => None,
            };
        }
        if let Fact::Proposal(proposal) = fact {
            let stage = stage(&proposal.record);
            let planned = self.planned.swap(stage != Stage::Quiet, Ordering::Relaxed);
            return match stage {
                Stage::Planned => Some("plan-proposed"),
                Stage::Switched => Some("master-proposed"),
                Stage::Quiet => planned.then_some("end-proposed"),
            };
        }
        matches!(fact, Fact::MasterRecord(_)).then_some("announced")
    }

    async fn pass(&self, point: Option<&'static str>, bus: Option<&Bus>) {
        let (Some(file), Some(point)) = (&self.file, point) else { return };
        let Ok(text) = std::fs::read_to_string(file) else { return };
        let signal = match text.trim().split_once('@') {
            Some(("kill", wanted)) if wanted == point => Signal::SIGKILL,
            Some(("stop", wanted)) if wanted == point => Signal::SIGSTOP,
            _ => return,
        };
        if let Some(bus) = bus {
            // Without NATS there is nobody to hear it, and the fault comes all the same.
            let _ = bus.flush(FLUSH_LIMIT).await;
        }
        // Whoever takes the file away is the one.
        if std::fs::remove_file(file).is_ok() {
            let _ = raise(signal);
        }
    }
}

/// How far a failover has come by its record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Quiet,
    Planned,
    Switched,
}

fn stage(record: &GroupRecord) -> Stage {
    match &record.failover {
        None => Stage::Quiet,
        Some(_) if record.is_switched() => Stage::Switched,
        Some(_) => Stage::Planned,
    }
}
