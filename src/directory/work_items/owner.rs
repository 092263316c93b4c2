//! Whose a work item is, where that is no administrator: a client with the scope `WorkItem:decide` sees the items that it
//! owns, or that the User owns for whom it asks, and says of those that they are done. It hands none on and gives itself
//! none: who decides is said by administrators. What a decision *does* is done where it belongs, by whoever may do that.

use std::sync::Arc;

use scim::filter::Filter;
use scim::schema::Registry;
use scim::view::Views;
use serde_json::{Map, Value};
use store::Work;

use super::WORK_ITEM;
use crate::directory::particular::Write;
use crate::directory::scope::Access;
use crate::directory::{Caller, Error, clients};
use provisioning::person::USER;

/// What an owner may say of its own.
const OWNERS: [&str; 2] = ["state", "remark"];

/// What a caller sees, and of work items those alone that are its own to decide, where its scopes say so.
pub fn theirs(caller: &Caller, views: Arc<Views>, registry: &Registry) -> Arc<Views> {
    if !caller.scopes.are_of_own(WORK_ITEM) {
        return views;
    }
    let Some(definition) = registry.definition(WORK_ITEM) else { return views };
    let whose: Vec<String> = selves(caller).map(|id| format!("owner.value eq \"{id}\"")).collect();
    let own = Filter::parse(&whose.join(" or ")).and_then(|filter| filter.check(definition));
    match own {
        Ok(own) => Arc::new(views.within(registry, WORK_ITEM, &own)),
        // The schema is built in: an item has an owner.
        Err(_) => Arc::new(Views::alike(scim::view::View::nothing())),
    }
}

/// The ids under which a caller may own something.
fn selves(caller: &Caller) -> impl Iterator<Item = String> {
    [Some(caller.id), caller.user].into_iter().flatten().map(|id| id.to_string())
}

fn owner(document: &Map<String, Value>) -> Option<&str> {
    document.get("owner")?.get("value")?.as_str()
}

/// Fails as denied for who is no administrator and writes what is not its own, or more of it than that it is done and why.
pub(super) fn guard(
    write: &Write<'_>,
    known: &Map<String, Value>,
    after: Option<&Map<String, Value>>,
) -> Result<(), Error> {
    let caller = &write.ctx.caller;
    if caller.scopes.is_admin() {
        return Ok(());
    }
    let is_own = owner(known).is_some_and(|owner| selves(caller).any(|own| own == owner));
    if !is_own || !caller.scopes.allow(WORK_ITEM, Access::Decide) {
        return Err(Error::Denied("The work item is not this client's to decide. Nothing was changed.".into()));
    }
    let Some(after) = after else {
        return Err(Error::Denied("Work items are deleted by administrators.".into()));
    };
    let names = known.keys().chain(after.keys()).filter(|name| !OWNERS.contains(&name.as_str()));
    match names.into_iter().find(|name| known.get(*name) != after.get(*name)) {
        Some(name) => {
            Err(Error::Denied(format!("{name} of a work item is written by administrators. Nothing was changed.")))
        }
        None => Ok(()),
    }
}

/// Sees to an owner that is named: a Client or a User, by its id. Fails with 400 invalidValue for anything else.
pub(super) fn complete(
    known: &Map<String, Value>,
    after: &mut Map<String, Value>,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    let Some(id) = owner(after).filter(|id| owner(known) != Some(*id)) else { return Ok(()) };
    let wrong = || scim::Error::invalid_value("owner.value is the id of a Client or a User.");
    let record = work.record(id.parse().map_err(|_| wrong())?)?;
    let record = record.filter(|record| [clients::CLIENT, USER].contains(&record.kind.as_str())).ok_or_else(wrong)?;
    let reference = super::reference(work, record.id)?;
    after.insert("owner".to_owned(), reference);
    Ok(())
}
