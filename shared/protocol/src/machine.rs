//! The four verbs that every machine has.

use vedette_model::Instant;

/// A pure state machine.
///
/// The driver calls `handle` for each input and `handle_timeout` when the instant given by
/// `poll_timeout` has come, and after each of them drains `poll_output` to the end, in order:
/// what a `Persist` protects comes after it and waits until it is done.
pub trait Machine {
    /// What goes in.
    type Input;
    /// What comes out.
    type Output;

    /// Takes an input. Never fails and never panics on data, whoever sent it.
    fn handle(&mut self, input: Self::Input, now: Instant);

    /// Does what is due at `now`; harmless when nothing is.
    fn handle_timeout(&mut self, now: Instant);

    /// When `handle_timeout` wants to be called next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next effect to carry out, oldest first.
    fn poll_output(&mut self) -> Option<Self::Output>;
}
