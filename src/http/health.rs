//! `/healthz` says that the process runs; `/readyz` that it can also read the database. Neither needs a token, and
//! neither says more.

use actix_web::{HttpResponse, web};

use super::{Answer, State};

/// 200 whenever the process answers.
pub(super) async fn alive() -> Answer {
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "alive" })))
}

/// 200 when a read of the database succeeds, else 503.
pub(super) async fn ready(state: web::Data<State>) -> Answer {
    state.directory.store().ready().await?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ready" })))
}
