//! Messages under way.

use alloc::vec::Vec;
use vedette_model::{Ballot, Beat, BeatReply, Candidacy, Proposal, ProposalReply, RecordCommitted};

/// A question to a voter, by its index, or an answer to whoever it is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    Prepare(usize, Candidacy),
    Accept(usize, Proposal),
    Beat(usize, Beat),
    Committed(usize, RecordCommitted),
    Promise(Ballot),
    Accepted(ProposalReply),
    BeatReply(BeatReply),
}

/// Messages under way, at most [`Bus::LIMIT`]; of more the oldest are lost.
#[derive(Default)]
pub(super) struct Bus(Vec<Message>);

impl Bus {
    const LIMIT: usize = 60;

    pub(super) fn send(&mut self, message: Message) {
        if self.0.len() == Self::LIMIT {
            self.0.remove(0);
        }
        self.0.push(message);
    }

    /// One of the messages, which is under way no longer.
    pub(super) fn take(&mut self, n: usize) -> Option<Message> {
        let at = n.checked_rem(self.0.len())?;
        Some(self.0.remove(at))
    }

    /// One of the messages, which stays under way.
    pub(super) fn copy(&self, n: usize) -> Option<Message> {
        let at = n.checked_rem(self.0.len())?;
        self.0.get(at).cloned()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
