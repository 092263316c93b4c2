//! What the clients of a view see: `GET /Views/{id}/preview`. For whoever may read views.

use actix_web::{HttpRequest, web};

use crate::directory::scope::Access;
use crate::http::extract::{self, Asked};
use crate::http::{Answer, State, respond};

/// Resources of each type when the request does not say how many.
const SAMPLE: u64 = 5;
/// Most resources of each type.
const SAMPLE_MAX: u64 = 100;

/// GET: 200.
pub(in crate::http) async fn preview(request: HttpRequest, state: web::Data<State>) -> Answer {
    let Asked { ctx, .. } = extract::asked(&request, &state, Access::Read).await?;
    let asked = extract::search(&request)?.count;
    let count = asked.unwrap_or(SAMPLE).min(SAMPLE_MAX);
    let preview = state.directory.preview(&ctx, extract::id(&request), count).await?;
    Ok(respond::message(preview.to_json().to_string()))
}
