//! GET `/Reports/{day}`: what became of people on a day, as JSON or, to whom `Accept` says so, as a table; and
//! GET `/Reports/rights`: rights without a ground, page by page.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::auth::scope;
use crate::directory::audit::AUDIT_EVENT;
use crate::directory::report::Report;
use crate::directory::report::rights::Rights;
use crate::directory::scope::{Access, needed};
use crate::directory::{Error, RULE};
use crate::http::error::{Failure, SCIM_JSON};
use crate::http::{Answer, State, extract, respond};

/// For whoever may read the audit: it tells of everybody, whatever a view shows, and names nobody.
pub(in crate::http) async fn daily(request: HttpRequest, state: web::Data<State>) -> Answer {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_table = accept.split(',').any(|range| range.trim().to_ascii_lowercase().starts_with("text/csv"));
    let ctx = match is_table {
        true => extract::context_to_accept(&request, &state).await?,
        false => extract::context(&request, &state).await?,
    };
    let definition = state.directory.registry().definition(AUDIT_EVENT).cloned();
    let definition = definition.ok_or_else(|| scim::Error::not_found(AUDIT_EVENT, "reports"))?;
    scope::permit(&ctx.caller, &definition, Access::Read).map_err(Failure::Denied)?;
    let day = request.match_info().query("day");
    let report = state.directory.report(&ctx, day).await?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::CACHE_CONTROL, "no-store")).insert_header((header::VARY, "Accept"));
    if is_table {
        return Ok(answer.insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8")).body(table(&report)));
    }
    Ok(answer.insert_header((header::CONTENT_TYPE, SCIM_JSON)).body(report.to_json().to_string()))
}

/// For whoever may read Users and rules, as `/Users/{id}/why` is; what a view does not show is not named.
pub(in crate::http) async fn rights(request: HttpRequest, state: web::Data<State>) -> Answer {
    let ctx = extract::context(&request, &state).await?;
    for kind in ["User", RULE] {
        if !ctx.caller.scopes.allow(kind, Access::Read) {
            let detail = format!("The scope {} is missing.", needed(kind, Access::Read));
            return Err(Failure::from(Error::Denied(detail)));
        }
    }
    let mut asked = Rights::default();
    for (name, value) in extract::parameters(&request)? {
        asked.take(&name, &value).map_err(Failure::from)?;
    }
    let page = state.directory.rights_report(&ctx, &asked).await?;
    Ok(respond::message(page.to_json().to_string()))
}

fn table(report: &Report) -> Vec<u8> {
    let mut out = csv::WriterBuilder::new().delimiter(b';').terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let mut is_whole = out.write_record(Report::heads()).is_ok();
    for cells in report.cells() {
        is_whole &= out.write_record(cells).is_ok();
    }
    debug_assert!(is_whole, "memory takes every line");
    out.into_inner().unwrap_or_default()
}
