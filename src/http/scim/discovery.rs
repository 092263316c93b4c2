//! What the server can do, as data (RFC 7644 section 4, RFC 7643 sections 5 to 7, RFC 9865 section 4). Served from the
//! same registry that requests are checked against, so that it cannot say anything untrue. A filter is refused, paging
//! and sorting are ignored. Types that a client may not touch are not shown to it.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use scim::schema::{Definition, Registry, Schema};
use serde_json::{Value, json};
use store::GROUP_MEMBERSHIP;

use crate::auth::scope;
use crate::directory::Ctx;
use crate::directory::scope::is_administrative;
use crate::directory::types::Document;
use crate::http::error::Failure;
use crate::http::{Answer, Settings, State, extract, respond};

const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";

/// GET `/ServiceProviderConfig`.
pub(in crate::http) async fn service_provider_config(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = context(&request, &state).await?;
    Ok(respond::message(configuration(&state.settings, &ctx).to_string()))
}

/// GET `/Schemas`.
pub(in crate::http) async fn schemas(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = context(&request, &state).await?;
    let catalog = state.directory.catalog(ctx.tenant, ctx.now).await?;
    let hidden = hidden(&ctx, catalog.registry());
    let mut documents = Vec::new();
    for schema in catalog.registry().schemas().filter(|schema| !is_hidden(schema, &hidden)) {
        documents.push(match state.directory.own_document(&ctx, &catalog, Document::Schema, &schema.id)? {
            Some(own) => Value::Object(own),
            None => schema_document(schema, &ctx),
        });
    }
    Ok(list(&documents))
}

/// GET `/Schemas/{id}`.
pub(in crate::http) async fn schema(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = context(&request, &state).await?;
    let urn = extract::document_id(&request);
    let catalog = match state.directory.catalog(ctx.tenant, ctx.now).await? {
        known if known.registry().schema(urn).is_some() => known,
        _ => state.directory.fresh_catalog(ctx.tenant, ctx.now).await?,
    };
    let condition = extract::precondition(&request)?;
    if let Some(own) = state.directory.fetch_document(&ctx, &catalog, Document::Schema, urn, &condition)? {
        return Ok(respond::fetched(own));
    }
    let hidden = hidden(&ctx, catalog.registry());
    let schema = catalog.registry().schema(urn).filter(|schema| !is_hidden(schema, &hidden));
    let schema = schema.ok_or_else(|| scim::Error::not_found("Schema", urn))?;
    Ok(respond::message(schema_document(schema, &ctx).to_string()))
}

/// GET `/ResourceTypes`.
pub(in crate::http) async fn resource_types(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = context(&request, &state).await?;
    let catalog = state.directory.catalog(ctx.tenant, ctx.now).await?;
    // Suites make, change and delete what they find in the list, with values of their own making: a membership is never
    // changed, an event not even made, and what administers the register names what must be there.
    let is_listed = |name: &str| match name {
        GROUP_MEMBERSHIP => state.settings.announce_memberships,
        name => !is_administrative(name),
    };
    let definitions = catalog.registry().definitions().iter();
    let definitions = definitions.filter(|definition| scope::knows(&ctx.caller, definition));
    let mut documents = Vec::new();
    for definition in definitions.filter(|definition| is_listed(definition.name())) {
        documents.push(
            match state.directory.own_document(&ctx, &catalog, Document::ResourceType, definition.name())? {
                Some(own) => Value::Object(own),
                None => resource_type_document(definition, &ctx),
            },
        );
    }
    Ok(list(&documents))
}

