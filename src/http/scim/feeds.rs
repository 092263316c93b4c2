//! Files of feeds: POST `/Feeds/{name}` takes one and answers at once, `/Runs/{id}` says what became of it. Whoever sends
//! a file may follow its run; all else about feeds and runs is for administrators.

use std::fs::File;
use std::io::Write;

use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use jiff::Timestamp;
use scim::view::Views;
use serde_json::{Value, json};
use store::{Random, ResourceId};

use super::resources;
use crate::auth::scope;
use crate::directory::feeds::map::{Format, Mode};
use crate::directory::feeds::{FEED, Feed, OBJECTS, REJECTS, RUN, WARNINGS};
use crate::directory::scope::Access;
use crate::directory::{Ctx, Error};
use crate::http::error::{Failure, SCIM_JSON};
use crate::http::{Answer, State, extract, intake, respond};
use crate::intake::read::ReadError;
use crate::intake::{IntakeError, Submission};

/// Items of a list on a page, when the request does not say, and at most.
const ITEMS: i64 = 100;
const MOST_ITEMS: i64 = 1_000;

/// POST `/Feeds/{name}`: 202 with the run's location. The body is kept before it is answered.
pub(in crate::http) async fn receive(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let ctx = extract::context_to_accept(&request, &state).await?;
    scope::permit_writing(&ctx.caller).map_err(Failure::Denied)?;
    let name = extract::id(&request);
    let system = Ctx {
        by: ctx.by.clone(),
        request_id: ctx.request_id.clone(),
        ..Ctx::system(ctx.tenant, ctx.now, Random::os())
    };
    let feed = state.directory.feed(&system, name).await?;
    // Another's feed is not there.
    let is_ours = |feed: &Feed| ctx.caller.scopes.is_admin() || feed.client == ctx.caller.id;
    let feed = feed.filter(is_ours).ok_or_else(|| scim::Error::not_found(FEED, name))?;
    let asked = Asked::read(&request)?;
    let file = body(&request, payload, &state).await?;
    let mut submission = Submission {
        file,
        format: asked.format,
        mode: asked.mode,
        extracted: asked.extracted,
        otherwise: ctx.now,
        simulate: asked.simulate,
        at_once: false,
    };
    let begun = state.intake(system).submit(&feed, &mut submission).await.map_err(told)?;
    intake::kick(&state.clone().into_inner(), ctx.tenant);
    Ok(HttpResponse::Accepted()
        .insert_header((header::LOCATION, format!("{}/{RUN}s/{}", ctx.base_url, begun.id())))
        .insert_header((header::RETRY_AFTER, 1))
        .finish())
}

/// GET `/Runs/{id}`: for whoever may read runs, and for the client as which it is carried out.
pub(in crate::http) async fn fetch(request: HttpRequest, state: web::Data<State>) -> Answer {
    let (ctx, ..) = readable(&request, &state).await?;
    // What its view says of runs does not count: they are no identities.
    let ctx = Ctx { views: Views::everything(), ..ctx };
    let definition = state.directory.registry().definition(RUN).cloned();
    let definition = definition.ok_or_else(|| scim::Error::not_found(RUN, extract::id(&request)))?;
    let wanted = extract::wanted(&request, &definition)?;
    let condition = extract::precondition(&request)?;
    let id = extract::id(&request);
    let fetched = state.directory.fetch(&ctx, &definition, id, &condition, &wanted.projection).await?;
    Ok(respond::fetched(fetched))
}

/// PATCH `/Runs/{id}`: the decision. One that is allowed is carried out after the answer.
pub(in crate::http) async fn decide(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let answer = resources::patch(request.clone(), payload, state.clone()).await?;
    let ctx = extract::context(&request, &state).await?;
    intake::kick(&state.clone().into_inner(), ctx.tenant);
    Ok(answer)
}

/// GET `/Runs/{id}/items`: what was refused, what should be looked at, or what a simulation would change.
pub(in crate::http) async fn items(request: HttpRequest, state: web::Data<State>) -> Answer {
    let (ctx, run, is_own) = readable(&request, &state).await?;
    let parameters = extract::parameters(&request)?;
    let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let list = match parameter("list").unwrap_or(REJECTS) {
        REJECTS => REJECTS,
        WARNINGS => WARNINGS,
        OBJECTS => OBJECTS,
        _ => return Err(scim::Error::invalid_value("list is reject, warning or object.").into()),
    };
    let number = |name: &str, default: i64| match parameter(name) {
        None => Ok(default),
        Some(text) => text.parse::<i64>().map_err(|_| scim::Error::invalid_value(format!("{name} is a number."))),
    };
    let after = number("after", -1)?;
    let count = number("count", ITEMS)?.clamp(0, MOST_ITEMS);
    let found: Vec<(i64, Value)> = state.directory.run_items(&ctx, run, list, (after, count)).await?;
    let next = found.last().filter(|_| i64::try_from(found.len()) == Ok(count)).map(|(place, _)| *place);
    let found = state.directory.shown_items(&ctx, (list, is_own), found).await?;
    let items: Vec<&Value> = found.iter().map(|(_, item)| item).collect();
    let mut answer = json!({ "items": items });
    if let (Some(answer), Some(next)) = (answer.as_object_mut(), next) {
        answer.insert("next".into(), next.into());
    }
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, SCIM_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(answer.to_string()))
}

