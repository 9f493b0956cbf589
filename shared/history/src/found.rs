//! Which incident is meant.

use crate::incident::{Incident, incidents};
use crate::report::{Report, Today};
use crate::when;
use thiserror::Error;
use vedette_model::GroupName;
use vedette_runtime::history::Past;

/// An incident, among all that was read.
#[derive(Debug, Clone)]
pub struct Found {
    /// All that was read.
    pub past: Past,
    /// The one that is meant.
    pub incident: Incident,
}

/// Why none is meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfound {
    /// There is none.
    #[error("nothing is kept of such a failover; {reach}")]
    Nothing {
        /// How far back what was read goes.
        reach: String,
    },
    /// There are several.
    #[error("this is the beginning of several ids: {}", .ids.join(", "))]
    Several {
        /// Their ids.
        ids: Vec<String>,
    },
}

impl Found {
    /// The latest of a group.
    ///
    /// # Errors
    /// [`Unfound::Nothing`].
    pub fn latest(past: Past, group: &GroupName) -> Result<Self, Unfound> {
        let all = incidents(&past.kept);
        match all.into_iter().rfind(|incident| incident.group == *group) {
            Some(incident) => Ok(Self { past, incident }),
            None => Err(Unfound::Nothing { reach: reach(&past) }),
        }
    }

    /// The one of this id, or whose id begins so.
    ///
    /// # Errors
    /// [`Unfound`].
    pub fn called(past: Past, id: &str) -> Result<Self, Unfound> {
        let mut all = incidents(&past.kept);
        all.retain(|incident| incident.is_called(id));
        match (all.pop(), all.as_slice()) {
            (None, _) => Err(Unfound::Nothing { reach: reach(&past) }),
            (Some(incident), []) => Ok(Self { past, incident }),
            (Some(last), others) => {
                let ids = others.iter().chain([&last]).map(|incident| incident.id.clone());
                Err(Unfound::Several { ids: ids.collect() })
            }
        }
    }

    /// Everything that is known of it; with what the services say now, if it is not over.
    pub fn report(&self, today: Option<Today>) -> Report {
        Report::of(&self.incident, &self.past, today)
    }
}

/// How far back it goes, in words.
pub fn reach(past: &Past) -> String {
    match past.oldest_us {
        Some(at) => format!("the history goes back to {}", when::utc(at)),
        None => "nothing is kept at all: an orchestrator begins the history, if JetStream is there"
            .into(),
    }
}
