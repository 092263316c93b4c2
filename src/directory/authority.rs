//! Which part of a resource a client may write, kept at every write: a revision is worked out as always, and then held
//! against the document before it. What lies outside of the client's [`Authority`] is either refused, the whole request
//! with it, or left as it was and reported, as the client is set. A client without paths for a type may write all of it
//! that it sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::sources::Site;
use scim::authority::{Absence, Authority};
use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes};
use scim::schema::Definition;
use store::ResourceId;

use super::revise::Revision;
use super::{Ctx, Error, Tolerances};

/// Names, beside the tolerances, that something outside the client's authority was left as it was.
const QUIRK: &str = "outside-authority";

/// What becomes of a request that would change what its client may not write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outside {
    /// 403, and nothing is changed.
    #[default]
    Refuse,
    /// It is carried out without that.
    Ignore,
}

/// The paths that a client may write, by the name of the resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Types that are not named may be written as a whole, as far as the scopes go.
    pub of: BTreeMap<String, Vec<String>>,
    /// What becomes of the rest.
    pub outside: Outside,
    /// Whether of a group's members those alone are the client's to take out that it has put there.
    pub own_members: bool,
}

/// A client's authority over one resource type.
#[derive(Clone, Debug)]
pub(super) struct Held {
    definition: Arc<Definition>,
    authority: Authority,
    outside: Outside,
    tolerances: Tolerances,
}

impl Ctx {
    /// The caller's authority over resources of a type; `None`: it may write all that it sees of them.
    pub(super) fn authority(&self, definition: &Arc<Definition>) -> Option<Held> {
        let paths = self.caller.writes.of.get(definition.name())?;
        // What was once a path and is none any more, because the schema has changed, gives authority over nothing.
        let known = paths.iter().filter(|path| Authority::parse(definition, [path.as_str()]).is_ok());
        let authority = Authority::parse(definition, known.map(String::as_str)).unwrap_or_default();
        Some(Held {
            definition: definition.clone(),
            authority,
            outside: self.caller.writes.outside,
            tolerances: self.tolerances.clone(),
        })
    }

    /// What becomes of members that others have put into a group and that the caller names to take them out: they stay, or
    /// it fails with 403.
    pub(super) fn keep_member(&self, member: ResourceId) -> Result<(), Error> {
        match self.caller.writes.outside {
            Outside::Ignore => {
                self.tolerances.take_in([QUIRK]);
                self.tolerances.ignore(&[MEMBERS.to_owned()]);
                Ok(())
            }
            Outside::Refuse => Err(Error::Denied(format!(
                "members: {member} was put there by another, and this client takes out only whom it put there itself \
                 (memberships: own). Nothing was changed."
            ))),
        }
    }

    /// Fails with 403 when the caller may write only parts of resources of a type: it cannot delete one.
    pub(super) fn check_deleting(&self, definition: &Arc<Definition>) -> Result<(), Error> {
        match self.authority(definition) {
            None => Ok(()),
            Some(held) => Err(Error::Denied(format!(
                "This client may write only a part of a {} ({}), and so cannot delete one.",
                definition.name(),
                held.shown()
            ))),
        }
    }
}

impl Held {
    /// Whether members of a group may be changed. Fails with 403, unless what is outside is ignored.
    pub(super) fn check_members(&self) -> Result<bool, scim::Error> {
        if self.authority.covers(MEMBERS) {
            return Ok(true);
        }
        self.settle(&[MEMBERS.to_owned()], &mut Notes::new()).map(|()| false)
    }

    /// 403 for who may not change members.
    pub(super) fn refuse_members(&self) -> scim::Error {
        self.refusal(&[MEMBERS.to_owned()])
    }

    /// Whether all of the members may be written.
    pub(super) fn covers_members(&self) -> bool {
        self.authority.covers(MEMBERS)
    }

    /// A new resource as far as its client may write it. Fails with 403.
    pub(super) fn create(
        &self,
        document: Map<String, Value>,
        notes: &mut Notes,
    ) -> Result<Map<String, Value>, scim::Error> {
        let (document, changed) = self.authority.hold(&self.definition, &Map::new(), document, Absence::Silence);
        self.settle(&changed, notes)?;
        // What is left must be a resource still.
        let lacking = self.definition.core.attributes.iter().find(|attribute| {
            attribute.required && !document.contains_key(&attribute.name) && changed.contains(&attribute.name)
        });
        match lacking {
            Some(attribute) => Err(self.refusal(std::slice::from_ref(&attribute.name))),
            None => Ok(document),
        }
    }

