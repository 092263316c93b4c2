//! Answers that are no errors: media type, `ETag`, `Location` and the tolerances that were used. Never parses or changes
//! a body; the directory has made it.

use std::convert::Infallible;

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;

use super::error::SCIM_JSON;
use crate::directory::{Fetched, Written};

/// Names the liberties that were taken in understanding the request.
const TOLERANCE: &str = "Matrikel-Tolerance";

/// 200 with a SCIM message.
pub(super) fn message(body: String) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, SCIM_JSON)).body(body)
}

/// 200 with a BulkResponse (RFC 7644 section 3.7).
pub(super) fn bulk(body: String, used: &[&'static str]) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, SCIM_JSON));
    tolerances(&mut response, used);
    response.body(body)
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
    tolerances(&mut response, &written.tolerances);
    response.finish()
}

/// 200 with a resource, or 304 when the client has it already (RFC 7644 section 3.14).
pub(super) fn fetched(fetched: Fetched) -> HttpResponse {
    match fetched {
        Fetched::Found { etag, location, body } => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, SCIM_JSON))
            .insert_header((header::ETAG, etag))
            .insert_header((header::LOCATION, location))
            .body(body),
        Fetched::Large { etag, location, slices } => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, SCIM_JSON))
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
        .insert_header((header::CONTENT_TYPE, SCIM_JSON))
        .insert_header((header::ETAG, written.etag.as_str()))
        .insert_header((header::LOCATION, written.location.as_str()));
    tolerances(&mut response, &written.tolerances);
    response.body(written.body)
}

fn tolerances(response: &mut HttpResponseBuilder, used: &[&'static str]) {
    let mut names: Vec<&str> = Vec::new();
    for name in used {
        if !names.contains(name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        response.insert_header((TOLERANCE, names.join(", ")));
    }
}
