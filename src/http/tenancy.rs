//! Ways to say which tenant is meant beside the token: `/t/{slug}/scim/v2/…`, and a host name that an operator gave a
//! tenant. Neither lets anybody in: a token of another tenant is answered like one that is none, whether there is such a
//! tenant or not. Locations in answers lead back the way the client came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;
use actix_web::{HttpMessage, HttpRequest};
use moka::sync::Cache;
use store::TenantId;

use super::error::Failure;
use super::{BASE_PATH, State, extract, proxy};
use crate::auth::Shown;

/// What keys of routes that are host names begin with.
const HOST: &str = "host:";
/// How long it is remembered where a name leads, and how often it is asked whether there are host names at all.
const REMEMBER: Duration = Duration::from_secs(5);
const REMEMBER_AT_MOST: u64 = 10_000;
/// Where the paths begin that a tenant's name may stand before.
const WITHIN: [&str; 3] = [BASE_PATH, "/oauth/", "/.well-known/"];

/// The short name of a tenant that the path of a request began with.
#[derive(Clone)]
struct Slug(Arc<str>);

/// Where names lead, as far as it is remembered.
pub(super) struct Hosts {
    /// Whether any tenant has a host name.
    any: AtomicBool,
    names: Cache<String, Option<TenantId>>,
}

impl Default for Hosts {
    fn default() -> Self {
        let names = Cache::builder().max_capacity(REMEMBER_AT_MOST).time_to_live(REMEMBER).build();
        Hosts { any: AtomicBool::new(false), names }
    }
}

/// Takes the name of a tenant off the path, so that what follows is routed as always.
pub(super) fn take_slug(request: &mut ServiceRequest) {
    let Some((slug, rest)) = request.path().strip_prefix("/t/").and_then(|rest| Some(rest.split_at(rest.find('/')?)))
    else {
        return;
    };
    let is_within = |start: &str| {
        let ends = |after: &str| start.ends_with('/') || after.is_empty() || after.starts_with('/');
        rest.strip_prefix(start).is_some_and(ends)
    };
    if slug.is_empty() || slug.len() > 63 || !WITHIN.iter().any(|start| is_within(start)) {
        return;
    }
    let slug = Slug(slug.into());
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    let mut parts = request.uri().clone().into_parts();
    let Ok(path) = PathAndQuery::try_from(format!("{rest}{query}")) else { return };
    parts.path_and_query = Some(path);
    let Ok(uri) = Uri::from_parts(parts) else { return };
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
    request.extensions_mut().insert(slug);
}

/// What stands before the base path of a request's locations: empty, or `/t/{slug}`.
pub(super) fn prefix(request: &HttpRequest) -> String {
    request.extensions().get::<Slug>().map_or_else(String::new, |slug| format!("/t/{}", slug.0))
}

/// Whether a request names its tenant in the path.
pub(super) fn has_slug(request: &HttpRequest) -> bool {
    request.extensions().get::<Slug>().is_some()
}

/// Fails like an invalid token when the path or the host of a request is another tenant's. Answers whether the host is
/// the tenant's own.
pub(super) async fn check(
    request: &HttpRequest,
    state: &State,
    tenant: TenantId,
    host: Option<&str>,
) -> Result<bool, Failure> {
    let slug = request.extensions().get::<Slug>().cloned();
    if let Some(Slug(slug)) = slug
        && Box::pin(of_slug(state, &slug)).await? != Some(tenant)
    {
        return Err(Failure::Unauthenticated);
    }
    let Some(host) = host.filter(|_| state.hosts.any.load(Ordering::Relaxed)) else { return Ok(false) };
    match Box::pin(of_host(state, host)).await? {
        Some(owner) if owner != tenant => Err(Failure::Unauthenticated),
        owner => Ok(owner.is_some()),
    }
}