    fn settle(&self, changed: &[String], notes: &mut Notes) -> Result<(), scim::Error> {
        match self.outside {
            _ if changed.is_empty() => Ok(()),
            Outside::Refuse => Err(self.refusal(changed)),
            Outside::Ignore => {
                notes.note(QUIRK);
                self.tolerances.ignore(changed);
                Ok(())
            }
        }
    }

    fn refusal(&self, changed: &[String]) -> scim::Error {
        scim::Error::status(
            403,
            format!(
                "This client may not write {}. Of a {} it may write {}. Nothing was changed.",
                changed.join(", "),
                self.definition.name(),
                self.shown()
            ),
        )
    }

    fn shown(&self) -> String {
        let paths: Vec<&str> = self.authority.paths().collect();
        if paths.is_empty() { "nothing".to_owned() } else { paths.join(", ") }
    }
}

/// A revision of which nothing takes effect outside of its client's authority.
struct Guarded {
    held: Held,
    absence: Absence,
    revision: Arc<dyn Revision>,
}

impl Revision for Guarded {
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        let mut next = self.revision.document(current, notes)?;
        // Members are not in the document before either: whether they move is asked by itself.
        next.shift_remove(MEMBERS);
        let (next, changed) = self.held.authority.hold(&self.held.definition, current, next, self.absence);
        self.held.settle(&changed, notes)?;
        Ok(next)
    }

    fn relation(&self) -> &[RelationChange] {
        self.revision.relation()
    }

    fn passwords(&self) -> Vec<String> {
        if self.held.authority.covers(super::password::SLOT) { self.revision.passwords() } else { Vec::new() }
    }

    fn absence(&self) -> Absence {
        self.absence
    }

    fn names(&self, site: &Site) -> bool {
        self.revision.names(site)
    }

    fn wished(&self) -> Option<&Map<String, Value>> {
        self.revision.wished()
    }

    fn is_explicit(&self) -> bool {
        self.revision.is_explicit()
    }

    fn admits_moves(&self) -> Result<bool, scim::Error> {
        self.held.check_members()
    }
}

impl Ctx {
    /// Fails with 403 when a new resource has a value where the caller sees another form of the attribute.
    pub(super) fn check_forms(
        &self,
        definition: &Definition,
        document: &Map<String, Value>,
    ) -> Result<(), scim::Error> {
        match self.view(definition).mappings().find(|mapping| document.contains_key(mapping.path())) {
            Some(mapping) => Err(refuse_form(mapping.path())),
            None => Ok(()),
        }
    }
}

fn refuse_form(path: &str) -> scim::Error {
    let detail = format!(
        "This client may not write {path}: what its view shows there is made of other values. Nothing was changed."
    );
    scim::Error::status(403, detail)
}

/// A revision that leaves alone what its client sees in another form.
struct Formed {
    paths: Vec<String>,
    absence: Absence,
    revision: Arc<dyn Revision>,
}

impl Revision for Formed {
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        let mut next = self.revision.document(current, notes)?;
        for path in &self.paths {
            match (current.get(path), next.get(path)) {
                (Some(shown), None) if self.absence == Absence::Silence => {
                    drop(next.insert(path.clone(), shown.clone()))
                }
                (shown, written) if shown == written => {}
                _ => return Err(refuse_form(path)),
            }
        }
        Ok(next)
    }

    fn relation(&self) -> &[RelationChange] {
        self.revision.relation()
    }

    fn passwords(&self) -> Vec<String> {
        self.revision.passwords()
    }

    fn absence(&self) -> Absence {
        self.absence
    }

    fn names(&self, site: &Site) -> bool {
        self.revision.names(site)
    }

    fn wished(&self) -> Option<&Map<String, Value>> {
        self.revision.wished()
    }

    fn is_explicit(&self) -> bool {
        self.revision.is_explicit()
    }

    fn admits_moves(&self) -> Result<bool, scim::Error> {
        self.revision.admits_moves()
    }
}

/// The revision as far as the caller may carry it out.
pub(super) fn guard(
    ctx: &Ctx,
    definition: &Arc<Definition>,
    absence: Absence,
    revision: Arc<dyn Revision>,
) -> Arc<dyn Revision> {
    let revision = match ctx.authority(definition) {
        Some(held) => Arc::new(Guarded { held, absence, revision }),
        None => revision,
    };
    let paths: Vec<String> = ctx.view(definition).mappings().map(|mapping| mapping.path().to_owned()).collect();
    if paths.is_empty() { revision } else { Arc::new(Formed { paths, absence, revision }) }
}
