//! What holds for every correction, whatever the nodes say and when.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Happens {
    Begin {
        wait: bool,
        lease_left: u64,
    },
    Stop,
    Permit(bool),
    /// A node answers a question of this round, or one that was asked before it.
    Answer(usize, Says),
    /// A prober saw a node.
    Seen(usize, Says),
}

#[derive(Debug, Clone, Copy)]
enum Says {
    Good,
    Linking,
    Stray,
    Wrong,
    /// A replica of another member; its link is up or not.
    Behind(usize, bool),
    /// The recorded master by another address.
    Alias,
    Foreign,
    /// A stranger that follows a member.
    ForeignBehind(usize),
    TimedOut,
    Expired,
}

impl Says {
    fn view(self, n: usize) -> Option<NodeView> {
        match self {
            Self::Good => Some(good(n)),
            Self::Linking => Some(linking(n, 1)),
            Self::Stray => Some(stray(n)),
            Self::Wrong => Some(wrong(n)),
            Self::Behind(of, true) => Some(replica_view(n, of, 100)),
            Self::Behind(of, false) => Some(linking(n, of)),
            Self::Alias => Some(changed(stray(n), |v| v.run_id = run_id(1))),
            Self::Foreign => Some(foreign(n)),
            Self::ForeignBehind(of) => {
                let (run_id, replid) = (run_id(n + 100), history(2));
                let set = |v: &mut NodeView| (v.run_id, v.replid) = (run_id, replid);
                Some(changed(linking(n, of), set))
            }
            Self::TimedOut | Self::Expired => None,
        }
    }

    fn answer(self, n: usize) -> Answer {
        let fault =
            if matches!(self, Self::Expired) { NodeFault::Expired } else { NodeFault::TimedOut };
        let done = |view| Answer::Done { view, rewrite_error: None, changed_by: None };
        self.view(n).map_or(Answer::Failed(fault), done)
    }
}

/// Four members, of which the first is the recorded master, and two that are none.
const MEMBERS: usize = 4;
const NODES: usize = 6;

fn happens() -> impl Strategy<Value = Happens> {
    let says = prop::sample::select(vec![
        Says::Good,
        Says::Linking,
        Says::Stray,
        Says::Wrong,
        Says::Behind(2, true),
        Says::Behind(3, true),
        Says::Behind(4, false),
        Says::Alias,
        Says::Foreign,
        Says::ForeignBehind(3),
        Says::TimedOut,
        Says::Expired,
    ]);
    prop_oneof![
        2 => (any::<bool>(), 0_u64..600)
            .prop_map(|(wait, lease_left)| Happens::Begin { wait, lease_left }),
        1 => Just(Happens::Stop),
        2 => prop::bool::weighted(0.8).prop_map(Happens::Permit),
        12 => (1..=NODES, says.clone()).prop_map(|(n, says)| Happens::Answer(n, says)),
        4 => (1..=NODES, says).prop_map(|(n, says)| Happens::Seen(n, says)),
    ]
}

/// What a correction may rest on.
#[derive(Default)]
struct Watch {
    permitted: bool,
    act_after: u64,
    /// What each node said itself, asked in this round.
    said: BTreeMap<NodeAddr, (Fit, u64)>,
    /// When the master was heard last, or was not, in this round, and whether it is a replica.
    head: Option<(bool, u64)>,
    corrected: BTreeMap<NodeAddr, u64>,
}

impl Watch {
    fn check(&mut self, script: &Script, now: u64, acts: &[Act]) {
        for (addr, name) in follows(acts) {
            assert_ne!(addr, script.record.master, "the master follows nobody");
            assert!(script.record.member(&addr).is_some(), "{addr} is no member");
            assert!(self.permitted && now >= self.act_after, "{addr} without the right to");
            let head = self.head.expect("the master was asked");
            assert!(!head.0 && now < head.1 + 100, "{addr} is pointed at a replica");
            let before = self.corrected.insert(addr.clone(), now);
            assert!(before.is_none_or(|at| now >= at + 5_000), "{addr} twice in 5 s");
            let said = self.said.remove(&addr);
            assert!(said.is_some_and(|(_, at)| now < at + 100), "{addr} for what it said long ago");
            match said.map(|(fit, _)| fit) {
                Some(Fit::Stray) => assert_eq!(name, EventName::ConvertToSlave),
                Some(Fit::WrongUpstream) => assert_ne!(name, EventName::ConvertToSlave),
                Some(Fit::Chained) => assert!(script.record.settings.chained_replicas),
                other => panic!("{addr} is corrected for {other:?}"),
            }
        }
        if acts.iter().any(|act| matches!(act, Act::Finished { .. })) {
            self.said.clear();
        }
        let next = script.reconciler.poll_timeout();
        assert!(next.is_none_or(|next| next > at(now)), "{next:?} is not after {now}");
    }

    fn step(&mut self, script: &mut Script, now: u64, happens: &Happens) {
        let acts = match happens {
            Happens::Begin { wait, lease_left } => {
                self.act_after = now + lease_left;
                self.said.clear();
                self.head = None;
                script.begin(*wait, self.act_after, now)
            }
            Happens::Stop => {
                script.reconciler.stop();
                self.said.clear();
                vec![]
            }
            Happens::Permit(permitted) => {
                self.permitted = *permitted;
                script.reconciler.permit(*permitted);
                script.tick(now)
            }
            Happens::Answer(n, says) => {
                if matches!(says, Says::Expired) && script.reconciler.in_round() {
                    self.corrected.remove(&node(*n));
                }
                if *n == 1 {
                    let before = self.head.is_some_and(|(is_replica, _)| is_replica);
                    let is_replica = says.view(1).map_or(before, |v| v.role == Role::Replica);
                    self.head = Some((is_replica, now));
                }
                match says.view(*n).filter(|_| script.reconciler.in_round()) {
                    Some(view) => {
                        let fit = compare(&script.record, &node(*n), &view);
                        self.said.insert(node(*n), (fit, now));
                    }
                    None => drop(self.said.remove(&node(*n))),
                }
                script.answer(now, *n, says.answer(*n))
            }
            Happens::Seen(n, says) => {
                let acts = says.view(*n).map(|view| script.seen(now, *n, view));
                acts.unwrap_or_default()
            }
        };
        self.check(script, now, &acts);
    }
}

proptest! {
    #[test]
    fn a_correction_needs_the_right_to_it_and_the_nodes_own_word_in_this_round(
        parallel_syncs in 1_u32..4,
        chained_replicas in any::<bool>(),
        one_is_gone in any::<bool>(),
        history in prop::collection::vec((0_u64..2_500, happens()), 0..80),
    ) {
        let mut script = Script::new(MEMBERS);
        script.leads = false;
        script.record.settings.parallel_syncs = parallel_syncs;
        script.record.settings.chained_replicas = chained_replicas;
        script.record.members[3].gone = one_is_gone;
        let mut watch = Watch { permitted: true, ..Watch::default() };
        let mut now = 0;
        for (wait, happens) in &history {
            let until = now + wait;
            while let Some(due) = script.reconciler.poll_timeout().filter(|due| *due <= at(until)) {
                now = due.as_nanos() / 1_000_000;
                let acts = script.tick(now);
                watch.check(&script, now, &acts);
            }
            now = until;
            watch.step(&mut script, now, happens);
        }
    }
}
