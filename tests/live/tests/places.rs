//! Probers in several places: those of one share the groups, and a quorum may want several places.

use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_harness::{LIMIT, Node, Plan, System, now, pick, within};
use vedette_live::{finish, ms, nothing_happens, switched, tell, writing};
use vedette_model::EventName;

const GROUPS: usize = 200;
/// Declared at a time: what all at once would ask of three voters they answer late on a busy machine.
const PORTION: usize = 25;
const HERE: [&str; 3] = ["p1", "p2", "p3"];
const THERE: [&str; 3] = ["p4", "p5", "p6"];
/// A dead prober's groups are watched by others of its place after so long.
const TAKEOVER: Duration = Duration::from_secs(2);

/// No group, and one node.
fn lonely() -> Plan {
    Plan {
        replicas: 0,
        probers: 0,
        orchestrators: 0,
        notifiers: 0,
        node_lines: vec!["bind 0.0.0.0".into()],
        ..Plan::default()
    }
}

/// Has all groups watched, by an orchestrator that is restarted with more of them. One server stands
/// for the masters of all: each group knows it by another address.
async fn declare(system: &mut System) -> Result<()> {
    let port = system.master().port();
    let numbers: Vec<usize> = (1..=GROUPS).collect();
    for portion in numbers.chunks(PORTION) {
        let text: String = portion
            .iter()
            .map(|n| {
                format!(
                    "[[group]]\nname = \"g{n}\"\nmaster = \"127.1.0.{n}:{port}\"\nquorum = 2\n\
                     quorum_places = 2\nwatchers_per_place = 1\ndown_after_ms = 5000\n"
                )
            })
            .collect();
        let declared = portion.last().copied().unwrap_or_default();
        if declared == PORTION {
            system.start_orchestrator_declaring("o1", &text)?;
        } else {
            let _ = system.service("o1")?.terminate(LIMIT).await?;
            std::fs::write(system.path()?.join("o1.groups.toml"), &text)?;
            system.service("o1")?.start()?;
        }
        within(LIMIT, &format!("{declared} groups are watched"), async || {
            let watchers = watching(&system.nodes[0], &THERE).await.ok()?;
            (watchers.len() == declared).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Who is connected to each address of the node, of these probers.
async fn watching(node: &Node, probers: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let list: String = node.command(&["CLIENT", "LIST"]).await?;
    let mut watchers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in list.lines() {
        let word = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
        let (Some(at), Some(name)) = (word("laddr="), word("name=vedette-prober-")) else {
            continue;
        };
        if probers.contains(&name) {
            watchers.entry(at.into()).or_default().insert(name.into());
        }
    }
    Ok(watchers)
}

/// Waits until each group has exactly one watcher among these. Who watches what.
async fn shared_out(node: &Node, probers: &[&str]) -> Result<BTreeMap<String, String>> {
    let what = format!("each group is watched by one of {probers:?}");
    within(LIMIT, &what, async || {
        let watchers = watching(node, probers).await.ok()?;
        let one = |(at, who): (String, BTreeSet<String>)| {
            (who.len() == 1).then(|| who.into_iter().next().map(|one| (at, one)))?
        };
        let shares: BTreeMap<_, _> = watchers.into_iter().map(one).collect::<Option<_>>()?;
        (shares.len() == GROUPS).then_some(shares)
    })
    .await
}

fn share(shares: &BTreeMap<String, String>, prober: &str) -> BTreeSet<String> {
    shares.iter().filter(|(_, who)| *who == prober).map(|(at, _)| at.clone()).collect()
}

#[tokio::test]
async fn two_hundred_groups_are_shared_by_the_probers_of_each_place() -> Result<()> {
    let mut system = System::start_servers(lonely()).await?;
    system.start_services()?;
    for (place, probers) in [("dc-a", HERE), ("dc-b", THERE)] {
        for prober in probers {
            system.start_prober_at(prober, place)?;
        }
    }
    let began = now();
    declare(&mut system).await?;
    tell(&format!("{GROUPS} groups were declared after {:.0} ms", ms(began, now())));
    let here = shared_out(&system.nodes[0], &HERE).await?;
    let there = shared_out(&system.nodes[0], &THERE).await?;
    for (shares, probers) in [(&here, HERE), (&there, THERE)] {
        let sizes = probers.map(|prober| share(shares, prober).len());
        tell(&format!("{probers:?} watch {sizes:?} groups"));
        ensure!(sizes.iter().all(|size| *size > GROUPS / 6), "{sizes:?}");
    }

    // One dies: the others of its place have its groups soon, and nothing else changes hands.
    let lost = share(&here, "p2");
    let killed = system.service("p2")?.kill9()?;
    within(LIMIT, "the dead prober's groups are watched", async || {
        let watchers = watching(&system.nodes[0], &["p1", "p3"]).await.ok()?;
        lost.iter().all(|at| watchers.contains_key(at)).then_some(())
    })
    .await?;
    let took = now().duration_since(killed);
    tell(&format!(
        "{} groups of a dead prober watched after {:.0} ms",
        lost.len(),
        ms(killed, now())
    ));
    ensure!(took <= TAKEOVER, "it took {took:?}");
    let left = shared_out(&system.nodes[0], &["p1", "p3"]).await?;
    let moved = here.iter().filter(|(at, who)| *who != "p2" && left.get(*at) != Some(who));
    ensure!(moved.count() == 0, "groups of living probers changed hands");
    ensure!(shared_out(&system.nodes[0], &THERE).await? == there, "the other place changed");

    // One comes: it takes its share, and at no moment is a group without a watcher.
    system.start_prober_at("p7", "dc-a")?;
    let all = ["p1", "p3", "p7"];
    let mut looks = 0;
    let mut bare = None;
    let shares = within(LIMIT, "the new prober has its share", async || {
        let watchers = watching(&system.nodes[0], &all).await.ok()?;
        looks += 1;
        if watchers.len() < GROUPS {
            bare.get_or_insert(watchers.len());
        }
        let has_its_share = watchers.values().all(|who| who.len() == 1)
            && watchers.values().any(|who| who.contains("p7"));
        has_its_share.then_some(watchers)
    })
    .await?;
    ensure!(bare.is_none(), "only {bare:?} of {GROUPS} groups were watched");
    let size = shares.values().filter(|who| who.contains("p7")).count();
    tell(&format!("the new prober watches {size} groups; none was unwatched in {looks} looks"));
    ensure!(size > GROUPS / 6, "{size}");
    system.finish().await
}

#[tokio::test]
async fn one_place_alone_replaces_no_master_where_two_are_wanted() -> Result<()> {
    let mut plan = Plan { probers: 0, ..Plan::default() };
    plan.settings.push("quorum_places = 2".into());
    let mut system = System::start_servers(plan).await?;
    system.announce(&["sdown", "odown", "down", "prober"]);
    system.start_services()?;
    for (prober, place) in [("p1", "dc-a"), ("p2", "dc-a"), ("p3", "dc-b")] {
        system.start_prober_at(prober, place)?;
    }
    let _ = system.members_are_known().await?;
    let old = system.master();
    let writer = writing(&system).await?;
    system.service("p3")?.kill9()?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    for prober in ["p1", "p2"] {
        let source = format!("prober/{prober}");
        let says = |fact: &_| {
            let event = pick::event(fact, EventName::Sdown)?;
            (event.source == source).then_some(())
        };
        let _ = system.watcher.wait(mark, LIMIT, &format!("{prober} says +sdown"), says).await?;
    }
    nothing_happens(&system, mark, Duration::from_secs(3)).await?;

    system.service("p3")?.start()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    system.all_follow(&switch.master.master).await?;
    finish(system, writer, &switch.master.master).await
}
