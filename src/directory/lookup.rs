//! A search that is a look-up: one `eq` on a value that an index holds whole, as every provisioning client asks before it
//! creates. The answer is that of [`Directory::search`], without a plan, a snapshot or a parsed document. Where anything
//! is not as simple as that (a hidden attribute, a sort, a cursor, members, many hits), it is left to the search.

use std::sync::Arc;

use scim::filter::{Checked, Filter, Op};
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use scim::view::View;
use store::is_closed;
use store::{LookedUp, Lookup, Point, Reader, Reading, Trait};

use super::membership::is_membership;
use super::render::{State, has_groups};
use super::search;
use super::{Ctx, Directory, Error};

impl Directory {
    /// The answer to a search that is a look-up; `None`: it is none.
    pub(super) async fn look_up(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<Option<search::Found>, Error> {
        let [definition] = definitions else { return Ok(None) };
        if is_membership(definition) {
            return Ok(None);
        }
        let is_plain = request.cursor.is_none() && request.sort_by.is_none() && request.start_index == 1;
        let Some(text) = request.filter.as_deref().filter(|_| is_plain) else { return Ok(None) };
        let Some(common) = trait_of(&Filter::parse(text)?.check(definition)?) else { return Ok(None) };
        if !ctx.views.are_everything() && !is_plainly_seen(ctx.view(definition), &common) {
            return Ok(None);
        }
        let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
        if projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some() {
            return Ok(None);
        }
        let most = request.count.unwrap_or(self.limits.page_default).min(self.limits.page_max).min(self.limits.scan);
        let at_once = self.store.read_here(|reader| find(reader, ctx, definition, &common, true));
        let found = match at_once.transpose()? {
            None | Some(Found::Long) => {
                let (caller, definition) = (ctx.clone(), definition.clone());
                self.store
                    .read_for(ctx.tenant, move |reader| find(reader, &caller, &definition, &common, false))
                    .await?
            }
            Some(found) => found,
        };
        let Found::States(states) = found else { return Ok(None) };
        if most == 0 || states.len() as u64 > most {
            return Ok(None);
        }
        let mut resources = Vec::with_capacity(states.len());
        for state in &states {
            resources.push(self.present(ctx, definition, state, &projection)?.0);
        }
        let total_results = Some(resources.len() as u64);
        let response = ListResponse { total_results, start_index: Some(1), resources, ..ListResponse::default() };
        Ok(Some(search::Found { body: response.to_json(), feed_position: None }))
    }
}

/// What was found of what the caller sees.
enum Found {
    States(Vec<State>),
    Long,
    Unclear,
}

fn find(
    reader: &mut Reader,
    ctx: &Ctx,
    definition: &Definition,
    common: &Trait,
    at_once: bool,
) -> Result<Found, Error> {
    let (kind, with_groups) = (definition.name(), has_groups(definition));
    let lookup = Lookup { kind, domain: ctx.caller.domain, with_groups, at_once };
    let points = match reader.lookup(ctx.tenant, &lookup, common)? {
        LookedUp::Points(points) => points,
        LookedUp::Long => return Ok(Found::Long),
        LookedUp::Unclear => return Ok(Found::Unclear),
    };
    let mut states = Vec::with_capacity(points.len());
    for Point { record, external, groups, nesting_seq } in points {
        let mut state = State::new(record, external, groups, nesting_seq);
        if state.is_seen(ctx, definition, &mut Reading(reader, ctx.tenant))? {
            states.push(state);
        }
    }
    Ok(Found::States(states))
}

/// Whether the caller sees what it asks about, wherever it has a value.
fn is_plainly_seen(view: &View, common: &Trait) -> bool {
    match common {
        Trait::Value(path, _) => view.sees_alike(path) && !view.maps(path) && !is_closed(view, path),
        Trait::External(_) => view.sees_alike("externalId"),
        Trait::Member(_) => false,
    }
}

/// What all resources that fit have in common, when the filter is that and nothing else.
pub(super) fn trait_of(filter: &Filter<Checked>) -> Option<Trait> {
    let (target, operand) = match filter {
        Filter::Compare(target, Op::Eq, operand) => (target, operand),
        // One condition alone means within brackets what it means without.
        Filter::Element(_, inner) => match &**inner {
            Filter::Compare(target, Op::Eq, operand) => (target, operand),
            _ => return None,
        },
        _ => return None,
    };
    Some(match &*target.canonical {
        "externalId" => Trait::External(operand.key.clone()),
        "members.value" => Trait::Member(operand.raw.as_str()?.parse().ok()?),
        // What is derived, and not what an index holds.
        path if path == "id" || path.starts_with("meta.") || path.starts_with("groups.") => return None,
        _ => Trait::Value(target.canonical.clone(), operand.key.clone()),
    })
}
