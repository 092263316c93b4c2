//! Which resources a client's views show, asked of what leads to them: members, groups, a manager. One that is outside of
//! the view of its type is not there, and neither is one that does not exist: nothing tells the two apart.
//!
//! Asked of a read, and of a write under the lock, by the same code. Where the views are open nobody asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use scim::filter::{Checked, Filter};
use scim::resource::{MEMBERS, label};
use scim::schema::{Definition, Registry};
use scim::view::{Reference, Text, View, Views};

use crate::reader::Reader;
use crate::{Derived, Error, GroupRef, MemberRef, Record, ResourceId, TenantId, Work, assemble, etag};

/// How a client looks at a register.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What it may see of each resource type.
    pub views: Arc<Views>,
    /// Whose `externalId` it sees.
    pub domain: ResourceId,
    /// Base of locations, for views that ask about them.
    pub base_url: Arc<str>,
}

/// Resources that a client sees: what they are called to it, or `None` for what they are called anyway.
#[derive(Clone, Debug, Default)]
pub struct Seen(HashMap<ResourceId, Option<String>>);

impl Seen {
    /// Whether the resource is seen.
    pub fn has(&self, id: ResourceId) -> bool {
        self.0.contains_key(&id)
    }

    /// What the resource is called; `None`: it is not seen.
    pub fn label(&self, id: ResourceId, label: String) -> Option<String> {
        self.0.get(&id).map(|seen| seen.clone().unwrap_or(label))
    }

    /// The members that are seen, by the names they have then.
    pub fn keep(&self, members: Vec<MemberRef>) -> Vec<MemberRef> {
        let named = |member: MemberRef| Some(MemberRef { label: self.label(member.id, member.label)?, ..member });
        members.into_iter().filter_map(named).collect()
    }

    fn name(&self, id: &str) -> Option<Option<String>> {
        self.0.get(&id.parse().ok()?).cloned()
    }
}

/// Records, each as a document.
pub type Documents = Vec<(Record, Map<String, Value>)>;

/// Where resources can be looked at.
pub trait Eyes {
    /// What the tenant's resources are.
    fn registry(&self) -> Arc<Registry>;
    /// Those of the resources that live.
    fn records(&mut self, ids: &[ResourceId]) -> Result<Vec<Record>, Error>;
    /// The living members of a group.
    fn members(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, Error>;
    /// Records of one type as documents, with all that the filter asks about.
    fn documents(
        &mut self,
        sight: &Sight,
        definition: &Arc<Definition>,
        records: Vec<Record>,
        filter: Option<&Filter<Checked>>,
    ) -> Result<Documents, Error>;
}

/// Which of the resources are seen.
pub fn look(eyes: &mut impl Eyes, sight: &Sight, ids: &[ResourceId]) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    if sight.views.are_everything() {
        seen.0.extend(ids.iter().map(|id| (*id, None)));
        return Ok(seen);
    }
    let ids: Vec<ResourceId> = ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let mut by_kind: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in eyes.records(&ids)? {
        by_kind.entry(record.kind.clone()).or_default().push(record);
    }
    let registry = eyes.registry();
    for (kind, records) in by_kind {
        let view = sight.views.of(&kind);
        let Some(definition) = registry.definition(&kind).filter(|_| !view.is_nothing()) else { continue };
        if view.is_open() {
            seen.0.extend(records.into_iter().map(|record| (record.id, None)));
            continue;
        }
        let records = match view.shows_names() || view.has_masks() {
            // What is seen by its text alone, and under its own name, need not become a document.
            true => told_by_text(view, records, &mut seen),
            false => records,
        };
        for (record, mut document) in eyes.documents(sight, definition, records, view.filter())? {
            if !view.admits(&document) {
                continue;
            }
            let name = (!view.shows_names()).then(|| {
                view.project(&mut document);
                label(&document)
            });
            seen.0.insert(record.id, name);
        }
    }
    Ok(seen)
}

/// Notes those of the records that are seen. Returns those of which the text does not tell.
fn told_by_text(view: &View, mut records: Vec<Record>, seen: &mut Seen) -> Vec<Record> {
    records.retain(|record| {
        let Ok(text) = Text::read(&record.doc) else { return true };
        match view.admits_text(&text) {
            Some(true) if view.shows_name_of(&text) => drop(seen.0.insert(record.id, None)),
            Some(false) => {}
            _ => return true,
        }
        false
    });
    records
}

/// What is derived of a resource and leads to others, before any document holds it.
#[derive(Debug, Default)]
pub struct Relations<'r> {
    /// The groups it is in.
    pub groups: Option<&'r mut Vec<GroupRef>>,
    /// The members it has.
    pub members: Option<&'r mut Vec<MemberRef>>,
}

