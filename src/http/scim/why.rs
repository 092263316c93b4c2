//! Because of what somebody has what: `GET /Users/{id}/why`. For whoever may read Users and rules.

use actix_web::{HttpRequest, web};

use scim::key;

use crate::directory::RULE;
use crate::directory::rules::Question;
use crate::directory::scope::{Access, needed};
use crate::http::error::Failure;
use crate::http::extract::{self, Asked};
use crate::http::{Answer, State, respond};

/// GET: 200.
pub(in crate::http) async fn answer(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { ctx, .. } = extract::asked(&request, &state, Access::Read).await?;
    if !ctx.caller.scopes.allow(RULE, Access::Read) {
        let detail = format!(
            "What rules say is told to who may read them: the scope {} is missing.",
            needed(RULE, Access::Read)
        );
        return Err(Failure::from(crate::directory::Error::Denied(detail)));
    }
    let question = question(&request)?;
    let told = state.directory.why(&ctx, extract::id(&request), question).await?;
    Ok(respond::message(told.to_string()))
}

fn question(request: &HttpRequest) -> Result<Question, Failure> {
    let mut question = Question::default();
    for (name, value) in extract::parameters(request)? {
        match name.to_ascii_lowercase().as_str() {
            "target" => question.target = Some(value).filter(|value| !value.is_empty()),
            "at" => {
                let wrong = || scim::Error::invalid_value("at is no moment such as 2026-08-12T08:00:00Z.");
                question.at = Some(key::instant(&value).ok_or_else(wrong)?);
            }
            _ => {}
        }
    }
    Ok(question)
}
