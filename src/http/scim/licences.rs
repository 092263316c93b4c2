//! What it was worth that seats of limited entitlements were taken back: `/Entitlements/report`, for whoever may read
//! entitlements. It names nobody.

use actix_web::{HttpRequest, web};

use crate::directory::Error;
use crate::directory::licences::report::{ABOUT, Span};
use crate::directory::scope::{Access, needed};
use crate::http::error::Failure;
use crate::http::{Answer, State, extract, respond};

/// GET: 200.
pub(in crate::http) async fn report(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    if !ctx.caller.scopes.allow(ABOUT, Access::Read) {
        let detail = format!(
            "The report is for who may read entitlements: the scope {} is missing.",
            needed(ABOUT, Access::Read)
        );
        return Err(Failure::from(Error::Denied(detail)));
    }
    let mut span = Span::default();
    for (name, value) in extract::parameters(&request)? {
        span.take(&name, &value).map_err(Failure::from)?;
    }
    let told = state.directory.licence_report(&ctx, span).await?;
    Ok(respond::message(told.to_string()))
}
