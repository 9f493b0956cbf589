//! What the client library's nested errors mean.

use super::RetainedError;
use async_nats::jetstream::context::{
    AccountError, AccountErrorKind, CreateStreamError, CreateStreamErrorKind, GetStreamError,
    GetStreamErrorKind, PublishError, PublishErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::kv::{UpdateError, UpdateErrorKind};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};
use async_nats::jetstream::{Error, ErrorCode};
use std::error::Error as StdError;

/// Sorts an error of a question about a bucket that may not exist.
pub(crate) fn sorted<E: StdError + Send + Sync + 'static>(error: E) -> RetainedError {
    match meaning(&error) {
        Meaning::Absent => RetainedError::Absent,
        Meaning::Silent => RetainedError::Silent,
        Meaning::Other => RetainedError::Refused(Box::new(error)),
    }
}

/// Sorts an error of a bucket that was found: if nobody serves it, its leader is gone.
pub(super) fn sorted_of_bucket<E: StdError + Send + Sync + 'static>(error: E) -> RetainedError {
    match meaning(&error) {
        Meaning::Absent | Meaning::Silent => RetainedError::Silent,
        Meaning::Other => RetainedError::Refused(Box::new(error)),
    }
}

/// JetStream's own code in an error, wherever the library has put it.
pub(crate) fn code(error: &(dyn StdError + 'static)) -> Option<ErrorCode> {
    chain(error).find_map(|cause| own(cause).as_ref().map(Error::error_code))
}

enum Meaning {
    Absent,
    Silent,
    Other,
}

fn meaning(error: &(dyn StdError + 'static)) -> Meaning {
    match code(error) {
        Some(ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT) => {
            return Meaning::Absent;
        }
        Some(ErrorCode::CLUSTER_NOT_AVAILABLE) => return Meaning::Silent,
        Some(_) | None => {}
    }
    if chain(error).any(is_unserved) {
        return Meaning::Absent;
    }
    if chain(error).any(is_timeout) { Meaning::Silent } else { Meaning::Other }
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// JetStream's own error, which the library keeps in a kind or as a source.
fn own(cause: &(dyn StdError + 'static)) -> Option<Error> {
    if let Some(error) = cause.downcast_ref::<Error>() {
        return Some(error.clone());
    }
    if let Some(error) = cause.downcast_ref::<GetStreamError>()
        && let GetStreamErrorKind::JetStream(own) = error.kind()
    {
        return Some(own);
    }
    if let Some(error) = cause.downcast_ref::<CreateStreamError>()
        && let CreateStreamErrorKind::JetStream(own) = error.kind()
    {
        return Some(own);
    }
    if let Some(error) = cause.downcast_ref::<AccountError>()
        && let AccountErrorKind::JetStream(own) = error.kind()
    {
        return Some(own);
    }
    if let Some(error) = cause.downcast_ref::<LastRawMessageError>()
        && let LastRawMessageErrorKind::JetStream(own) = error.kind()
    {
        return Some(own);
    }
    None
}

/// Nobody listens where JetStream or the bucket should.
fn is_unserved(cause: &(dyn StdError + 'static)) -> bool {
    let request = |e: &RequestError| e.kind() == RequestErrorKind::NoResponders;
    let create = |e: &CreateStreamError| e.kind() == CreateStreamErrorKind::JetStreamUnavailable;
    let account = |e: &AccountError| e.kind() == AccountErrorKind::JetStreamUnavailable;
    let publish = |e: &PublishError| e.kind() == PublishErrorKind::StreamNotFound;
    cause.downcast_ref().is_some_and(request)
        || cause.downcast_ref().is_some_and(create)
        || cause.downcast_ref().is_some_and(account)
        || cause.downcast_ref().is_some_and(publish)
}

fn is_timeout(cause: &(dyn StdError + 'static)) -> bool {
    let request = |e: &RequestError| e.kind() == RequestErrorKind::TimedOut;
    let create = |e: &CreateStreamError| e.kind() == CreateStreamErrorKind::TimedOut;
    let account = |e: &AccountError| e.kind() == AccountErrorKind::TimedOut;
    let publish = |e: &PublishError| e.kind() == PublishErrorKind::TimedOut;
    let update = |e: &UpdateError| e.kind() == UpdateErrorKind::TimedOut;
    cause.downcast_ref().is_some_and(request)
        || cause.downcast_ref().is_some_and(create)
        || cause.downcast_ref().is_some_and(account)
        || cause.downcast_ref().is_some_and(publish)
        || cause.downcast_ref().is_some_and(update)
}
