//! Subscribes at Sentinels, or at gateways, which say the same.

use anyhow::{Context, Result};
use futures::StreamExt as _;
use redis::Client;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vedette_harness::{Target, now, within};
use vedette_model::NodeAddr;

/// One message.
#[derive(Debug, Clone)]
pub struct Said {
    /// When it came.
    pub at: Instant,
    /// At which of the places.
    pub who: String,
    /// Its channel, for example `+sdown`.
    pub channel: String,
    /// Its text.
    pub words: String,
}

/// Hears everything that is published at some places.
pub struct Subscriber {
    said: Arc<Mutex<Vec<Said>>>,
    master: watch::Receiver<Target>,
    // End with it.
    _tasks: JoinSet<()>,
}

impl Subscriber {
    /// Subscribes at each of them. `master` is who is master now.
    ///
    /// # Errors
    /// If one of them does not let it in time.
    pub async fn start(places: &[SocketAddr], master: &NodeAddr, limit: Duration) -> Result<Self> {
        let (tell, told) = watch::channel((master.clone(), None));
        let (said, mut tasks) = (Arc::<Mutex<Vec<Said>>>::default(), JoinSet::new());
        for place in places {
            let client = Client::open(format!("redis://{place}"))?;
            let open = async {
                let mut subscribed = client.get_async_pubsub().await?;
                subscribed.psubscribe("*").await?;
                anyhow::Ok(subscribed)
            };
            let opened = tokio::time::timeout(limit, open).await;
            let subscribed = opened.map_err(Into::into).flatten();
            let subscribed = subscribed.with_context(|| format!("subscribing at {place}"))?;
            let (who, said, tell) = (place.to_string(), Arc::clone(&said), tell.clone());
            tasks.spawn(async move {
                let mut messages = subscribed.into_on_message();
                while let Some(message) = messages.next().await {
                    let at = now();
                    let channel = message.get_channel_name().to_owned();
                    let words: String = message.get_payload().unwrap_or_default();
                    if let Some(next) = next_master(&channel, &words) {
                        tell.send_if_modified(|known| {
                            let news = known.0 != next;
                            known.0 = next;
                            news
                        });
                    }
                    let one = Said { at, who: who.clone(), channel, words };
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            });
        }
        Ok(Self { said, master: told, _tasks: tasks })
    }

    /// What has come, in the order of time.
    pub fn said(&self) -> Vec<Said> {
        self.since(0)
    }

    /// What has come behind so many.
    pub fn since(&self, mark: usize) -> Vec<Said> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(mark..).unwrap_or_default().to_vec()
    }

    /// Who is master, as the first of them says.
    pub fn master(&self) -> watch::Receiver<Target> {
        self.master.clone()
    }

    /// Waits for the first announcement of another master. When it came, and who that is.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn switch(&self, limit: Duration) -> Result<(Instant, NodeAddr)> {
        within(limit, "+switch-master", async || {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().find_map(|one| Some((one.at, next_master(&one.channel, &one.words)?)))
        })
        .await
    }
}

/// `<name> <old host> <old port> <new host> <new port>`
pub fn next_master(channel: &str, words: &str) -> Option<NodeAddr> {
    let words: Vec<_> = words.split(' ').collect();
    let [_, _, _, host, port] = words[..] else { return None };
    (channel == "+switch-master").then_some(())?;
    NodeAddr::new(host, port.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_switch_names_another_master() {
        let words = "orders.eu 10.0.0.1 6379 10.0.0.2 6380";
        let wanted = NodeAddr::new("10.0.0.2", 6380).unwrap();
        assert_eq!(next_master("+switch-master", words), Some(wanted));
        assert_eq!(next_master("+sdown", words), None);
        assert_eq!(next_master("+switch-master", "orders.eu 10.0.0.1 6379 10.0.0.2"), None);
        assert_eq!(next_master("+switch-master", "orders.eu 10.0.0.1 6379 10.0.0.2 port"), None);
    }
}
