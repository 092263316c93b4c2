//! Schemas and resource types that an administrator adds, replaces and removes (RFC 7643 sections 6 and 7, by the verbs of
//! RFC 7644 section 3). Reading them is `discovery`.

use actix_web::http::header;
use actix_web::{HttpRequest, web};

use crate::auth::scope;
use crate::directory::types::Document;
use crate::directory::{Ctx, Fetched, Precondition};
use crate::http::error::Failure;
use crate::http::routes::READ;
use crate::http::{Answer, State, body, extract, once, respond};

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
    let what = Document::ResourceType;
    let mut ctx = permitted(&request, &state).await?;
    let condition = extract::precondition(&request)?;
    let body = body::read(&request, payload, &state.settings).await?;
    once::take_key(&request, &mut ctx, Some(&body), 200)?;
    let id = extract::document_id(&request);
    let patch = async { Ok(respond::changed(state.directory.patch_resource_type(&ctx, id, body, &condition).await?)) };
    once::answer(&state, &ctx, patch, what.schema(), async |id| named(&state, &ctx, what, id).await).await
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
    let mut ctx = permitted(request, state).await?;
    if is_empty(request) {
        return Err(Failure::Method(READ));
    }
    let body = body::read(request, payload, &state.settings).await?;
    once::take_key(request, &mut ctx, Some(&body), 201)?;
    let add = async { Ok(respond::created(state.directory.add_document(&ctx, what, body).await?)) };
    once::answer(state, &ctx, add, what.schema(), async |id| named(state, &ctx, what, id).await).await
}

async fn replace(what: Document, request: &HttpRequest, payload: web::Payload, state: &State) -> Answer {
    let mut ctx = permitted(request, state).await?;
    let condition = extract::precondition(request)?;
    let body = body::read(request, payload, &state.settings).await?;
    once::take_key(request, &mut ctx, Some(&body), 200)?;
    let id = extract::document_id(request);
    let replace =
        async { Ok(respond::changed(state.directory.replace_document(&ctx, what, id, body, &condition).await?)) };
    once::answer(state, &ctx, replace, what.schema(), async |id| named(state, &ctx, what, id).await).await
}

async fn remove(what: Document, request: &HttpRequest, state: &State) -> Answer {
    let mut ctx = permitted(request, state).await?;
    let condition = extract::precondition(request)?;
    once::take_key(request, &mut ctx, None, 204)?;
    let remove = async {
        state.directory.remove_document(&ctx, what, extract::document_id(request), &condition).await?;
        Ok(respond::removed())
    };
    once::answer(state, &ctx, remove, what.schema(), async |id| named(state, &ctx, what, id).await).await
}

/// What a write that was done before has named, as it is now.
async fn named(state: &State, ctx: &Ctx, what: Document, id: &str) -> Result<Fetched, Failure> {
    let catalog = state.directory.fresh_catalog(ctx.tenant, ctx.now).await?;
    let found = state.directory.fetch_document(ctx, &catalog, what, id, &Precondition::none())?;
    Ok(found.ok_or_else(|| scim::Error::not_found(what.kind(), id))?)
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

async fn permitted(request: &HttpRequest, state: &State) -> Result<Ctx, Failure> {
    let ctx = extract::context(request, state).await?;
    scope::permit_administering(&ctx.caller).map_err(Failure::Denied)?;
    Ok(ctx)
}