/// Removes from relations of resources of one type what leads to resources that are not seen. What is left stands under the
/// names that the client knows.
pub fn veil_derived(
    eyes: &mut impl Eyes,
    sight: &Sight,
    view: &View,
    relations: &mut [Relations<'_>],
) -> Result<(), Error> {
    let closed = |name: &str| view.references().iter().any(|reference| reference.path() == name);
    let (by_groups, by_members) = (closed("groups"), closed(MEMBERS));
    let mut ids = Vec::new();
    for Relations { groups, members } in relations.iter() {
        ids.extend(groups.iter().filter(|_| by_groups).flat_map(|groups| groups.iter().map(|group| group.id)));
        ids.extend(members.iter().filter(|_| by_members).flat_map(|members| members.iter().map(|member| member.id)));
    }
    if ids.is_empty() {
        return Ok(());
    }
    let seen = look(eyes, sight, &ids)?;
    let named = |group: GroupRef| {
        let label = seen.0.get(&group.id)?.as_deref().map_or(group.label, Arc::from);
        Some(GroupRef { label, ..group })
    };
    for Relations { groups, members } in relations {
        if let Some(groups) = groups.as_deref_mut().filter(|_| by_groups) {
            *groups = std::mem::take(groups).into_iter().filter_map(named).collect();
        }
        if let Some(members) = members.as_deref_mut().filter(|_| by_members) {
            *members = seen.keep(std::mem::take(members));
        }
    }
    Ok(())
}

/// Removes from documents of one type what leads to resources that are not seen.
pub fn veil(
    eyes: &mut impl Eyes,
    sight: &Sight,
    view: &View,
    documents: &mut [&mut Map<String, Value>],
) -> Result<(), Error> {
    let references = view.references();
    let named = references.iter().flat_map(|reference| documents.iter().flat_map(|document| reference.ids(document)));
    let ids: Vec<ResourceId> = named.filter_map(|id| id.parse().ok()).collect();
    if references.is_empty() {
        return Ok(());
    }
    let seen = if ids.is_empty() { Seen::default() } else { look(eyes, sight, &ids)? };
    for document in documents {
        references.iter().for_each(|reference| reference.prune(document, |id| seen.name(id)));
    }
    Ok(())
}

/// Whether a path is about what leads to resources that a view may hide.
pub fn is_closed(view: &View, path: &str) -> bool {
    asks_about(view.references(), path)
}

/// Whether a filter or an order asks about what leads to resources that may not be seen.
pub(crate) fn asks_about(references: &[Reference], path: &str) -> bool {
    references.iter().any(|reference| {
        // An extension that holds nothing else is not named in `schemas` either.
        (path == "schemas" && reference.is_of_extension())
            || path.strip_prefix(reference.path()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// A tenant as a reader sees it.
pub struct Reading<'r>(pub &'r mut Reader, pub TenantId);

impl Eyes for Reading<'_> {
    fn registry(&self) -> Arc<Registry> {
        self.0.registry_of(self.1)
    }

    fn records(&mut self, ids: &[ResourceId]) -> Result<Vec<Record>, Error> {
        self.0.records(self.1, ids)
    }

    fn members(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, Error> {
        self.0.all_members(self.1, group)
    }

    fn documents(
        &mut self,
        sight: &Sight,
        definition: &Arc<Definition>,
        records: Vec<Record>,
        filter: Option<&Filter<Checked>>,
    ) -> Result<Documents, Error> {
        self.0.documents(self.1, sight, definition, records, filter)
    }
}

impl Eyes for Work<'_> {
    fn registry(&self) -> Arc<Registry> {
        self.catalog().registry().clone()
    }

    fn records(&mut self, ids: &[ResourceId]) -> Result<Vec<Record>, Error> {
        let found: Result<Vec<Option<Record>>, Error> = ids.iter().map(|id| self.record(*id)).collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn members(&mut self, group: ResourceId) -> Result<Vec<MemberRef>, Error> {
        Work::members(self, group)
    }

    fn documents(
        &mut self,
        sight: &Sight,
        definition: &Arc<Definition>,
        records: Vec<Record>,
        filter: Option<&Filter<Checked>>,
    ) -> Result<Documents, Error> {
        let asked = filter.map(Filter::attributes).unwrap_or_default();
        let asks = |name: &str| asked.iter().any(|path| path.split('.').next() == Some(name));
        let registry = Eyes::registry(self);
        let mut documents = Vec::with_capacity(records.len());
        for record in records {
            let external = if asks("externalId") { self.external_of(record.id, sight.domain)? } else { None };
            let has_groups = asks("groups") && definition.core.attribute("groups").is_some();
            let groups = if has_groups { Some(self.group_refs_of(&record)?) } else { None };
            let members = if asks("members") { Some(Work::members(self, record.id)?) } else { None };
            let derived = Derived {
                base_url: &sight.base_url,
                external: external.as_deref(),
                groups: groups.as_deref(),
                members: members.as_deref(),
                member_names: true,
                etag: &etag(&record, false, 0, 0),
            };
            let document = assemble(&record, &derived, &registry)?;
            documents.push((record, document));
        }
        Ok(documents)
    }
}