/// The register that the path of a request names, or else its host: for the audit, after a refusal. Nothing is looked up for
/// an address that has failed too often, and a name that leads nowhere counts as a failure.
pub(super) async fn named(request: &HttpRequest, state: &State, shown: &Shown<'_>, now: i64) -> Option<TenantId> {
    let slug = request.extensions().get::<Slug>().cloned();
    if let Some(Slug(slug)) = slug {
        if let Some(known) = state.hosts.names.get(&key_of_slug(&slug)) {
            return known;
        }
        if state.authenticator.is_braked(shown, now) {
            return None;
        }
        let found = of_slug(state, &slug).await.ok()?;
        if found.is_none() {
            state.authenticator.note_failure(shown, now);
        }
        return found;
    }
    if !state.hosts.any.load(Ordering::Relaxed) || state.authenticator.is_braked(shown, now) {
        return None;
    }
    let told = proxy::addressed(request, &state.settings.trusted_proxies);
    let host = extract::host(request, &told).ok()??;
    of_host(state, &host).await.ok()?
}

async fn of_slug(state: &State, slug: &str) -> Result<Option<TenantId>, store::Error> {
    let key = key_of_slug(slug);
    if let Some(known) = state.hosts.names.get(&key) {
        return Ok(known);
    }
    let found = state.directory.store().tenant_by_slug(slug).await?.map(|tenant| tenant.id);
    state.hosts.names.insert(key, found);
    Ok(found)
}

async fn of_host(state: &State, host: &str) -> Result<Option<TenantId>, store::Error> {
    let key = key_of_host(host);
    if let Some(known) = state.hosts.names.get(&key) {
        return Ok(known);
    }
    let wanted = key.clone();
    let found = state.directory.store().read(move |reader| reader.route(&wanted)).await?;
    let found = found.map(|route: store::Route| route.tenant);
    state.hosts.names.insert(key, found);
    Ok(found)
}

/// By what it is remembered where a tenant's short name leads.
fn key_of_slug(slug: &str) -> String {
    format!("t/{slug}")
}

/// The key of a host name in the table of routes: in lower case, without a port.
fn key_of_host(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    format!("{HOST}{}", name.to_ascii_lowercase())
}

/// Finds out from time to time whether any tenant has a host name: as long as none has, no request asks.
pub(super) async fn keep(state: Arc<State>) {
    let mut ticks = tokio::time::interval(REMEMBER);
    loop {
        ticks.tick().await;
        match state.directory.store().read(|reader| reader.has_routes(HOST)).await {
            Ok(any) => state.hosts.any.store(any, Ordering::Relaxed),
            Err::<_, store::Error>(error) => tracing::debug!(%error, "host names could not be looked for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_tenants_name_is_taken_off_the_path_and_nothing_else_is() {
        let table = [
            ("/t/storstad/scim/v2/Users?count=1", "/scim/v2/Users?count=1", "/t/storstad"),
            ("/t/storstad/scim/v2", "/scim/v2", "/t/storstad"),
            ("/t/storstad/oauth/token", "/oauth/token", "/t/storstad"),
            ("/t/storstad/healthz", "/t/storstad/healthz", ""),
            ("/t/storstad/scim/v2x", "/t/storstad/scim/v2x", ""),
            ("/t//scim/v2/Users", "/t//scim/v2/Users", ""),
            ("/t/a/t/b/scim/v2/Users", "/t/a/t/b/scim/v2/Users", ""),
            ("/scim/v2/Users", "/scim/v2/Users", ""),
        ];
        for (asked, served, before) in table {
            let mut request = TestRequest::with_uri(asked).to_srv_request();
            take_slug(&mut request);
            assert_eq!(request.uri().to_string(), served, "{asked}");
            assert_eq!(request.match_info().unprocessed(), request.path(), "{asked}");
            assert_eq!(prefix(request.request()), before, "{asked}");
        }
    }

    #[test]
    fn a_host_name_has_one_key() {
        for host in ["id.example.se", "ID.Example.SE", "id.example.se:8443"] {
            assert_eq!(key_of_host(host), "host:id.example.se");
        }
        assert_eq!(key_of_host("[::1]:80"), "host:[::1]");
    }
}
