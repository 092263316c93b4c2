//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a write that came before with the same key is answered
//! again and not done again. Status, `Location` and, without a body, `ETag` are those of the first answer; a body is the
//! resource as it is now, since nothing that was answered is kept. Never decides whether a write is the same: the
//! directory does.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use store::idempotency::Keyed;

use super::error::{Failure, SCIM_JSON};
use super::{Answer, State, extract, respond};
use crate::directory::once::Once;
use crate::directory::{Ctx, Fetched};

/// What the draft calls the header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is to what was done before.
const REPLAYED: HeaderName = HeaderName::from_static("matrikel-replayed");
/// Most characters of a key.
const LONGEST: usize = 255;

/// Takes the key of a request into its context; `status` is what its success is answered with. Fails with 400 for a key
/// that is none.
pub(super) fn take_key(request: &HttpRequest, ctx: &mut Ctx, body: Option<&Value>, status: u16) -> Result<(), Failure> {
    let Some(key) = extract::text(request, &KEY)? else { return Ok(()) };
    // The draft writes it as a structured string, many clients as it is.
    let bare = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(&key);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',');
    if !(1..=LONGEST).contains(&bare.len()) || !bare.bytes().all(is_plain) {
        return Err(Failure::status(
            StatusCode::BAD_REQUEST,
            "Idempotency-Key must be one key of 1 to 255 visible ASCII characters without comma, quotation mark or \
             backslash, such as a UUID.",
        ));
    }
    let of = |name| extract::text(request, &name).map(Option::unwrap_or_default);
    let (if_match, if_none_match) = (of(header::IF_MATCH)?, of(header::IF_NONE_MATCH)?);
    let body = body.map(Value::to_string).unwrap_or_default();
    let parts = [
        request.method().as_str(),
        request.path(),
        request.query_string(),
        if_match.as_ref(),
        if_none_match.as_ref(),
        body.as_str(),
    ];
    ctx.once = Some(Arc::new(Once::new(bare, &parts.map(str::as_bytes), status)));
    Ok(())
}

/// Answers a write that may have been done before. `fetch` reads what the write named, of that schema, by the last part of
/// its location.
pub(super) async fn answer(
    state: &State,
    ctx: &Ctx,
    run: impl Future<Output = Answer>,
    schema: &str,
    fetch: impl AsyncFnOnce(&str) -> Result<Fetched, Failure>,
) -> Answer {
    if ctx.once.is_none() {
        return run.await;
    }
    if let Some(keyed) = state.directory.done_before(ctx).await? {
        return again(ctx, keyed, schema, fetch).await;
    }
    match run.await {
        Ok(answer) => Ok(answer),
        // It may have been overtaken by its like, or have been carried out before the answer was lost.
        Err(failure) => match state.directory.done_before(ctx).await? {
            Some(keyed) => again(ctx, keyed, schema, fetch).await,
            None => Err(failure),
        },
    }
}

/// Marks an answer to what was done before.
pub(super) fn mark(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

async fn again(
    ctx: &Ctx,
    keyed: Keyed,
    schema: &str,
    fetch: impl AsyncFnOnce(&str) -> Result<Fetched, Failure>,
) -> Answer {
    let status = StatusCode::from_u16(keyed.status).unwrap_or(StatusCode::OK);
    let mut response = HttpResponse::build(status);
    if let Some(etag) = &keyed.etag {
        response.insert_header((header::ETAG, etag.as_str()));
    }
    if status == StatusCode::NO_CONTENT {
        return Ok(mark(response.finish()));
    }
    let id = keyed.place.rsplit('/').next().unwrap_or_default();
    match fetch(id).await {
        Ok(fetched) => {
            let mut response = respond::fetched(fetched);
            *response.status_mut() = status;
            Ok(mark(response))
        }
        // It has gone since: what was said of it can still be told.
        Err(failure) if failure.told().status == 404 => {
            let location = format!("{}{}", ctx.base_url, keyed.place);
            let body =
                json!({ "schemas": [schema], "id": id, "meta": { "location": location, "version": keyed.etag } });
            response.insert_header((header::CONTENT_TYPE, SCIM_JSON)).insert_header((header::LOCATION, location));
            Ok(mark(response.body(body.to_string())))
        }
        Err(failure) => Err(failure),
    }
}
