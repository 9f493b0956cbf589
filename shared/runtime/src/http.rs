//! A service's second port: health and metrics, and what else a service answers to a `GET`.

use crate::metrics::{Form, Meter};
use crate::tls::{self, Tls};
use crate::{Clock, HttpConfig, Shutdown};
use anyhow::Context as _;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections at the same time; one more waits to be accepted.
const CONNECTIONS: usize = 512;
/// A request's head must have come by then; also how long a connection may be kept without one, and
/// how long the handshake of TLS may take.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of a request's head. Bodies are not read.
const HEAD_BYTES: usize = 16_384;
/// Between two attempts to accept.
const TAKE_AGAIN: Duration = Duration::from_millis(100);

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPENMETRICS: &str = "application/openmetrics-text";

/// A question by `GET`, `HEAD` or `OPTIONS`; others are refused before.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Where, from the first `/` on.
    pub path: &'a str,
    /// What follows the `?`, or nothing.
    pub query: &'a str,
    /// How it would have the metrics.
    pub form: Form,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The body's form.
    pub form: HeaderValue,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A line of text.
    pub fn plain(status: StatusCode, text: &str) -> Self {
        Self { status, form: PLAIN, body: format!("{text}\n") }
    }

    /// What a meter has, as it was asked for.
    pub fn metrics(meter: &Meter, form: Form) -> Self {
        let name = match form {
            Form::OpenMetrics => HeaderValue::from_static(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
            Form::Prometheus => {
                HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8")
            }
        };
        meter.text(form).map_or_else(
            |error| Self::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |body| Self { status: StatusCode::OK, form: name, body },
        )
    }
}

/// Answers.
pub trait Site: Send + Sync + 'static {
    /// The answer to one question. Nothing can be changed here. Who asked may be gone before it is
    /// there; then it is dropped.
    fn answer(&self, ask: Ask<'_>) -> impl Future<Output = Answer> + Send;
}

/// What every service answers: `/healthz` while the process lives, `/readyz` while `ready` has
/// nothing to complain of, and `/metrics`.
pub struct Basic<R> {
    /// Its metrics.
    pub meter: Meter,
    /// Why it cannot do its work now; nothing if it can.
    pub ready: R,
}

impl<R: Fn() -> Result<(), String> + Send + Sync + 'static> Site for Basic<R> {
    async fn answer(&self, ask: Ask<'_>) -> Answer {
        match ask.path {
            "/healthz" => Answer::plain(StatusCode::OK, "ok"),
            "/readyz" => match (self.ready)() {
                Ok(()) => Answer::plain(StatusCode::OK, "ok"),
                Err(why) => Answer::plain(StatusCode::SERVICE_UNAVAILABLE, &why),
            },
            "/metrics" => Answer::metrics(&self.meter, ask.form),
            _ => Answer::plain(StatusCode::NOT_FOUND, "no such page: /healthz, /readyz, /metrics"),
        }
    }
}

/// The port, held and not served yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

/// Takes the port, so that a second process on it ends before anybody hears of it. Nothing if
/// none is configured.
///
/// # Errors
/// The port is taken, or not ours, or the files for TLS cannot be used.
pub async fn bind(config: &HttpConfig) -> anyhow::Result<Option<Port>> {
    let Some(at) = config.listen else { return Ok(None) };
    let tls = config.files().map(Tls::load).transpose();
    let tls = tls.context("http.certificate_file, http.key_file: they cannot be used")?;
    let listener = TcpListener::bind(at).await.with_context(|| {
        format!("cannot have {at} for HTTP: set http.listen to a free port, or leave it out")
    })?;
    let speaks = if tls.is_some() { "https" } else { "http" };
    tracing::info!(listening = %listener.local_addr()?, speaks, "health and metrics are here");
    Ok(Some(Port { listener, tls: tls.map(Arc::new) }))
}

/// Answers in a task of its own until shutdown, if there is a port. It holds nothing that must be
/// finished.
pub fn spawn<S: Site>(port: Option<Port>, site: S, clock: &Clock, shutdown: &Shutdown) {
    let Some(port) = port else { return };
    if let Some(tls) = &port.tls {
        drop(tokio::spawn(tls::keep(Arc::clone(tls), clock.clone(), shutdown.clone())));
    }
    drop(tokio::spawn(serve(port, Arc::new(site), clock.clone(), shutdown.clone())));
}

async fn serve<S: Site>(port: Port, site: Arc<S>, clock: Clock, shutdown: Shutdown) {
    let Port { listener, tls } = port;
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
                // A small answer is not to wait for another.
                let _ = stream.set_nodelay(true);
                let (site, tls) = (Arc::clone(&site), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => talk(stream, site).await,
                        Some(tls) => encrypted(stream, &tls, site).await,
                    }
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

async fn encrypted<S: Site>(stream: TcpStream, tls: &Tls, site: Arc<S>) {
    match tokio::time::timeout(HEAD_LIMIT, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, site).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake of an HTTP client failed"),
        Err(_) => tracing::debug!("a TLS handshake of an HTTP client took too long"),
    }
}

async fn talk<S: Site>(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<S>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let site = Arc::clone(&site);
        // Bodies are not read.
        let request = request.map(drop);
        async move { Ok::<_, Infallible>(answered(&*site, &request).await) }
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

async fn answered<S: Site>(site: &S, request: &Request<()>) -> Response<Full<Bytes>> {
    let (uri, form) = (request.uri(), form(request));
    // HAProxy's checks come as OPTIONS unless told otherwise.
    let answer = if [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method()) {
        site.answer(Ask { path: uri.path(), query: uri.query().unwrap_or_default(), form }).await
    } else {
        Answer::plain(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS")
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, answer.form);
    // An old answer is worse than none.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// How the metrics are wanted.
fn form(request: &Request<()>) -> Form {
    let accepts = request.headers().get_all(ACCEPT).iter();
    let mut texts = accepts.filter_map(|value| value.to_str().ok());
    if texts.any(|text| text.contains(OPENMETRICS)) { Form::OpenMetrics } else { Form::Prometheus }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(
        method: Method,
        path: &str,
        accept: Option<&'static str>,
    ) -> Response<Full<Bytes>> {
        let meter = Meter::default();
        meter.count("service_things", "Things").inc();
        let site = Basic { meter, ready: || Err("the store failed".into()) };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if let Some(accept) = accept {
            request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        }
        answered(&site, &request).await
    }

    #[tokio::test]
    async fn load_balancers_may_ask_with_head_and_options_and_nobody_changes_anything() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(ask(method, "/healthz", None).await.status(), StatusCode::OK);
        }
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(
                ask(method, "/healthz", None).await.status(),
                StatusCode::METHOD_NOT_ALLOWED
            );
        }
    }

    #[tokio::test]
    async fn it_lives_and_is_not_ready_while_it_cannot_work() {
        assert_eq!(ask(Method::GET, "/healthz", None).await.status(), StatusCode::OK);
        assert_eq!(
            ask(Method::GET, "/readyz", None).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(ask(Method::GET, "/nothing", None).await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn metrics_come_in_the_form_that_is_asked_for_and_are_never_kept() {
        let wanted = [
            (None, "text/plain; version=0.0.4; charset=utf-8"),
            (Some("text/plain"), "text/plain; version=0.0.4; charset=utf-8"),
            (
                Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
        ];
        for (accept, form) in wanted {
            let answer = ask(Method::GET, "/metrics", accept).await;
            assert_eq!(answer.headers()[CONTENT_TYPE], form);
            assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        }
    }
}
