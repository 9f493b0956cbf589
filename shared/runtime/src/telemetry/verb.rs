//! The span of one verb of the command: who asked for what, when, and what came of it.
//!
//! It is a trace of its own. What services do is told after the fact, by their witnesses, and no span
//! of the code reaches the collector but this one.

use super::export::{self, Entry};
use crate::life;
use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanProcessor};
use std::future::Future;
use tracing::{Instrument as _, Level, Span, Subscriber, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use vedette_model::{GroupName, TraceId};
use vedette_trace::names;

/// Spans of this target go to the collector. They do not show in the log.
pub(super) const TARGET: &str = "vedette_verb";

/// Hands the verb's span on when it ends.
pub(super) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    layer_before(Entry)
}

fn layer_before<S, P>(next: P) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    P: SpanProcessor + 'static,
{
    // The environment does not decide on sampling.
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn);
    let provider = provider.with_span_processor(next).build();
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("vedette"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(Targets::new().with_target(TARGET, Level::INFO))
}

/// Carries a verb out as a span of its own, with what OpenTelemetry wants to know of a program. The
/// command line is not part of it: URLs of servers may hold passwords. Nothing is recorded where
/// no traces are exported.
///
/// # Errors
/// What came of it.
pub async fn traced<Fut>(verb: &str, group: Option<&GroupName>, run: Fut) -> anyhow::Result<u8>
where
    Fut: Future<Output = anyhow::Result<u8>>,
{
    let name = format!("{} {verb}", names::COMMAND);
    let span = info_span!(target: TARGET, "verb", otel.name = name, otel.kind = "internal");
    span.set_attribute(names::EXECUTABLE, names::COMMAND);
    span.set_attribute(names::PID, i64::from(std::process::id()));
    span.set_attribute(names::VERB, verb.to_owned());
    let asker = [(names::USER, user()), (names::HOST, host())];
    let about = (names::GROUP, group.map(ToString::to_string));
    for (key, value) in asker.into_iter().chain([about]) {
        if let Some(value) = value {
            span.set_attribute(key, export::short(value));
        }
    }
    let outcome = run.instrument(span.clone()).await;
    end(&span, &outcome);
    outcome
}

/// Points from the verb that is being carried out to the incident that it began.
pub fn leads_to(incident: TraceId) {
    Span::current().add_link(export::context(incident, incident.root_span()));
}

fn end(span: &Span, outcome: &anyhow::Result<u8>) {
    let code = outcome.as_ref().map_or_else(life::exit_code, |code| *code);
    span.set_attribute(names::EXIT_CODE, i64::from(code));
    if code == 0 {
        return;
    }
    let (kind, why) = match outcome {
        Ok(_) => ("attention", String::new()),
        Err(error) if code == life::BAD_USAGE => ("usage", format!("{error:#}")),
        Err(error) => ("failure", format!("{error:#}")),
    };
    span.set_attribute(names::ERROR_TYPE, kind);
    span.set_status(Status::error(export::short(why)));
}

/// Who runs it, also by `sudo`, as far as the environment says.
fn user() -> Option<String> {
    let named =
        ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|key| std::env::var(key).ok());
    named.filter(|user| !user.is_empty())
}

/// Where, as far as Linux says.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};
    use opentelemetry::Context;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::SpanData;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use tracing_subscriber::layer::SubscriberExt as _;
    use vedette_model::{Epoch, NodeAddr};

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    fn orders() -> GroupName {
        GroupName::parse("orders").unwrap()
    }

    /// The spans of a verb that comes to this.
    async fn told(run: impl Future<Output = anyhow::Result<u8>>) -> Vec<SpanData> {
        let kept = Kept::default();
        let layer = layer_before(kept.clone());
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        // What came of it stands in the span.
        let _ = traced("switchover", Some(&orders()), run).await;
        drop(guard);
        kept.0.lock().unwrap().split_off(0)
    }

    fn value(span: &SpanData, key: &str) -> Option<String> {
        let found = span.attributes.iter().find(|known| known.key.as_str() == key);
        found.map(|found| found.value.to_string())
    }

    #[tokio::test]
    async fn a_verb_is_one_span_that_points_to_what_it_began() {
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let incident = TraceId::of(&orders(), Epoch(7), &master, None);
        let spans = told(async {
            leads_to(incident);
            let other = info_span!("other");
            let _entered = other.enter();
            tracing::error!("something else");
            Ok(0)
        });
        let spans = spans.await;
        let [span] = &spans[..] else { panic!("{spans:#?}") };
        assert_eq!(span.name, "vedette switchover");
        assert_eq!(value(span, names::GROUP).as_deref(), Some("orders"));
        assert_eq!(value(span, names::EXIT_CODE).as_deref(), Some("0"));
        assert_eq!((&span.status, value(span, names::ERROR_TYPE)), (&Status::Unset, None));
        assert!(span.events.is_empty() && span.span_context.is_sampled(), "{span:#?}");
        let links: Vec<_> = span.links.iter().map(|link| link.span_context.clone()).collect();
        assert_eq!(links, [export::context(incident, incident.root_span())]);
    }

    #[tokio::test]
    async fn a_verb_that_ends_with_another_code_than_0_failed() {
        let config = crate::ConfigError::Missing { key: "id", remedy: "set it".into() };
        let cases = [
            (Ok(1), "attention", ""),
            (Err(anyhow!("refused")).context("not done"), "failure", "not done: refused"),
            (Err(config.into()), "usage", "id"),
        ];
        for (outcome, kind, why) in cases {
            let spans = told(async { outcome }).await;
            assert_eq!(value(&spans[0], names::ERROR_TYPE).as_deref(), Some(kind));
            let Status::Error { description } = &spans[0].status else { panic!("{spans:#?}") };
            assert!(description.contains(why), "{description}");
        }
    }
}
