//! Searches (RFC 7644 sections 3.4.2 and 3.4.3): over one resource type or over all that the caller may see, asked by
//! query string or by the body of a POST to `.search`, which keeps personal data out of URLs.

use std::slice;
use std::sync::Arc;

use actix_web::{HttpRequest, web};
use scim::query::SearchRequest;
use scim::schema::Definition;
use store::GROUP_MEMBERSHIP;

use super::named::{self, Meant};

use crate::directory::clients::CLIENT;
use crate::directory::scope::{Access, is_administrative};
use crate::directory::{Ctx, Found};
use crate::http::error::Failure;
use crate::http::extract::{self, Asked};
use crate::http::{Answer, State, body, respond};

/// GET of an endpoint.
pub(in crate::http) async fn by_query(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { ctx, definition } = extract::asked(&request, &state, Access::Read).await?;
    let search = extract::search(&request)?;
    ctx.check_sensitive(slice::from_ref(&definition), &search)?;
    one_type(&state, &ctx, &definition, search).await
}

/// POST to an endpoint's `.search`.
pub(in crate::http) async fn by_body(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let Asked { ctx, definition } = extract::asked(&request, &state, Access::Read).await?;
    let body = body::read(&request, payload, &state.settings).await?;
    let search = SearchRequest::from_body(&body)?;
    one_type(&state, &ctx, &definition, search).await
}

async fn one_type(state: &State, ctx: &Ctx, definition: &Arc<Definition>, search: SearchRequest) -> Answer {
    let mut found = find(state, ctx, slice::from_ref(definition), search).await?;
    if definition.name() == CLIENT {
        found.body = state.directory.with_use(ctx, found.body).await?;
    }
    Ok(respond::found(found))
}

/// What is found, asked and answered by the names that the client knows.
async fn find(
    state: &State,
    ctx: &Ctx,
    definitions: &[Arc<Definition>],
    mut search: SearchRequest,
) -> Result<Found, Failure> {
    let meant = Meant::search(state, ctx, definitions, &mut search).await?;
    let found = state.directory.search(ctx, definitions, &search).await.map_err(|error| meant.told(error))?;
    named::found(state, ctx, definitions, found).await
}

/// GET of the base URL.
pub(in crate::http) async fn everything(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let search = extract::search(&request)?;
    let visible = visible(&ctx, &state);
    ctx.check_sensitive(&visible, &search)?;
    Ok(respond::found(find(&state, &ctx, &visible, search).await?))
}

/// POST to `.search` below the base URL.
pub(in crate::http) async fn everything_by_body(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let body = body::read(&request, payload, &state.settings).await?;
    let search = SearchRequest::from_body(&body)?;
    Ok(respond::found(find(&state, &ctx, &visible(&ctx, &state), search).await?))
}

/// The resource types that are searched together: those that the client's scopes let it read. Memberships are in their
/// groups' `members` already; what administers the register is found where it is asked for.
fn visible(ctx: &Ctx, state: &State) -> Vec<Arc<Definition>> {
    let registry = state.directory.registry_of(ctx.tenant);
    registry
        .definitions()
        .iter()
        .filter(|definition| ctx.caller.scopes.allow(definition.name(), Access::Read))
        .filter(|definition| definition.name() != GROUP_MEMBERSHIP && !is_administrative(definition.name()))
        .cloned()
        .collect()
}
