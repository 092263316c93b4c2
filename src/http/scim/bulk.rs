//! Bulk (RFC 7644 section 3.7): one call of the directory; here its limits are kept, each operation's permission is
//! asked for, and what became of the operations is put into words. A client that prefers it is answered before the
//! operations are carried out, and fetches the result later (RFC 9967 section 2.5.1).

use std::sync::Arc;

use actix_web::{HttpRequest, web};
use scim::bulk::{BulkResponse, Done, parse};
use scim::resource::Notes;

use crate::auth::role::{self, Access};
use crate::directory::deferred::Deferral;
use crate::directory::{BulkOutcome, Error, Role};
use crate::http::error::Failure;
use crate::http::prefer::Preference;
use crate::http::{Answer, State, body, extract, prefer, respond};

/// Says that the preference was followed (RFC 7240 section 3).
const APPLIED: (&str, &str) = ("Preference-Applied", "respond-async");

/// POST `/Bulk`: 200, whatever became of the operations; 202 for a client that prefers not to wait for them.
pub(in crate::http) async fn carry_out(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let Preference { respond_async, wait } = prefer::read(&request)?;
    let is_deferred = respond_async && state.directory.limits().deferred > 0;
    let ctx = match is_deferred {
        true => extract::context_to_accept(&request, &state).await?,
        false => extract::context(&request, &state).await?,
    };
    let role = ctx.caller.role;
    role::permit_writing(role).map_err(Failure::Denied)?;
    let body = body::read_bulk(&request, payload, &state.settings).await?;
    let message = is_deferred.then(|| body.clone());
    let mut notes = Notes::new();
    let bulk = parse(body, state.settings.bulk_operations, ctx.caller.profile.strictness(), &mut notes);
    ctx.tolerances.take_in(notes.iter());
    let bulk = bulk?;
    if let Some(message) = message {
        let accepted = state.directory.defer_bulk(state.clone().into_inner(), &ctx, message, &bulk).await?;
        let name = accepted.id.to_string();
        if !wait.is_zero()
            && tokio::time::timeout(wait, accepted.turn).await.is_ok()
            && let Deferral::Done(answer) = state.directory.deferral(&ctx, &name).await?
        {
            return Ok(respond::at_last(answer));
        }
        return Ok(respond::accepted(&name, &ctx.base_url).insert_header(APPLIED).finish());
    }
    let written = state.directory.bulk(&ctx, bulk, |kind| role::permit(role, kind, Access::Write)).await;
    if role == Role::Administrator {
        // It may have changed a client.
        state.authenticator.forget();
    }
    let written = written?;
    ctx.tolerances.take_in(written.tolerances);
    let operations = written.operations.into_iter().map(|outcome| done(outcome, &ctx.request_id)).collect();
    Ok(respond::message(BulkResponse { operations }.to_json()))
}

/// GET `/Bulk/{id}`: the result of a request of the same client, or 202 while there is none.
pub(in crate::http) async fn result(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let id = extract::id(&request);
    Ok(match state.directory.deferral(&ctx, id).await? {
        Deferral::Running => respond::accepted(id, &ctx.base_url).finish(),
        Deferral::Done(answer) => respond::at_last(answer),
    })
}

fn done(outcome: BulkOutcome, request_id: &Arc<str>) -> Done {
    outcome.done(|error: Error| {
        let failure = Failure::from(error);
        let told = failure.told();
        if told.status >= 500 {
            // The answer as a whole is 200, so nobody else logs the cause.
            tracing::error!(request_id = &**request_id, cause = %failure, "an operation of a bulk request failed");
        }
        told
    })
}
