//! Whose values they are: `GET /Users/{id}/sources`. For whoever may read Users and authorities.

use actix_web::{HttpRequest, web};

use crate::directory::AUTHORITY;
use crate::directory::scope::{Access, needed};
use crate::http::error::Failure;
use crate::http::extract::{self, Asked};
use crate::http::{Answer, State, respond};

/// GET: 200.
pub(in crate::http) async fn answer(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { ctx, definition, .. } = extract::asked(&request, &state, Access::Read).await?;
    if !ctx.caller.scopes.allow(AUTHORITY, Access::Read) {
        let detail = format!(
            "What each source says is told to who may read authorities: the scope {} is missing.",
            needed(AUTHORITY, Access::Read)
        );
        return Err(Failure::from(crate::directory::Error::Denied(detail)));
    }
    let path = extract::parameters(&request)?
        .into_iter()
        .find(|(name, value)| name.eq_ignore_ascii_case("path") && !value.is_empty())
        .map(|(_, value)| value);
    let told = state.directory.sources(&ctx, &definition, extract::id(&request), path).await?;
    Ok(respond::message(told.to_string()))
}
