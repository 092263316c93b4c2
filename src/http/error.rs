//! The error policy, and the only place that makes an error response.
//!
//! - Every error a client sees is the SCIM error of RFC 7644 section 3.12, for 401, 404, 405 and 413 as well; only the token
//!   endpoint says what is wrong with a request in the words of RFC 6749 section 5.2.
//! - A 4xx says what is wrong with the request and what to do; it may repeat what the client sent, never what is stored.
//! - A 5xx says nothing but the request id's promise: the chain of causes is logged under that id by
//!   `observe`, and never leaves the server.
//! - 401 has no reason, so that nobody learns which tokens exist; its `WWW-Authenticate` says what to bring.
//! - Whatever another try may cure has a `Retry-After`: 503 for a full queue or a database that cannot be reached, 507
//!   for one without space, 429 for a client that has too much waiting.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};

use super::oauth;
use crate::auth::Refusal;
use crate::auth::limit::Excess;
use crate::auth::oauth::Denial;
use crate::directory;

/// Media type of every SCIM message (RFC 7644 section 8.1).
pub const SCIM_JSON: &str = "application/scim+json";

const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request has no other answer than an error.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An error with its words chosen already.
    #[error(transparent)]
    Scim(#[from] scim::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The client may not do that.
    #[error("denied: {0}")]
    Denied(String),
    /// The client has done too much within a day, and a person decides.
    #[error("held: {0}")]
    Held(Box<directory::guard::Held>),
    /// No valid token.
    #[error("no valid bearer token")]
    Unauthenticated,
    /// The keys that would check the token cannot be had.
    #[error("the issuer of the token cannot be reached")]
    IssuerAway,
    /// The token endpoint gives no token.
    #[error(transparent)]
    OAuth(Denial),
    /// No token, and a certificate that stands for no client.
    #[error("the certificate stands for no client")]
    Stranger,
    /// There was too much of something; another try makes sense after so many seconds.
    #[error("limited: {detail}")]
    Limited {
        /// A sentence without its end.
        detail: String,
        /// From 1 on.
        seconds: u32,
    },
    /// The path has other methods only; the value of `Allow`.
    #[error("the path has only the methods {0}")]
    Method(&'static str),
}

impl From<directory::Error> for Failure {
    fn from(error: directory::Error) -> Self {
        match error {
            directory::Error::Scim(error) => Failure::Scim(error),
            directory::Error::Store(error) => Failure::Store(error),
            directory::Error::Held(held) => Failure::Held(held),
            directory::Error::Denied(reason) => Failure::Denied(reason),
        }
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Directory(error) => error.into(),
            Denial::Braked(seconds) => Refusal::Braked(seconds).into(),
            denial => Failure::OAuth(denial),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthenticated => Failure::Unauthenticated,
            Refusal::Stranger => Failure::Stranger,
            Refusal::Suspended => Failure::Denied(
                "This register is suspended: nothing can be read or written until its operator resumes it.".to_owned(),
            ),
            Refusal::IssuerAway => Failure::IssuerAway,
            Refusal::Braked(seconds) => Failure::Limited {
                detail: "Too many attempts from this address failed to authenticate".to_owned(),
                seconds,
            },
            Refusal::Directory(error) => error.into(),
        }
    }
}

impl From<Excess> for Failure {
    fn from(excess: Excess) -> Self {
        Failure::Limited { detail: format!("Too many {}", excess.what), seconds: excess.seconds }
    }
}

impl Failure {
    /// An error that has a status only.
    pub(super) fn status(status: StatusCode, detail: impl Into<String>) -> Self {
        Failure::Scim(scim::Error::status(status.as_u16(), detail))
    }

