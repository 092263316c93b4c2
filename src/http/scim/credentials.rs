//! `/Clients/{id}/credentials`: an administrator gives a client another token, secret, key or certificate, and takes one
//! away. A secret is in the one answer that makes it and nowhere else, so that answer is not to be stored.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use store::{ResourceId, format_instant};
use uuid::Uuid;

use crate::auth::issue::Wanted;
use crate::auth::{scope, token};
use crate::directory::Ctx;
use crate::directory::clients::{self, CLIENT, NewCredential};
use crate::http::error::{Failure, SCIM_JSON};
use crate::http::{Answer, State, body, extract, respond};

/// POST: 201 with the credential, its secret for the only time.
pub(in crate::http) async fn add(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let (ctx, client) = permitted(&request, &state).await?;
    let body = body::read(&request, payload, &state.settings).await?;
    let issued = Wanted::read(&body)?.issue(ctx.tenant, ctx.now)?;
    let credential = issued.credential.clone();
    let added = clients::add(&state.directory, &ctx, client, issued.credential).await;
    state.authenticator.forget();
    added?;
    let shown = shown(&ctx, client, &credential, issued.secret);
    let location = format!("{}/{CLIENT}s/{client}/credentials/{}", ctx.base_url, credential.id);
    Ok(HttpResponse::Created()
        .insert_header((header::CONTENT_TYPE, SCIM_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::LOCATION, location))
        .body(shown.to_string()))
}

/// DELETE: 204. The credential stays in the client's list, with the moment at which it was revoked.
pub(in crate::http) async fn revoke(request: HttpRequest, state: web::Data<State>) -> Answer {
    let (ctx, client) = permitted(&request, &state).await?;
    let name = request.match_info().get("credential").unwrap_or_default();
    let id = Uuid::parse_str(name).map_err(|_| scim::Error::not_found("Credential", name))?;
    let revoked = clients::revoke(&state.directory, &ctx, client, Some(id)).await;
    state.authenticator.forget();
    revoked?;
    Ok(respond::removed())
}

async fn permitted(request: &HttpRequest, state: &State) -> Result<(Ctx, ResourceId), Failure> {
    let ctx = extract::context(request, state).await?;
    scope::permit_administering(&ctx.caller).map_err(Failure::Denied)?;
    let id = extract::id(request);
    let client = id.parse().map_err(|()| scim::Error::not_found(CLIENT, id))?;
    Ok((ctx, client))
}

fn shown(ctx: &Ctx, client: ResourceId, credential: &NewCredential, secret: Option<String>) -> Value {
    let kind = credential.kind.as_str();
    let mut shown = json!({
        "value": credential.id.to_string(), "kind": kind, "clientId": token::client_id(ctx.tenant, client),
        "createdAt": format_instant(ctx.now),
    });
    let Some(object) = shown.as_object_mut() else { return shown };
    if let Some(label) = &credential.label {
        object.insert("label".to_owned(), label.as_str().into());
    }
    for (name, at) in [("startsAt", credential.starts_at), ("expiresAt", credential.expires_at)] {
        if let Some(at) = at {
            object.insert(name.to_owned(), format_instant(at).into());
        }
    }
    let material = credential.material.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match (secret, material) {
        (Some(secret), _) => drop(object.insert(kind.to_owned(), secret.into())),
        (None, Some(material)) if kind == "key" => drop(object.insert("jwk".to_owned(), material)),
        (None, Some(material)) => drop(object.insert(kind.to_owned(), material)),
        (None, None) => {}
    }
    shown
}
