//! Around every request: an id that is answered as `X-Request-Id`, one log line, and the last guard that an error has a
//! SCIM body, even a panic: it costs its own request a 500 and nobody else anything. Here answers also get the tolerances
//! that were used and what browsers are told. The line holds method, route template, status, duration, client and
//! tenant; of the path only an opaque resource id; never a query, a filter, a body or a token.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use futures_util::FutureExt;
use uuid::Uuid;

use super::error::{self, Failure, SCIM_JSON};
use super::extract::{self, Asker};
use super::routes::Pattern;
use super::{State, alone, audit, cors, hold, tenancy};
#[cfg(feature = "opentelemetry")]
use crate::trace;

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware.
pub(super) async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let _under_way = alone::UnderWay::begin(request.peer_addr(), begun);
    tenancy::take_slug(&mut request);
    let offered = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = extract::accept_request_id(offered);
    request.extensions_mut().insert(id.clone());
    let state = request.app_data::<web::Data<State>>().cloned();
    let origins = state.as_ref().map(|state| state.settings.cors_origins.as_slice()).unwrap_or_default();
    let origin = cors::allowed(request.headers(), origins);
    let preflight = origin.as_ref().and_then(|_| cors::preflight(request.method(), request.headers()));
    let held = hold::body_of(&mut request);
    #[cfg(feature = "opentelemetry")]
    let span = trace::begin(request.headers());
    #[cfg(feature = "opentelemetry")]
    let called = |request, next: Next<_>| trace::during(span.as_ref(), next.call(request));
    #[cfg(not(feature = "opentelemetry"))]
    let called = |request, next: Next<_>| next.call(request);
    let mut response = match preflight {
        Some(answer) => request.into_response(answer),
        // Nothing within answers with an error that is not a response already. After a panic the request is gone, so
        // that what is left of it is told here; nothing that it held is looked at again.
        None => match AssertUnwindSafe(called(request, next)).catch_unwind().await {
            Ok(response) => response?.map_into_boxed_body(),
            Err(panic) => {
                if let Some(state) = &state {
                    state.metrics.record_panic();
                }
                return Err(broken_off(&id.0, begun, panic.as_ref()));
            }
        },
    };
    log(&response, &id.0, begun);
    #[cfg(feature = "opentelemetry")]
    tell(span.as_ref(), &response, &id.0);
    if lacks_scim_body(&response) {
        let replacement = error::replacement(response.status());
        response = ServiceResponse::new(response.into_parts().0, replacement);
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let asker = response.request().extensions().get::<Asker>().cloned();
    if let Some(state) = &state {
        state.metrics.record(&response, asker.as_ref(), begun);
        audit::look_at(&response, state);
        if let Some(hsts) = &state.hsts {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if let Some(asker) = asker {
            state.tolerances.tell(&asker, response.headers_mut());
        }
    }
    if !origins.is_empty() {
        cors::vary(response.headers_mut());
    }
    if let Some(origin) = origin {
        cors::allow(origin, response.headers_mut());
    }
    Ok(match held {
        Some(held) => response.map_body(|_, answer| held.until_the_end_of(answer)),
        None => response,
    })
}

/// Ends the span of a request with what became of it.
#[cfg(feature = "opentelemetry")]
fn tell(span: Option<&opentelemetry::Context>, response: &ServiceResponse<BoxBody>, request_id: &str) {
    let Some(span) = span else { return };
    let request = response.request();
    let (client, tenant) = asker(request);
    let (method, status) = (request.method(), response.status().as_u16());
    trace::end(span, &trace::Answered { method, route: route(request), status, client: &client, tenant, request_id });
}

/// The answer to a request whose handler panicked.
fn broken_off(request_id: &Arc<str>, begun: Instant, panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let cause = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let milliseconds = begun.elapsed().as_micros() as f64 / 1000.0;
    tracing::error!(request_id = &**request_id, milliseconds, cause, "request failed: a handler panicked");
    let mut response = error::replacement(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    InternalError::from_response("a handler panicked", response).into()
}

fn lacks_scim_body(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    let is_scim = response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == SCIM_JSON.as_bytes());
    // The token endpoint has words of its own.
    let is_oauth = || {
        let error = response.response().error().and_then(|error| error.as_error::<Failure>());
        matches!(error, Some(Failure::OAuth(_)))
    };
    (status.is_client_error() || status.is_server_error()) && !is_scim && !is_oauth()
}

fn log(response: &ServiceResponse<BoxBody>, request_id: &Arc<str>, begun: Instant) {
    if tracing::enabled!(tracing::Level::INFO) {
        let request = response.request();
        let status = response.status().as_u16();
        let (client, tenant) = asker(request);
        let resource = request.match_info().get("id").and_then(|id| Uuid::parse_str(id).ok());
        let mut buffer = Uuid::encode_buffer();
        let resource = resource.map_or("", |id| id.hyphenated().encode_lower(&mut buffer));
        let milliseconds = begun.elapsed().as_micros() as f64 / 1000.0;
        tracing::info!(
            method = request.method().as_str(),
            route = route(request),
            resource,
            status,
            milliseconds,
            client = &*client,
            tenant,
            request_id = &**request_id,
            "request"
        );
    }
    if response.status() >= StatusCode::INTERNAL_SERVER_ERROR
        && let Some(error) = response.response().error()
    {
        tracing::error!(request_id = &**request_id, cause = chain(error), "request failed");
    }
}

fn route(request: &HttpRequest) -> &'static str {
    request.app_data::<Pattern>().map_or("(none)", |pattern| pattern.0)
}

fn asker(request: &HttpRequest) -> (Arc<str>, i64) {
    request
        .extensions()
        .get::<Asker>()
        .map_or_else(|| (Arc::from(""), 0), |asker| (Arc::clone(&asker.client), asker.tenant))
}

/// The error and its sources, outermost first.
fn chain(error: &Error) -> String {
    let Some(failure) = error.as_error::<Failure>() else { return error.to_string() };
    let mut text = failure.to_string();
    let mut source = std::error::Error::source(failure);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::{App, HttpResponse, HttpServer, web};

    use super::*;

    async fn panic_at_once() -> HttpResponse {
        panic!("the handler panics")
    }

    /// Over a real connection, for what a panic costs is decided below the middleware.
    #[actix_web::test]
    async fn a_panic_is_a_scim_error_and_the_connection_serves_on() {
        let server = HttpServer::new(|| {
            App::new()
                .route("/panic", web::get().to(panic_at_once))
                .route("/well", web::get().to(HttpResponse::NoContent))
                .wrap(from_fn(observe))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a port");
        let address = server.addrs().first().copied().expect("an address");
        let server = server.run();
        let handle = server.handle();
        let running = tokio::spawn(server);
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        for _ in 0..3 {
            let request = client.get(format!("http://{address}/panic")).header("x-request-id", "abc");
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 500);
            assert_eq!(answer.headers().get("x-request-id").expect("an id"), "abc");
            assert_eq!(answer.headers().get("content-type").expect("a type"), SCIM_JSON);
            let body: serde_json::Value = answer.json().await.expect("JSON");
            assert_eq!(body["status"], "500");
            assert!(!body.to_string().contains("panics"), "what happened is not told: {body}");
            let answer = client.get(format!("http://{address}/well")).send().await.expect("an answer");
            assert_eq!(answer.status(), 204);
        }
        handle.stop(true).await;
        running.await.expect("joined").expect("stopped");
    }
}
