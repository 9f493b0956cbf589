//! Whether a load balancer may send requests to a node.
//!
//! A node is asked nothing: right after a start every node says that it is master.

use super::Gateway;
use core::time::Duration;
use thiserror::Error;
use vedette_model::{GroupRecord, Instant, NodeAddr, NodeView, Role};

/// A node's last words count for so long: it is asked every ten seconds, and at least every second
/// while something is wrong.
const WORDS_EXPIRY: Duration = Duration::from_secs(25);
/// Two clocks tell how long a link has been down: the node's, in whole seconds, and this one.
const LINK_SLACK: Duration = Duration::from_secs(2);

/// Why a node must not be sent anything.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// What is known may be out of date.
    #[error("too few voters answer to know who is master")]
    Stale,
    /// There is no record of the group.
    #[error("no such group")]
    UnknownGroup,
    /// The group has no such member.
    #[error("no such node in the group")]
    UnknownNode,
    /// Somebody else is master.
    #[error("the master is {0}")]
    OtherMaster(NodeAddr),
    /// It is master, and about to be replaced.
    #[error("a failover to {0} is under way")]
    Moving(NodeAddr),
    /// It is master, and replicas were asked for.
    #[error("it is the master")]
    IsMaster,
    /// A quorum of the probers calls it down.
    #[error("it is down")]
    Down,
    /// It has said nothing lately.
    #[error("it has not been seen lately")]
    Unseen,
    /// It does not say that it is a replica.
    #[error("it reports the role of a master")]
    WrongRole,
    /// It reads its data from the disk.
    #[error("it is loading")]
    Loading,
    /// It gets all data anew.
    #[error("it is synchronising")]
    Syncing,
    /// It has no connection to the master, though the master lives.
    #[error("its link to the master is down")]
    Unlinked,
    /// It replicates from somebody else.
    #[error("it follows {0}")]
    OtherUpstream(NodeAddr),
    /// Its data are not the group's.
    #[error("its history is not the group's")]
    Foreign,
    /// Clients are not to be told of it: `replica-announced no`.
    #[error("it is not announced to clients")]
    Hidden,
    /// So many bytes are missing.
    #[error("it is {0} bytes behind")]
    Behind(u64),
    /// How much is missing is not known.
    #[error("how far it is behind is not known")]
    UnknownLag,
}

impl Gateway {
    /// Whether writes may go to this node: it is the recorded master, the record is fresh, and no
    /// failover is about to replace it.
    ///
    /// One gateway never says so of two nodes at once.
    ///
    /// # Errors
    /// Why not.
    pub fn primary(&self, group: &str, node: &NodeAddr, now: Instant) -> Result<(), Unfit> {
        if !self.is_fresh(now) {
            return Err(Unfit::Stale);
        }
        let record = self.record(group).ok_or(Unfit::UnknownGroup)?;
        if *node != record.master {
            return Err(Unfit::OtherMaster(record.master.clone()));
        }
        match &record.failover {
            Some(plan) if !record.is_switched() => Err(Unfit::Moving(plan.target.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether reads that may be a little old may go to this node: a replica that is up, has the
    /// group's data and its link, and is at most `max_lag` bytes behind, if that is given.
    ///
    /// It does not need a fresh record, and a dead master alone takes no replica away.
    ///
    /// # Errors
    /// Why not.
    pub fn readable(
        &self,
        group: &str,
        node: &NodeAddr,
        max_lag: Option<u64>,
        now: Instant,
    ) -> Result<(), Unfit> {
        let record = self.record(group).ok_or(Unfit::UnknownGroup)?;
        if *node == record.master {
            return Err(Unfit::IsMaster);
        }
        if record.member(node).is_none_or(|member| member.gone) {
            return Err(Unfit::UnknownNode);
        }
        let look = self.look(record, node, now);
        if look.down.is_some() {
            return Err(Unfit::Down);
        }
        let seen = look.view.filter(|(_, at)| now.since(*at) < WORDS_EXPIRY);
        let (view, _) = seen.ok_or(Unfit::Unseen)?;
        self.follows(record, view, now)?;
        if view.hidden {
            return Err(Unfit::Hidden);
        }
        match (max_lag, self.lag(record, node, now)) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Unfit::UnknownLag),
            (Some(most), Some(lag)) if lag > most => Err(Unfit::Behind(lag)),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    fn follows(&self, record: &GroupRecord, view: &NodeView, now: Instant) -> Result<(), Unfit> {
        let upstream = match (view.role, &view.upstream) {
            (Role::Replica, Some(upstream)) => upstream,
            (Role::Replica | Role::Master, _) => return Err(Unfit::WrongRole),
        };
        // Whoever has not been seen since the last change of master may still name the one before.
        let before = record.switch.previous.as_ref();
        if upstream.addr != record.master && Some(&upstream.addr) != before {
            return Err(Unfit::OtherUpstream(upstream.addr.clone()));
        }
        if view.loading {
            return Err(Unfit::Loading);
        }
        if upstream.syncing {
            return Err(Unfit::Syncing);
        }
        if !record.lineage.knows(view) {
            return Err(Unfit::Foreign);
        }
        let since = Duration::from_millis(upstream.down_for_ms.unwrap_or(0));
        if !upstream.link_up && !self.is_excused(record, since, now) {
            return Err(Unfit::Unlinked);
        }
        Ok(())
    }

    /// Whether a link that has been down for so long went down with the master.
    fn is_excused(&self, record: &GroupRecord, since: Duration, now: Instant) -> bool {
        if record.failover.is_some() {
            return true;
        }
        let master = self.look(record, &record.master, now);
        let silent = master.good.map_or(Duration::ZERO, |good| now.since(good));
        master.down.is_some() && since <= silent + LINK_SLACK
    }

    /// How many bytes a replica is behind, as the master told when it was last asked: the only one
    /// who knows both numbers at one moment. Absent if the master has not spoken or does not see
    /// the replica.
    pub fn lag(&self, record: &GroupRecord, node: &NodeAddr, now: Instant) -> Option<u64> {
        let (master, _) = self.look(record, &record.master, now).view?;
        let seen = master.replicas.iter().find(|seen| seen.addr == *node && seen.online)?;
        Some(master.offset.saturating_sub(seen.offset))
    }

    /// Time since a majority of the roster had answered; absent if it never has.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let heard = self.directory.majority_heard(self.roster.as_ref()?)?;
        Some(now.since(heard))
    }
}

#[cfg(test)]
mod tests;
