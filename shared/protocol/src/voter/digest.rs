//! What is committed: asked of the other voters, and told to whoever asks.

use super::{Group, Output, Voter};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use vedette_model::{Digest, DigestReply, GroupName, Instant};

impl Voter {
    /// Asks the others for what was committed while this voter was away.
    pub(super) fn ask(&mut self) {
        let revision =
            |g: &Group| g.acceptor.stored().committed.as_ref().map(|c| c.record.revision);
        let have = self.groups.iter().filter_map(|(n, g)| Some((n.clone(), revision(g)?)));
        self.outputs.push_back(Output::Publish(Digest { have: have.collect() }.into()));
    }

    pub(super) fn digest(&mut self, digest: &Digest, reply_to: Option<String>, now: Instant) {
        // Whoever counts answers counts voters that know what was decided.
        let Some(roster) = self.meta().map(|meta| meta.roster.version) else { return };
        let have: BTreeMap<_, _> = digest.have.iter().map(|(g, r)| (g, *r)).collect();
        let newer = |(name, group): (&GroupName, &Group)| {
            let committed = group.acceptor.stored().committed.as_ref()?;
            (have.get(name).copied() < Some(committed.record.revision)).then(|| committed.clone())
        };
        let mut newer = self.groups.iter().filter_map(newer);
        let records: Vec<_> = newer.by_ref().take(DigestReply::LIMIT).collect();
        let more = newer.next().is_some();
        let unsettled =
            self.groups.iter().filter(|(_, g)| g.acceptor.is_left_unsettled(roster, now));
        let reply = DigestReply {
            voter: self.config.id.clone(),
            records,
            unsettled: unsettled.map(|(name, _)| name.clone()).collect(),
            more,
        };
        self.answer(None, reply_to, reply.into());
    }
}
