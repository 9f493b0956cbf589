//! What was, as `vedette history` and `vedette explain` show it: read from JetStream for each
//! question.
//!
//! ```text
//!  question ─► place ─► Source: kept facts ─► a thread aside: found, made ─► JSON
//!              none: 503    none: 503              none: 404
//! ```

use super::routes::{error, json};
use hyper::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vedette_history::{Entries, Found, Today, Unfound, when};
use vedette_model::GroupName;
use vedette_protocol::gateway::Unfit;
use vedette_runtime::history::{Past, newest};
use vedette_runtime::http::Answer;
use vedette_runtime::retained::RetainedError;
use vedette_runtime::{Bus, Clock};

/// Readings at the same time: each holds in memory what it has read.
const AT_ONCE: usize = 2;
/// For one reading.
const READ_LIMIT: Duration = Duration::from_secs(8);
/// For what the services say now; it is left out if they cannot be heard.
const TODAY_LIMIT: Duration = Duration::from_secs(2);
/// Facts of one reading. Of more, the newest are looked at.
const MOST: usize = 10_000;

/// Where the facts come from.
pub trait Source: Send + Sync + 'static {
    /// What is kept, of one group or of all, from a moment on (milliseconds since 1970) or from the
    /// beginning.
    fn past(
        &self,
        group: Option<&GroupName>,
        since_ms: Option<u64>,
    ) -> impl Future<Output = Result<Past, RetainedError>> + Send;

    /// What the services say of a group now, if they can be heard.
    fn today(&self, group: &GroupName) -> impl Future<Output = Option<Today>> + Send;
}

impl Source for Bus {
    async fn past(
        &self,
        group: Option<&GroupName>,
        since_ms: Option<u64>,
    ) -> Result<Past, RetainedError> {
        newest(self, group, since_ms, READ_LIMIT, MOST).await
    }

    async fn today(&self, group: &GroupName) -> Option<Today> {
        let asked = tokio::time::timeout(TODAY_LIMIT, Today::of(self, group)).await;
        asked.ok()?.inspect_err(|error| tracing::debug!(%error, "nobody is heard")).ok()
    }
}

/// Answers questions about the past. It is no part of the view: a stale one does not matter.
pub struct Archive<S> {
    source: S,
    places: Arc<Semaphore>,
    clock: Clock,
}

impl<S: Source> Archive<S> {
    /// Answers from what this source has.
    pub fn new(source: S) -> Self {
        Self { source, places: Arc::new(Semaphore::new(AT_ONCE)), clock: Clock::start() }
    }

    /// `/history`.
    pub async fn history(&self, query: &str) -> Answer {
        let (group, since_ms) = match wanted(query) {
            Ok((group, span_ms)) => {
                (group, span_ms.map(|ms| self.clock.unix_ms().saturating_sub(ms)))
            }
            Err(why) => return error(StatusCode::BAD_REQUEST, &why),
        };
        let (place, past) = match self.read(group.as_ref(), since_ms).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let made = aside(place, move || listed(&past)).await;
        made.map_or_else(|failure| failure, |(_place, answer)| answer)
    }

    /// `/groups/<group>/explain`: the latest of a group.
    pub async fn latest(&self, group: &str) -> Answer {
        let Ok(group) = GroupName::parse(group) else {
            return error(StatusCode::NOT_FOUND, &Unfit::UnknownGroup.to_string());
        };
        let own = group.clone();
        self.explained(Some(&group), move |past| Found::latest(past, &own)).await
    }

    /// `/explain/<id>`: the one of this id, or whose id begins so.
    pub async fn called(&self, id: String) -> Answer {
        self.explained(None, move |past| Found::called(past, &id)).await
    }

    async fn explained(
        &self,
        group: Option<&GroupName>,
        find: impl FnOnce(Past) -> Result<Found, Unfound> + Send + 'static,
    ) -> Answer {
        let (place, past) = match self.read(group, None).await {
            Ok(read) => read,
            Err(refusal) => return refusal,
        };
        let (place, found) = match aside(place, move || find(past)).await {
            Ok((place, Ok(found))) => (place, found),
            Ok((_, Err(none))) => return unfound(&none),
            Err(failure) => return failure,
        };
        let today = if found.incident.is_over() {
            None
        } else {
            self.source.today(&found.incident.group).await
        };
        let made = aside(place, move || json(StatusCode::OK, &found.report(today))).await;
        made.map_or_else(|failure| failure, |(_place, answer)| answer)
    }

    /// A place, and what is kept; or what is answered instead.
    async fn read(
        &self,
        group: Option<&GroupName>,
        since_ms: Option<u64>,
    ) -> Result<(OwnedSemaphorePermit, Past), Answer> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let why = format!("{AT_ONCE} others read the history: ask again in some seconds");
            return Err(error(StatusCode::SERVICE_UNAVAILABLE, &why));
        };
        match self.source.past(group, since_ms).await {
            Ok(past) => Ok((place, past)),
            Err(why) => {
                let why = format!("the history cannot be read: {why}");
                Err(error(StatusCode::SERVICE_UNAVAILABLE, &why))
            }
        }
    }
}

/// Works away from the threads that serve clients. The place is held until it is done, also if
/// nobody waits for it any more.
async fn aside<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(OwnedSemaphorePermit, T), Answer> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        (place, done)
    });
    done.await.map_err(|failed| error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()))
}

/// The same objects as `vedette history --json` prints.
fn listed(past: &Past) -> Answer {
    match Entries::of(past).json() {
        Ok(history) => {
            let oldest = past.oldest_us.map(when::utc);
            let shortened = past.shortened;
            let body =
                serde_json::json!({ "history": history, "oldest": oldest, "shortened": shortened });
            json(StatusCode::OK, &body)
        }
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}

fn unfound(why: &Unfound) -> Answer {
    let status = match why {
        Unfound::Nothing { .. } => StatusCode::NOT_FOUND,
        Unfound::Several { .. } => StatusCode::BAD_REQUEST,
    };
    error(status, &why.to_string())
}

/// Which group, and for how many milliseconds until now.
fn wanted(query: &str) -> Result<(Option<GroupName>, Option<u64>), String> {
    let (mut group, mut since) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "group" => {
                group = Some(GroupName::parse(&value).map_err(|why| format!("group: {why}"))?);
            }
            "since" => {
                let ms = value.parse::<u64>().or_else(|_| when::millis(&value));
                since = Some(ms.map_err(|why| format!("since: {why}, or milliseconds"))?);
            }
            _ => {}
        }
    }
    Ok((group, since))
}
