//! What the voter makes of reports.

use super::{FRESH, Output, Voter};
use crate::happening::Happening;
use crate::odown;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use vedette_model::{
    Echo, EventName, GroupName, Heartbeat, Instant, Opinion, SdownReport, Service,
};

impl Voter {
    /// A report counts only if it proves that it is fresh: a bus that was cut delivers late, and
    /// what a prober saw seconds ago must not bring a master down now.
    pub(super) fn report(&mut self, report: SdownReport, now: Instant) {
        let mine = |e: &&Echo| {
            e.voter == self.config.id && e.incarnation == self.config.sender.incarnation
        };
        let tick = report.echo.iter().find(mine).map(|e| e.tick);
        let sent = self.heartbeats.iter().find(|(t, _)| Some(*t) == tick).map(|(_, at)| *at);
        if sent.is_none_or(|at| now.since(at) > FRESH) {
            self.stale_reports += 1;
            return;
        }
        let name = report.group.clone();
        if let Some(group) = self.groups.get_mut(&name) {
            group.tally.report(report, now);
        }
        self.verdicts(&name);
    }

    pub(super) fn verdicts(&mut self, name: &GroupName) {
        let Some(group) = self.groups.get_mut(name) else { return };
        let mut said = Vec::new();
        while let Some(output) = group.tally.poll_output() {
            said.push(output);
        }
        self.timers.set(name, group.tally.poll_timeout());
        for output in said {
            self.say(output);
        }
    }

    fn say(&mut self, odown::Output { verdict, changed }: odown::Output) {
        self.outputs.push_back(Output::Publish(verdict.clone().into()));
        let Some(group) = self.groups.get(&verdict.group).filter(|_| changed) else { return };
        let Some(record) = group.acceptor.record().cloned() else { return };
        let name = if verdict.reached { EventName::Odown } else { EventName::OdownOver };
        let who: Vec<_> = verdict.tally.iter().map(opinion_text).collect();
        let cause =
            format!("quorum {}/{}: {}", verdict.tally.len(), verdict.quorum, who.join(", "));
        let event = self.dresser.dress(Happening::new(name, cause), &record, record.trace_id());
        self.outputs.push_back(Output::Publish(event.into()));
    }

    /// Says its verdicts again, and asks for the reports and records that it missed.
    pub(super) fn back(&mut self, now: Instant) {
        let beat = self.pulse.back(self.health(now));
        self.beats(beat, now);
        self.next_ask = now;
        self.say_again(now);
    }

    fn say_again(&mut self, now: Instant) {
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            if let Some(group) = self.groups.get_mut(&name) {
                group.tally.say_again(now);
            }
            self.verdicts(&name);
        }
    }

    /// An orchestrator that was away has perhaps not heard the verdicts.
    pub(super) fn heard_back(&mut self, beat: &Heartbeat, now: Instant) {
        if beat.back && beat.service == Service::Orchestrator {
            self.say_again(now);
        }
    }
}

fn opinion_text(opinion: &Opinion) -> String {
    format!("{} in {} ({})", opinion.prober, opinion.place, opinion.evidence)
}
