//! The verdict is a function of who said what last, and when; nothing else.

use super::*;
use proptest::prelude::*;

/// What the voter should think, computed from the whole history of reports.
#[derive(Default)]
struct Naive(Vec<(u64, SdownReport)>);

impl Naive {
    fn reached(&self, now: u64, quorum: usize, places: usize) -> bool {
        let mut fresh: Vec<&SdownReport> = Vec::new();
        for n in 1..=PROBERS {
            let about =
                |r: &SdownReport| r.prober == prober(n) && r.epoch == Epoch(1) && r.node == node(1);
            let last = self.0.iter().rev().find(|(_, report)| about(report));
            if let Some((at, report)) = last
                && now < at + 3_000
                && report.state != NodeState::Up
            {
                fresh.push(report);
            }
        }
        let distinct: BTreeSet<_> = fresh.iter().map(|report| &report.place).collect();
        fresh.len() >= quorum && distinct.len() >= places
    }
}

const PROBERS: usize = 5;

/// A report of one of five probers in two places, now and then on another reign or node.
fn reports() -> impl Strategy<Value = SdownReport> {
    (1..=PROBERS, prop::bool::weighted(0.7), 1_u64..9, 1_usize..9, prop::bool::ANY).prop_map(
        |(n, is_down, epoch, about, east)| SdownReport {
            epoch: Epoch(if epoch == 2 { 2 } else { 1 }),
            node: node(if about == 2 { 2 } else { 1 }),
            place: place(if east { "east" } else { "west" }),
            ..if is_down { down(n) } else { up(n) }
        },
    )
}

fn judged(quorum: u32, places: u32) -> Script {
    let mut record = record(3);
    record.settings.quorum = Quorum::parse(quorum).unwrap();
    record.settings.quorum_places = Some(places);
    Script::of(&record)
}

proptest! {
    #[test]
    fn the_verdict_is_that_of_the_naive_model(
        quorum in 1_u32..5,
        places in 1_u32..3,
        script in prop::collection::vec((0_u64..1_500, any::<bool>(), reports()), 1..60),
    ) {
        let (mut real, mut naive) = (judged(quorum, places), Naive::default());
        let (mut now, mut last_said) = (0, false);
        for (wait, woken, report) in script {
            now += wait;
            if woken {
                for (_, output) in real.run(now) {
                    prop_assert_eq!(output.changed, output.verdict.reached != last_said);
                    last_said = output.verdict.reached;
                }
                let expected = naive.reached(now, quorum as usize, places as usize);
                prop_assert_eq!(real.0.reached(), expected, "after waking at {}", now);
            }
            for output in real.hear(now, report.clone()) {
                prop_assert_eq!(output.changed, output.verdict.reached != last_said);
                last_said = output.verdict.reached;
            }
            naive.0.push((now, report.clone()));
            if report.epoch != Epoch(1) || report.node != node(1) {
                continue;
            }
            let expected = naive.reached(now, quorum as usize, places as usize);
            prop_assert_eq!(real.0.reached(), expected, "after the report at {}", now);
            prop_assert_eq!(last_said, expected, "and so it was said");
        }
    }

    #[test]
    fn the_same_reports_in_any_order_give_the_same_verdict(
        (original, shuffled) in prop::collection::btree_map(1..=PROBERS, reports(), 0..=PROBERS)
            .prop_map(|by_prober| {
                let own = |(n, report)| SdownReport { prober: prober(n), ..report };
                by_prober.into_iter().map(own).collect::<Vec<_>>()
            })
            .prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
        quorum in 1_u32..4,
        places in 1_u32..3,
    ) {
        let hear = |reports: &[SdownReport]| {
            let mut script = judged(quorum, places);
            let said: Vec<_> = reports.iter().flat_map(|r| script.hear(7, r.clone())).collect();
            let repeated = script.run(1_007);
            (script.0.reached(), script.0.standing(), said.len(), repeated)
        };
        prop_assert_eq!(hear(&original), hear(&shuffled));
    }

    #[test]
    fn fewer_probers_than_the_quorum_never_reach_it(
        script in prop::collection::vec((0_u64..500, reports()), 0..80),
    ) {
        let mut tally = judged(PROBERS as u32, 1);
        let mut now = 0;
        for (wait, report) in script.into_iter().filter(|(_, r)| r.prober != prober(1)) {
            now += wait;
            prop_assert_eq!(tally.hear(now, report), []);
            prop_assert_eq!(tally.run(now), []);
        }
        prop_assert!(!tally.0.reached());
    }
}
