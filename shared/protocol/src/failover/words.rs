//! What a failover says to people.

use crate::happening::Happening;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    EventName, Failover, GroupRecord, NodeAddr, PlanReason, RejectReason, Rejection, SwitchReason,
};

pub(crate) fn rewrite_failed(node: &NodeAddr, error: &str) -> Happening {
    let cause = format!(
        "CONFIG REWRITE failed ({error}): its role holds until its next restart, then it is \
         corrected again; give it a writable configuration file"
    );
    Happening::of(EventName::RewriteFailed, node, cause)
}

pub(super) fn describe(rejected: &[Rejection]) -> String {
    let each: Vec<_> = rejected.iter().map(|r| format!("{} ({})", r.node, r.reason)).collect();
    if each.is_empty() { "nobody else is known".into() } else { each.join(", ") }
}

/// The same without the numbers that are others each time.
pub(super) fn reasons(rejected: &[Rejection]) -> String {
    let without_numbers = |rejection: &Rejection| {
        let mut rejection = rejection.clone();
        if let RejectReason::LinkDown { for_ms, limit_ms } = &mut rejection.reason {
            (*for_ms, *limit_ms) = (0, 0);
        } else if let RejectReason::TooFarBehind { bytes } = &mut rejection.reason {
            *bytes = 0;
        }
        rejection
    };
    describe(&rejected.iter().map(without_numbers).collect::<Vec<_>>())
}

/// What a plan says to people.
pub(super) fn chosen(plan: &Failover, relaxed: bool) -> String {
    let others = describe(&plan.rejected);
    if plan.is_handover() {
        let from = &plan.failed;
        return format!("epoch {}; switchover from {from}; not chosen: {others}", plan.epoch);
    }
    let bytes = plan.loss.bytes.map_or_else(|| "an unknown number of".into(), |b| format!("{b}"));
    let since = plan
        .loss
        .as_of_ms
        .map_or_else(String::new, |ms| format!(" and what came in the last {ms} ms"));
    let stage = match plan.reason {
        PlanReason::Odown => stage(relaxed),
        PlanReason::Switchover => "the master before goes on",
        PlanReason::Forced => "a person wants it, and the master does not answer",
    };
    format!(
        "epoch {}; {stage}; at most {bytes} bytes lost{since}; not chosen: {others}",
        plan.epoch
    )
}

/// By which rule the choice was made.
pub(super) const fn stage(relaxed: bool) -> &'static str {
    if relaxed { "patience is over, the best of what is left" } else { "patience is not over" }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn switch_cause(record: &GroupRecord) -> String {
    let loss = record.switch.loss;
    if record.switch.reason == SwitchReason::Switchover {
        let how = match &record.switch.previous {
            Some(previous) if *previous == record.master => "the master goes on",
            Some(_) | None => "switchover: handed over",
        };
        let lost = match loss.bytes {
            Some(_) => "nothing lost",
            None => "nothing lost unless the other had been announced",
        };
        return format!("epoch {}; {how}, {lost}", record.epoch);
    }
    let bytes = loss.bytes.map_or_else(|| "an unknown number of".into(), |b| format!("{b}"));
    let since =
        loss.as_of_ms.map_or_else(String::new, |ms| format!(", and what came in the last {ms} ms"));
    format!("epoch {}; lost at most {bytes} bytes{since}", record.epoch)
}
