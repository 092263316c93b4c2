//! Totals that are kept, not counted: how many resources matched a filter at a change of the tenant. When the same is
//! asked later, the total is advanced by what changed since: each resource that was changed is tested as it was then and
//! as it is now. A total is a pure function of the tenant's state at that change, so nodes keep theirs on their own and
//! none has to be told of a write.
//!
//! Nothing is advanced that the change rows do not tell in full: filters about what is derived of other rows (groups,
//! members, `externalId`, most of `meta`), changes whose content was erased, a history that is not the one the total
//! came from. Then it is counted anew.

use std::collections::{BTreeMap, HashMap};

use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use moka::sync::Cache;

use scim::filter::{Checked, Filter};

use super::Search;
use crate::assemble::{Derived, assemble_part};
use crate::change::Op;
use crate::record::{self, resource_id};
use crate::statement::{LIST, Statement};
use crate::{Error, Record, ResourceId, Seq, TenantId};

/// Totals that are kept.
const KEPT: u64 = 10_000;
/// Most changes that a total is advanced by; beyond, counting is not much dearer.
const ADVANCED: i64 = 2_000;
/// Longer filters are not kept.
const LONGEST: usize = 4_096;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    tenant: TenantId,
    kind: String,
    /// What the words of the filter meant.
    catalog: i64,
    /// The filter with the view in it, and what else its answer depends on.
    filter: String,
}

impl Question {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Question>() + self.kind.len() + self.filter.len()
    }
}

/// A total at one change of the tenant.
#[derive(Clone, Debug)]
struct Known {
    seq: Seq,
    /// Digest of that change: a database that was restored from a backup can have another one of the same number.
    digest: Vec<u8>,
    total: u64,
}

/// The totals that a node keeps.
pub(crate) struct Totals {
    known: Cache<Question, Known>,
    /// Documents looked at from which a total is worth keeping.
    from: u64,
}

impl Totals {
    pub(crate) fn new(from: u64) -> Self {
        Totals { known: Cache::new(KEPT), from }
    }
}

