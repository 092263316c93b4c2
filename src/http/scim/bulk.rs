//! Bulk (RFC 7644 section 3.7): one call of the directory; here its limits are kept, each operation's permission is
//! asked for, and what became of the operations is put into words. A client that prefers it is answered before the
//! operations are carried out, and fetches the result later (RFC 9967 section 2.5.1).

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use scim::bulk::{BulkResponse, Done, parse};
use scim::resource::Notes;

use crate::auth::scope;
use crate::directory::deferred::{self, Accepted, Deferral};
use crate::directory::scope::Access;
use crate::directory::{BulkOutcome, Caller, Ctx, Error};
use crate::http::error::Failure;
use crate::http::prefer::Preference;
use crate::http::{Answer, State, body, extract, once, prefer, respond};

/// How long a request with a key waits for its result, and how often it looks while another process works on it.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(100);
/// Says that the preference was followed (RFC 7240 section 3).
const APPLIED: (&str, &str) = ("Preference-Applied", "respond-async");

/// POST `/Bulk`: 200, whatever became of the operations; 202 for a client that prefers not to wait for them.
pub(in crate::http) async fn carry_out(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let Preference { respond_async, wait } = prefer::read(&request)?;
    let is_async = respond_async && state.directory.limits().deferred > 0;
    let mut ctx = match is_async {
        true => extract::context_to_accept(&request, &state).await?,
        false => extract::context(&request, &state).await?,
    };
    let caller = ctx.caller.clone();
    scope::permit_writing(&caller).map_err(Failure::Denied)?;
    let body = body::read_bulk(&request, payload, &state.settings).await?;
    once::take_key(&request, &mut ctx, Some(&body), 200)?;
    let message = (is_async || ctx.once.is_some()).then(|| body.clone());
    let mut notes = Notes::new();
    let bulk = parse(body, state.settings.bulk_operations, ctx.caller.profile.strictness(), &mut notes);
    ctx.tolerances.take_in(notes.iter());
    let bulk = bulk?;
    if let Some(message) = message {
        let accepted = state.directory.defer_bulk(state.clone().into_inner(), &ctx, message, &bulk).await?;
        let (name, again) = (accepted.id.to_string(), accepted.again);
        let marked = |answer: HttpResponse| if again { once::mark(answer) } else { answer };
        if !is_async {
            let answer = in_the_end(&state, &ctx, accepted).await;
            forget(&state, &caller);
            return Ok(marked(respond::at_last(answer?)));
        }
        if !wait.is_zero()
            && tokio::time::timeout(wait, accepted.turn).await.is_ok()
            && let Deferral::Done(answer) = state.directory.deferral(&ctx, &name).await?
        {
            return Ok(marked(respond::at_last(answer)));
        }
        return Ok(marked(respond::accepted(&name, &ctx.base_url).insert_header(APPLIED).finish()));
    }
    let written = state.directory.bulk(&ctx, bulk, |kind| scope::permit(&caller, kind, Access::Write)).await;
    forget(&state, &caller);
    let written = written?;
    ctx.tolerances.take_in(written.tolerances);
    let operations = written.operations.into_iter().map(|outcome| done(outcome, &ctx.request_id)).collect();
    Ok(respond::message(BulkResponse { operations }.to_json()))
}

/// After a client may have been changed, nobody is let in for what it was before.
fn forget(state: &State, caller: &Caller) {
    if caller.scopes.is_admin() {
        state.authenticator.forget();
    }
}

/// The result of a request that is carried out for a key: by this process, or by the one that has begun it. Fails with
/// 503 when it is not done in time; the same request with the same key waits on.
async fn in_the_end(state: &State, ctx: &Ctx, accepted: Accepted) -> Result<deferred::Answer, Failure> {
    let name = accepted.id.to_string();
    let end = tokio::time::Instant::now() + LONGEST_WAIT;
    let mut turn = Some(accepted.turn);
    while tokio::time::Instant::now() < end {
        match turn.take() {
            Some(turn) => drop(tokio::time::timeout_at(end, turn).await),
            None => tokio::time::sleep(PAUSE).await,
        }
        if let Deferral::Done(answer) = state.directory.deferral(ctx, &name).await? {
            return Ok(answer);
        }
    }
    Err(store::Error::Busy.into())
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
