//! NATS and what JetStream retains.

use super::{Finding, Findings, Level};
use async_nats::jetstream::{self, stream::StorageType};
use std::time::Duration;
use vedette_runtime::Bus;

const ANSWER_LIMIT: Duration = Duration::from_secs(3);

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

    let mut findings = Findings::about("jetstream".into(), all);
    let name = format!("KV_{}", bus.subjects().masters_bucket());
    let context = jetstream::new(bus.client().clone());
    let asked = async {
        let stream = context.get_stream(&name).await?;
        anyhow::Ok((stream.cached_info().config.clone(), stream.cached_info().cluster.clone()))
    };
    match tokio::time::timeout(ANSWER_LIMIT, asked).await {
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
        Ok(Ok((config, cluster))) => {
            findings.warn(
                config.storage != StorageType::File,
                "what is retained is in memory only and gone with the server",
            );
            let wanted = if servers >= 3 { 3 } else { 1 };
            findings.warn(
                config.num_replicas < wanted,
                format!(
                    "what is retained has {} copies on {servers} servers: `nats stream edit {name} \
                     --replicas 3`",
                    config.num_replicas
                ),
            );
            let behind = cluster.iter().flat_map(|cluster| &cluster.replicas);
            let behind: Vec<_> =
                behind.filter(|peer| !peer.current).map(|peer| &peer.name).collect();
            findings.warn(!behind.is_empty(), format!("copies that are not current: {behind:?}"));
            findings.end(format!("{} copies on disk", config.num_replicas));
        }
    }
    history(bus, all).await;
}

/// Nobody needs it for a failover, and everybody after one.
async fn history(bus: &Bus, all: &mut Vec<Finding>) {
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
            let (config, state) = (&stream.cached_info().config, &stream.cached_info().state);
            findings.warn(
                config.storage != StorageType::File,
                "what happened is kept in memory only and gone with the server",
            );
            let days = config.max_age.as_secs() / 86_400;
            let kib = state.bytes / 1_024;
            findings.end(format!("{} facts of the last {days} days, {kib} KiB", state.messages));
        }
    }
}
