//! The rule that every application follows: never back.

use crate::Master;

/// Replaces what is known by what was heard if that is newer: a higher epoch, or in the same epoch
/// a higher revision. Returns whether the master is another one than before; a record can be newer
/// and name the same master of the same epoch, and then nobody has to move.
pub(crate) fn replace(known: &mut Option<Master>, heard: Master) -> bool {
    let Some(before) = known else {
        *known = Some(heard);
        return true;
    };
    if (heard.epoch, heard.revision) <= (before.epoch, before.revision) {
        return false;
    }
    let moved = heard.epoch != before.epoch || heard.master != before.master;
    *before = heard;
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Epoch, GroupName, LossBound, NodeAddr, Revision, SwitchReason, TraceId};

    fn master(epoch: u64, revision: u64, port: u16) -> Master {
        let group = GroupName::parse("orders").unwrap();
        let addr = NodeAddr::new("10.0.0.1", port).unwrap();
        Master {
            schema: 1,
            trace_id: TraceId::of(&group, Epoch(epoch), &addr, None),
            group,
            epoch: Epoch(epoch),
            revision: Revision(revision),
            master: addr,
            host: "10.0.0.1".into(),
            port,
            previous: None,
            reason: SwitchReason::Seeded,
            loss: LossBound::default(),
        }
    }

    #[test]
    fn the_first_record_counts_whatever_it_is() {
        let mut known = None;
        assert!(replace(&mut known, master(7, 9, 1)));
        assert_eq!(known, Some(master(7, 9, 1)));
    }

    #[test]
    fn a_lower_epoch_never_replaces_a_higher_whatever_its_revision() {
        let mut known = Some(master(3, 5, 1));
        assert!(!replace(&mut known, master(2, 99, 2)));
        assert_eq!(known, Some(master(3, 5, 1)));
    }

    #[test]
    fn a_lower_revision_of_the_same_epoch_never_replaces_a_higher() {
        let mut known = Some(master(3, 5, 1));
        assert!(!replace(&mut known, master(3, 4, 2)));
        assert!(!replace(&mut known, master(3, 5, 2)));
        assert_eq!(known, Some(master(3, 5, 1)));
    }

    #[test]
    fn a_higher_epoch_is_a_change_also_if_the_master_is_the_same_again() {
        let mut known = Some(master(3, 5, 1));
        assert!(replace(&mut known, master(4, 6, 1)));
        assert_eq!(known, Some(master(4, 6, 1)));
    }

    #[test]
    fn a_higher_revision_alone_is_kept_and_is_no_change() {
        let mut known = Some(master(3, 5, 1));
        assert!(!replace(&mut known, master(3, 8, 1)));
        assert_eq!(known, Some(master(3, 8, 1)));
        assert!(!replace(&mut known, master(3, 7, 2)), "it would go back");
    }

    #[test]
    fn in_every_order_the_newest_remains_and_the_epochs_told_only_rise() {
        let records = [master(1, 1, 1), master(2, 4, 2), master(2, 6, 2), master(5, 9, 1)];
        for first in 0..4 {
            for second in 0..4 {
                for third in 0..4 {
                    let (mut known, mut told) = (None, Vec::new());
                    for at in [first, second, third] {
                        if replace(&mut known, records[at].clone()) {
                            told.push(records[at].epoch);
                        }
                    }
                    let newest = first.max(second).max(third);
                    assert_eq!(known, Some(records[newest].clone()));
                    assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
                }
            }
        }
    }
}
