//! The token endpoint (RFC 6749 section 4.4), the key set (RFC 7517 section 5) and what tells clients of both (RFC 8414). Reads
//! the form and makes the answer; who the client is and what it gets is decided in [`crate::auth::oauth`]. What is answered is
//! never kept by anybody on the way.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::error::Failure;
use super::extract::{self, Asker, Doors};
use super::{Answer, BASE_PATH, State, body, proxy, tenancy};
use crate::auth::oauth::{Denial, TOKEN_ENDPOINT, TokenRequest, keys};
use crate::auth::{Shown, meant_at_endpoint};
use crate::directory::Tolerances;
use crate::jose::Algorithm;

/// Where the key set lies below the issuer.
const KEYS: &str = "/oauth/jwks";
/// Longest form in bytes: room for a signed token, and the rest.
const FORM_LIMIT: usize = 16 * 1024;

/// POST `/oauth/token`.
pub(super) async fn token(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let now = state.now();
    let form = body::read_form(&request, payload, &state.settings, FORM_LIMIT).await?;
    let asked = read(&form).map_err(|sentence| Failure::OAuth(Denial::Request(sentence)))?;
    let unreadable = |_| Failure::OAuth(Denial::Client { by_header: true });
    let authorization = extract::text(&request, &header::AUTHORIZATION).map_err(unreadable)?;
    let certificate = state.peers.certificate(&request, &state.settings.trusted_proxies);
    let shown = Shown {
        authorization: authorization.as_deref(),
        certificate: certificate.as_ref(),
        address: proxy::client(&request, &state.settings.trusted_proxies),
    };
    let issuer = issuer(&request, &state)?;
    let granted = match state.authenticator.grant(&asked, &shown, &issuer, now).await {
        Ok(granted) => granted,
        Err(denial) => {
            let named = tenancy::named(&request, &state, &shown, now).await;
            Doors::note(&request, meant_at_endpoint(&asked, &shown), named);
            return Err(denial.into());
        }
    };
    request.extensions_mut().insert(Asker {
        client: granted.client_name,
        tenant: granted.tenant.0,
        id: granted.client,
        credential: Some(granted.credential),
        tolerances: Tolerances::default(),
    });
    let answer = json!({
        "access_token": granted.token, "token_type": "Bearer", "expires_in": granted.expires_in, "scope": granted.scope,
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .content_type(header::ContentType::json())
        .body(answer.to_string()))
}

/// GET `/oauth/jwks`.
pub(super) async fn key_set(state: web::Data<State>) -> Answer {
    let keys = state.authenticator.published_keys(state.now()).await?;
    let keys: Vec<Value> = keys.into_iter().map(Value::Object).collect();
    Ok(document("application/jwk-set+json", &json!({ "keys": keys })))
}

/// GET `/.well-known/oauth-authorization-server`.
pub(super) async fn metadata(request: HttpRequest, state: web::Data<State>) -> Answer {
    let issuer = issuer(&request, &state)?;
    // Whoever signs a token for us must know by what name, and the name must not be the request's to choose.
    let mut methods = vec!["client_secret_basic", "client_secret_post"];
    if state.settings.public_url.is_some() {
        methods.push("private_key_jwt");
    }
    let with_certificates = state.peers.are_asked_for();
    if with_certificates {
        methods.extend(["tls_client_auth", "self_signed_tls_client_auth"]);
    }
    // Only those who sign need them.
    let algorithms = state.settings.public_url.as_ref().map(|_| {
        let names: Vec<&str> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
        names
    });
    let metadata = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}{TOKEN_ENDPOINT}"),
        "jwks_uri": format!("{issuer}{KEYS}"),
        "scopes_supported": ["*:read", "*:write", "admin"],
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms.unwrap_or_default(),
        "tls_client_certificate_bound_access_tokens": with_certificates,
        "service_documentation": format!("{issuer}{BASE_PATH}/ServiceProviderConfig"),
    });
    Ok(document("application/json", &metadata))
}

/// What everybody may read, and keep for a while.
fn document(media_type: &str, document: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={}", keys::PUBLISHED_SECONDS)))
        .body(document.to_string())
}

/// The issuer: as configured, else as the client addressed us.
fn issuer(request: &HttpRequest, state: &State) -> Result<String, Failure> {
    let base = extract::base_url(request, state)?;
    Ok(base.strip_suffix(BASE_PATH).unwrap_or(&base).to_owned())
}

/// The request that a form makes. Fails for a parameter that stands twice (RFC 6749 section 3.2); what is not known has no
/// meaning, and what is empty is not there.
fn read(form: &[(String, String)]) -> Result<TokenRequest, &'static str> {
    let mut asked = TokenRequest::default();
    let mut seen: Map<String, Value> = Map::new();
    for (name, value) in form.iter().filter(|(_, value)| !value.is_empty()) {
        let place = match name.as_str() {
            "grant_type" => &mut asked.grant_type,
            "scope" => &mut asked.scope,
            "client_id" => &mut asked.client_id,
            "client_secret" => &mut asked.client_secret,
            "client_assertion_type" => &mut asked.client_assertion_type,
            "client_assertion" => &mut asked.client_assertion,
            // These alone may be said several times (RFC 8707 section 2).
            "resource" | "audience" => {
                asked.resources.push(value.clone());
                continue;
            }
            name => {
                if seen.insert(name.to_owned(), Value::Null).is_some() {
                    return Err("A parameter stands twice.");
                }
                continue;
            }
        };
        if place.replace(value.clone()).is_some() {
            return Err("A parameter stands twice.");
        }
    }
    Ok(asked)
}

/// The status of a refusal (RFC 6749 section 5.2).
pub(super) fn status(denial: &Denial) -> StatusCode {
    match denial {
        Denial::Client { .. } => StatusCode::UNAUTHORIZED,
        Denial::Braked(_) => StatusCode::TOO_MANY_REQUESTS,
        Denial::NoKey => StatusCode::SERVICE_UNAVAILABLE,
        Denial::Directory(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The answer to a request for a token that is refused. Called by `error` alone.
pub(super) fn refused(denial: &Denial) -> HttpResponse {
    let (error, description) = denial.told();
    let mut response = HttpResponse::build(status(denial));
    if matches!(denial, Denial::Client { by_header: true }) {
        response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"matrikel\", charset=\"UTF-8\""));
    }
    let body = json!({ "error": error, "error_description": description });
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
        .content_type(header::ContentType::json())
        .body(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Vec<(String, String)> {
        web::Query::<Vec<(String, String)>>::from_query(text).expect("a form").into_inner()
    }

    #[test]
    fn a_parameter_stands_once() {
        let asked =
            read(&form("grant_type=client_credentials&scope=&client_id=a&resource=x&resource=y&x=1")).expect("read");
        assert_eq!(asked.grant_type.as_deref(), Some("client_credentials"));
        assert_eq!((asked.scope, asked.client_id.as_deref()), (None, Some("a")));
        assert_eq!(asked.resources, ["x", "y"]);
        for text in ["client_id=a&client_id=a", "x=1&x=2", "scope=a&scope=b"] {
            assert!(read(&form(text)).is_err(), "{text}");
        }
    }
}
