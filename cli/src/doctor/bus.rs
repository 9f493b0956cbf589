//! NATS and what JetStream retains.

use super::{Finding, Findings, Level};
use async_nats::jetstream::{
    self,
    stream::{ClusterInfo, Config, Info, StorageType},
};
use std::time::Duration;
use vedette_runtime::Bus;

const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Servers tell it to the system account only, in which there is no JetStream: whoever reads the
/// bucket is in another one.
const SYNC_INTERVAL: &str = "how soon the servers sync to their disks is not told to this login: see \
    `sync_interval` in each server's `jetstream` block (2m unless set), or /varz of its monitoring \
    port. A power cut of a majority loses what was acknowledged within that time; `sync_interval: \
    always` loses nothing. No failover depends on it: JetStream takes part in no decision";

/// Looks at the server and at the bucket of the masters.
pub async fn look(bus: &Bus, all: &mut Vec<Finding>) {
    let info = bus.client().server_info();
    let mut findings = Findings::about("nats".into(), all);
    // A server that is alone names nobody else.
    let servers = info.connect_urls.len().max(1);
    findings.warn(
        servers == 1,
        format!(
            "{} is a single server: while it is away nothing is detected and nothing changes; run \
             three as a cluster",
            info.server_name
        ),
    );
    findings.warn(
        servers == 2,
        "two servers: JetStream needs a majority, so that losing one stops it; run three",
    );
    findings.end(format!("{servers} servers, version {}", info.version));

    masters(bus, servers, all).await;
    history(bus, servers, all).await;
}

async fn masters(bus: &Bus, servers: usize, all: &mut Vec<Finding>) {
    let mut findings = Findings::about("jetstream".into(), all);
    let name = format!("KV_{}", bus.subjects().masters_bucket());
    let context = jetstream::new(bus.client().clone());
    match tokio::time::timeout(ANSWER_LIMIT, context.get_stream(&name)).await {
        Err(_) => findings.add(
            Level::Error,
            format!(
                "does not answer within {} s: late subscribers find no master; start nats-server \
                 with `jetstream {{}}`, and see to its majority",
                ANSWER_LIMIT.as_secs()
            ),
        ),
        Ok(Err(error)) => findings.add(
            Level::Error,
            format!(
                "the bucket of the masters is not there ({error}): late subscribers find nobody; \
                 start nats-server with `jetstream {{}}`, an orchestrator makes the bucket"
            ),
        ),
        Ok(Ok(stream)) => {
            let Info { config, cluster, .. } = stream.cached_info();
            kept("what is retained", config, cluster.as_ref(), servers, &mut findings);
            findings.add(Level::Note, SYNC_INTERVAL);
            findings.end(format!("{} copies on disk", config.num_replicas));
        }
    }
}

/// How safely a stream keeps what is in it.
fn kept(
    what: &str,
    config: &Config,
    cluster: Option<&ClusterInfo>,
    servers: usize,
    findings: &mut Findings<'_>,
) {
    findings.warn(
        config.storage != StorageType::File,
        format!("{what} is in memory only and gone with the server"),
    );
    let wanted = if servers >= 3 { 3 } else { 1 };
    findings.warn(
        config.num_replicas < wanted,
        format!(
            "{what} has {} copies on {servers} servers: `nats stream edit {} --replicas 3`",
            config.num_replicas, config.name
        ),
    );
    let behind = cluster.into_iter().flat_map(|cluster| &cluster.replicas);
    let behind: Vec<_> = behind.filter(|peer| !peer.current).map(|peer| &peer.name).collect();
    findings.warn(!behind.is_empty(), format!("copies that are not current: {behind:?}"));
}

/// Nobody needs it for a failover, and everybody after one.
async fn history(bus: &Bus, servers: usize, all: &mut Vec<Finding>) {
    let mut findings = Findings::about("history".into(), all);
    let context = jetstream::new(bus.client().clone());
    let asked = context.get_stream(bus.subjects().history_stream());
    match tokio::time::timeout(ANSWER_LIMIT, asked).await {
        Err(_) => findings.warn(true, "does not answer: what happens now is not kept"),
        Ok(Err(error)) => findings.warn(
            true,
            format!(
                "nothing is kept of what happens ({error}): an orchestrator that may make the \
                 stream does so within seconds; see its log"
            ),
        ),
        Ok(Ok(stream)) => {
            let Info { config, state, cluster, .. } = stream.cached_info();
            kept("what happened", config, cluster.as_ref(), servers, &mut findings);
            let days = config.max_age.as_secs() / 86_400;
            let kib = state.bytes / 1_024;
            findings.end(format!("{} facts of the last {days} days, {kib} KiB", state.messages));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::jetstream::stream::PeerInfo;

    /// What is found of so many copies, the second of which is current or not.
    fn found(servers: usize, copies: usize, storage: StorageType, current: bool) -> Vec<String> {
        let name = "vedette-history".into();
        let config = Config { name, num_replicas: copies, storage, ..Config::default() };
        let peer = PeerInfo { name: "nats2".into(), current, ..PeerInfo::default() };
        let cluster = ClusterInfo { replicas: vec![peer], ..ClusterInfo::default() };
        let mut all = Vec::new();
        let mut findings = Findings::about("history".into(), &mut all);
        kept("what happened", &config, Some(&cluster), servers, &mut findings);
        assert!(all.iter().all(|finding| finding.level == Level::Warning), "{all:?}");
        all.into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn a_stream_with_as_many_copies_as_there_can_be_on_disks_is_well() {
        for (servers, copies) in [(1, 1), (2, 1), (3, 3), (5, 3)] {
            let found = found(servers, copies, StorageType::File, true);
            assert!(found.is_empty(), "{copies} on {servers}: {found:?}");
        }
    }

    #[test]
    fn each_way_in_which_a_stream_is_kept_badly_is_found_alone() {
        for (found, words) in [
            (found(3, 1, StorageType::File, true), "has 1 copies on 3 servers"),
            (
                found(5, 2, StorageType::File, true),
                "`nats stream edit vedette-history --replicas 3`",
            ),
            (found(3, 3, StorageType::Memory, true), "what happened is in memory only"),
            (found(3, 3, StorageType::File, false), "not current: [\"nats2\"]"),
        ] {
            let [text] = found.as_slice() else { panic!("{words}: {found:?}") };
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_does_not_hide_what_is_well() {
        let mut all = Vec::new();
        let mut findings = Findings::about("jetstream".into(), &mut all);
        findings.add(Level::Note, SYNC_INTERVAL);
        findings.end("3 copies on disk");
        let levels: Vec<_> = all.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Note, Level::Ok]);
    }
}
