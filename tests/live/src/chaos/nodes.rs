//! What the nodes say of themselves, asked from a place that is never cut off.

use anyhow::Result;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use vedette_harness::{System, now, signed_ms, until};
use vedette_model::NodeAddr;

const EVERY: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_millis(500);

/// A node that became a master while it ran.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// When it was seen, which is up to a tenth of a second after it happened.
    pub at: Instant,
    /// Who.
    pub node: NodeAddr,
    /// The numbers of the writes that it held right afterwards; none if it did not answer.
    pub held: BTreeSet<u64>,
}

/// The watch over all nodes. Ends on drop.
pub struct Nodes {
    log: Arc<Mutex<Log>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Log {
    changes: Vec<(f64, String)>,
    promotions: Vec<Promotion>,
    now: BTreeMap<String, State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    run_id: String,
    master: bool,
    follows: String,
    linked: bool,
}

impl Nodes {
    /// Starts asking.
    pub fn watch(system: &System, zero: Instant) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let mut tasks = JoinSet::new();
        for node in &system.nodes {
            let Ok(client) = node.client() else { continue };
            let (name, addr) = (node.name().to_string(), node.addr().clone());
            tasks.spawn(watch(client, name, addr, zero, Arc::clone(&log)));
        }
        Self { log, _tasks: tasks }
    }

    /// Every change of state, with its milliseconds.
    pub fn changes(&self) -> Vec<(f64, String)> {
        lock(&self.log).changes.clone()
    }

    /// All promotions so far, in order.
    pub fn promotions(&self) -> Vec<Promotion> {
        lock(&self.log).promotions.clone()
    }

    /// The names of those that say they are masters.
    pub fn masters(&self) -> Vec<String> {
        let log = lock(&self.log);
        log.now.iter().filter(|(_, state)| state.master).map(|(name, _)| name.clone()).collect()
    }

    /// Whether so many nodes answer, one of them as the master and all others linked to it.
    pub fn all_in_line(&self, count: usize) -> bool {
        let log = lock(&self.log);
        let masters = log.now.values().filter(|state| state.master).count();
        let linked = log.now.values().filter(|state| !state.master && state.linked).count();
        masters == 1 && masters + linked == count
    }
}

async fn watch(client: Client, name: String, addr: NodeAddr, zero: Instant, log: Arc<Mutex<Log>>) {
    let mut connection = None;
    let mut last: Option<State> = None;
    loop {
        let seen = look(&client, &mut connection).await.ok();
        if seen.is_none() {
            connection = None;
        }
        let promoted = match (&last, &seen) {
            (Some(before), Some(after)) => {
                before.run_id == after.run_id && !before.master && after.master
            }
            _ => false,
        };
        if promoted && let Some(connection) = &mut connection {
            let at = now();
            let held = held(connection).await.unwrap_or_default();
            let words = format!("{name:<18} was promoted and holds {} writes", held.len());
            let mut log = lock(&log);
            log.changes.push((signed_ms(at, zero), words));
            log.promotions.push(Promotion { at, node: addr.clone(), held });
        }
        {
            let mut log = lock(&log);
            if log.now.get(&name) != seen.as_ref() {
                let words = seen.as_ref().map_or_else(|| "does not answer".into(), described);
                log.changes.push((signed_ms(now(), zero), format!("{name:<18} {words}")));
                match &seen {
                    Some(state) => log.now.insert(name.clone(), state.clone()),
                    None => log.now.remove(&name),
                };
            }
        }
        last = seen.or(last);
        until(now() + EVERY).await;
    }
}

fn described(state: &State) -> String {
    match state {
        State { master: true, .. } => "is a MASTER".into(),
        State { follows, linked: true, .. } => format!("follows {follows}"),
        State { follows, .. } => format!("follows {follows}, link down"),
    }
}

async fn look(client: &Client, slot: &mut Option<MultiplexedConnection>) -> Result<State> {
    let connection = match slot {
        Some(connection) => connection,
        None => {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            let made = client.get_multiplexed_async_connection_with_config(&config).await?;
            slot.insert(made)
        }
    };
    let text: String = redis::cmd("INFO").query_async(connection).await?;
    let field = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        pairs.find(|(key, _)| *key == wanted).map_or("", |(_, value)| value).to_string()
    };
    Ok(State {
        run_id: field("run_id"),
        master: field("role") == "master",
        follows: format!("{}:{}", field("master_host"), field("master_port")),
        linked: field("master_link_status") == "up",
    })
}

async fn held(connection: &mut MultiplexedConnection) -> Result<BTreeSet<u64>> {
    let keys: Vec<String> = redis::cmd("KEYS").arg("seq:*").query_async(connection).await?;
    Ok(keys.iter().filter_map(|key| key.strip_prefix("seq:")?.parse().ok()).collect())
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    // A log that is only added to is whole after a panic elsewhere.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}
