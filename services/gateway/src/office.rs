//! Has orchestrators carry out what clients ask for.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use vedette_model::{Instruction, InstructionReply, Outcome};
use vedette_protocol::gateway::Gateway;
use vedette_runtime::Bus;

/// For one answer; an orchestrator that cannot do it says so within four seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// It is asked again this often: the question may meet a reconnect or a change of owner. To be
/// asked twice makes no difference.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// For a record that was committed to be read here, too.
const SEEN_LIMIT: Duration = Duration::from_secs(1);
/// Answers that wait for those who asked.
const ANSWERS_KEPT: usize = 1_024;

/// Sentinel's words, with the error's code, when nobody can be promoted.
pub const NO_CANDIDATE: &str = "NOGOODSLAVE No suitable replica to promote";

/// Where clients' wishes become instructions.
#[derive(Clone)]
pub struct Office {
    bus: Bus,
    gateway: Arc<RwLock<Gateway>>,
    answers: broadcast::Sender<InstructionReply>,
    news: Arc<Notify>,
}

impl Office {
    /// An office that has asked nothing yet.
    pub fn new(bus: Bus, gateway: Arc<RwLock<Gateway>>) -> Self {
        Self { bus, gateway, answers: broadcast::channel(ANSWERS_KEPT).0, news: Arc::default() }
    }

    /// The gateway has heard something.
    pub fn stirred(&self) {
        self.news.notify_waiters();
    }

    /// Takes an answer from the bus.
    pub fn heard(&self, reply: InstructionReply) {
        // Nobody may wait for it any more.
        let _ = self.answers.send(reply);
    }

    /// Has an instruction carried out, and waits until it can be read here. Safe to repeat.
    ///
    /// # Errors
    /// Why it was refused, or that nobody answered; with what to do about it.
    pub async fn carry_out(&self, instruction: &Instruction) -> Result<(), String> {
        let mut answers = self.answers.subscribe();
        let asked = self.ask(&mut answers, instruction);
        let Ok(reply) = tokio::time::timeout(ANSWER_LIMIT, asked).await else {
            return Err(format!(
                "no orchestrator answered within {} s; it may have been done all the same: look \
                 before the next try, and at vedette status",
                ANSWER_LIMIT.as_secs()
            ));
        };
        match reply.outcome {
            Outcome::Done { .. } => {
                if let (Some(group), Some(revision)) = (&instruction.group, reply.revision) {
                    let seen = |view: &Gateway| view.revision(group) >= Some(revision);
                    // If it does not, it is committed, and late here.
                    let _ = self.holds(SEEN_LIMIT, seen).await;
                }
                Ok(())
            }
            // As Sentinel answers, when it has begun.
            Outcome::Started { .. } => Ok(()),
            Outcome::Refused { why } => Err(why),
            Outcome::NoCandidate { .. } => Err(NO_CANDIDATE.into()),
        }
    }

    async fn ask(
        &self,
        answers: &mut broadcast::Receiver<InstructionReply>,
        instruction: &Instruction,
    ) -> InstructionReply {
        loop {
            self.bus.publish(&instruction.clone().into()).await;
            if let Ok(reply) = tokio::time::timeout(ASK_EVERY, answer(answers, instruction)).await {
                return reply;
            }
        }
    }

    /// Whether this is so by what is known here, now or within the limit.
    pub async fn holds(&self, limit: Duration, what: impl Fn(&Gateway) -> bool) -> bool {
        let reads = || what(&self.gateway.read().unwrap_or_else(PoisonError::into_inner));
        let wait = async {
            loop {
                let news = self.news.notified();
                if reads() {
                    return;
                }
                news.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

async fn answer(
    answers: &mut broadcast::Receiver<InstructionReply>,
    instruction: &Instruction,
) -> InstructionReply {
    loop {
        match answers.recv().await {
            Ok(reply) if reply.instruction == *instruction => return reply,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            // The sender lives in this office.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
