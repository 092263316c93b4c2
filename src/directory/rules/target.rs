//! What a rule gives, as a resource: a group by its id, name or externalId, an entitlement by its value. Looked up under the
//! lock, so that it is the register of the same write.

use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::rules::{By, Gives, Sort};
use scim::key::{self, TextRule};
use store::work::Draft;
use store::{ResourceId, Work};

use super::ENTITLEMENT;
use crate::directory::licences::are_there;
use crate::directory::{Ctx, Error};

/// Most resources of one name that are looked at; several are too many.
const FEW: i64 = 10;

/// The resource type of groups.
pub(in crate::directory) const GROUP: &str = "Group";

/// The resource that a grant without a template means; or why there is none.
pub(in crate::directory) fn find(
    gives: &Gives,
    value: &str,
    work: &mut Work<'_>,
) -> Result<Result<ResourceId, String>, Error> {
    let kind = match gives.sort {
        Sort::Group => GROUP,
        Sort::Entitlement => ENTITLEMENT,
    };
    if work.catalog().registry().definition(kind).is_none() {
        return Ok(Err(format!("the tenant has no resource type {kind}")));
    }
    let found = match gives.by {
        By::Id => match value.parse() {
            Ok(id) => vec![id],
            Err(()) => Vec::new(),
        },
        By::ExternalId => match gives.domain.as_deref().unwrap_or_default().parse() {
            Ok(domain) => work.external_holder_in(domain, kind, value)?.into_iter().collect(),
            Err(()) => Vec::new(),
        },
        By::Name if gives.sort == Sort::Group => called(kind, "displayName", value, work)?,
        By::Name => called(kind, "value", value, work)?,
    };
    let mut living = Vec::new();
    for id in found {
        if work.record(id)?.is_some_and(|record| record.kind == kind) {
            living.push(id);
        }
    }
    Ok(match living.as_slice() {
        // Without seats nobody counts how much rules have given.
        [one]
            if gives.sort == Sort::Entitlement && !are_there(work.catalog().registry()) && is_limited(*one, work)? =>
        {
            Err(format!("the entitlement {value:?} is limited, and the tenant has no Assignments to count it by"))
        }
        [one] => Ok(*one),
        [] => Err(format!("there is no {} {value:?}", kind.to_lowercase())),
        several => Err(format!("{} are called {value:?}", several.len())),
    })
}

/// Resources of a kind that have a text at an indexed path.
pub(super) fn called(kind: &str, path: &str, text: &str, work: &mut Work<'_>) -> Result<Vec<ResourceId>, Error> {
    let mut found = Vec::new();
    let candidates = work.having(kind, path, &[text.to_owned()], None, FEW)?;
    let wanted = key::of_text(text, TextRule::Fold);
    for id in candidates.unwrap_or_default() {
        let document = work.document_of(id)?;
        let has = document.as_deref().and_then(|document| document.get(path)?.as_str());
        if has.is_some_and(|has| key::of_text(has, TextRule::Fold) == wanted) {
            found.push(id);
        }
    }
    Ok(found)
}

fn is_limited(entitlement: ResourceId, work: &mut Work<'_>) -> Result<bool, Error> {
    let document = work.document_of(entitlement)?;
    let limited = document.as_deref().and_then(|document| document.get("limitedAssignmentsPermitted"));
    Ok(limited == Some(&Value::Bool(true)))
}

/// A group of that name, made now because a rule needs it.
pub(in crate::directory) fn make_group(
    ctx: &Ctx,
    work: &mut Work<'_>,
    name: &str,
) -> Result<Result<ResourceId, String>, Error> {
    let id = ctx.random.resource_id(ctx.now)?;
    let document = Map::from_iter([
        ("schemas".to_owned(), Value::from(vec!["urn:ietf:params:scim:schemas:core:2.0:Group"])),
        ("displayName".to_owned(), name.into()),
    ]);
    work.create(Draft {
        id,
        kind: GROUP.to_owned(),
        label: name.to_owned(),
        doc: Arc::new(document),
        secret: None,
        members: Vec::new(),
        external: None,
    })?;
    Ok(Ok(id))
}
