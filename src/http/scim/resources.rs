//! Create, fetch, replace, patch and remove one resource (RFC 7644 sections 3.3 to 3.6). Each is one call of the
//! directory; what it answers is decided here and nothing else.

use std::sync::Arc;

use actix_web::{HttpRequest, web};
use scim::resource::Projection;
use scim::schema::Definition;
use serde_json::Value;

use super::named::{self, Meant, Named};

use crate::directory::clients::CLIENT;
use crate::directory::issuers::ISSUER;
use crate::directory::scope::Access;
use crate::directory::views::VIEW;
use crate::directory::{Ctx, Fetched, Precondition};
use crate::http::error::Failure;
use crate::http::extract::{self, Asked, Wanted};
use crate::http::routes::MANY;
use crate::http::{Answer, State, body, once, respond};

/// What a user of a foreign issuer's token is.
const USER: &str = "User";

/// The resource type whose PATCH answers 204: a large group is not read back for nothing.
const SILENT: &str = "Group";

/// POST: 201.
pub(in crate::http) async fn create(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let Asked { mut ctx, definition } = extract::asked(&request, &state, Access::Write).await?;
    let mut body = body::read(&request, payload, &state.settings).await?;
    let definition = state.directory.definition_for(&ctx, definition, &body).await?;
    let Wanted { projection, .. } = extract::wanted(&request, &definition)?;
    once::take_key(&request, &mut ctx, Some(&body), 201)?;
    let meant = Meant::document(&state, &ctx, &definition, &mut body).await?;
    let create = async {
        let created = state.directory.create(&ctx, &definition, body, &projection).await;
        let written = created.map_err(|error| meant.told(error))?;
        Ok(respond::created(named::written(&state, &ctx, &definition, written).await?))
    };
    once::answer(&state, &ctx, create, &definition.core.id, async |id| {
        named(&state, &ctx, &definition, id, &projection).await
    })
    .await
}

/// GET: 200 or 304.
pub(in crate::http) async fn fetch(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { ctx, definition } = extract::asked(&request, &state, Access::Read).await?;
    let Wanted { projection, .. } = extract::wanted(&request, &definition)?;
    let condition = extract::precondition(&request)?;
    let place = Named::find(&state, &ctx, &definition, extract::id(&request)).await?;
    let fetched = state.directory.fetch(&ctx, &definition, &place.id, &condition, &projection).await;
    let fetched = fetched.map_err(|error| place.told(error))?;
    let fetched = named::fetched(&state, &ctx, &definition, fetched).await?;
    Ok(respond::fetched(with_use(&state, &ctx, &definition, fetched).await?))
}

/// What was fetched; a client with the dates at which its credentials were used.
async fn with_use(state: &State, ctx: &Ctx, definition: &Definition, fetched: Fetched) -> Result<Fetched, Failure> {
    Ok(match fetched {
        Fetched::Found { etag, location, body } if definition.name() == CLIENT => {
            Fetched::Found { etag, location, body: Box::pin(state.directory.with_use(ctx, body)).await? }
        }
        fetched => fetched,
    })
}

/// GET of `/Me`: the user that a token names, else the client that asks, whatever it may do (RFC 7644 section 3.11). Its
/// location is the resource's own.
pub(in crate::http) async fn me(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let (kind, id) = ctx.caller.user.map_or((CLIENT, ctx.caller.id), |user| (USER, user));
    let definition = state.directory.catalog(ctx.tenant, ctx.now).await?.registry().definition(kind).cloned();
    let definition = definition.ok_or_else(|| scim::Error::not_found(kind, "Me"))?;
    let Wanted { projection, .. } = extract::wanted(&request, &definition)?;
    let condition = extract::precondition(&request)?;
    let fetched = state.directory.fetch(&ctx, &definition, &id.to_string(), &condition, &projection).await?;
    Ok(respond::fetched(with_use(&state, &ctx, &definition, fetched).await?))
}

/// PUT: 200.
pub(in crate::http) async fn replace(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let asked = extract::asked(&request, &state, Access::Write).await?;
    let condition = extract::precondition(&request)?;
    let body = body::read(&request, payload, &state.settings).await?;
    put(&request, &state, asked, extract::id(&request), &condition, body).await
}

