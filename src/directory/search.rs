//! Searches (RFC 7644 sections 3.4.2 and 3.4.3).

use std::sync::Arc;

use scim::filter::{Checked, Filter, Target};
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use store::Reader;
use store::scan::{Query, Sort};

use super::render::has_groups;
use super::{Ctx, Directory, Error};

impl Directory {
    /// Searches one resource type, or several one after the other in the order given, and answers with a ListResponse
    /// as JSON text. An attribute that one of several types lacks has no value there.
    pub async fn search(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<String, Error> {
        let parts = self.parts(ctx, definitions, request)?;
        let count = request.count.unwrap_or(self.limits.page_default).min(self.limits.page_max);
        let (directory, caller, start_index) = (self.clone(), ctx.clone(), request.start_index);
        self.store
            .read(move |reader| reader.snapshot(|reader| directory.pages(reader, &caller, parts, start_index, count)))
            .await
    }

    /// The page that begins at `start_index` of the parts laid end to end.
    fn pages(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        parts: Vec<(Query, Projection)>,
        start_index: u64,
        count: u64,
    ) -> Result<String, Error> {
        let mut total_results = 0;
        let mut resources = Vec::new();
        for (mut query, projection) in parts {
            query.start = start_index.saturating_sub(total_results).max(1);
            query.count = count.saturating_sub(resources.len() as u64);
            let page = reader.search(ctx.tenant, &query)?;
            total_results += page.total;
            for hit in &page.hits {
                resources.push(self.present_hit(ctx, &query.definition, hit, &projection)?);
            }
        }
        Ok(ListResponse { total_results, start_index, resources }.to_json())
    }

    /// What to ask of each resource type, and what of it to answer.
    fn parts(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<Vec<(Query, Projection)>, Error> {
        let filters = filters(definitions, request.filter.as_deref())?;
        let sorts = sorts(definitions, request)?;
        definitions
            .iter()
            .zip(filters.into_iter().zip(sorts))
            .map(|(definition, (filter, sort))| {
                let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
                let query = Query {
                    definition: definition.clone(),
                    filter,
                    view: ctx.view.clone(),
                    sort,
                    start: 1,
                    count: 0,
                    domain: ctx.caller.domain,
                    base_url: ctx.base_url.clone(),
                    lens: ctx.lens(),
                    limit: self.limits.scan,
                    with_members: projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some(),
                    with_groups: projection.wants("groups") && has_groups(definition),
                };
                Ok((query, projection))
            })
            .collect()
    }
}

impl Ctx {
    /// 403 sensitive when a search that came in a URL filters by an attribute that the caller must keep out of URLs, as
    /// those end up in logs (RFC 7644 section 7.5.2).
    pub fn check_sensitive(&self, definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<(), Error> {
        if self.caller.sensitive.is_empty() {
            return Ok(());
        }
        let filters = filters(definitions, request.filter.as_deref())?;
        let is_within = |path: &str, named: &str| {
            let rest = path.get(..named.len()).filter(|head| head.eq_ignore_ascii_case(named));
            rest.is_some_and(|_| matches!(path.as_bytes().get(named.len()), None | Some(b'.')))
        };
        for path in filters.iter().flatten().flat_map(Filter::attributes) {
            if self.caller.sensitive.iter().any(|named| is_within(path, named)) {
                let detail = format!("A filter by {path} must not stand in a URL. Send it to .search with POST.");
                return Err(scim::Error::new(scim::ScimType::Sensitive, detail).into());
            }
        }
        Ok(())
    }
}

fn filters(definitions: &[Arc<Definition>], text: Option<&str>) -> Result<Vec<Option<Filter<Checked>>>, Error> {
    let Some(text) = text else { return Ok(vec![None; definitions.len()]) };
    let parsed = Filter::parse(text)?;
    let checked = match definitions {
        [definition] => vec![parsed.check(definition)?],
        several => parsed.check_any(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
    };
    Ok(checked.into_iter().map(Some).collect())
}

/// The order of each resource type; a path that all of them lack is 400 invalidPath.
fn sorts(definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<Vec<Option<Sort>>, Error> {
    let Some(path) = &request.sort_by else { return Ok(vec![None; definitions.len()]) };
    let targets: Vec<Option<Target>> = definitions.iter().map(|definition| sort_target(definition, path)).collect();
    if targets.iter().all(Option::is_none) {
        let detail = format!("sortBy: {path} is not an attribute that orders. Name one with simple values.");
        return Err(scim::Error::invalid_path(detail).into());
    }
    let descending = request.descending;
    Ok(targets.into_iter().map(|target| Some(Sort { target: target?, descending })).collect())
}

fn sort_target(definition: &Definition, path: &str) -> Option<Target> {
    Target::resolve(definition, path)?.comparable().cloned()
}
