//! A place among the voters: from what each process knows alone to one roster for all.
//!
//! ```text
//!  memory ──────────────────────────────► the roster that its voter goes by
//!  none ─► written down? ─ yes ─────────► that one; and asks to be added
//!             └ no ─► do others vote? ─► yes: theirs
//!                       └ no ─► writes down its own: voters, known Sentinels, or itself alone
//! ```
//!
//! Only a roster that was written down is founded, and it is written once ([`founding`]): of
//! processes that start together, one founds alone and the others are added, one after the other, by
//! the decision of those who vote. So there is never a second one, and whoever was ever added counts
//! in the majority, alive or not. Nobody is added before the founding is known to be over: from then
//! on a lone founder that has lost its memory must not begin anew.

mod claim;

use super::conf::Conf;
use super::data::Data;
use crate::instruct::ask;
use anyhow::{Context as _, bail, ensure};
use claim::{Claim, Voters, newer, proposed, roster_in};
use std::time::Duration;
use vedette_model::{FactKind, Instant, Instruction, NodeAddr, Outcome, Roster, StatusQuery, Verb};
use vedette_runtime::retained::RetainedError;
use vedette_runtime::retained::founding::{self, Founding};
use vedette_runtime::{Bus, Clock, Shutdown};

/// How long voters may take to say that they are there.
const LISTEN: Duration = Duration::from_millis(1_500);
/// Between two looks at what is written down, and at who votes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// JetStream may be there a moment later than NATS.
const JETSTREAM_PATIENCE: Duration = Duration::from_secs(5);
/// Said again after so long.
const REMIND_EVERY: Duration = Duration::from_secs(10);
/// For one change of the roster.
const CHANGE_LIMIT: Duration = Duration::from_secs(20);

/// One process's place.
pub struct Seat {
    bus: Bus,
    clock: Clock,
    claim: Claim,
    told: Option<Instant>,
}

impl Seat {
    /// Finds the roster to begin with, waiting for NATS and JetStream if need be.
    ///
    /// # Errors
    /// What cannot be decided safely, with what to do about it.
    pub async fn find(
        bus: Bus,
        conf: &Conf,
        data: &Data,
        address: NodeAddr,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<(Self, Roster)>> {
        let remembered = data.roster().await?;
        let is_new = remembered.is_none();
        let claim = Claim { id: data.id.clone(), address, is_new };
        let mut seat = Self { bus, clock: Clock::start(), claim, told: None };
        let first = async {
            match remembered {
                Some(roster) => Ok(roster),
                None => seat.first(conf).await,
            }
        };
        let roster = tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(None),
            roster = first => roster?,
        };
        Ok(Some((seat, roster)))
    }

    async fn first(&mut self, conf: &Conf) -> anyhow::Result<Roster> {
        let own = proposed(conf, &self.claim.id)?;
        let started = self.clock.now();
        loop {
            let patience = self.clock.now().since(started) > JETSTREAM_PATIENCE;
            match self.written(&own).await {
                Ok(founding) => return self.may_begin(founding).map(|founding| founding.roster),
                Err(RetainedError::Absent) if patience && own.voters().len() > 1 => {
                    tracing::warn!(
                        roster = %own,
                        "without JetStream the first roster is what this file says: all files must \
                         say the same"
                    );
                    return Ok(own);
                }
                Err(RetainedError::Absent) if patience => bail!(
                    "nats has no JetStream, in which processes that do not know each other agree on \
                     who begins: start nats-server with --jetstream, or name all voters by their \
                     ids in each file (sentinel voters ID ID ID, with sentinel myid)"
                ),
                Err(error) => self.tell(&format!("who votes is not known yet: {error}")),
            }
            self.clock.sleep_until(self.clock.now() + LOOK_EVERY).await;
        }
    }

