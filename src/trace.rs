//! Traces for OpenTelemetry, in builds with the feature `opentelemetry`: each request is a span, as the semantic conventions
//! for HTTP servers name things, and what it writes a span within. The variables that all such programs know turn it on
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`) and steer it; without an endpoint nothing is recorded. A span holds what a line of the
//! log does: never a path, a query, a filter, a body or a token.

use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{FutureExt, Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;

/// Either of them says where spans go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// What the last spans get when the program ends.
const LAST: Duration = Duration::from_secs(5);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What sends spans. The program says [`Traces::stop`] before it ends.
pub struct Traces(SdkTracerProvider);

/// Sends spans from now on, if the environment says where to; called once, where a runtime is. Fails with what is wrong
/// with what the environment says.
pub fn start() -> anyhow::Result<Option<Traces>> {
    if !ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Ok(None);
    }
    let client = Sender { client: reqwest::Client::new(), runtime: Handle::current() };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("matrikel");
    }
    let resource = resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let _is_first = TRACER.set(provider.tracer("matrikel"));
    Ok(Some(Traces(provider)))
}

impl Traces {
    /// Sends what is still to be sent. Blocks, and not the runtime that [`start`] was called on.
    pub fn stop(self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Sends over the HTTP library that the program has, which works where its runtime is: spans are gathered on a thread of
/// their own.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let answer = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        });
        let (status, body) = answer.await??;
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    }
}

/// The span that a request says it is part of.
struct Carried<'h>(&'h HeaderMap);

impl Extractor for Carried<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(HeaderName::from_bytes(name.as_bytes()).ok()?)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// What a request did, once it is answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) client: &'a str,
    pub(crate) tenant: i64,
    pub(crate) request_id: &'a str,
}

/// The span of a request that begins; `None`: nothing is recorded.
pub(crate) fn begin(headers: &HeaderMap) -> Option<Context> {
    let tracer = TRACER.get()?;
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Carried(headers));
    let span = tracer.span_builder("request").with_kind(SpanKind::Server).start_with_context(tracer, &parent);
    Some(Context::new().with_span(span))
}

/// Has a request be carried out within its span.
pub(crate) fn during<F: Future>(span: Option<&Context>, carried: F) -> impl Future<Output = F::Output> + use<F> {
    carried.with_context(span.cloned().unwrap_or_default())
}

/// Ends the span of a request.
pub(crate) fn end(context: &Context, answered: &Answered<'_>) {
    let span = context.span();
    if span.is_recording() {
        span.update_name(format!("{} {}", answered.method, answered.route));
        span.set_attributes([
            KeyValue::new("http.request.method", answered.method.as_str().to_owned()),
            KeyValue::new("http.route", answered.route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(answered.status)),
            KeyValue::new("matrikel.client", answered.client.to_owned()),
            KeyValue::new("matrikel.tenant", answered.tenant),
            KeyValue::new("matrikel.request_id", answered.request_id.to_owned()),
        ]);
        if answered.status >= 500 {
            span.set_status(Status::error(""));
        }
    }
    span.end();
}

/// A span within that of the request at hand, until it is let go; `None`: nothing is recorded.
pub(crate) fn within(name: &'static str) -> Option<impl Drop> {
    let tracer = TRACER.get()?;
    Some(Part(tracer.start(name)))
}

struct Part<S: Span>(S);

impl<S: Span> Drop for Part<S> {
    fn drop(&mut self) {
        self.0.end();
    }
}
