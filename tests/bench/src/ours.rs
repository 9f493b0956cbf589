//! Vedette around a group.

use crate::moments::nth_speaker;
use crate::subscriber::Subscriber;
use crate::trouble::Trouble;
use crate::world::{QUORUM, REPLICAS, Watched};
use anyhow::Result;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Plan, System, Watcher, pick};
use vedette_live::compare;
use vedette_model::{Evidence, Fact, FactKind, NodeAddr, NodeState, Settings};

/// What is measured, and the steps between, to tell what a trial that failed came to. Nobody else has to
/// carry to the bench what nodes say each second.
const KINDS: &[FactKind] = &[
    FactKind::SdownReport,
    FactKind::OdownVerdict,
    FactKind::Candidacy,
    FactKind::Proposal,
    FactKind::FailoverStep,
    FactKind::MasterRecord,
];

/// The services, the nodes, and who hears what they say.
pub struct Ours {
    pub subscriber: Subscriber,
    pub system: System,
    /// Where Sentinel's clients ask.
    pub gateway: SocketAddr,
    settings: Settings,
    /// What was said before all was settled.
    mark: usize,
}

impl Ours {
    /// Starts them with so many NATS servers, and waits until all nodes are known and watched.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(nats: usize, down_after_ms: u64) -> Result<Self> {
        // All settings but this one are those that Vedette has by itself.
        let settings = Vec::new();
        let quorum = u32::try_from(QUORUM)?;
        let plan = Plan {
            nats,
            replicas: REPLICAS,
            notifiers: 0,
            quorum,
            down_after_ms,
            settings,
            ..Plan::default()
        };
        let mut system = System::start(plan).await?;
        let gateway = compare::gateway(&mut system, "g1").await?;
        let settings = system.members_are_known().await?.settings;
        let subscriber = Subscriber::start(&[gateway], &system.master(), LIMIT).await?;
        let mark = system.watcher.mark();
        Ok(Self { subscriber, system, gateway, settings, mark })
    }

    /// From now on hears no more than what is measured, and at one NATS server; at all of them if one
    /// is to die.
    ///
    /// # Errors
    /// If one cannot be reached.
    pub async fn hear_less(&mut self, trouble: Trouble) -> Result<()> {
        let mut urls = self.system.urls();
        if trouble == Trouble::None {
            urls.truncate(1);
        }
        self.system.watcher = Watcher::start_for(&urls, "vedette", KINDS).await?;
        self.mark = self.system.watcher.mark();
        Ok(())
    }

    /// Waits for the announcement of another master, as any application hears it.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn announced(&self, limit: Duration) -> Result<(Instant, NodeAddr)> {
        let (group, old) = (self.system.group(), self.system.master());
        let (at, record) = self.system.watcher.new_master(self.mark, limit, &group, &old).await?;
        Ok((at, record.master))
    }

    /// Waits until the first prober calls the master down.
    ///
    /// # Errors
    /// If none does in time.
    pub async fn called_down(&self, limit: Duration) -> Result<()> {
        let down = |fact: &Fact| {
            let report = pick::sdown(fact)?;
            let of_master = report.node == self.system.master();
            (of_master && matches!(report.state, NodeState::Down(_))).then_some(())
        };
        self.system.watcher.wait(self.mark, limit, "an SDOWN of the master", down).await?;
        Ok(())
    }

    /// What the probers and voters have said of the master.
    pub fn watched(&self) -> Watched {
        let (master, seen) = (self.system.master(), self.system.watcher.since(self.mark));
        let mut down = Vec::new();
        let mut evidence = Vec::new();
        let mut odown = None;
        for one in seen {
            if let Some(report) = pick::sdown(&one.fact).filter(|report| report.node == master)
                && let NodeState::Down(why) = &report.state
            {
                down.push((one.at, report.prober.to_string()));
                evidence.push((one.at, why.clone()));
            }
            if let Fact::OdownVerdict(verdict) = &one.fact
                && verdict.reached
                && verdict.master == master
            {
                odown.get_or_insert(one.at);
            }
        }
        let enough = nth_speaker(down.iter().map(|(at, who)| (*at, who.as_str())), QUORUM);
        let last = evidence.iter().find(|(at, _)| Some(*at) == enough);
        let waiting = last.map(|(_, why)| self.waiting(why));
        let down_after = Duration::from_millis(self.settings.down_after_ms);
        let rule_over = last.and_then(|(at, why)| silence_over(*at, why, down_after));
        Watched { down, odown, waiting, rule_over }
    }

    /// Ends everything. If it did not go `well`, says what was on the bus and where the logs are.
    pub fn end(self, well: bool) {
        if well {
            self.system.abandon();
        }
    }

    /// What the rule that gives this evidence lets pass first.
    const fn waiting(&self, evidence: &Evidence) -> Duration {
        let ms = match evidence {
            Evidence::Crash { .. } => self.settings.crash_grace_ms,
            Evidence::Silence { .. }
            | Evidence::Busy { .. }
            | Evidence::Loading { .. }
            | Evidence::Rebirth { .. }
            | Evidence::WrongRole { .. }
            | Evidence::WriteImpaired { .. } => self.settings.down_after_ms,
        };
        Duration::from_millis(ms)
    }
}

/// When a silence had lasted for so long, by what its evidence says of when it began: with the first
/// ping that was not answered. Of other evidence nobody is told since when it counts.
fn silence_over(told: Instant, why: &Evidence, down_after: Duration) -> Option<Instant> {
    let Evidence::Silence { for_ms } = why else { return None };
    let late = Duration::from_millis(*for_ms).saturating_sub(down_after);
    told.checked_sub(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_harness::now;

    #[test]
    fn a_silence_is_over_when_it_had_lasted_for_down_after() {
        let (told, down_after) = (now(), Duration::from_millis(500));
        let over = |for_ms| silence_over(told, &Evidence::Silence { for_ms }, down_after);
        assert_eq!(over(507), told.checked_sub(Duration::from_millis(7)));
        assert_eq!(over(500), Some(told));
        assert_eq!(silence_over(told, &Evidence::Crash { refused: 3 }, down_after), None);
    }
}
