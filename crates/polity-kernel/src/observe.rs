//! What operators see of a running process: structured logs, metrics and traces.
//!
//! Invariants:
//! - Logs and metrics are set up once per process; a second set-up changes nothing.
//! - No secret reaches a log: whoever logs a value passes an id, never a credential, a body, or a header.
//! - Labels of metrics have few values that the program itself decides. See [`Metrics`].
//!
//! Deliberately absent: log files and their rotation (the supervisor keeps standard error), and a listener of its own
//! (`/metrics` is served beside the API).

mod trace;

use std::{io::IsTerminal as _, sync::OnceLock, time::Duration};

use http::{HeaderMap, Method};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{Span, field::Empty};
use tracing_subscriber::{EnvFilter, Layer as _, fmt, fmt::MakeWriter, layer::SubscriberExt as _, registry::Registry};

pub use self::trace::{TraceSettings, flush};
use crate::config::Environment;

/// What is logged, and how it looks. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// The least level that is logged: `error`, `warn`, `info`, `debug` or `trace`; also per module, as in
    /// `info,polity_kernel::http=debug`.
    pub level: String,
    /// `human` for people, `json` for machines; `auto` is human in development and JSON elsewhere.
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human in development, JSON elsewhere.
    #[default]
    Auto,
    /// One coloured line per event.
    Human,
    /// One JSON object per event, with the fields of its span.
    Json,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// `log.level` is not a level or a list of `module=level`.
    #[error("log.level {0:?} is not a level such as `info`, or a list such as `info,polity_kernel=debug`")]
    Level(String),
    /// Traces cannot be exported as the settings say.
    #[error("{0}")]
    Traces(String),
    /// The histogram buckets were refused.
    #[error("the metrics recorder could not be built: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Another recorder of metrics is already in place.
    #[error("another recorder of metrics is already installed in this process")]
    OtherRecorder,
}

/// Starts logging to standard error, and exporting traces if the settings say so. Does nothing if a subscriber is already
/// in place. Exporting needs a running runtime.
pub fn start_logs(
    settings: &LogSettings,
    traces: &TraceSettings,
    environment: Environment,
) -> Result<(), ObserveError> {
    // Whoever came first, keeps it: tests start many applications in one process.
    let _ = tracing::subscriber::set_global_default(subscriber(settings, traces, environment, std::io::stderr)?);
    Ok(())
}

fn subscriber<W>(
    settings: &LogSettings,
    traces: &TraceSettings,
    environment: Environment,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, ObserveError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = &settings.level;
    let filter = EnvFilter::builder()
        .parse(level)
        .map_err(|_| ObserveError::Level(level.clone()))?;
    let human = match settings.format {
        LogFormat::Auto => environment.is_development(),
        format => format == LogFormat::Human,
    };
    let lines = fmt::layer().with_writer(writer);
    let lines = if human {
        lines.with_ansi(std::io::stderr().is_terminal()).boxed()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed()
    };
    let spans = trace::tracer(traces)?.map(|tracer| tracing_opentelemetry::layer().with_tracer(tracer));
    Ok(Box::new(Registry::default().with(lines).with(spans).with(filter)))
}

/// The span of one HTTP request. `caller.id`, `organization.id` and `http.response.status_code` are recorded when they
/// become known. `route` is the template (`/users/{id}`), never the path, which may carry a token. The trace is the one
/// that `headers` name.
pub fn request_span(request_id: &str, method: &Method, route: Option<&str>, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "request",
        otel.name = format_args!("{method} {}", route.unwrap_or("none")),
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = request_id,
        trace.id = Empty,
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        caller.id = Empty,
        organization.id = Empty,
    );
    trace::place(&span, Some(headers));
    span
}

/// Records how the request of the current span ended.
pub(crate) fn conclude(status: u16) {
    let span = Span::current();
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a job at work.
pub(crate) fn job_span(kind: &str, id: &str) -> Span {
    let span = tracing::info_span!(
        "job",
        otel.name = kind,
        otel.kind = "consumer",
        job.kind = kind,
        job.id = id,
        trace.id = Empty
    );
    trace::place(&span, None);
    span
}

/// The span of an event that a consumer takes.
pub(crate) fn event_span(consumer: &str, id: &str) -> Span {
    let span = tracing::info_span!(
        "event",
        otel.name = consumer,
        otel.kind = "consumer",
        event.consumer = consumer,
        event.id = id,
        trace.id = Empty
    );
    trace::place(&span, None);
    span
}

/// Upper bounds of the latency buckets, in seconds: from a read in memory to the longest timeout.
const LATENCIES: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The metrics of this process, recorded with the `metrics` macros anywhere in it.
///
/// Names are `polity_<thing>_<unit>`; a name that ends in `_seconds` is a histogram of latencies. A label's values come
/// from a closed set that the program decides: service, route template, method, status class, job kind, consumer,
/// database operation. Ids, paths, addresses, and anything a caller sent are never labels: each new value is a new time
/// series that is kept until the process ends.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// The recorder of this process, installed at the first call.
    pub fn start() -> Result<Self, ObserveError> {
        static STARTED: OnceLock<Result<Metrics, ()>> = OnceLock::new();
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCIES)?
            .build_recorder();
        STARTED
            .get_or_init(|| {
                let handle = recorder.handle();
                metrics::set_global_recorder(recorder).map_err(|_| ())?;
                describe();
                Ok(Self(handle))
            })
            .clone()
            .map_err(|()| ObserveError::OtherRecorder)
    }

    /// Everything recorded, in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds new samples into their histograms. Called every few seconds, so that memory stays bounded where nobody
    /// fetches `/metrics`.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Counts one answered request. `route` is the template; `None` stands for all paths that no route serves.