impl Search<'_> {
    /// The total, if it was kept and still holds or can be advanced.
    pub(super) fn remembered(&mut self, filter: &Filter<Checked>) -> Result<Option<u64>, Error> {
        let Some(question) = self.question(filter) else { return Ok(None) };
        let Some(known) = self.reader.shared.totals.known.get(&question) else { return Ok(None) };
        if known.seq == self.clock.seq && known.digest == self.clock.digest {
            return Ok(Some(known.total));
        }
        let Some(total) = self.advance(&known, filter)? else { return Ok(None) };
        self.keep(question, total);
        Ok(Some(total))
    }

    /// Keeps a total of the state that is read, if so many documents or entries were looked at for it.
    pub(super) fn remember(&mut self, filter: &Filter<Checked>, total: u64, looked_at: u64) {
        if looked_at < self.reader.shared.totals.from {
            return;
        }
        if let Some(question) = self.question(filter) {
            self.keep(question, total);
        }
    }

    fn keep(&self, question: Question, total: u64) {
        let totals = &self.reader.shared.totals.known;
        // A reader in an older snapshot leaves the newer total where it is.
        if totals.get(&question).is_none_or(|known| known.seq <= self.clock.seq) {
            totals.insert(question, Known { seq: self.clock.seq, digest: self.clock.digest.clone(), total });
        }
    }

    /// `None`: nothing is kept outside of a snapshot, as the number of the newest change would say nothing there.
    pub(super) fn question(&self, filter: &Filter<Checked>) -> Option<Question> {
        if !self.reader.in_snapshot || self.veiled.is_some() {
            return None;
        }
        let mut text = filter.to_string();
        if !is_own(filter) {
            let query = self.query;
            text.push_str(&format!(" {} {} {}", query.domain, query.lens, query.base_url));
        }
        let (tenant, catalog) = (self.tenant, self.clock.catalog);
        (text.len() <= LONGEST).then(|| Question { tenant, kind: self.kind.to_owned(), catalog, filter: text })
    }

    /// The total now, from that at an earlier change; `None`: it has to be counted.
    fn advance(&mut self, known: &Known, filter: &Filter<Checked>) -> Result<Option<u64>, Error> {
        let between = self.clock.seq - known.seq;
        if between <= 0 || between > ADVANCED || !self.is_told_by_changes(filter) {
            return Ok(None);
        }
        let Some(changed) = self.changed(known.seq, &known.digest)? else { return Ok(None) };
        let ids: Vec<ResourceId> = changed.keys().copied().collect();
        let was: Vec<ResourceId> = changed.iter().filter(|(_, is_new)| !**is_new).map(|(id, _)| *id).collect();
        let Some(before) = self.images(&was, known.seq)? else { return Ok(None) };
        let mut after = record::find_all(&mut self.reader.db, self.tenant, &ids)?;
        after.retain(|_, record| record.kind == self.kind);
        self.touched += (ids.len() + before.len() + after.len()) as u64;
        let tops: Vec<&str> = filter.tops().into_iter().collect();
        let mut total = known.total;
        for record in after.values() {
            total += u64::from(self.fits(record, filter, &tops)?);
        }
        for record in before.values() {
            let Some(less) = total.checked_sub(u64::from(self.fits(record, filter, &tops)?)) else { return Ok(None) };
            total = less;
        }
        Ok(Some(total))
    }

    /// The resources of the type that were changed since, each with whether it came to be since; `None`: the history is
    /// another, or not whole.
    pub(super) fn changed(&mut self, since: Seq, digest: &[u8]) -> Result<Option<BTreeMap<ResourceId, bool>>, Error> {
        let rows = Statement::<(BigInt, Binary, Text, Text, Binary)>::new(
            "SELECT seq, resource_id, kind, op, digest FROM change WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" AND seq >= ")
        .bind(since)
        .sql(" ORDER BY seq LIMIT ")
        .bind(ADVANCED + 2)
        .load::<(i64, Vec<u8>, String, String, Vec<u8>)>(&mut self.reader.db)?;
        let mut rows = rows.into_iter().peekable();
        if since > 0 && rows.next().is_none_or(|(seq, _, _, _, found)| seq != since || found != digest) {
            return Ok(None);
        }
        let mut changed = BTreeMap::new();
        let mut expected = since;
        for (seq, id, kind, op, _) in rows {
            expected += 1;
            if seq != expected {
                return Ok(None);
            }
            if kind == self.kind {
                changed.entry(resource_id(&id)?).or_insert(op == Op::Create.as_str());
            }
        }
        Ok((expected == self.clock.seq).then_some(changed))
    }

    /// The resources as they were at a change; `None`: the content of one was erased.
    fn images(&mut self, ids: &[ResourceId], at: Seq) -> Result<Option<HashMap<ResourceId, Record>>, Error> {
        let mut images = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(LIST) {
            // An erased change has no salt; it counts as one with content, so that an older content is not taken for it.
            let rows = Statement::<(Binary, Nullable<Text>)>::new(
                "SELECT c.resource_id, c.doc FROM (SELECT MAX(seq) AS newest FROM change WHERE tenant_id = ",
            )
            .bind(self.tenant)
            .sql(" AND resource_id IN ")
            .list(ids.iter().copied())
            .sql(" AND seq <= ")
            .bind(at)
            .sql(" AND (doc IS NOT NULL OR salt IS NULL) GROUP BY resource_id) AS last JOIN change c ON c.tenant_id = ")
            .bind(self.tenant)
            .sql(" AND c.seq = last.newest")
            .load::<(Vec<u8>, Option<String>)>(&mut self.reader.db)?;
            for (id, doc) in rows {
                let (id, Some(doc)) = (resource_id(&id)?, doc) else { return Ok(None) };
                images.insert(id, image(id, self.kind, doc));
            }
        }
        Ok((images.len() == ids.len()).then_some(images))
    }

    fn fits(&self, record: &Record, filter: &Filter<Checked>, tops: &[&str]) -> Result<bool, Error> {
        let derived = Derived {
            base_url: &self.query.base_url,
            external: None,
            groups: None,
            members: None,
            member_names: false,
            etag: "",
        };
        let registry = self.reader.shared.registry_of(self.tenant);
        Ok(filter.matches(&assemble_part(record, &derived, &registry, tops)?))
    }
}

/// What a resource was, as far as filters about its own attributes see it.
fn image(id: ResourceId, kind: &str, doc: String) -> Record {
    Record {
        id,
        kind: kind.to_owned(),
        version: 0,
        seq: 0,
        groups_seq: 0,
        created_at: 0,
        modified_at: 0,
        label: String::new(),
        doc: doc.into(),
        secret: None,
    }
}

impl Search<'_> {
    /// Whether the changes of resources tell whom the filter matches: what it is about lies in the resource's own document,
    /// and no secret does, for no change holds one.
    pub(super) fn is_told_by_changes(&self, filter: &Filter<Checked>) -> bool {
        let secrets = self.query.definition.secrets();
        is_own(filter) && !filter.attributes().into_iter().any(|path| secrets.iter().any(|secret| secret.path == path))
    }
}

/// Whether the filter is about the resource's own document alone.
fn is_own(filter: &Filter<Checked>) -> bool {
    filter.attributes().into_iter().all(is_own_path)
}

/// Whether what lies at the path is in the resource's own document.
pub(super) fn is_own_path(path: &str) -> bool {
    const DERIVED: [&str; 4] = ["externalId", "groups", "members", "meta"];
    path.split(['.', ':']).next().is_none_or(|name| !DERIVED.contains(&name))
}
