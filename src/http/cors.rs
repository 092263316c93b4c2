//! Scripts of other origins in a browser (the Fetch standard, "HTTP CORS protocol"). Off unless an operator names origins;
//! each is matched whole, never by pattern, and cookies are never allowed. For any other origin the answer is the same
//! as without this, so that the browser keeps it from the script.

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const SENT: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id";
const SHOWN: &str =
    "ETag, Location, Matrikel-Replayed, Matrikel-Tolerance, Retry-After, WWW-Authenticate, X-Request-Id";
/// Seconds for which a browser may remember what a preflight said.
const MAX_AGE: &str = "600";

/// The origin of a request, if its scripts may use the interface.
pub(super) fn allowed(request: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = request.get(ORIGIN)?;
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// The answer to a preflight; `None`: the request is none.
pub(super) fn preflight(method: &Method, request: &HeaderMap) -> Option<HttpResponse> {
    if method != Method::OPTIONS || !request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = HttpResponse::NoContent();
    response.insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS));
    response.insert_header((ACCESS_CONTROL_ALLOW_HEADERS, SENT));
    response.insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE));
    Some(response.finish())
}

/// Lets the scripts of that origin read the answer.
pub(super) fn allow(origin: HeaderValue, response: &mut HeaderMap) {
    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
}

/// Tells caches that the answer depends on the origin, wherever any origin is allowed.
pub(super) fn vary(response: &mut HeaderMap) {
    response.append(VARY, HeaderValue::from_static("Origin"));
}
