//! Who is looked at, and who is chosen.

use super::{ATTEMPTS_TOLD, Case, Inspected, MARKS_KEPT};
use crate::{Mark, Notes, Span, names};
use vedette_model::{NodeAddr, Rejection};

/// A survey does not wait longer, in microseconds.
const SURVEY_US: u64 = 200_000;

impl Case {
    /// A member is looked at before the choice.
    pub(in crate::orchestrator) fn inspects(&mut self, node: &NodeAddr, at_us: u64) -> bool {
        let wanted =
            self.new_epoch.is_none() && self.calm_us.is_none() && self.candidacies <= ATTEMPTS_TOLD;
        if wanted {
            let inspected = Inspected { from_us: at_us, answer: None };
            self.inspected.insert(node.clone(), inspected);
        }
        wanted
    }

    pub(in crate::orchestrator) fn inspected(
        &mut self,
        node: &NodeAddr,
        from_us: u64,
        at_us: u64,
        fault: Option<String>,
    ) {
        let asked = self.inspected.get_mut(node);
        if let Some(asked) = asked.filter(|asked| asked.from_us == from_us) {
            asked.answer = Some((at_us, fault));
        }
    }

    pub(super) fn surveyed(&mut self, at_us: u64, notes: &mut Notes) {
        let asked = std::mem::take(&mut self.inspected);
        let Some(from_us) = asked.values().map(|asked| asked.from_us).min() else { return };
        // It may be closed long after, by an orchestrator that was not elected.
        let answers = asked.values().map(|asked| asked.answer.as_ref().map(|(to_us, _)| *to_us));
        let last = answers.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let at_us = at_us.min(last.unwrap_or(from_us + SURVEY_US).max(from_us));
        self.ready_us = self.ready_us.map(|ready| ready.max(at_us));
        let survey = self.span(names::SURVEY, &from_us.to_string(), from_us, at_us);
        let parent = Some(survey.id);
        notes.span(survey);
        for (node, asked) in asked {
            let missing = || (at_us, Some("no answer by the end of the survey".to_string()));
            let (to_us, fault) = asked.answer.unwrap_or_else(missing);
            let who = format!("{node}/{}", asked.from_us);
            let span = self.span(names::INFO, &who, asked.from_us, to_us.min(at_us));
            notes.span(Span { parent, ..span.to_node(&node, "INFO").failed(fault) });
        }
    }

    /// The choice: whom, and why nobody else.
    pub(super) fn selects(
        &mut self,
        target: Option<&NodeAddr>,
        rejected: &[Rejection],
        at_us: u64,
        notes: &mut Notes,
    ) {
        self.surveyed(at_us, notes);
        if self.candidacies > ATTEMPTS_TOLD {
            return;
        }
        let from_us = self.ready_us.take().unwrap_or(at_us);
        let mut span = self.span(names::SELECT, &at_us.to_string(), from_us, at_us);
        if let Some(target) = target {
            span = span.with(names::NODE, target.to_string());
            let mark = Mark::new(at_us, target.to_string());
            span.marks.push(mark.with(names::OUTCOME, "chosen"));
        }
        for rejection in rejected.iter().take(MARKS_KEPT) {
            let mark = Mark::new(at_us, rejection.node.to_string());
            let mark = mark.with(names::OUTCOME, "not chosen");
            span.marks.push(mark.with(names::REASON, rejection.reason.to_string()));
        }
        let none = target.is_none().then(|| "nobody can be promoted".to_string());
        notes.span(span.failed(none));
    }
}
