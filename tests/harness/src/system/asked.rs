//! What a system is asked over the bus.

use super::{PREFIX, System};
use crate::{LIMIT, nats, now, pick};
use anyhow::{Context, Result, bail};
use async_nats::HeaderMap;
use std::collections::BTreeSet;
use vedette_model::{Fact, FactKind, MasterQuery, MasterRecord, Sender, Service, StatusQuery};
use vedette_wire::{Header, Subjects, decode, encode};

impl System {
    /// Who is master, as an application asks the orchestrators.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn ask_master(&self) -> Result<MasterRecord> {
        let query = Fact::MasterQuery(MasterQuery { group: self.group() });
        let subject = Subjects::parse(PREFIX)?.of(&query).context("an application may ask")?;
        let client = nats::connect(&self.urls()).await?;
        let reply = client.request(subject, "".into()).await?;
        let answer = decode(FactKind::MasterRecord, &reply.payload)?;
        pick::master(&answer).cloned().context("the answer is another kind of fact")
    }

    /// Asks all services how they are, and waits until the answers of those with these ids hold
    /// one of the words. Returns the text that did.
    ///
    /// # Errors
    /// If no answer in time holds them; the error repeats the last answers.
    pub async fn status_says(&mut self, words: &[&str]) -> Result<String> {
        let mark = self.watcher.mark();
        let deadline = now() + LIMIT;
        loop {
            self.ask_status().await?;
            let says = |fact: &Fact| {
                let beat = pick::heartbeat(fact)?;
                let fits = |text: &str| words.iter().all(|word| text.contains(word));
                let standing = beat.standings.iter().find(|standing| fits(&standing.text))?;
                Some(format!("{}/{}: {}", beat.service, beat.id, standing.text))
            };
            let limit = std::time::Duration::from_secs(1);
            if let Ok((_, text)) = self.watcher.wait(mark, limit, "an answer", says).await {
                return Ok(text);
            }
            if now() > deadline {
                bail!("no status says {words:?}; they say:\n{}", self.standings(mark));
            }
        }
    }

    /// Every standing since a mark, one line each.
    pub fn standings(&self, mark: usize) -> String {
        let mut lines = BTreeSet::new();
        for seen in self.watcher.since(mark) {
            if let Fact::Heartbeat(beat) = seen.fact {
                for standing in beat.standings {
                    lines.insert(format!("{}/{}: {}", beat.service, beat.id, standing.text));
                }
            }
        }
        lines.into_iter().collect::<Vec<_>>().join("\n")
    }

    /// What late subscribers find: the retained last master.
    ///
    /// # Errors
    /// If JetStream does not answer or holds something else.
    pub async fn retained(&self) -> Result<Option<MasterRecord>> {
        let subjects = Subjects::parse(PREFIX)?;
        let client = nats::connect(&self.urls()).await?;
        let bucket = subjects.masters_bucket();
        let store = async_nats::jetstream::new(client).get_key_value(&bucket).await?;
        let Some(payload) = store.get(subjects.masters_key(&self.group())).await? else {
            return Ok(None);
        };
        let kept = decode(FactKind::MasterRecord, &payload)?;
        pick::master(&kept).cloned().map(Some).context("the bucket holds another kind of fact")
    }

    /// The NATS server that leads the stream of the retained masters, if any does.
    ///
    /// # Errors
    /// If JetStream does not answer.
    pub async fn stream_leader(&self) -> Result<Option<String>> {
        let bucket = Subjects::parse(PREFIX)?.masters_bucket();
        let client = nats::connect(&self.urls()).await?;
        let context = async_nats::jetstream::new(client);
        let mut stream = context.get_stream(format!("KV_{bucket}")).await?;
        let cluster = stream.info().await?.cluster.clone();
        Ok(cluster.and_then(|cluster| cluster.leader))
    }

    /// The orchestrator that proposed a record of the group last.
    pub fn leader(&self) -> Option<String> {
        let group = self.group();
        let seen = self.watcher.since(0);
        let proposals = seen.iter().filter_map(|seen| pick::proposal(&seen.fact));
        let mut own = proposals.filter(|proposal| proposal.record.group == group);
        Some(own.next_back()?.ballot.proposer.to_string())
    }

    async fn ask_status(&mut self) -> Result<()> {
        self.queries += 1;
        let subjects = Subjects::parse(PREFIX)?;
        let sender = Sender::parse(Service::Client, "harness", 1)?;
        let fact = Fact::StatusQuery(StatusQuery {});
        let header = Header {
            kind: FactKind::StatusQuery,
            sender: sender.clone(),
            sequence: self.queries,
            sent_at_ms: 0,
            traceparent: None,
            tracestate: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in header.to_pairs() {
            headers.insert(name, value);
        }
        let subject = subjects.of(&fact).context("a status query has a subject")?;
        let client = nats::connect(&self.urls()).await?;
        let payload = encode(&fact)?.into();
        let reply = subjects.reply(&sender);
        client.publish_with_reply_and_headers(subject, reply, headers, payload).await?;
        client.flush().await?;
        Ok(())
    }
}