    /// What is written down, after writing it down if nothing is.
    async fn written(&mut self, own: &Roster) -> Result<Founding, RetainedError> {
        if let Some(founding) = founding::read(&self.bus).await? {
            return Ok(founding);
        }
        let wanted = match self.others().await {
            Some(roster) => Founding { founded: true, ..Founding::first(roster) },
            None => Founding::first(own.clone()),
        };
        tracing::info!(roster = %wanted.roster, founded = wanted.founded, "writing down who votes");
        founding::begin(&self.bus, &wanted).await
    }

    /// The newest roster of voters that have memory, if there are any.
    async fn others(&self) -> Option<Roster> {
        let mut heard = self.bus.subscribe(&[FactKind::Heartbeat]).await.ok()?;
        self.bus.publish(&StatusQuery {}.into()).await;
        let mut newest: Option<Roster> = None;
        let listen = async {
            while let Some(received) = heard.recv().await {
                newest = newer(newest.take(), roster_in(&received.fact));
            }
        };
        // The time is always used up: nobody can say that all have answered.
        let _ = tokio::time::timeout(LISTEN, listen).await;
        newest
    }

    /// Whether a process without memory may begin with it.
    fn may_begin(&self, founding: Founding) -> anyhow::Result<Founding> {
        ensure!(
            self.claim.may_begin(&founding),
            "this was the only voter, {}, and its memory is gone: nobody knows any more what it had \
             decided. Bring its folder back (dir), or start over: delete the bucket {} after a look \
             at which nodes are masters, and name them in the file",
            self.claim.id,
            self.bus.subjects().founding_bucket()
        );
        Ok(founding)
    }

    /// Keeps the place: asks to be added, and writes down what changes. Ends with shutdown.
    ///
    /// # Errors
    /// If NATS does not take the subscription.
    pub async fn keep(mut self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut heard = self.bus.subscribe(&[FactKind::Heartbeat]).await?;
        self.bus.publish(&StatusQuery {}.into()).await;
        let mut voters = Voters::default();
        let started = self.clock.now();
        let mut written: Option<Founding> = None;
        let mut next = started;
        loop {
            tokio::select! {
                biased;
                () = shutdown.triggered() => return Ok(()),
                () = self.clock.sleep_until(next) => {}
                received = heard.recv() => {
                    let received = received.context("the bus ended")?;
                    voters.hear(&received.fact, self.clock.now());
                    continue;
                }
            }
            next = self.clock.now() + LOOK_EVERY;
            let Some(newest) = voters.newest.clone() else { continue };
            if written.as_ref().is_none_or(|w| !self.claim.is_written(w, &newest)) {
                match founding::keep(&self.bus, &self.claim.news(newest.clone())).await {
                    Ok(now) => written = Some(now),
                    Err(error) => self.tell(&format!("who votes cannot be written down: {error}")),
                }
            }
            // Not before the founding is known to be over.
            let Some(now) = written.as_ref().filter(|written| written.founded) else { continue };
            let at = self.clock.now();
            if let Some(verb) = self.claim.wish(now, &newest, &voters, started, at) {
                self.change(verb, &shutdown).await;
            }
        }
    }

    async fn change(&mut self, verb: Verb, shutdown: &Shutdown) {
        let instruction = Instruction { group: None, verb };
        let answered = async {
            let mut answers = self.bus.subscribe(&[]).await.ok()?;
            ask(&self.bus, &mut answers, &instruction).await
        };
        let heard = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            heard = tokio::time::timeout(CHANGE_LIMIT, answered) => heard,
        };
        match heard.ok().flatten().map(|heard| heard.reply.outcome) {
            Some(Outcome::Done { now } | Outcome::Started { now }) => {
                tracing::info!(change = ?instruction.verb, now, "the roster was changed");
            }
            Some(Outcome::Refused { why } | Outcome::NoCandidate { why }) => {
                self.tell(&format!("this process does not vote yet: {why}"));
            }
            None => self.tell("this process does not vote yet: no orchestrator answers"),
        }
    }

    /// Says something at once, and again now and then.
    fn tell(&mut self, what: &str) {
        let now = self.clock.now();
        if self.told.is_some_and(|told| now.since(told) < REMIND_EVERY) {
            return;
        }
        self.told = Some(now);
        tracing::info!("{what}");
    }
}
