//! Tells people and hooks what happened.
