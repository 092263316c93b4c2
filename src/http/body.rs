//! The body of a request: bounded in size and in time, of a media type we read, then parsed by `json`.

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde_json::Value;

use super::error::Failure;
use super::{Settings, accept, extract, json};
use crate::auth::oauth::Denial;

/// Reads the JSON object of a request's body.
pub(super) async fn read(request: &HttpRequest, payload: web::Payload, settings: &Settings) -> Result<Value, Failure> {
    read_within(request, payload, settings, (settings.body_limit, "the limit")).await
}

/// Reads the body of a bulk request; its limit has a name of its own (RFC 7644 section 3.7.4).
pub(super) async fn read_bulk(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &Settings,
) -> Result<Value, Failure> {
    read_within(request, payload, settings, (settings.bulk_payload, "maxPayloadSize")).await
}

async fn read_within(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &Settings,
    (limit, name): (usize, &str),
) -> Result<Value, Failure> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    if !text(header::CONTENT_TYPE).is_some_and(accept::is_readable) {
        return Err(Failure::status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body must be application/scim+json or application/json in UTF-8; say so in Content-Type.",
        ));
    }
    if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Failure::status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed (Content-Encoding). Send it plain.",
        ));
    }
    Ok(json::parse(&collect(request, payload, settings, (limit, name)).await?)?)
}

/// Reads a body that is a form (`application/x-www-form-urlencoded`).
pub(super) async fn read_form(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &Settings,
    limit: usize,
) -> Result<Vec<(String, String)>, Failure> {
    const NO_FORM: Failure =
        Failure::OAuth(Denial::Request("The body must be a form in UTF-8: application/x-www-form-urlencoded."));
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(NO_FORM);
    }
    let body = collect(request, payload, settings, (limit, "the limit")).await?;
    let form = std::str::from_utf8(&body).ok().and_then(extract::pairs);
    form.ok_or(NO_FORM)
}

/// All of a body, if it is small and quick enough.
async fn collect(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &Settings,
    (limit, name): (usize, &str),
) -> Result<Bytes, Failure> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = length.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(too_large(name, limit));
    }
    match tokio::time::timeout(settings.body_timeout, payload.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(_))) => Err(Failure::status(StatusCode::BAD_REQUEST, "The body ended before it was complete.")),
        Ok(Err(_)) => Err(too_large(name, limit)),
        Err(_) => Err(Failure::status(StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive.")),
    }
}

fn too_large(name: &str, limit: usize) -> Failure {
    Failure::status(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body is larger than {name}, which is {limit} bytes. Send less in one request."),
    )
}
