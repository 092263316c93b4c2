//! Schemas and resource types that an administrator adds, replaces and removes (RFC 7643 sections 6 and 7, by the verbs of
//! RFC 7644 section 3). Reading them is `discovery`.

use actix_web::http::header;
use actix_web::{HttpRequest, web};

use crate::directory::types::Document;
use crate::directory::{Ctx, Role};
use crate::http::error::Failure;
use crate::http::routes::READ;
use crate::http::{Answer, State, body, extract, respond};

/// POST `/Schemas`: 201.
pub(in crate::http) async fn add_schema(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    add(Document::Schema, &request, payload, &state).await
}

/// POST `/ResourceTypes`: 201. The endpoint serves from the answer on.
pub(in crate::http) async fn add_resource_type(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    add(Document::ResourceType, &request, payload, &state).await
}

/// PUT `/Schemas/{id}`: 200.
pub(in crate::http) async fn replace_schema(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    replace(Document::Schema, &request, payload, &state).await
}

/// PUT `/ResourceTypes/{id}`: 200.
pub(in crate::http) async fn replace_resource_type(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    replace(Document::ResourceType, &request, payload, &state).await
}

/// PATCH `/ResourceTypes/{id}`: 200.
pub(in crate::http) async fn patch_resource_type(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    let ctx = permitted(Document::ResourceType, &request, &state).await?;
    let condition = extract::precondition(&request)?;
    let body = body::read(&request, payload, &state.settings).await?;
    let id = extract::document_id(&request);
    Ok(respond::changed(state.directory.patch_resource_type(&ctx, id, body, &condition).await?))
}

/// DELETE `/Schemas/{id}`: 204.
pub(in crate::http) async fn remove_schema(request: HttpRequest, state: web::Data<State>) -> Answer {
    remove(Document::Schema, &request, &state).await
}

/// DELETE `/ResourceTypes/{id}`: 204.
pub(in crate::http) async fn remove_resource_type(request: HttpRequest, state: web::Data<State>) -> Answer {
    remove(Document::ResourceType, &request, &state).await
}

async fn add(what: Document, request: &HttpRequest, payload: web::Payload, state: &State) -> Answer {
    let ctx = permitted(what, request, state).await?;
    if is_empty(request) {
        return Err(Failure::Method(READ));
    }
    let body = body::read(request, payload, &state.settings).await?;
    Ok(respond::created(state.directory.add_document(&ctx, what, body).await?))
}

async fn replace(what: Document, request: &HttpRequest, payload: web::Payload, state: &State) -> Answer {
    let ctx = permitted(what, request, state).await?;
    let condition = extract::precondition(request)?;
    let body = body::read(request, payload, &state.settings).await?;
    let id = extract::document_id(request);
    Ok(respond::changed(state.directory.replace_document(&ctx, what, id, body, &condition).await?))
}

async fn remove(what: Document, request: &HttpRequest, state: &State) -> Answer {
    let ctx = permitted(what, request, state).await?;
    let condition = extract::precondition(request)?;
    state.directory.remove_document(&ctx, what, extract::document_id(request), &condition).await?;
    Ok(respond::removed())
}

/// Whether a request brings neither a body nor a word of one. A POST without a document adds nothing: discovery answers
/// it as a server does whose documents are fixed (RFC 7644 section 4), which is what conformance suites ask for.
fn is_empty(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH).map(|length| length.as_bytes() == b"0");
    !headers.contains_key(header::CONTENT_TYPE)
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && length.unwrap_or(true)
}

async fn permitted(what: Document, request: &HttpRequest, state: &State) -> Result<Ctx, Failure> {
    let ctx = extract::context(request, state).await?;
    match ctx.caller.role {
        Role::Administrator => Ok(ctx),
        _ => Err(Failure::Denied(format!("Only an administrator may change /{}.", what.endpoint()))),
    }
}
