//! From a request to what the directory takes: the principal and its `Ctx`, the resource type, the query, the
//! projection and the preconditions. Here, and nowhere deeper, the clock is read. Never makes a response.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{self, HeaderName};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage, HttpRequest, web};
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::Definition;
use store::{By, ResourceId, TenantId};
use uuid::Uuid;

use super::error::Failure;
use super::proxy::Addressed;
use super::{BASE_PATH, State, accept, alone, proxy, tenancy};
use crate::auth::{Meant, Refusal, Shown, scope};
use crate::directory::audit::{Released, has_people};
use crate::directory::scope::Access;
use crate::directory::version::Tags;
use crate::directory::work_items::theirs;
use crate::directory::{Ctx, Precondition, Random, Tolerances};

/// The parameters that choose what an answer holds.
const PROJECTING: [&str; 2] = ["attributes", "excludedAttributes"];

/// The id of a request, for its answer, its log line and the change rows it makes.
#[derive(Clone)]
pub(super) struct RequestId(pub(super) Arc<str>);

/// What the log may say of who asked for what.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) client: Arc<str>,
    pub(super) tenant: i64,
    pub(super) id: ResourceId,
    /// The credential that was shown.
    pub(super) credential: Option<Uuid>,
    /// What was needed to understand the request; known when it has been answered.
    pub(super) tolerances: Tolerances,
}

/// The registers that a refused request was meant for, each once. None of it is proven.
#[derive(Clone, Default)]
pub(super) struct Doors(pub(super) Vec<Meant>);

impl Doors {
    /// Keeps what a request shows itself to be, and the register that its path or host names.
    pub(super) fn note(request: &HttpRequest, shows: Option<Meant>, named: Option<TenantId>) {
        let named = named.filter(|tenant| shows.is_none_or(|shows| shows.tenant != *tenant));
        let named = named.map(|tenant| Meant { tenant, client: None, credential: None });
        request.extensions_mut().insert(Doors(shows.into_iter().chain(named).collect()));
    }
}

/// A request for resources of one type, by someone who may make it.
pub(super) struct Asked {
    /// Who, when and from where.
    pub(super) ctx: Ctx,
    /// Resources of what type.
    pub(super) definition: Arc<Definition>,
}

/// Authenticates a request and makes its context. Fails with 406 for a client that would not read the answer.
///
/// What seldom has to be waited for is boxed, here and in what is called from here: a request is as large as the largest
/// of what it may wait for, and is moved several times.
pub(super) async fn context(request: &HttpRequest, state: &State) -> Result<Ctx, Failure> {
    let ctx = context_to_accept(request, state).await?;
    if !text(request, &header::ACCEPT)?.is_none_or(|value| accept::is_answerable(&value)) {
        return Err(Failure::status(
            StatusCode::NOT_ACCEPTABLE,
            "Answers are application/scim+json, which the Accept header excludes.",
        ));
    }
    Ok(ctx)
}