    /// What the client is told.
    pub(super) fn told(&self) -> scim::Error {
        match self {
            Failure::Scim(error) if error.status < 500 => error.clone(),
            Failure::Scim(error) => scim::Error::status(error.status, hidden(error.status)),
            Failure::Store(error) => match error {
                store::Error::NotFound => scim::Error::status(404, "The resource was not found."),
                store::Error::Taken { path } => scim::Error::uniqueness(path),
                store::Error::Stale => {
                    scim::Error::status(412, "The resource has changed since that version. Read it again and retry.")
                }
                store::Error::Busy => scim::Error::status(503, "The server has too much to do. Try again soon."),
                store::Error::TooManyMembers { limit } => {
                    scim::Error::too_many(format!("More than {limit} members would have to be answered at once."))
                }
                store::Error::TooMany { limit } => scim::Error::too_many(format!(
                    "More than {limit} resources would have to be looked at. Ask for less, or by an indexed attribute."
                )),
                store::Error::Full => scim::Error::status(
                    507,
                    "The server has no space left to write. Tell its operator; try again later.",
                ),
                store::Error::Unavailable(_) => scim::Error::status(503, "The database cannot be reached. Try again."),
                store::Error::Corrupt(_) => scim::Error::status(500, hidden(500)),
            },
            Failure::Denied(reason) => scim::Error::status(403, reason),
            Failure::Held(held) => scim::Error::status(503, held.to_string()),
            Failure::IssuerAway => scim::Error::status(
                503,
                "Whether this token is valid cannot be found out now: its issuer cannot be reached. Try again soon.",
            ),
            Failure::Limited { detail, seconds } => {
                scim::Error::status(429, format!("{detail}. Try again in {seconds} s."))
            }
            Failure::OAuth(denial) => scim::Error::status(oauth::status(denial).as_u16(), denial.to_string()),
            Failure::Unauthenticated => scim::Error::status(401, "Send a valid token: Authorization: Bearer mk_…"),
            Failure::Stranger => scim::Error::status(
                401,
                "The certificate of this connection stands for no client. Bring one that does, or a token: \
                 Authorization: Bearer mk_…",
            ),
            Failure::Method(allow) => {
                scim::Error::status(405, format!("This path does not have that method. It has {allow}."))
            }
        }
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.told().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Failure::OAuth(denial) = self {
            return oauth::refused(denial);
        }
        let error = self.told();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, SCIM_JSON));
        match (self, error.status) {
            (Failure::Method(allow), _) => {
                response.insert_header((header::ALLOW, *allow));
            }
            (Failure::Stranger, _) => {
                // Whoever was not recognised has nothing more to say on this connection (RFC 9932 section 5.4).
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"matrikel\"")).force_close();
            }
            (_, 401) => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"matrikel\""));
            }
            (Failure::Limited { seconds, .. }, _) => {
                response.insert_header((header::RETRY_AFTER, *seconds));
            }
            (Failure::Held(_), _) => {
                response.insert_header((header::RETRY_AFTER, directory::guard::Held::RETRY_SECONDS));
            }
            (_, 429 | 503 | 507) => {
                response.insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        response.body(error.body().to_string())
    }
}

/// The response for an error that another layer made without a SCIM body; only its status is kept.
pub(super) fn replacement(status: StatusCode) -> HttpResponse {
    let detail = match status {
        status if status.is_server_error() => hidden(status.as_u16()),
        StatusCode::NOT_ACCEPTABLE => "No encoding that the request accepts can be answered.",
        _ => "The request cannot be understood.",
    };
    Failure::status(status, detail).error_response()
}

fn hidden(_status: u16) -> &'static str {
    "Something went wrong in the server. Tell its operator the X-Request-Id of this answer."
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    async fn answer(failure: Failure) -> (u16, Value, header::HeaderMap) {
        let response = failure.error_response();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = to_bytes(response.into_body()).await.expect("a body");
        (status, serde_json::from_slice(&body).expect("JSON"), headers)
    }

    #[actix_web::test]
    async fn every_failure_has_the_status_and_members_of_the_rfc() {
        let table = [
            (Failure::Unauthenticated, 401, None),
            (Failure::Denied("No.".into()), 403, None),
            (Failure::Method("GET"), 405, None),
            (store::Error::NotFound.into(), 404, None),
            (store::Error::Taken { path: "userName".into() }.into(), 409, Some("uniqueness")),
            (store::Error::Stale.into(), 412, None),
            (store::Error::Busy.into(), 503, None),
            (scim::Error::no_target("x").into(), 400, Some("noTarget")),
        ];
        for (failure, status, scim_type) in table {
            let name = failure.to_string();
            let (actual, body, headers) = answer(failure).await;
            assert_eq!(actual, status, "{name}");
            assert_eq!(body["schemas"], json!([scim::error::ERROR_URN]));
            assert_eq!(body["status"], json!(status.to_string()));
            assert_eq!(body.get("scimType").and_then(Value::as_str), scim_type, "{name}");
            assert_eq!(headers.get("content-type").expect("a type"), SCIM_JSON);
        }
    }

    #[actix_web::test]
    async fn a_server_error_hides_its_cause() {
        for failure in [
            store::Error::Corrupt("secret".into()).into(),
            store::Error::Unavailable("secret".into()).into(),
            Failure::Scim(scim::Error::status(500, "secret")),
        ] {
            let (status, body, _) = answer(failure).await;
            assert!(status >= 500);
            assert!(!body.to_string().contains("secret"), "{body}");
        }
    }

    #[actix_web::test]
    async fn headers_say_what_to_bring_and_when_to_come_back() {
        let (_, _, headers) = answer(Failure::Unauthenticated).await;
        assert_eq!(headers.get("www-authenticate").expect("present"), "Bearer realm=\"matrikel\"");
        let (_, _, headers) = answer(Failure::Method("GET, HEAD")).await;
        assert_eq!(headers.get("allow").expect("present"), "GET, HEAD");
        let (_, _, headers) = answer(store::Error::Busy.into()).await;
        assert_eq!(headers.get("retry-after").expect("present"), "1");
    }
}
