//! Simulations: POST `/Simulations` and the decision on one are writes like any other, after which it is worked out;
//! `/Simulations/{id}/items` is what one says, for administrators who see everything.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::{Stream, StreamExt, stream};
use scim::page::ListResponse;
use serde_json::Value;
use store::ResourceId;

use super::resources;
use crate::auth::scope;
use crate::directory::scope::Access;
use crate::directory::simulations::{
    DIFFERENCES, Item, OBJECTS, SIMULATION, SKIPPED, TARGETS, Target, cells, heads, page,
};
use crate::directory::{Ctx, Directory, Error};
use crate::http::error::{Failure, SCIM_JSON};
use crate::http::{Answer, State, extract, simulations};

/// What a page may do in a browser: show itself.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// Items read at a time for a table.
const SLICE: i64 = 500;

/// POST `/Simulations`: 201, and it is worked out after the answer.
pub(in crate::http) async fn create(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let answer = resources::create(request.clone(), payload, state.clone()).await?;
    kick(&request, state).await?;
    Ok(answer)
}

/// PUT `/Simulations/{id}`: as PATCH.
pub(in crate::http) async fn replace(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let answer = resources::replace(request.clone(), payload, state.clone()).await?;
    kick(&request, state).await?;
    Ok(answer)
}

/// PATCH `/Simulations/{id}`: the decision. What is to be applied is, after the answer, if it still says the same.
pub(in crate::http) async fn patch(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Answer {
    let answer = resources::patch(request.clone(), payload, state.clone()).await?;
    kick(&request, state).await?;
    Ok(answer)
}

async fn kick(request: &HttpRequest, state: web::Data<State>) -> Result<(), Failure> {
    let ctx = extract::context(request, &state).await?;
    simulations::kick(&state.into_inner(), ctx.tenant);
    Ok(())
}

/// GET `/Simulations/{id}/items`: what would become of each User, of each group and entitlement, or what became another
/// result; a page as JSON, a table as CSV or all of it as HTML for people, which are sent while they are read.
pub(in crate::http) async fn items(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    let name = extract::id(&request);
    let absent = || scim::Error::not_found(SIMULATION, name);
    let definition = state.directory.registry().definition(SIMULATION).cloned().ok_or_else(absent)?;
    scope::permit(&ctx.caller, &definition, Access::Read).map_err(Failure::Denied)?;
    // It tells of everybody, whatever a view shows.
    if !ctx.caller.scopes.is_admin() || !ctx.views.are_everything() {
        let detail = "What a simulation says of people is for administrators who see everything.";
        return Err(Failure::Denied(detail.to_owned()));
    }
    let id: ResourceId = name.parse().map_err(|()| absent())?;
    let document = state.directory.simulation(&ctx, id).await?.ok_or_else(absent)?;
    let asked = Asked::read(&request)?;
    if asked.is_table {
        let (directory, ctx) = (state.directory.clone(), Arc::new(ctx));
        let span = (asked.start - 1, asked.count.unwrap_or(i64::MAX));
        return Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8"))
            .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"simulation.csv\""))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .streaming(table(directory, ctx, id, span)));
    }
    if asked.is_page {
        let targets: Vec<(i64, Target)> = state.directory.simulated(&ctx, id, TARGETS, (0, page::MOST_TARGETS)).await?;
        let targets: Vec<Target> = targets.into_iter().map(|(_, target)| target).collect();
        let people = document.get("counts").and_then(|counts| counts.get("items")?.as_u64()).unwrap_or_default();
        let rest = people.saturating_sub(u64::try_from(page::MOST_PEOPLE).unwrap_or_default());
        let begin = stream::once(std::future::ready(Ok(Bytes::from(page::head(&document, &targets)))));
        let end = stream::once(std::future::ready(Ok::<_, std::io::Error>(Bytes::from(page::foot(rest)))));
        let people = told(state.directory.clone(), Arc::new(ctx), id);
        return Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
            .insert_header((header::CONTENT_DISPOSITION, "inline; filename=\"simulation.html\""))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .streaming(begin.chain(people).chain(end)));
    }
    let limits = state.directory.limits();
    let most = i64::try_from(limits.page_max).unwrap_or(i64::MAX);
    let count = asked.count.unwrap_or(i64::try_from(limits.page_default).unwrap_or(most)).min(most);
    if let Some(view) = &asked.view {
        return in_view(&state.directory, &ctx, (id, &document), view, (asked.start - 1, count)).await;
    }
    let found: Vec<(i64, Value)> = state.directory.simulated(&ctx, id, asked.list, (asked.start - 1, count)).await?;
    let total = |part: &str, names: &[&str]| {
        let part = document.get(part);
        names.iter().filter_map(|name| part?.get(*name)?.as_u64()).sum()
    };
    let total_results = match asked.list {
        _ if found.is_empty() && !document.contains_key("digest") => 0,
        OBJECTS => total("counts", &["items"]),
        TARGETS => total("counts", &["targets"]),
        SKIPPED => document.get("skipped").and_then(Value::as_u64).unwrap_or_default(),
        _ => total("difference", &["appeared", "gone", "other", "moved"]),
    };
    Ok(listed(total_results, asked.start, found.into_iter().map(|(_, item)| item)))
}

