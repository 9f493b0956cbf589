//! Facts in words, for timelines.

use vedette_model::{Fact, Health};

/// A fact in one line; absent for those that only keep things going.
pub fn describe(fact: &Fact) -> Option<String> {
    if let Fact::Heartbeat(beat) = fact {
        return (beat.health != Health::Well).then(|| beat.health.to_string());
    }
    (!fact.kind().is_quiet()).then(|| fact.to_string())
}
