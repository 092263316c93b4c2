//! What a read has to know to say which resources a client sees, and a page without what leads to the others.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::filter::{Checked, Filter, Target};
use scim::schema::{Definition, Registry};
use scim::view::View;

use super::{BATCH, Hit, Needs, Query, Search};
use crate::assemble::{Derived, assemble, assemble_part};
use crate::reader::Reader;
use crate::roll::Roll;
use crate::sight::{Documents, Reading, Relations, Sight, asks_about, look, veil, veil_derived};
use crate::{Error, Record, ResourceId, TenantId, membership, record};

/// Members read at a time.
const SLICE: i64 = 1_000;

impl Query {
    /// A query for everything of a type that a client sees.
    pub fn through(definition: Arc<Definition>, sight: &Sight) -> Self {
        Query {
            definition,
            filter: None,
            views: sight.views.clone(),
            sort: None,
            start: 1,
            mark: None,
            count: 0,
            domain: sight.domain,
            base_url: sight.base_url.clone(),
            lens: 0,
            limit: u64::MAX,
            with_members: false,
            member_limit: u64::MAX,
            with_groups: false,
        }
    }

    /// How its client looks at the register.
    pub(crate) fn sight(&self) -> Sight {
        Sight { views: self.views.clone(), domain: self.domain, base_url: self.base_url.clone() }
    }
}

impl Reader {
    /// What the tenant's resources are, as far as is known here.
    pub(crate) fn registry_of(&self, tenant: TenantId) -> Arc<Registry> {
        self.shared.registry_of(tenant)
    }

    /// Those of the resources that live.
    pub(crate) fn records(&mut self, tenant: TenantId, ids: &[ResourceId]) -> Result<Vec<Record>, Error> {
        Ok(record::find_all(&mut self.db, tenant, ids)?.into_values().collect())
    }

    /// Records of one type as documents, with all that a filter asks about.
    pub(crate) fn documents(
        &mut self,
        tenant: TenantId,
        sight: &Sight,
        definition: &Arc<Definition>,
        records: Vec<Record>,
        filter: Option<&Filter<Checked>>,
    ) -> Result<Documents, Error> {
        let query = Query::through(definition.clone(), sight);
        let needs = filter.map(|filter| Needs::of(filter, None)).unwrap_or_default();
        let registry = self.registry_of(tenant);
        let mut documents = Vec::with_capacity(records.len());
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let batch: Vec<Record> = records.by_ref().take(BATCH).collect();
            for hit in self.derive(tenant, &query, batch, &needs, false)? {
                let document = whole(&hit, &query, &registry)?;
                documents.push((hit.record, document));
            }
        }
        Ok(documents)
    }

    /// The members of a group that the client sees, by the names that it knows, in little memory.
    pub fn roll_seen(
        &mut self,
        tenant: TenantId,
        sight: &Sight,
        group: ResourceId,
        with_labels: bool,
    ) -> Result<Roll, Error> {
        let (mut roll, mut after) = (Roll::default(), None);
        loop {
            let slice = membership::slice(&mut self.db, tenant, group, after, SLICE)?;
            let is_last = (slice.len() as i64) < SLICE;
            after = slice.last().map(|member| member.id);
            let ids: Vec<ResourceId> = slice.iter().map(|member| member.id).collect();
            let seen = look(&mut Reading(self, tenant), sight, &ids)?;
            for member in seen.keep(slice) {
                roll.add(member, with_labels)?;
            }
            if is_last {
                return Ok(roll);
            }
        }
    }

    /// Takes from the hits what leads to resources that the client does not see. One whose stored document may hold such is
    /// given its document without.
    pub(super) fn veil(&mut self, tenant: TenantId, query: &Query, hits: &mut [Hit]) -> Result<(), Error> {
        let view = query.view();
        if view.references().is_empty() {
            return Ok(());
        }
        let registry = self.registry_of(tenant);
        let stored =
            |doc: &str| view.references().iter().any(|reference| !reference.is_derived() && reference.may_be_in(doc));
        for hit in hits.iter_mut() {
            if hit.document.is_none() && stored(&hit.record.doc) {
                hit.document = Some(whole(hit, query, &registry)?);
            }
        }
        let mut lists: Vec<Relations<'_>> = hits
            .iter_mut()
            .filter(|hit| hit.document.is_none())
            .map(|hit| Relations { groups: hit.groups.as_mut(), members: hit.members.as_mut() })
            .collect();
        veil_derived(&mut Reading(self, tenant), &query.sight(), view, &mut lists)?;
        let mut documents: Vec<&mut Map<String, Value>> =
            hits.iter_mut().filter_map(|hit| hit.document.as_mut()).collect();
        veil(&mut Reading(self, tenant), &query.sight(), view, &mut documents)
    }
}

/// All of a hit as a document.
pub(super) fn whole(hit: &Hit, query: &Query, registry: &Registry) -> Result<Map<String, Value>, Error> {
    assemble(&hit.record, &derived(hit, query), registry)
}

/// Those attributes of a hit alone.
pub(super) fn part(hit: &Hit, query: &Query, registry: &Registry, tops: &[&str]) -> Result<Map<String, Value>, Error> {
    assemble_part(&hit.record, &derived(hit, query), registry, tops)
}

fn derived<'h>(hit: &'h Hit, query: &'h Query) -> Derived<'h> {
    Derived {
        base_url: &query.base_url,
        external: hit.external.as_deref(),
        groups: hit.groups.as_deref(),
        members: hit.members.as_deref(),
        member_names: true,
        etag: &hit.etag,
    }
}

/// Whether an attribute orders anything: it is seen, and where it leads to.
pub fn orders(view: &View, target: &Target) -> bool {
    view.sees_target(target) && !asks_about(view.references(), &target.canonical)
}

impl Search<'_> {
    /// Those that the view shows, and that match as far as the client sees where they lead to.
    pub(super) fn unveiled(&mut self, mut hits: Vec<Hit>, veiled: &Filter<Checked>) -> Result<Vec<Hit>, Error> {
        let (view, registry) = (self.query.view(), self.reader.registry_of(self.tenant));
        for hit in &mut hits {
            hit.document = Some(whole(hit, self.query, &registry)?).filter(|document| view.admits(document));
        }
        hits.retain(|hit| hit.document.is_some());
        self.reader.veil(self.tenant, self.query, &mut hits)?;
        hits.retain(|hit| hit.document.as_ref().is_some_and(|document| veiled.matches(document)));
        Ok(hits)
    }
}
