//! What a process counts, and how Prometheus reads it.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names and values of labels, always in the same order for one metric.
pub type Labels = Vec<(&'static str, String)>;
/// One counter for each set of labels.
pub type Counters = Family<Labels, Counter>;
/// One distribution of times for each set of labels.
pub type Times = Family<Labels, Histogram, fn() -> Histogram>;

/// The word at the beginning of all names.
const PREFIX: &str = "vedette";
/// Upper bounds in seconds: from a command to a node up to a failover that waits for people.
const BOUNDS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0,
];

/// The form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4, for whoever asks for nothing else.
    Prometheus,
}

/// All metrics of one process. Clones share them. Each metric has one name, whose last word is its
/// unit; `_total` is added to counters. Names are given without the word `vedette_` that all have,
/// and stand in `observability/metrics.md`.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Mutex<Registry>>);

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix(PREFIX))))
    }
}

impl Meter {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A list that is only added to is whole after a panic elsewhere.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a metric of any kind and gives it back.
    pub fn add<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.registry().register(name, help, metric.clone());
        metric
    }

    /// A counter without labels.
    pub fn count(&self, name: &str, help: &str) -> Counter {
        self.add(name, help, Counter::default())
    }

    /// Counters with labels.
    pub fn counts(&self, name: &str, help: &str) -> Counters {
        self.add(name, help, Counters::default())
    }

    /// Distributions of times in seconds.
    pub fn times(&self, name: &str, help: &str) -> Times {
        let times: fn() -> Histogram = || Histogram::new(BOUNDS);
        self.add(name, help, Times::new_with_constructor(times))
    }

    /// Gauges that are looked up whenever somebody asks.
    pub fn look(
        &self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.looked(Looked { name, help, counts: false, look: Box::new(look) });
    }

    /// Counters that somebody else counts, looked up whenever somebody asks.
    pub fn look_count(
        &self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> Vec<(Labels, f64)> + Send + Sync + 'static,
    ) {
        self.looked(Looked { name, help, counts: true, look: Box::new(look) });
    }

    fn looked(&self, looked: Looked) {
        self.registry().register_collector(Box::new(looked));
    }

    /// Everything as text.
    ///
    /// # Errors
    /// None: a text takes whatever is written to it.
    pub fn text(&self, form: Form) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry())?;
        Ok(match form {
            Form::OpenMetrics => text,
            Form::Prometheus => classic(&text),
        })
    }
}

/// One time to a distribution.
pub fn took(times: &Times, labels: &Labels, time: Duration) {
    times.get_or_create(labels).observe(time.as_secs_f64());
}

/// A label.
pub fn label(name: &'static str, value: impl fmt::Display) -> Labels {
    vec![(name, value.to_string())]
}

/// A value without labels.
pub fn single(value: f64) -> Vec<(Labels, f64)> {
    vec![(Labels::new(), value)]
}

/// A truth as a number.
pub fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// A number of things.
#[allow(clippy::cast_precision_loss, reason = "a metric is a float, exact up to 2^53")]
pub const fn number(count: u64) -> f64 {
    count as f64
}

struct Looked {
    name: &'static str,
    help: &'static str,
    counts: bool,
    look: Box<dyn Fn() -> Vec<(Labels, f64)> + Send + Sync>,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looked").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let found = (self.look)();
        if found.is_empty() {
            return Ok(());
        }
        let kind = if self.counts { MetricType::Counter } else { MetricType::Gauge };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        let put = |value, one: MetricEncoder<'_>| {
            if self.counts {
                ConstCounter::new(value).encode(one)
            } else {
                ConstGauge::new(value).encode(one)
            }
        };
        if let [(labels, value)] = found.as_slice()
            && labels.is_empty()
        {
            return put(*value, metric);
        }
        found.into_iter().try_for_each(|(labels, value)| put(value, metric.encode_family(&labels)?))
    }
}

/// The same in the older format: there a counter's own name ends in `_total`.
fn classic(text: &str) -> String {
    let counters: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut classic = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# EOF")) {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                classic.push_str(&format!("# {kind} {name}_total {rest}"));
            }
            _ => classic.push_str(line),
        }
        classic.push('\n');
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Meter {
        let meter = Meter::default();
        meter.count("service_things", "Things").inc();
        meter.counts("service_kinds", "Kinds").get_or_create(&label("kind", "a")).inc();
        let times = meter.times("service_wait_seconds", "Waits");
        took(&times, &label("what", "x"), Duration::from_millis(30));
        meter.look("service_up", "1 if up", || vec![(label("node", "a:1"), flag(true))]);
        meter.look_count("service_seen", "Seen", || single(number(7)));
        meter.look("service_none", "Nothing to tell", Vec::new);
        meter
    }

    #[test]
    fn every_kind_is_told_in_openmetrics() {
        let text = some().text(Form::OpenMetrics).unwrap();
        for line in [
            "# TYPE vedette_service_things counter",
            "vedette_service_things_total 1",
            "vedette_service_kinds_total{kind=\"a\"} 1",
            "vedette_service_wait_seconds_bucket{le=\"0.05\",what=\"x\"} 1",
            "vedette_service_wait_seconds_count{what=\"x\"} 1",
            "vedette_service_up{node=\"a:1\"} 1.0",
            "vedette_service_seen_total 7.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("service_none"), "{text}");
    }

    #[test]
    fn the_older_format_names_a_counter_with_its_ending() {
        let text = some().text(Form::Prometheus).unwrap();
        for line in [
            "# TYPE vedette_service_things_total counter",
            "vedette_service_things_total 1",
            "# TYPE vedette_service_wait_seconds histogram",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("# EOF"), "{text}");
    }
}
