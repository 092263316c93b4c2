//! Searches (RFC 7644 sections 3.4.2 and 3.4.3).

use std::sync::Arc;

use scim::filter::{Filter, Target};
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use store::scan::{Query, Sort};

use super::{Ctx, Directory, Error};

impl Directory {
    /// Searches one resource type and answers with a ListResponse as JSON text.
    pub async fn search(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        request: &SearchRequest,
    ) -> Result<String, Error> {
        let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
        let query = self.query(ctx, definition, request, &projection)?;
        let (directory, caller) = (self.clone(), ctx.clone());
        let start_index = request.start_index;
        self.store
            .read(move |reader| {
                let page = reader.search(caller.tenant, &query)?;
                let resources = page
                    .hits
                    .iter()
                    .map(|hit| directory.present_hit(&caller, &query.definition, hit, &projection))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(ListResponse { total_results: page.total, start_index, resources }.to_json())
            })
            .await
    }

    fn query(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        request: &SearchRequest,
        projection: &Projection,
    ) -> Result<Query, Error> {
        let filter = match &request.filter {
            Some(text) => Some(Filter::parse(text)?.check(definition)?),
            None => None,
        };
        let sort = match &request.sort_by {
            Some(path) => Some(Sort { target: sort_target(definition, path)?, descending: request.descending }),
            None => None,
        };
        let count = request.count.unwrap_or(self.limits.page_default).min(self.limits.page_max);
        Ok(Query {
            definition: definition.clone(),
            filter,
            view: ctx.view.clone(),
            sort,
            start: request.start_index,
            count,
            domain: ctx.caller.domain,
            base_url: ctx.base_url.clone(),
            lens: ctx.lens(),
            limit: self.limits.scan,
            with_members: projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some(),
            with_groups: projection.wants("groups"),
        })
    }
}

fn sort_target(definition: &Definition, path: &str) -> Result<Target, Error> {
    let unknown = || {
        scim::Error::invalid_path(format!("sortBy: {path} is not an attribute of {} that orders.", definition.name()))
    };
    let target = Target::resolve(definition, path).ok_or_else(unknown)?;
    Ok(target.comparable().ok_or_else(unknown)?.clone())
}
