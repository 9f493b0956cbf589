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
/// What a node in trouble says again each second, without anything that others act on, is passed on
/// this often.
const VIEW_AGAIN: Duration = Duration::from_secs(3);

impl Prober {
    pub(super) fn drain(&mut self, watch: &Watch, now: Instant) {
        while let Some(watched) = self.watched(watch) {
            let Some(act) = watched.watcher.poll_output() else { break };
            self.act(watch, act, now);
        }
        let Some(watched) = self.watched(watch) else { return };
        let watcher = &watched.watcher;
        let (next, away) = (watcher.poll_timeout(), watcher.is_away());
        let crashing = watcher.may_have_crashed();
        self.timers.set(watch, next);
        keep(&mut self.away, watch, away);
        keep(&mut self.crashing, watch, crashing);
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
        let Some(watched) = self.watched(watch) else { return };
        let before = watched.view.replace((view.clone(), now));
        let known = before.is_some_and(|(before, _)| !says_more(&before, &view));
        // In quiet times it is seldom asked, and with reason.
        let again = watched.viewed.is_none_or(|at| now.since(at) >= VIEW_AGAIN);
        if !known || again || !watched.watcher.is_asked_often() {
            watched.viewed = Some(now);
            let (group, node) = (watch.group.clone(), watch.node.clone());
            let report = NodeReport { group, node, prober: self.config.id.clone(), view };
            self.outputs.push_back(Output::Publish(report.into()));
        }
        let Some(state) = self.groups.get_mut(&watch.group) else { return };
        if watch.node == record.master && state.discovered != listed {
            state.discovered = listed;
            self.rewatch(&watch.group, now);
        }
    }
}

fn keep(set: &mut BTreeSet<Watch>, watch: &Watch, is_in: bool) {
    if !is_in {
        set.remove(watch);
    } else if !set.contains(watch) {
        set.insert(watch.clone());
    }
}

/// Whether it is more than the passing of time. How far a replica is behind is told by its master, so
/// an offset says something to others only where it stands beside those of replicas.
fn says_more(before: &NodeView, view: &NodeView) -> bool {
    let mut same = before.clone();
    if view.replicas.is_empty() {
        same.offset = view.offset;
    }
    if let (Some(before), Some(now)) = (&mut same.upstream, &view.upstream)
        && before.down_for_ms.is_some()
        && now.down_for_ms.is_some()
    {
        before.down_for_ms = now.down_for_ms;
    }
    same != *view
}