/// GET `/ResourceTypes/{id}`.
pub(in crate::http) async fn resource_type(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = context(&request, &state).await?;
    let name = extract::document_id(&request);
    let catalog = match state.directory.catalog(ctx.tenant, ctx.now).await? {
        known if known.registry().definition(name).is_some() => known,
        _ => state.directory.fresh_catalog(ctx.tenant, ctx.now).await?,
    };
    let definition = catalog.registry().definition(name);
    let definition = definition.filter(|definition| scope::knows(&ctx.caller, definition));
    let definition = definition.ok_or_else(|| scim::Error::not_found("ResourceType", name))?;
    let condition = extract::precondition(&request)?;
    if let Some(own) = state.directory.fetch_document(&ctx, &catalog, Document::ResourceType, name, &condition)? {
        return Ok(respond::fetched(own));
    }
    Ok(respond::message(resource_type_document(definition, &ctx).to_string()))
}

async fn context(request: &HttpRequest, state: &State) -> Result<Ctx, Failure> {
    let ctx = extract::context(request, state).await?;
    if extract::parameters(request)?.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
        return Err(Failure::status(StatusCode::FORBIDDEN, "This endpoint cannot be filtered. Leave the filter out."));
    }
    Ok(ctx)
}

/// The resource types that the caller does not see.
fn hidden<'r>(ctx: &Ctx, registry: &'r Registry) -> Vec<&'r Definition> {
    let definitions = registry.definitions().iter();
    definitions.map(AsRef::as_ref).filter(|definition| !scope::knows(&ctx.caller, definition)).collect()
}

fn is_hidden(schema: &Schema, hidden: &[&Definition]) -> bool {
    hidden.iter().any(|definition| definition.core.id == schema.id)
}

fn resource_type_document(definition: &Definition, ctx: &Ctx) -> Value {
    let resource_type = &definition.resource_type;
    with_meta(&resource_type.document, "ResourceType", "ResourceTypes", &resource_type.name, ctx)
}

/// A schema as the caller's profile has it, so that it shows no attribute that a request may not name.
fn schema_document(schema: &Schema, ctx: &Ctx) -> Value {
    let mut document = with_meta(&schema.document, "Schema", "Schemas", &schema.id, ctx);
    let attributes = document.get_mut("attributes").and_then(Value::as_array_mut);
    if let Some(attributes) = attributes.filter(|_| !ctx.caller.profile.has_passwords()) {
        attributes.retain(|attribute| attribute.get("name").and_then(Value::as_str) != Some("password"));
    }
    document
}

fn with_meta(document: &Value, kind: &str, endpoint: &str, id: &str, ctx: &Ctx) -> Value {
    let mut document = document.clone();
    if let Some(members) = document.as_object_mut() {
        let location = format!("{}/{endpoint}/{id}", ctx.base_url);
        members.insert("meta".to_owned(), json!({ "resourceType": kind, "location": location }));
    }
    document
}

fn list(resources: &[Value]) -> actix_web::HttpResponse {
    let count = resources.len();
    let body = json!({
        "schemas": [LIST_URN], "totalResults": count, "startIndex": 1, "itemsPerPage": count, "Resources": resources,
    });
    respond::message(body.to_string())
}

fn configuration(settings: &Settings, ctx: &Ctx) -> Value {
    let base_url = &ctx.base_url;
    let mut document = json!({
        "schemas": [CONFIG_URN],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": settings.bulk_operations,
            "maxPayloadSize": settings.bulk_payload,
        },
        "filter": { "supported": true, "maxResults": settings.page_max },
        "changePassword": { "supported": true },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": settings.page_default.min(settings.page_max),
            "maxPageSize": settings.page_max,
            "cursorTimeout": settings.cursor_timeout_seconds,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A token of a client of this register, sent as Authorization: Bearer.",
            "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
            "primary": true,
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{base_url}/ServiceProviderConfig") },
    });
    // RFC 9865 section 4 came later.
    if let (false, Some(members)) = (ctx.caller.profile.knows_additions(), document.as_object_mut()) {
        members.shift_remove("pagination");
    }
    // Only to those who are met by its rules; and those begin with TLS.
    if let (true, Some(members)) = (ctx.caller.profile.is_interop(), document.as_object_mut()) {
        members.insert("interopProfileConformant".to_owned(), base_url.starts_with("https://").into());
    }
    document
}
