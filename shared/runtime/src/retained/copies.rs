//! How JetStream is asked, and how many copies of something it keeps.

use super::RetainedError;
use super::fault::{code, sorted};
use async_nats::Client;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{Context, ContextBuilder, ErrorCode};
use std::error::Error as StdError;
use std::time::Duration;

/// For one question to JetStream.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Copies of what is kept where the cluster has so many servers.
pub(crate) const REPLICAS: usize = 3;

pub(crate) fn context(client: Client) -> Context {
    ContextBuilder::new()
        .timeout(ANSWER_LIMIT)
        .ack_timeout(ANSWER_LIMIT)
        .backpressure_on_inflight(true)
        .build(client)
}

/// How many copies to try, one after the other, while there is no room for so many.
pub(crate) fn copies(clustered: bool) -> impl Iterator<Item = usize> {
    (1..=if clustered { REPLICAS } else { 1 }).rev()
}

/// Whether fewer copies may do.
pub(crate) fn is_no_room(copies: usize, error: &(dyn StdError + 'static)) -> bool {
    let code = code(error);
    let no_room = [
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STREAM_NAME_EXIST,
    ]
    .into_iter()
    .any(|no_room| code == Some(no_room));
    if copies > 1 && no_room {
        tracing::debug!(copies, %error, "too few servers for so many copies");
    }
    copies > 1 && no_room
}

/// Makes a stream with as many copies as there is room for. Whether it was made: somebody else may
/// have been quicker.
pub(crate) async fn make_stream(
    jetstream: &Context,
    clustered: bool,
    wanted: impl Fn(usize) -> Config,
) -> Result<bool, RetainedError> {
    for copies in copies(clustered) {
        match jetstream.create_stream(wanted(copies)).await {
            Ok(_) => return Ok(true),
            Err(error) if is_no_room(copies, &error) => {}
            Err(error) if code(&error) == Some(ErrorCode::STREAM_NAME_EXIST) => break,
            Err(error) => return Err(sorted(error)),
        }
    }
    Ok(false)
}