/// The context in which a run may be read, the run, and whether it is the caller's own. Without the scope it is its own client's alone.
async fn readable(request: &HttpRequest, state: &State) -> Result<(Ctx, ResourceId, bool), Failure> {
    let ctx = extract::context(request, state).await?;
    let name = extract::id(request);
    let run = name.parse::<ResourceId>().ok();
    let document = match run {
        Some(run) => state.directory.run_document(&ctx, run).await?,
        None => None,
    };
    let client = document.as_ref().and_then(|run| run.get("client")?.get("value")?.as_str());
    let is_own = client == Some(ctx.caller.id.to_string().as_str());
    let definition = state.directory.registry().definition(RUN).cloned();
    let definition = definition.ok_or_else(|| scim::Error::not_found(RUN, name))?;
    if !is_own {
        scope::permit(&ctx.caller, &definition, Access::Read).map_err(Failure::Denied)?;
    }
    match (run, document) {
        (Some(run), Some(_)) => Ok((ctx, run, is_own)),
        _ => Err(scim::Error::not_found(RUN, name).into()),
    }
}

/// What a request says of the file it sends.
struct Asked {
    format: Format,
    mode: Option<Mode>,
    extracted: Option<i64>,
    simulate: bool,
}

impl Asked {
    fn read(request: &HttpRequest) -> Result<Self, Failure> {
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match media.as_str() {
            "text/csv" => Format::Csv,
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Format::Xlsx,
            "application/x-ndjson" | "application/jsonl" => Format::JsonLines,
            _ => {
                return Err(Failure::status(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "A feed is text/csv, application/x-ndjson or \
                     application/vnd.openxmlformats-officedocument.spreadsheetml.sheet; say so in Content-Type.",
                ));
            }
        };
        let coding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        if coding.is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
            return Err(Failure::status(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is compressed (Content-Encoding). Send it plain.",
            ));
        }
        let mut asked = Asked { format, mode: None, extracted: None, simulate: false };
        for (name, value) in extract::parameters(request)? {
            let wrong = |what: &str| scim::Error::invalid_value(format!("{name} is {what}."));
            match name.as_str() {
                "mode" => asked.mode = Some(Mode::parse(&value).ok_or_else(|| wrong("full or delta"))?),
                "extracted" => {
                    let moment: Timestamp = value.parse().map_err(|_| wrong("an instant as RFC 3339 writes it"))?;
                    asked.extracted = Some(moment.as_microsecond());
                }
                "simulate" => asked.simulate = value.parse().map_err(|_| wrong("true or false"))?,
                _ => {}
            }
        }
        Ok(asked)
    }
}

/// The body on disk, under no name: it may be larger than memory should bear.
async fn body(request: &HttpRequest, mut payload: web::Payload, state: &State) -> Result<File, Failure> {
    let limit = state.settings.feed_limit;
    let too_large = || {
        Failure::status(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "The file is larger than feed_limit, which is {limit} bytes. Send a delta, or have the limit raised."
            ),
        )
    };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let failed = |error: std::io::Error| Failure::from(store::Error::Unavailable(error.to_string()));
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut received = 0;
    loop {
        // However large it is, it must not stand still.
        let piece: Option<Result<Bytes, _>> =
            tokio::time::timeout(state.settings.body_timeout, payload.next())
                .await
                .map_err(|_| Failure::status(StatusCode::REQUEST_TIMEOUT, "The body took too long to arrive."))?;
        let Some(piece) = piece else { break };
        let piece =
            piece.map_err(|_| Failure::status(StatusCode::BAD_REQUEST, "The body ended before it was complete."))?;
        received += piece.len();
        if received > limit {
            return Err(too_large());
        }
        file.write_all(&piece).map_err(failed)?;
    }
    Ok(file)
}

/// Why a file was not taken, in the words of the protocol.
fn told(error: IntakeError) -> Failure {
    match error {
        IntakeError::Directory(error) => error.into(),
        IntakeError::Read(ReadError::Io(error)) => store::Error::Unavailable(error.to_string()).into(),
        IntakeError::Read(error) => scim::Error::invalid_value(error.to_string()).into(),
        error @ IntakeError::Map(_) => Error::from(scim::Error::status(409, error.to_string())).into(),
    }
}
