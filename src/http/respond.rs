//! Answers that are no errors: media type, `ETag` and `Location`. Never parses or changes a body; the directory has made
//! it.

use std::convert::Infallible;

use actix_web::http::header::HeaderValue;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;

use super::error::SCIM_JSON;
use super::tolerance;
use crate::directory::deferred::Answer;
use crate::directory::{Fetched, Found, Written};

/// Names the newest change that the first page of a walk by cursor has seen: the pages, brought up to date with the
/// changes after it, are the state at the end of the walk.
const FEED_POSITION: &str = "Matrikel-Feed-Position";
const SET_TXN: &str = "Set-Txn";
static MEDIA_TYPE: HeaderValue = HeaderValue::from_static(SCIM_JSON);

/// 200 with the answer to a search.
pub(super) fn found(found: Found) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone()));
    if let Some(position) = found.feed_position {
        response.insert_header((FEED_POSITION, position.to_string()));
    }
    response.body(found.body)
}

/// 200 with a SCIM message.
pub(super) fn message(body: String) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone())).body(body)
}

/// 202 for a bulk request that is carried out after this answer, and for asking after it before it is done (RFC 9967
/// sections 2.5.1.1 and 3). Without a body.
pub(super) fn accepted(id: &str, base_url: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Accepted();
    response
        .insert_header((SET_TXN, id))
        .insert_header((header::LOCATION, format!("{base_url}/Bulk/{id}")))
        .insert_header((header::RETRY_AFTER, 1));
    response
}

/// The answer that a request has got at last, which was carried out after another.
pub(super) fn at_last(answer: Answer) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    let mut response = response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone())).body(answer.body);
    if !answer.tolerances.is_empty() {
        tolerance::name(&answer.tolerances.join(", "), response.headers_mut());
    }
    response
}

/// 201 with the new resource (RFC 7644 section 3.3).
pub(super) fn created(written: Written) -> HttpResponse {
    resource(StatusCode::CREATED, written)
}

/// 200 with the changed resource.
pub(super) fn changed(written: Written) -> HttpResponse {
    resource(StatusCode::OK, written)
}

/// 204 with the new version, for a change whose result is not read back (RFC 7644 section 3.5.2).
pub(super) fn changed_silently(written: &Written) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ETAG, written.etag.as_str()));
    response.finish()
}

/// 200 with a resource, or 304 when the client has it already (RFC 7644 section 3.14).
pub(super) fn fetched(fetched: Fetched) -> HttpResponse {
    match fetched {
        Fetched::Found { etag, location, body } => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone()))
            .insert_header((header::ETAG, etag))
            .insert_header((header::LOCATION, location))
            .body(body),
        Fetched::Large { etag, location, slices } => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone()))
            .insert_header((header::ETAG, etag))
            .insert_header((header::LOCATION, location))
            .streaming(stream::iter(slices.map(|slice| Ok::<_, Infallible>(Bytes::from(slice))))),
        Fetched::NotModified { etag } => HttpResponse::NotModified().insert_header((header::ETAG, etag)).finish(),
    }
}

/// 204 after a deletion (RFC 7644 section 3.6).
pub(super) fn removed() -> HttpResponse {
    HttpResponse::NoContent().finish()
}

/// 204 that names the methods of a path.
pub(super) fn methods(allow: &'static str) -> HttpResponse {
    HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish()
}

fn resource(status: StatusCode, written: Written) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_TYPE, MEDIA_TYPE.clone()))
        .insert_header((header::ETAG, written.etag.as_str()))
        .insert_header((header::LOCATION, written.location.as_str()));
    response.body(written.body)
}
