//! What follows from views that show attributes in another form: these forms are indexed, and no two resources that a view
//! shows may share one that is unique. Asked under the lock, whenever a view comes, changes or goes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use scim::schema::Registry;
use store::work::{Forming, document_of};
use store::{ResourceId, Work};

use super::super::Error;
use super::{VIEW, rules};

/// Has the forms of all views indexed, that of this one as it will be. Fails with 409 uniqueness when two resources that
/// the view shows would share a value, with 400 when there are too many forms.
pub(super) fn lay_forms(work: &mut Work<'_>, id: ResourceId, after: Option<&Map<String, Value>>) -> Result<(), Error> {
    let registry = work.catalog().registry().clone();
    let own = after.map(|document| forms(&registry, id, document)).unwrap_or_default();
    if own.is_empty() && !work.has_forms() {
        return Ok(());
    }
    let mut wanted = own;
    for record in work.records_of(VIEW)?.into_iter().filter(|record| record.id != id) {
        wanted.extend(forms(&registry, record.id, &document_of(&record)?));
    }
    match work.set_forms(&wanted)? {
        Forming::Done => Ok(()),
        Forming::Shared { kind, path } => {
            let detail = format!(
                "mappings: {path} is unique, and two resources of the type {kind} that the view shows would have the same. \
                 Choose another template or filter."
            );
            Err(scim::Error { detail, ..scim::Error::uniqueness(&path) }.into())
        }
        Forming::TooMany(most) => Err(scim::Error::invalid_value(format!(
            "mappings: at most {most} paths of a resource type can be indexed, and each form that views show is one of them."
        ))
        .into()),
    }
}

/// The forms that a view shows: the resource type and the mapping's text of each.
fn forms(registry: &Registry, view: ResourceId, document: &Map<String, Value>) -> BTreeSet<(String, String)> {
    let mut forms = BTreeSet::new();
    for rule in rules(document, view) {
        let Some(definition) = registry.definition(rule.kind) else { continue };
        let mappings = rule.forms.iter().filter_map(|form| rule.mapping(form, definition).ok());
        forms.extend(mappings.map(|mapping| (rule.kind.to_owned(), mapping.text().to_owned())));
    }
    forms
}
