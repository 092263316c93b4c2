//! Bulk (RFC 7644 section 3.7): one call of the directory; here its limits are kept, each operation's permission is
//! asked for, and what became of the operations is put into words.

use actix_web::{HttpRequest, web};
use scim::bulk::{BulkResponse, Done, Method, parse};
use scim::resource::Notes;

use crate::auth::role::{self, Access};
use crate::directory::{BulkOutcome, Role};
use crate::http::error::Failure;
use crate::http::{Answer, State, body, extract, respond};

/// POST `/Bulk`: 200, whatever became of the operations.
pub(in crate::http) async fn carry_out(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let role = ctx.caller.role;
    role::permit_writing(role).map_err(Failure::Denied)?;
    let body = body::read_bulk(&request, payload, state.settings.bulk_payload).await?;
    let mut notes = Notes::new();
    let bulk = parse(body, state.settings.bulk_operations, ctx.caller.profile.strictness(), &mut notes);
    ctx.tolerances.take_in(notes.iter());
    let bulk = bulk?;
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

fn done(outcome: BulkOutcome, request_id: &str) -> Done {
    let BulkOutcome { method, bulk_id, location, outcome } = outcome;
    let (status, version, response) = match outcome {
        Ok(version) => (success(method), version, None),
        Err(error) => {
            let failure = Failure::from(error);
            let told = failure.told();
            if told.status >= 500 {
                // The answer as a whole is 200, so nobody else logs the cause.
                tracing::error!(request_id, cause = %failure, "an operation of a bulk request failed");
            }
            (told.status, None, Some(told.body()))
        }
    };
    Done { method, bulk_id, version, location, status, response }
}

/// The status that the operation alone would have had.
fn success(method: Method) -> u16 {
    match method {
        Method::Post => 201,
        Method::Put | Method::Patch => 200,
        Method::Delete => 204,
    }
}