pub fn record_request(service: &'static str, method: &Method, route: Option<&str>, status: u16, took: Duration) {
    // An unknown method is a word that the caller chose.
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let method = if known.contains(method) {
        method.as_str()
    } else {
        "other"
    };
    let labels = [
        ("service", service.to_owned()),
        ("method", method.to_owned()),
        ("route", route.unwrap_or("none").to_owned()),
        ("status", format!("{}xx", status / 100)),
    ];
    metrics::histogram!(REQUEST_SECONDS, &labels).record(took.as_secs_f64());
}

const REQUEST_SECONDS: &str = "polity_http_request_seconds";

fn describe() {
    use metrics::Unit;
    metrics::describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "Time from a request to its response.");
    let counters = [
        (
            "polity_db_commits_total",
            "Commits of the embedded database; each may hold many transactions.",
        ),
        (
            "polity_db_transactions_total",
            "Transactions that were committed on the embedded database.",
        ),
        ("polity_events_total", "Attempts of consumers to take an event."),
        ("polity_jobs_total", "Attempts at jobs."),
    ];
    for (name, meaning) in counters {
        metrics::describe_counter!(name, Unit::Count, meaning);
    }
    metrics::describe_gauge!(
        "polity_event_lag",
        Unit::Count,
        "Events that a consumer has not reached yet."
    );
    metrics::describe_gauge!(
        "polity_cluster_processes",
        Unit::Count,
        "Processes that share the database, as this one sees it."
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn logged(settings: &LogSettings, environment: Environment) -> String {
        logged_in(&format!("00-{TRACE}-00f067aa0ba902b7-01"), settings, environment)
    }

    fn logged_in(traceparent: &str, settings: &LogSettings, environment: Environment) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", traceparent.parse().unwrap());
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(settings, &TraceSettings::default(), environment, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let span = request_span("req_1", &Method::GET, Some("/users/{id}"), &headers);
            span.record("caller.id", "usr_1");
            span.in_scope(|| tracing::info!(user.id = "usr_2", "user created"));
            tracing::debug!("too fine");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn production_logs_one_json_object_per_event() {
        let text = logged(&LogSettings::default(), Environment::Production);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "user created");
        assert_eq!(line["user.id"], "usr_2");
        assert_eq!(line["span"]["request.id"], "req_1");
        assert_eq!(line["span"]["caller.id"], "usr_1");
        assert_eq!(line["span"]["http.route"], "/users/{id}");
        assert_eq!(line["span"]["trace.id"], TRACE);
    }

    #[test]
    fn a_request_without_a_trace_gets_one_of_its_own() {
        let id = || {
            let line = logged_in("00-zz-00-01", &LogSettings::default(), Environment::Production);
            let line: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
            line["span"]["trace.id"].as_str().unwrap_or_default().to_owned()
        };
        let (one, other) = (id(), id());
        assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn a_collector_is_named_by_its_url() {
        let wrong = TraceSettings {
            otlp_url: Some("collector:4318".to_owned()),
            ..TraceSettings::default()
        };
        assert!(matches!(trace::tracer(&wrong), Err(ObserveError::Traces(_))));
    }

    #[test]
    fn development_logs_for_people_and_the_format_overrides() {
        let human = logged(&LogSettings::default(), Environment::Development);
        assert!(human.contains("user created") && !human.starts_with('{'), "{human}");
        let forced = LogSettings {
            format: LogFormat::Json,
            level: "debug".to_owned(),
        };
        let json = logged(&forced, Environment::Development);
        assert!(json.starts_with('{') && json.contains("too fine"), "{json}");
    }

    #[test]
    fn a_wrong_level_is_refused() {
        let settings = LogSettings {
            level: "polity=loud".to_owned(),
            ..LogSettings::default()
        };
        assert!(matches!(
            start_logs(&settings, &TraceSettings::default(), Environment::Test),
            Err(ObserveError::Level(_))
        ));
    }

    #[test]
    fn requests_are_counted_in_buckets_with_bounded_labels() {
        let metrics = Metrics::start().unwrap();
        let method = Method::from_bytes(b"XYZZY").unwrap();
        record_request("observe_test", &method, None, 404, Duration::from_millis(3));
        metrics.upkeep();
        let text = Metrics::start().unwrap().render();
        let bucket = |le: &str, n: u32| {
            let mine = |l: &&str| l.contains("observe_test") && l.contains(&format!("le=\"{le}\""));
            let line = text.lines().find(mine).unwrap_or_else(|| panic!("{text}"));
            assert!(line.ends_with(&format!(" {n}")), "{line}");
            assert!(
                line.contains("method=\"other\"") && line.contains("status=\"4xx\""),
                "{line}"
            );
        };
        bucket("0.0025", 0);
        bucket("0.005", 1);
    }
}
