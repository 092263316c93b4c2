//! Around every request: an id that is answered as `X-Request-Id`, one log line, and the last guard that an error has a
//! SCIM body; the tolerances that were used, and what browsers are told. The line holds method, route template, status, duration, client and tenant; of the path only an opaque
//! resource id; never a query, a filter, a body or a token.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use uuid::Uuid;

use super::error::{self, Failure, SCIM_JSON};
use super::extract::{self, Asker};
use super::{State, cors};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The middleware.
pub(super) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let offered = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = extract::accept_request_id(offered);
    request.extensions_mut().insert(id.clone());
    let state = request.app_data::<web::Data<State>>().cloned();
    let origins = state.as_ref().map(|state| state.settings.cors_origins.as_slice()).unwrap_or_default();
    let origin = cors::allowed(request.headers(), origins);
    let preflight = origin.as_ref().and_then(|_| cors::preflight(request.method(), request.headers()));
    let mut response = match preflight {
        Some(answer) => request.into_response(answer),
        // Nothing within answers with an error that is not a response already.
        None => next.call(request).await?.map_into_boxed_body(),
    };
    log(&response, &id.0, begun);
    if lacks_scim_body(&response) {
        let replacement = error::replacement(response.status());
        response = ServiceResponse::new(response.into_parts().0, replacement);
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    let asker = response.request().extensions().get::<Asker>().cloned();
    if let (Some(state), Some(asker)) = (&state, asker) {
        state.tolerances.tell(&asker, response.headers_mut());
    }
    if !origins.is_empty() {
        cors::vary(response.headers_mut());
    }
    if let Some(origin) = origin {
        cors::allow(origin, response.headers_mut());
    }
    Ok(response)
}

fn lacks_scim_body(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    let is_scim = response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes() == SCIM_JSON.as_bytes());
    (status.is_client_error() || status.is_server_error()) && !is_scim
}

fn log(response: &ServiceResponse<BoxBody>, request_id: &Arc<str>, begun: Instant) {
    let request = response.request();
    let status = response.status().as_u16();
    let route = request.match_pattern().unwrap_or_else(|| "(none)".to_owned());
    let (client, tenant) = asker(request);
    let resource = request.match_info().get("id").and_then(|id| Uuid::parse_str(id).ok());
    let resource = resource.map(|id| id.to_string()).unwrap_or_default();
    let milliseconds = begun.elapsed().as_micros() as f64 / 1000.0;
    tracing::info!(
        method = %request.method(), route, resource, status, milliseconds, client = &*client, tenant,
        request_id = &**request_id,
        "request"
    );
    if response.status() >= StatusCode::INTERNAL_SERVER_ERROR
        && response.status() != StatusCode::NOT_IMPLEMENTED
        && let Some(error) = response.response().error()
    {
        tracing::error!(request_id = &**request_id, cause = chain(error), "request failed");
    }
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
