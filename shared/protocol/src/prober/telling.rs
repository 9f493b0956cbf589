//! What the watchers have to say, and how the prober says it.

use super::{Output, Prober, Watch};
use crate::happening::Happening;
use crate::sdown::Act;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use core::time::Duration;
use vedette_model::{
    EventName, GroupRecord, Instant, NodeReport, NodeState, NodeView, SdownReport,
};

/// An echo older than this proves nothing to its voter and is left out.
const ECHO_EXPIRY: Duration = Duration::from_secs(5);
/// Nodes watched that the master lists and the record does not know.
const DISCOVERED_LIMIT: usize = 64;
/// A stalled prober says so at most this often, however many nodes it watches.
const SUSPECT_EVERY: Duration = Duration::from_secs(5);

impl Prober {
    pub(super) fn drain(&mut self, watch: &Watch, now: Instant) {
        while let Some(watched) = self.watched(watch) {
            let Some(act) = watched.watcher.poll_output() else { break };
            self.act(watch, act, now);
        }
        let next = self.watched(watch).and_then(|watched| watched.watcher.poll_timeout());
        self.timers.set(watch, next);
    }

    fn act(&mut self, watch: &Watch, act: Act, now: Instant) {
        match act {
            Act::Connect { attempt } => {
                let credentials = self.watched(watch).and_then(|w| w.credentials.clone());
                let watch = watch.clone();
                self.outputs.push_back(Output::Connect { watch, attempt, credentials });
            }
            Act::Ping => self.outputs.push_back(Output::Ping { watch: watch.clone() }),
            Act::Info => self.outputs.push_back(Output::Info { watch: watch.clone() }),
            Act::Role => self.outputs.push_back(Output::Role { watch: watch.clone() }),
            Act::Report(state) => self.report(watch, state, now),
            Act::View(view) => self.view(watch, view, now),
            Act::Event(name, cause) => self.tell(watch, name, cause, now),
        }
    }

    fn tell(&mut self, watch: &Watch, name: EventName, cause: String, now: Instant) {
        self.stale.insert(watch.group.clone());
        if name == EventName::SelfSuspect {
            if self.suspect_told.is_some_and(|at| now.since(at) < SUSPECT_EVERY) {
                return;
            }
            self.suspect_told = Some(now);
        }
        if name == EventName::SelfSuspectOver && self.suspect_told.take().is_none() {
            return;
        }
        let ours = [EventName::SelfSuspect, EventName::SelfSuspectOver].contains(&name);
        let node = Some(watch.node.clone()).filter(|_| !ours);
        if let Some(record) = self.directory.get(&watch.group).cloned() {
            self.event(Happening { node, ..Happening::new(name, cause) }, &record);
        }
    }

    pub(super) fn event(&mut self, happening: Happening, record: &GroupRecord) {
        let event = self.dresser.dress(happening, record, record.trace_id());
        self.outputs.push_back(Output::Publish(event.into()));
    }

    fn report(&mut self, watch: &Watch, state: NodeState, now: Instant) {
        self.stale.insert(watch.group.clone());
        let Some(record) = self.directory.get(&watch.group).cloned() else { return };
        let echo = self.echoes.values().filter(|(_, at)| now.since(*at) < ECHO_EXPIRY);
        let echo = echo.map(|(echo, _)| echo.clone()).collect();
        let (prober, place) = (self.config.id.clone(), self.config.place.clone());
        let Some(watched) = self.watched(watch).filter(|w| w.member) else { return };
        let was_down = watched.told_down;
        watched.told_down = state != NodeState::Up;
        let report = SdownReport {
            group: watch.group.clone(),
            epoch: record.epoch,
            node: watch.node.clone(),
            prober,
            place,
            state: state.clone(),
            last_good_ms: watched
                .watcher
                .last_good()
                .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            run_id: watched.watcher.run_id().cloned(),
            echo,
        };
        self.outputs.push_back(Output::Publish(report.into()));
        let happening = match (was_down, state) {
            (false, NodeState::Down(evidence)) => {
                Happening::of(EventName::Sdown, &watch.node, evidence.to_string())
            }
            (true, NodeState::Up) => {
                Happening::of(EventName::SdownOver, &watch.node, "what was wrong with it is over")
            }
            (true, NodeState::Down(_)) | (false, NodeState::Up) => return,
        };
        self.event(happening, &record);
    }

    fn view(&mut self, watch: &Watch, view: NodeView, now: Instant) {
        self.stale.insert(watch.group.clone());
        let Some(record) = self.directory.get(&watch.group).cloned() else { return };
        let listed: BTreeSet<_> = view
            .replicas
            .iter()
            .map(|r| r.addr.clone())
            .filter(|addr| record.member(addr).is_none())
            .take(DISCOVERED_LIMIT)
            .collect();
        if let Some(watched) = self.watched(watch) {
            watched.view = Some((view.clone(), now));
        }
        self.outputs.push_back(Output::Publish(
            NodeReport {
                group: watch.group.clone(),
                node: watch.node.clone(),
                prober: self.config.id.clone(),
                view,
            }
            .into(),
        ));
        let Some(state) = self.groups.get_mut(&watch.group) else { return };
        if watch.node == record.master && state.discovered != listed {
            state.discovered = listed;
            self.rewatch(&watch.group, now);
        }
    }
}
