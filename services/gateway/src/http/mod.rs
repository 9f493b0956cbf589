//! The second port: health, metrics, what is known as JSON, and checks for load balancers.
//!
//! It stays open when the door to Sentinel clients is shut: then it says so.

mod routes;
mod shown;
#[cfg(test)]
mod tests;

pub use routes::Site;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vedette_runtime::{Clock, Shutdown};

/// Connections at the same time; one more waits to be accepted.
const CONNECTIONS: usize = 512;
/// A request's head must have come by then; also how long a connection may be kept without one.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head. Bodies are not read.
const HEAD_BYTES: usize = 16_384;
/// Between two attempts to accept.
const TAKE_AGAIN: Duration = Duration::from_millis(100);

/// Answers until shutdown.
pub async fn serve(listener: TcpListener, site: Arc<Site>, clock: Clock, shutdown: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // It is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                connections.spawn(async move {
                    talk(stream, site).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP client could not be accepted; raise the file limit?");
                clock.sleep_until(clock.now() + TAKE_AGAIN).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, site: Arc<Site>) {
    // A small answer is not to wait for another.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request: Request<Incoming>| {
        let response = answered(&site, &request);
        async { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

fn answered(site: &Site, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let uri = request.uri();
    let answer = site.answer(request.method(), uri.path(), uri.query().unwrap_or_default());
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, answer.form);
    // An old answer is worse than none.
    headers
        .insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