/// A page as JSON.
fn listed(total: u64, start: i64, items: impl Iterator<Item = Value>) -> HttpResponse {
    let page = ListResponse {
        total_results: Some(total),
        start_index: Some(u64::try_from(start).unwrap_or(1)),
        resources: items.map(|item| item.to_string()).collect(),
        ..ListResponse::default()
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, SCIM_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(page.to_json())
}

/// The page of the people who would appear in a view, leave it or change there. Items are read until the page is full.
async fn in_view(
    directory: &Directory,
    ctx: &Ctx,
    (id, document): (ResourceId, &serde_json::Map<String, Value>),
    view: &str,
    (skip, count): (i64, i64),
) -> Answer {
    let of = |one: &Value| one.get("value").and_then(Value::as_str) == Some(view);
    let told = document.get("perView").and_then(Value::as_array).into_iter().flatten().find(|one| of(one));
    let unknown = || scim::Error::invalid_value(format!("view: the simulation does not tell of a view {view}."));
    let told = told.ok_or_else(unknown)?;
    let total: u64 = ["appears", "changes", "leaves"].iter().filter_map(|name| told.get(*name)?.as_u64()).sum();
    let (mut after, mut left, mut page) = (0, skip, Vec::new());
    while i64::try_from(page.len()).is_ok_and(|length| length < count) {
        let found: Vec<(i64, Value)> = directory.simulated(ctx, id, OBJECTS, (after, SLICE)).await?;
        let Some((last, _)) = found.last() else { break };
        after = *last;
        let is_there = |item: &Value| item.get("views").and_then(Value::as_array).is_some_and(|all| all.iter().any(of));
        for (_, item) in found.into_iter().filter(|(_, item)| is_there(item)) {
            left -= 1;
            if left < 0 && i64::try_from(page.len()).is_ok_and(|length| length < count) {
                page.push(item);
            }
        }
    }
    Ok(listed(total, skip + 1, page.into_iter()))
}

/// What a request asks of the items.
struct Asked {
    list: &'static str,
    /// Only those of whom this view would show something else.
    view: Option<String>,
    is_table: bool,
    is_page: bool,
    /// Beginning with 1.
    start: i64,
    count: Option<i64>,
}

impl Asked {
    fn read(request: &HttpRequest) -> Result<Self, Failure> {
        let mut asked = Asked { list: OBJECTS, view: None, is_table: false, is_page: false, start: 1, count: None };
        for (name, value) in extract::parameters(request)? {
            let wrong = |what: &str| scim::Error::invalid_value(format!("{name} is {what}."));
            let number = || value.parse::<i64>().map_err(|_| wrong("a number"));
            match name.as_str() {
                "list" => {
                    let known = [OBJECTS, TARGETS, DIFFERENCES, SKIPPED].into_iter().find(|known| *known == value);
                    asked.list = known.ok_or_else(|| wrong("object, target, difference or skipped"))?;
                }
                "view" => asked.view = Some(value.clone()),
                "format" if value == "csv" => asked.is_table = true,
                "format" if value == "html" => asked.is_page = true,
                "format" if value == "json" => {}
                "format" => return Err(wrong("json, csv or html").into()),
                "startIndex" => asked.start = number()?.max(1),
                "count" => asked.count = Some(number()?.max(0)),
                _ => {}
            }
        }
        if (asked.is_table || asked.is_page) && asked.list != OBJECTS {
            return Err(scim::Error::invalid_value("A table and a page are of the list object.").into());
        }
        if asked.view.is_some() && (asked.is_table || asked.is_page || asked.list != OBJECTS) {
            return Err(scim::Error::invalid_value("view is asked of the list object as json.").into());
        }
        Ok(asked)
    }
}

/// Each of the people of a page, slice by slice.
fn told(directory: Directory, ctx: Arc<Ctx>, id: ResourceId) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold(0, move |after| {
        let (directory, ctx) = (directory.clone(), Arc::clone(&ctx));
        async move {
            let limit = SLICE.min(page::MOST_PEOPLE - after);
            let failed = |error: Error| std::io::Error::other(error.to_string());
            let found: Vec<(i64, Item)> =
                directory.simulated(&ctx, id, OBJECTS, (after, limit)).await.map_err(failed)?;
            let Some((last, _)) = found.last() else { return Ok(None) };
            let text: String = found.iter().map(|(_, item)| page::person(item)).collect();
            Ok(Some((Bytes::from(text), *last)))
        }
    })
}

/// The items after a place as lines of CSV, slice by slice.
fn table(
    directory: Directory,
    ctx: Arc<Ctx>,
    id: ResourceId,
    (after, count): (i64, i64),
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold(Some((after, count, true)), move |state| {
        let (directory, ctx) = (directory.clone(), Arc::clone(&ctx));
        async move {
            let Some((after, left, is_first)) = state else { return Ok(None) };
            let failed = |error: Error| std::io::Error::other(error.to_string());
            let limit = left.min(SLICE);
            let found: Vec<(i64, Item)> =
                directory.simulated(&ctx, id, OBJECTS, (after, limit)).await.map_err(failed)?;
            let mut out =
                csv::WriterBuilder::new().delimiter(b';').terminator(csv::Terminator::CRLF).from_writer(Vec::new());
            if is_first {
                out.write_record(heads())?;
            }
            for row in found.iter().flat_map(|(_, item)| cells(item)) {
                out.write_record(row)?;
            }
            let text = out.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
            let is_last = i64::try_from(found.len()).is_ok_and(|length| length < limit || length == left);
            let next = found.last().filter(|_| !is_last).map(|(last, _)| (*last, left - limit, false));
            Ok(Some((Bytes::from(text), next)))
        }
    })
}
