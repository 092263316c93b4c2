//! What is particular about a resource type when one of its resources is written: a client is not shut out by itself, the
//! tokens of an issuer lead to its register, a unit takes with it what lies below. Creation, revision and removal ask here,
//! under the lock, and name no type themselves. What follows from a User's facts is another matter: that is `settle`.

use serde_json::{Map, Value};

use scim::schema::Definition;
use store::{Record, ResourceId, Work};

use super::{
    Ctx, Error, adoptions, authorities, clients, feeds, issuers, licences, persons, rules, settle, simulations, units,
    views, work_items,
};

/// A resource that is about to be written.
pub(super) struct Write<'w> {
    /// On whose behalf.
    pub(super) ctx: &'w Ctx,
    /// Its type.
    pub(super) definition: &'w Definition,
    /// Its id.
    pub(super) id: ResourceId,
    /// As it is stored; `None`: it is created.
    pub(super) before: Option<&'w Record>,
    /// The key that its writer has for it.
    pub(super) external: Option<&'w str>,
}

/// What is done once it is written; `None` for the record: it is gone.
pub(super) type Follow = Box<dyn FnOnce(&Write<'_>, Option<&Record>, &mut Work<'_>) -> Result<(), Error>>;

/// Sees to a write of one type: refuses it, or says in the document (`None`: it is removed) what is the server's to say.
type Room = fn(&Write<'_>, Option<&mut Map<String, Value>>, &mut Work<'_>) -> Result<Option<Follow>, Error>;

/// Who sees to writes of a type; `None`: there is nothing particular about it.
pub(super) fn of(definition: &Definition) -> Option<Room> {
    match definition.name() {
        // Known by their schemas: a tenant may have types of its own that are called so.
        _ if units::are(definition) => Some(units::attend),
        _ if persons::are(definition) => Some(persons::attend),
        _ if adoptions::are(definition) => Some(adoptions::attend),
        clients::CLIENT => Some(clients::attend),
        views::VIEW => Some(views::attend),
        issuers::ISSUER => Some(issuers::attend),
        feeds::FEED | feeds::RUN => Some(feeds::attend),
        simulations::SIMULATION => Some(simulations::attend),
        work_items::WORK_ITEM => Some(work_items::attend),
        settle::RULE => Some(rules::attend),
        _ if licences::are(definition) => Some(licences::attend),
        rules::ENTITLEMENT => Some(licences::attend_entitlement),
        settle::POLICY => Some(settle::attend),
        settle::AUTHORITY => Some(authorities::attend),
        rules::GROUP => Some(rules::attend_group),
        _ => None,
    }
}
