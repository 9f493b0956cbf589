//! An OTLP receiver, as a collector is one: takes the services' spans over gRPC and HTTP on one port.

mod jaeger;
mod taken;
mod tree;

pub use jaeger::Jaeger;
pub use taken::Taken;
pub use tree::tree;

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use vedette_harness::papers::Papers;
use vedette_harness::{LIMIT, within};

/// For the services' spans to arrive after the last thing happened.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(15);

/// A free port of loopback.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Keeps every span. Ends on drop.
pub struct Collector {
    at: SocketAddr,
    /// What its certificate is to be checked by, if it speaks TLS.
    authority: Option<PathBuf>,
    shelf: Shelf,
    task: AbortHandle,
}

/// What was taken, and who gets it too.
#[derive(Clone, Default)]
struct Shelf {
    spans: Arc<Mutex<Vec<Taken>>>,
    next: Option<TraceServiceClient<Channel>>,
}

impl Collector {
    /// Starts one on a free port of loopback.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start() -> Result<Self> {
        Self::serve(Self::listen(ANYWHERE).await?, Shelf::default(), None)
    }

    /// Starts one that hands everything on to this endpoint, over gRPC.
    ///
    /// # Errors
    /// If it cannot listen, or nobody answers there.
    pub async fn before(endpoint: String) -> Result<Self> {
        let next = Some(TraceServiceClient::connect(endpoint).await?);
        Self::serve(Self::listen(ANYWHERE).await?, Shelf { next, ..Shelf::default() }, None)
    }

    /// Starts one that speaks TLS only.
    ///
    /// # Errors
    /// If it cannot listen, or the papers cannot be read.
    pub async fn start_with(papers: &Papers) -> Result<Self> {
        Self::serve(Self::listen(ANYWHERE).await?, Shelf::default(), Some(papers))
    }

    /// Ends it and starts another at its address, with these papers and no spans.
    ///
    /// # Errors
    /// If that one cannot be started.
    pub async fn succeeded_by(self, papers: &Papers) -> Result<Self> {
        let at = self.at;
        drop(self);
        let free = async || Self::listen(at).await.ok();
        let listener = within(LIMIT, "its address is free", free).await?;
        Self::serve(listener, Shelf::default(), Some(papers))
    }

    async fn listen(at: SocketAddr) -> Result<TcpListener> {
        TcpListener::bind(at).await.with_context(|| format!("a collector at {at}"))
    }

    fn serve(listener: TcpListener, shelf: Shelf, papers: Option<&Papers>) -> Result<Self> {
        let at = listener.local_addr()?;
        let http = axum::Router::new().route("/v1/traces", post(by_http)).with_state(shelf.clone());
        let routes = Routes::from(http).add_service(TraceServiceServer::new(shelf.clone()));
        let mut server = Server::builder();
        if let Some(Papers { certificate, key, .. }) = papers {
            let read = |path| std::fs::read(path).with_context(|| format!("{path:?}"));
            let shown = Identity::from_pem(read(certificate)?, read(key)?);
            server = server.tls_config(ServerTlsConfig::new().identity(shown))?;
        }
        let server = server.accept_http1(true).add_routes(routes);
        let serving = server.serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = serving.await;
        });
        let authority = papers.map(|papers| papers.authority.clone());
        Ok(Self { at, authority, shelf, task: task.abort_handle() })
    }

    /// Its address as `telemetry.otlp_endpoint`.
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.at)
    }

    /// What services are told about it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = vec![("VEDETTE_TELEMETRY__OTLP_ENDPOINT".into(), self.url())];
        let authority = self.authority.iter().map(|path| path.to_string_lossy().into_owned());
        environment.extend(authority.map(|ca| ("VEDETTE_TELEMETRY__OTLP_CA_FILE".into(), ca)));
        environment
    }

    /// The same, over HTTP.
    pub fn environment_http(&self) -> Vec<(String, String)> {
        let mut environment = self.environment();
        environment.push(("VEDETTE_TELEMETRY__OTLP_PROTOCOL".into(), "http".into()));
        environment
    }

    /// Everything so far, in the order of beginning.
    pub fn taken(&self) -> Vec<Taken> {
        let mut taken = self.shelf.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taken.sort_by_key(|span| (span.from, span.to));
        taken
    }

    /// The traces that there are.
    pub fn traces(&self) -> BTreeSet<String> {
        self.taken().into_iter().map(|span| span.trace).collect()
    }

    /// The spans of one trace, once its root has come, each of these names as often at least, and
    /// whatever any of its spans points to: the services send at moments of their own.
    ///
    /// # Errors
    /// What has not come.
    pub async fn whole(&self, trace: &str, wanted: &[(&str, usize)]) -> Result<Vec<Taken>> {
        let pointed_to = |span: &Taken| span.parent.iter().chain(&span.links).cloned().collect();
        self.gathered(trace, wanted, pointed_to).await
    }

    /// The same after a service died together with spans that others point to.
    ///
    /// # Errors
    /// What has not come.
    pub async fn bereaved(&self, trace: &str, wanted: &[(&str, usize)]) -> Result<Vec<Taken>> {
        self.gathered(trace, wanted, |span| span.parent.iter().cloned().collect()).await
    }

    async fn gathered(
        &self,
        trace: &str,
        wanted: &[(&str, usize)],
        pointed_to: impl Fn(&Taken) -> Vec<String>,
    ) -> Result<Vec<Taken>> {
        let of_trace = || -> Vec<Taken> {
            self.taken().into_iter().filter(|span| span.trace == trace).collect()
        };
        let missing = || {
            let spans = of_trace();
            let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
            let few = wanted.iter().filter(|(name, least)| count(name) < *least);
            let mut missing: Vec<_> =
                few.map(|(name, least)| format!("{} of {least} {name}", count(name))).collect();
            if !spans.iter().any(|span| span.parent.is_none()) {
                missing.push("no root".into());
            }
            let ids: BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
            for span in &spans {
                let gone = pointed_to(span).into_iter().filter(|id| !ids.contains(id));
                missing.extend(gone.map(|id| format!("{id}, which {} points to", span.name)));
            }
            missing
        };
        let complete = async || missing().is_empty().then_some(());
        within(ARRIVAL_LIMIT, "the spans of the incident", complete).await.with_context(|| {
            format!("trace {trace}: {}\n{}", missing().join(", "), tree(&of_trace()))
        })?;
        Ok(of_trace())
    }

    /// Waits until this trace has a span of this name that fits.
    ///
    /// # Errors
    /// If none comes.
    pub async fn span(&self, trace: &str, name: &str) -> Result<Taken> {
        let found = async || {
            let mut taken = self.taken().into_iter();
            taken.find(|span| span.trace == trace && span.name == name)
        };
        within(ARRIVAL_LIMIT, &format!("a span {name} of trace {trace}"), found).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shelf {
    async fn take(&self, request: ExportTraceServiceRequest) -> Result<(), Status> {
        if let Some(mut next) = self.next.clone() {
            next.export(request.clone()).await?;
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(taken::all(request));
        Ok(())
    }
}

#[tonic::async_trait]
impl TraceService for Shelf {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(request.into_inner()).await?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn by_http(State(shelf): State<Shelf>, body: Bytes) -> Result<Vec<u8>, StatusCode> {
    let request = ExportTraceServiceRequest::decode(body).map_err(|_| StatusCode::BAD_REQUEST)?;
    shelf.take(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(ExportTraceServiceResponse::default().encode_to_vec())
}

/// What must hold of every trace: ids of their own, one root, every parent there, and no span outside
/// of its parent's time, but for what goes on after the end and for reports that were taken back.
///
/// # Errors
/// What does not hold, with the trace.
pub fn well_formed(spans: &[Taken], goes_on: &[&str]) -> Result<()> {
    let shown = || tree(spans);
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.id).collect();
    ensure!(ids.len() == spans.len(), "two spans of one id:\n{}", shown());
    let roots = spans.iter().filter(|span| span.parent.is_none()).count();
    ensure!(roots == 1, "{roots} roots:\n{}", shown());
    for span in spans {
        let Some(id) = &span.parent else {
            ensure!(span.trace.ends_with(&span.id), "{} is no root of {}", span.id, span.trace);
            continue;
        };
        let parent = spans.iter().find(|parent| parent.id == *id);
        let parent =
            parent.with_context(|| format!("{} has no parent:\n{}", span.name, shown()))?;
        let late = goes_on.contains(&span.name.as_str());
        let within = parent.from <= span.from && (late || span.to <= parent.to);
        // Somebody had called the same master down, and taken that back before the incident began.
        let taken_back = span.name == "detect" && span.to <= parent.from;
        ensure!(
            within || taken_back,
            "{} of {} is not within {}:\n{}",
            span.name,
            span.instance,
            parent.name,
            shown()
        );
    }
    Ok(())
}