/// PUT to a collection: 405, but for a client that knows resources by names of its own; its body says which.
pub(in crate::http) async fn replace_named(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    if !ctx.caller.profile.has_names() {
        return Err(Failure::Method(MANY));
    }
    let asked = extract::asked_in(ctx, &request, &state, Access::Write).await?;
    let condition = extract::precondition(&request)?;
    let body = body::read(&request, payload, &state.settings).await?;
    let name = named::name_in(&body).map(str::to_owned);
    let name = name.ok_or_else(|| {
        scim::Error::invalid_value("Which resource it is must stand in id or externalId, a UUID in lower case.")
    })?;
    put(&request, &state, asked, &name, &condition, body).await
}

async fn put(
    request: &HttpRequest,
    state: &State,
    Asked { mut ctx, definition }: Asked,
    name: &str,
    condition: &Precondition,
    mut body: Value,
) -> Answer {
    let place = Named::find(state, &ctx, &definition, name).await?;
    place.keep(&mut body)?;
    let definition = state.directory.definition_for(&ctx, definition, &body).await?;
    let Wanted { projection, .. } = extract::wanted(request, &definition)?;
    once::take_key(request, &mut ctx, Some(&body), 200)?;
    let meant = Meant::document(state, &ctx, &definition, &mut body).await?;
    let replace = async {
        let outcome = state.directory.replace(&ctx, &definition, &place.id, body, condition, &projection).await;
        forget(state, &definition);
        let written = outcome.map_err(|error| place.told(meant.told(error)))?;
        Ok(respond::changed(named::written(state, &ctx, &definition, written).await?))
    };
    once::answer(state, &ctx, replace, &definition.core.id, async |id| {
        named(state, &ctx, &definition, id, &projection).await
    })
    .await
}

/// PATCH: 200 with the resource, or 204 for a group unless attributes were asked for.
pub(in crate::http) async fn patch(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let Asked { mut ctx, definition } = extract::asked(&request, &state, Access::Write).await?;
    let condition = extract::precondition(&request)?;
    let mut body = body::read(&request, payload, &state.settings).await?;
    let definition = state.directory.definition_for(&ctx, definition, &body).await?;
    let Wanted { projection, is_explicit } = extract::wanted(&request, &definition)?;
    let is_silent = definition.name() == SILENT && !is_explicit;
    let place = Named::find(&state, &ctx, &definition, extract::id(&request)).await?;
    once::take_key(&request, &mut ctx, Some(&body), if is_silent { 204 } else { 200 })?;
    let meant = Meant::patch(&state, &ctx, &definition, &mut body).await?;
    let patch = async {
        let id = &*place.id;
        if is_silent {
            // Nobody will see the answer, so the members need not be read for it.
            let nothing = Projection::nothing();
            let written = state.directory.patch(&ctx, &definition, id, body, &condition, &nothing).await;
            return Ok(respond::changed_silently(&written.map_err(|error| place.told(meant.told(error)))?));
        }
        let outcome = state.directory.patch(&ctx, &definition, id, body, &condition, &projection).await;
        forget(&state, &definition);
        let written = outcome.map_err(|error| place.told(meant.told(error)))?;
        Ok(respond::changed(named::written(&state, &ctx, &definition, written).await?))
    };
    once::answer(&state, &ctx, patch, &definition.core.id, async |id| {
        named(&state, &ctx, &definition, id, &projection).await
    })
    .await
}

/// DELETE: 204.
pub(in crate::http) async fn remove(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { mut ctx, definition } = extract::asked(&request, &state, Access::Write).await?;
    let condition = extract::precondition(&request)?;
    once::take_key(&request, &mut ctx, None, 204)?;
    let place = Named::find(&state, &ctx, &definition, extract::id(&request)).await?;
    let remove = async {
        let outcome = state.directory.remove(&ctx, &definition, &place.id, &condition).await;
        forget(&state, &definition);
        outcome.map_err(|error| place.told(error))?;
        Ok(respond::removed())
    };
    let whole = Projection::whole(&definition);
    once::answer(&state, &ctx, remove, &definition.core.id, async |id| {
        named(&state, &ctx, &definition, id, &whole).await
    })
    .await
}

/// What a write that was done before has named, as it is now.
async fn named(
    state: &State,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    id: &str,
    projection: &Projection,
) -> Result<Fetched, Failure> {
    let fetched = state.directory.fetch(ctx, definition, id, &Precondition::none(), projection).await?;
    named::fetched(state, ctx, definition, fetched).await
}

/// After a client, an issuer or a view was changed, or may have been, nobody is let in for what it was before.
fn forget(state: &State, definition: &Definition) {
    if [CLIENT, ISSUER, VIEW].contains(&definition.name()) {
        state.authenticator.forget();
    }
}
