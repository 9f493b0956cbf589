//! One incident, one trace: whatever befalls a group, all that its services did about it is one
//! well-formed tree.

mod held;
mod people;
mod replaced;
mod support;
mod tls;
mod told;
mod verbs;
