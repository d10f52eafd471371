//! Traces: every request, job and event has a trace id (W3C Trace Context), which its log lines carry; with
//! `traces.otlp_url` its spans go to an OpenTelemetry collector.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry::{
    Context,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{IdGenerator as _, RandomIdGenerator, Sampler, SdkTracerProvider, Tracer},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::ObserveError;

/// Traces for an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TraceSettings {
    /// Where the collector takes OTLP over HTTP, such as `http://localhost:4318`. No traces are exported if unset.
    pub otlp_url: Option<String>,
    /// Which part of the traces that begin here is exported, from 0 to 1. A trace that a client began is exported if the
    /// client says so.
    pub sample: f64,
    /// The name of this deployment in traces.
    pub service_name: String,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            otlp_url: None,
            sample: 1.0,
            service_name: "polity".to_owned(),
        }
    }
}

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What exports, if anything does; kept for [`flush`].
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The tracer the settings ask for. Needs a running runtime.
pub(super) fn tracer(settings: &TraceSettings) -> Result<Option<Tracer>, ObserveError> {
    let Some(url) = &settings.otlp_url else {
        return Ok(None);
    };
    let wrong = |error: &dyn std::fmt::Display| ObserveError::Traces(error.to_string());
    let endpoint = url::Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| wrong(&format!("traces.otlp_url is {url:?}, which is not http://host:port")))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new().map_err(|error| wrong(&error))?)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
        .build()
        .map_err(|error| wrong(&error))?;
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attribute(opentelemetry::KeyValue::new("service.version", crate::VERSION))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            settings.sample,
        ))))
        .with_resource(resource)
        .build();
    let tracer = provider.tracer("polity");
    drop(PROVIDER.set(provider));
    Ok(Some(tracer))
}

/// Sends what was not sent yet, at the end of the program. Blocks for a few seconds at most.
pub fn flush() {
    if let Some(provider) = PROVIDER.get()
        && let Err(error) = provider.shutdown_with_timeout(PATIENCE)
    {
        tracing::warn!(error = %error, "the last traces were not exported");
    }
}

/// Gives a new span its place: in the trace that the headers of a request name (`traceparent`), else in one of its own.
/// The id is recorded as `trace.id`.
pub(super) fn place(span: &Span, headers: Option<&HeaderMap>) {
    let parent = headers
        .map(|headers| TraceContextPropagator::new().extract(&HeaderExtractor(headers)))
        .filter(|parent| parent.span().span_context().is_valid());
    let given = parent.as_ref().map(|parent| parent.span().span_context().trace_id());
    if let Some(parent) = parent {
        // Without an exporter there is nobody to tell.
        drop(span.set_parent(parent));
    }
    let id = given
        .or_else(|| trace_of(&span.context()))
        .unwrap_or_else(|| RandomIdGenerator::default().new_trace_id());
    span.record("trace.id", tracing::field::display(id));
}

fn trace_of(context: &Context) -> Option<opentelemetry::TraceId> {
    let span = context.span();
    let found = span.span_context();
    found.is_valid().then(|| found.trace_id())
}

/// The way to the collector. The operator names it, so that it may be a private address, unlike what users name.
#[derive(Debug, Clone)]
struct Collector {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

impl Collector {
    #[expect(
        clippy::disallowed_methods,
        reason = "the guard of `outbound` is against addresses that users choose; this one is the operator's"
    )]
    fn new() -> reqwest::Result<Self> {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        Ok(Self {
            client,
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        // The exporter runs on a thread of its own, outside the runtime that the client needs.
        let answer = self.runtime.spawn(async move {
            let mut answer = client.execute(request).await?.error_for_status()?;
            let mut response = http::Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            *response.body_mut() = answer.bytes().await?;
            Ok::<_, reqwest::Error>(response)
        });
        Ok(answer.await??)
    }
}