/// The same for a request whose answer has no body: `Accept` has no meaning there (RFC 9967 section 2.5.1.1).
pub(super) async fn context_to_accept(request: &HttpRequest, state: &State) -> Result<Ctx, Failure> {
    let now = state.now();
    // What is no text is no token either.
    let Ok(authorization) = text(request, &header::AUTHORIZATION) else {
        Box::pin(note_meant(request, state, &Shown::default(), &Refusal::Unauthenticated, now)).await;
        return Err(Failure::Unauthenticated);
    };
    let certificate = state.peers.certificate(request, &state.settings.trusted_proxies);
    let address = proxy::client(request, &state.settings.trusted_proxies);
    let shown = Shown { authorization: authorization.as_deref(), certificate: certificate.as_ref(), address };
    let principal = match state.authenticator.authenticate(&shown, now).await {
        Ok(principal) => principal,
        Err(refusal) => {
            Box::pin(note_meant(request, state, &shown, &refusal, now)).await;
            return Err(refusal.into());
        }
    };
    let tolerances = Tolerances::default();
    request.extensions_mut().insert(Asker {
        client: Arc::clone(&principal.caller.name),
        tenant: principal.tenant.0,
        id: principal.caller.id,
        credential: Some(principal.credential),
        tolerances: tolerances.clone(),
    });
    let networks = &principal.caller.networks;
    let is_near = |address: IpAddr| networks.iter().any(|network| network.contains(address));
    if !networks.is_empty() && !address.is_some_and(is_near) {
        // Whoever holds a stolen token learns nothing of it.
        return Err(Failure::Unauthenticated);
    }
    let elapsed = u64::try_from(state.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let permit = state.limiter.admit(principal.tenant, &principal.caller, elapsed)?;
    // Held until the request is done with.
    request.extensions_mut().insert(permit);
    let base_url = match base_url_of(request, state, principal.tenant).await {
        Err(Failure::Unauthenticated) => {
            Doors::note(request, None, Box::pin(tenancy::named(request, state, &shown, now)).await);
            return Err(Failure::Unauthenticated);
        }
        base_url => base_url?,
    };
    let catalog = state.directory.catalog(principal.tenant, now).await?;
    let veil = state.directory.veil(principal.tenant, &principal.caller);
    Ok(Ctx {
        tenant: principal.tenant,
        caller: Arc::clone(&principal.caller),
        views: theirs(&principal.caller, principal.caller.outlook.views(catalog.registry(), veil), catalog.registry()),
        now,
        random: Random::os(),
        base_url,
        by: means(request, state, principal.credential, has_people(catalog.registry())),
        request_id: request_id(request),
        schemas: catalog.registry().revision(),
        registry: is_read(request).then(|| Arc::clone(catalog.registry())),
        once: None,
        simulate: false,
        weighed: false,
        tolerances,
        winners: None,
        released: Released::default(),
        is_alone: alone::is_alone,
    })
}

/// Notes for the audit which registers a refused request was meant for: the one that it shows something of, and the one
/// that its path or host names. Whoever was told to wait is not looked up.
async fn note_meant(request: &HttpRequest, state: &State, shown: &Shown<'_>, refusal: &Refusal, now: i64) {
    let may_look_up = !matches!(refusal, Refusal::Braked(_));
    let shows = state.authenticator.meant(shown, may_look_up, now).await;
    let named = if may_look_up { tenancy::named(request, state, shown, now).await } else { None };
    Doors::note(request, shows, named);
}

fn is_read(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// By what means a request came. Whose proxies are many to ask is asked of a read only where it may be remembered.
fn means(request: &HttpRequest, state: &State, credential: Uuid, has_people: bool) -> By {
    let address =
        if is_read(request) && !has_people { None } else { proxy::client(request, &state.settings.trusted_proxies) };
    By { credential: Some(credential), address, request: Some(request_id(request)) }
}

/// Authenticates a request, finds the resource type of its endpoint and asks whether the scopes allow that there.
pub(super) async fn asked(request: &HttpRequest, state: &State, access: Access) -> Result<Asked, Failure> {
    let ctx = context(request, state).await?;
    asked_in(ctx, request, state, access).await
}

/// The same for a request that is authenticated already.
pub(super) async fn asked_in(ctx: Ctx, request: &HttpRequest, state: &State, access: Access) -> Result<Asked, Failure> {
    let endpoint = request.match_info().get("endpoint").unwrap_or_default();
    let definition = state
        .directory
        .definition_at(&ctx, endpoint)
        .await?
        .ok_or_else(|| Failure::status(StatusCode::NOT_FOUND, format!("There is no endpoint /{endpoint}.")))?;
    scope::permit(&ctx.caller, &definition, access).map_err(Failure::Denied)?;
    if access == Access::Write && ctx.caller.profile.is_interop() {
        refuse_filter(request)?;
    }
    Ok(Asked { ctx, definition })
}

/// 400 invalidSyntax for a filter in the URL of a write: the interoperability profile leaves it no meaning, and ignoring
/// it would change more than was meant.
fn refuse_filter(request: &HttpRequest) -> Result<(), Failure> {
    if parameters(request)?.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
        return Err(scim::Error::invalid_syntax("Only a GET can be filtered. Leave the filter out.").into());
    }
    Ok(())
}

/// The `id` part of the path.
pub(super) fn id(request: &HttpRequest) -> &str {
    request.match_info().get("id").unwrap_or_default()
}

/// The URN or name of a schema or resource type in the path.
pub(super) fn document_id(request: &HttpRequest) -> &str {
    let path = request.match_info();
    path.get("urn").or_else(|| path.get("name")).unwrap_or_default()
}

/// The parameters of the query string, decoded.
pub(super) fn parameters(request: &HttpRequest) -> Result<Vec<(String, String)>, Failure> {
    let query = request.query_string();
    if !is_utf8(query) {
        return Err(scim::Error::invalid_syntax("The query string is not UTF-8 when it is decoded.").into());
    }
    pairs(query).ok_or_else(|| Failure::status(StatusCode::BAD_REQUEST, "The query string cannot be read."))
}

/// Names and values of a form, decoded; `None`: it is none, or not UTF-8 when it is decoded.
pub(super) fn pairs(form: &str) -> Option<Vec<(String, String)>> {
    if !is_utf8(form) {
        return None;
    }
    web::Query::<Vec<(String, String)>>::from_query(form).ok().map(web::Query::into_inner)
}

/// Whether a query is UTF-8 once its escapes are decoded. The decoder puts U+FFFD for what is not, and a filter would
/// silently ask for something else.
fn is_utf8(query: &str) -> bool {
    let digit = |byte: Option<u8>| {
        byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut rest = query.bytes();
    let mut decoded = Vec::with_capacity(query.len());
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high * 16 + low);
                rest = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// The search that a query string asks for (RFC 7644 section 3.4.2).
pub(super) fn search(request: &HttpRequest) -> Result<SearchRequest, Failure> {
    let parameters = parameters(request)?;
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(SearchRequest::from_pairs(pairs)?)
}

/// What part of the resource the answer shall hold (RFC 7644 section 3.9).
pub(super) struct Wanted {
    /// Requested and excluded attributes.
    pub(super) projection: Projection,
    /// Whether the request said anything about it.
    pub(super) is_explicit: bool,
}

/// Reads `attributes` and `excludedAttributes` of a request for one resource; other parameters have no meaning there.
pub(super) fn wanted(request: &HttpRequest, definition: &Definition) -> Result<Wanted, Failure> {
    if request.query_string().is_empty() {
        return Ok(Wanted { projection: Projection::whole(definition), is_explicit: false });
    }
    let parameters = parameters(request)?;
    let pairs = parameters
        .iter()
        .filter(|(name, _)| PROJECTING.iter().any(|known| name.eq_ignore_ascii_case(known)))
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let asked = SearchRequest::from_pairs(pairs)?;
    Ok(Wanted {
        projection: Projection::parse(definition, &asked.attributes, &asked.excluded)?,
        is_explicit: !asked.attributes.is_empty() || !asked.excluded.is_empty(),
    })
}

/// The versions that a request depends on (RFC 7644 section 3.14).
pub(super) fn precondition(request: &HttpRequest) -> Result<Precondition, Failure> {
    let tags = |name| text(request, name)?.map(|value| Tags::parse(&value)).transpose().map_err(Failure::from);
    Ok(Precondition { if_match: tags(&header::IF_MATCH)?, if_none_match: tags(&header::IF_NONE_MATCH)? })
}

/// The request's own id when it is harmless, else a new one.
pub(super) fn accept_request_id(offered: Option<&str>) -> RequestId {
    let harmless = |id: &&str| {
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let id = |text: &str| RequestId(Arc::from(text));
    offered
        .filter(harmless)
        .map_or_else(|| id(new_request_id().hyphenated().encode_lower(&mut Uuid::encode_buffer())), id)
}

/// An id that no other request has: what the process drew once, and a count. It is no secret, so the system's generator
/// need not be asked each time.
fn new_request_id() -> Uuid {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| Uuid::new_v4().as_u64_pair().1);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(PROCESS.to_be_bytes().into_iter().chain(count)).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn request_id(request: &HttpRequest) -> Arc<str> {
    request.extensions().get::<RequestId>().map_or_else(|| Arc::from(""), |id| Arc::clone(&id.0))
}

/// The base URL of answers: as configured, else as the client addressed us; what a trusted proxy says of that comes
/// before what reached us.
pub(super) fn base_url(request: &HttpRequest, state: &State) -> Result<Arc<str>, Failure> {
    let told = proxy::addressed(request, &state.settings.trusted_proxies);
    based(request, state, told, false)
}

/// The same for a request of a tenant. Fails like an invalid token when path or host are another tenant's.
async fn base_url_of(request: &HttpRequest, state: &State, tenant: TenantId) -> Result<Arc<str>, Failure> {
    let told = proxy::addressed(request, &state.settings.trusted_proxies);
    let is_own = tenancy::check(request, state, tenant, host(request, &told)?.as_deref()).await?;
    based(request, state, told, is_own)
}

/// The host that the client named.
pub(super) fn host<'r>(request: &'r HttpRequest, told: &'r Addressed) -> Result<Option<Cow<'r, str>>, Failure> {
    match &told.host {
        Some(host) => Ok(Some(Cow::Borrowed(host.as_str()))),
        None => text(request, &header::HOST),
    }
}

/// With `is_own` the host that the client named is the tenant's, and leads before what is configured.
fn based(request: &HttpRequest, state: &State, told: Addressed, is_own: bool) -> Result<Arc<str>, Failure> {
    if let (Some(url), false, false) = (&state.base_url, is_own, tenancy::has_slug(request)) {
        return Ok(Arc::clone(url));
    }
    let told_host = told.host.map(|host| Ok(Some(Cow::Owned(host))));
    let host = told_host.unwrap_or_else(|| text(request, &header::HOST))?;
    if let Some(url) = &state.base_url {
        let before = url.strip_suffix(BASE_PATH).unwrap_or(url);
        let before = match (host, before.split_once("://")) {
            (Some(host), Some((scheme, _))) if is_own && is_host(&host) => format!("{scheme}://{host}"),
            _ => before.to_owned(),
        };
        return Ok([&*before, &tenancy::prefix(request), BASE_PATH].concat().into());
    }
    let config = request.app_config();
    let host = match host {
        Some(host) if is_host(&host) => host,
        Some(_) => return Err(Failure::status(StatusCode::BAD_REQUEST, "The Host header is not a host.")),
        None => config.local_addr().to_string().into(),
    };
    let scheme = told.scheme.as_deref().unwrap_or(if config.secure() { "https" } else { "http" });
    Ok([scheme, "://", &*host, &tenancy::prefix(request), BASE_PATH].concat().into())
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 260
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

/// A header's values, joined as one list (RFC 9110 section 5.3).
pub(super) fn text<'r>(request: &'r HttpRequest, name: &HeaderName) -> Result<Option<Cow<'r, str>>, Failure> {
    let mut joined: Option<Cow<'r, str>> = None;
    for value in request.headers().get_all(name) {
        // The value of a header holds no control characters, so that this leaves what is ASCII.
        let value = str::from_utf8(value.as_bytes()).ok().filter(|value| value.is_ascii());
        let not_text = || Failure::status(StatusCode::BAD_REQUEST, format!("The header {name} is not text."));
        let value = value.ok_or_else(not_text)?;
        joined = Some(match joined {
            None => Cow::Borrowed(value),
            Some(first) => Cow::Owned(format!("{first}, {value}")),
        });
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_request_id_is_kept_and_another_is_replaced() {
        assert_eq!(&*accept_request_id(Some("abc-1_2.X")).0, "abc-1_2.X");
        let long = "a".repeat(129);
        for offered in [None, Some(""), Some("a b"), Some("a\nb"), Some("å"), Some(long.as_str())] {
            let id = accept_request_id(offered);
            assert!(Uuid::parse_str(&id.0).is_ok(), "{offered:?}");
        }
    }

    #[test]
    fn a_query_must_be_utf8_once_it_is_decoded() {
        for query in ["", "a=b", "a=%C3%A5&b=%", "a=%zz%2", "filter=userName%20eq%20%22%F0%9F%90%9F%22", "a=+%2B"] {
            assert!(is_utf8(query), "{query}");
        }
        for query in ["%ff", "a=%c0%ae", "a=%ed%a0%80", "a=%C3"] {
            assert!(!is_utf8(query), "{query}");
        }
    }

    #[test]
    fn only_a_host_is_taken_as_host() {
        for host in ["localhost:8080", "id.example.se", "[::1]:80", "10.0.0.1"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["", "a/b", "a@b", "<script>", "a b"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
