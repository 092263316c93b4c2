//! One resource as a GET shows it, or the few that have a key in common, by one statement: the row, the caller's
//! `externalId`, the direct groups, and the number that says whether what is remembered of groups still holds. Whatever is
//! more than that statement and a look into memory takes long, and a caller who cannot wait is told so.
//!
//! One statement sees one state, on both databases. Names and nesting come from memory, by the number that was read
//! with the row, or from a statement after it: groups may be newer than the entity tag says, never older.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType, Nullable, Text};
use diesel::sqlite::Sqlite;

use scim::key;

use crate::catalog;
use crate::db::Db;
use crate::ids::ById;
use crate::index::{IndexedPath, Mode};
use crate::nesting::Nesting;
use crate::reader::Reader;
use crate::{Error, GroupRef, Record, ResourceId, Seq, TenantId, record};

/// More direct groups than this are not looked up on a thread that others wait for.
const FEW_GROUPS: usize = 256;

/// A resource with what is derived of it.
#[derive(Clone, Debug)]
pub struct Point {
    /// The row.
    pub record: Record,
    /// The `externalId` that the domain has given it.
    pub external: Option<String>,
    /// Its groups, direct and indirect; empty unless they were asked for.
    pub groups: Vec<GroupRef>,
    /// Number of the newest change of nesting or of a group's name.
    pub nesting_seq: Seq,
}

/// What some resources have in common, and few others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trait {
    /// A value at a path, by the path's canonical form; as the key of a filter's literal.
    Value(Arc<str>, String),
    /// The `externalId` of the asking domain.
    External(String),
    /// A direct member.
    Member(ResourceId),
}

/// What resources are looked up for.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'l> {
    /// Name of the resource type.
    pub kind: &'l str,
    /// Whose `externalId` is wanted.
    pub domain: ResourceId,
    /// Whether resources of the type are shown with their groups.
    pub with_groups: bool,
    /// Whether nothing may be done that takes long.
    pub at_once: bool,
}

/// What a look-up has found.
#[derive(Clone, Debug)]
pub enum LookedUp {
    /// All that there are, by id.
    Points(Vec<Point>),
    /// It would take long, and was not to.
    Long,
    /// The index does not say, or names more than a few: a search has to be made.
    Unclear,
}

/// Most resources that are looked up by a value; of one that more have, most are usually not wanted.
const MOST: usize = 16;
/// Names of groups of one tenant that are remembered; then they are forgotten and learnt anew.
const NAMES: usize = 250_000;
/// Most groups of a member that are looked up.
const MOST_GROUPS: usize = 64;

impl Reader {
    /// A resource; `None` when there is none. `domain`: whose `externalId` is wanted; `with_groups`: whether resources
    /// of the type are shown with their groups.
    pub fn point(
        &mut self,
        tenant: TenantId,
        id: ResourceId,
        domain: ResourceId,
        with_groups: bool,
    ) -> Result<Option<Point>, Error> {
        Ok(self.look(tenant, id, domain, with_groups, false)?.flatten())
    }

    /// The same unless it would take long; then `None`.
    pub fn point_at_once(
        &mut self,
        tenant: TenantId,
        id: ResourceId,
        domain: ResourceId,
        with_groups: bool,
    ) -> Result<Option<Option<Point>>, Error> {
        self.look(tenant, id, domain, with_groups, true)
    }

    fn look(
        &mut self,
        tenant: TenantId,
        id: ResourceId,
        domain: ResourceId,
        with_groups: bool,
        at_once: bool,
    ) -> Result<Option<Option<Point>>, Error> {
        let rows = self.rows::<ID>(tenant, domain, with_groups, Key::Id(id.0.as_bytes()))?;
        let Some(row) = rows.into_iter().next() else { return Ok(Some(None)) };
        Ok(self.point_of(tenant, row, at_once)?.map(Some))
    }

    /// The resources that have a trait. Exactly those that a filter of that one comparison fits: the keys that it compares
    /// are those that lie in the index, unless they were cut.
    pub fn lookup(&mut self, tenant: TenantId, lookup: &Lookup<'_>, common: &Trait) -> Result<LookedUp, Error> {
        let Lookup { kind, domain, with_groups, at_once } = *lookup;
        let Some(catalog) = self.shared.cached_catalog(tenant) else { return Ok(LookedUp::Unclear) };
        let indexes = catalog.indexes.of(kind)?;
        let rows = match common {
            Trait::Value(path, key) => {
                let exact = |path: &&IndexedPath| path.mode == Mode::Values || !path.target.multi;
                let path = indexes.path(path).filter(exact);
                // A longer one may be all that is left of several.
                let Some(path) = path.filter(|_| key.len() + 4 <= key::MAX_BYTES) else { return Ok(LookedUp::Unclear) };
                self.rows::<VALUE>(tenant, domain, with_groups, Key::Value(path.id, key))?
            }
            Trait::External(value) => self.rows::<EXTERNAL>(tenant, domain, with_groups, Key::External(kind, value))?,
            Trait::Member(_) if !indexes.has_members() => return Ok(LookedUp::Unclear),
            Trait::Member(member) => self.rows::<MEMBER>(tenant, domain, with_groups, Key::Id(member.0.as_bytes()))?,
        };
        // What is indexed may have changed since it was last seen; a row says so itself.
        let version = match rows.first() {
            Some((.., version, _)) => *version,
            None => catalog::version(&mut self.db, tenant)?,
        };
        let most = if matches!(common, Trait::Member(_)) { MOST_GROUPS } else { MOST };
        if version != catalog.version() || rows.len() > most {
            return Ok(LookedUp::Unclear);
        }
        let mut points = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(point) = self.point_of(tenant, row, at_once)? else { return Ok(LookedUp::Long) };
            if point.record.kind == kind {
                points.push(point);
            }
        }
        Ok(LookedUp::Points(points))
    }

    fn rows<const BY: u8>(
        &mut self,
        tenant: TenantId,
        domain: ResourceId,
        with_groups: bool,
        key: Key<'_>,
    ) -> QueryResult<Vec<Row>> {
        let (tenant, domain) = (tenant.0, domain.0.as_bytes());
        match with_groups {
            true => run(Find::<BY, true> { tenant, domain, key }, &mut self.db),
            false => run(Find::<BY, false> { tenant, domain, key }, &mut self.db),
        }
    }

    fn point_of(&mut self, tenant: TenantId, row: Row, at_once: bool) -> Result<Option<Point>, Error> {
        let (row, external, nesting_seq, _, listed) = row;
        let record = Record::from_row(row)?;
        let direct = listed.as_deref().map_or(Ok(Vec::new()), ids_of)?;
        let groups = match direct.is_empty() {
            true => Vec::new(),
            false => match self.groups_named(tenant, direct, nesting_seq, at_once)? {
                Some(groups) => groups,
                None => return Ok(None),
            },
        };
        Ok(Some(Point { record, external, groups, nesting_seq }))
    }

    /// The groups of a resource from its direct ones, in id order, as of a change of nesting; `None`: it would take long.
    fn groups_named(
        &mut self,
        tenant: TenantId,
        mut direct: Vec<ResourceId>,
        seq: Seq,
        at_once: bool,
    ) -> Result<Option<Vec<GroupRef>>, Error> {
        direct.sort_unstable();
        let nesting = match self.shared.cached_nesting(tenant).filter(|(known, _)| *known == seq) {
            Some((_, nesting)) => nesting,
            None if at_once => return Ok(None),
            None => {
                let nesting = Arc::new(Nesting::load(&mut self.db, tenant)?);
                self.shared.keep_nesting(tenant, seq, nesting.clone());
                nesting
            }
        };
        let names = self.shared.names(tenant, seq);
        let mut labels = names.labels(&direct);
        let unknown: Vec<ResourceId> =
            direct.iter().zip(&labels).filter(|(_, label)| label.is_none()).map(|(id, _)| *id).collect();
        if !unknown.is_empty() {
            if at_once && unknown.len() > FEW_GROUPS {
                return Ok(None);
            }
            let mut learnt = names.learn(&unknown, record::kinds(&mut self.db, tenant, &unknown)?).into_iter();
            labels.iter_mut().filter(|label| label.is_none()).for_each(|label| *label = learnt.next());
        }
        let mut groups = Vec::with_capacity(direct.len());
        let named = direct.into_iter().zip(labels);
        groups.extend(named.filter_map(|(id, label)| Some(GroupRef { id, label: label.flatten()?, direct: true })));
        Ok(Some(nesting.complete(groups)))
    }
}

/// What the groups of a tenant are called, as far as somebody asked, at one state of nesting: any rename or deletion of a
/// group makes a new one. A group that is gone, though memberships of it are still there, has no name.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) seq: Seq,
    known: RwLock<ById<ResourceId, Option<Arc<str>>>>,
    /// How many names all tenants' hold.
    named: Arc<AtomicU64>,
}

impl Drop for Names {
    fn drop(&mut self) {
        let known = self.known.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.named.fetch_sub(known.len() as u64, Ordering::Relaxed);
    }
}

impl Names {
    /// Nothing known yet. `named` counts the names of all.
    pub(crate) fn at(seq: Seq, named: Arc<AtomicU64>) -> Self {
        Names { seq, known: RwLock::default(), named }
    }

    fn labels(&self, groups: &[ResourceId]) -> Vec<Option<Option<Arc<str>>>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|group| known.get(group).cloned()).collect()
    }

    /// Remembers what these groups are called, and says it in their order.
    pub(crate) fn learn(
        &self,
        groups: &[ResourceId],
        mut living: HashMap<ResourceId, (String, String)>,
    ) -> Vec<Option<Arc<str>>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() > NAMES {
            self.named.fetch_sub(known.len() as u64, Ordering::Relaxed);
            known.clear();
        }
        let mut learnt = Vec::with_capacity(groups.len());
        for group in groups {
            let label: Option<Arc<str>> = living.remove(group).map(|(_, label)| label.into());
            if known.insert(*group, label.clone()).is_none() {
                self.named.fetch_add(1, Ordering::Relaxed);
            }
            learnt.push(label);
        }
        learnt
    }
}

/// The ids that lie one after the other, with a comma between.
fn ids_of(listed: &[u8]) -> Result<Vec<ResourceId>, Error> {
    let mut ids = Vec::with_capacity(listed.len().div_ceil(17));
    for id in listed.chunks(17) {
        ids.push(record::resource_id(id.get(..16).unwrap_or(id))?);
    }
    Ok(ids)
}

/// By id.
const ID: u8 = 0;
/// By a value that is indexed.
const VALUE: u8 = 1;
/// By the `externalId` that the domain has given it.
const EXTERNAL: u8 = 2;
/// By a direct member.
const MEMBER: u8 = 3;

/// Resources by one key, with what is derived of each. The text is made once for each connection, as the type names it.
struct Find<'q, const BY: u8, const GROUPS: bool> {
    tenant: i64,
    domain: &'q [u8; 16],
    key: Key<'q>,
}

/// What resources are found by, in its form for each of the four ways.
#[derive(Clone, Copy)]
enum Key<'q> {
    Id(&'q [u8; 16]),
    Value(i64, &'q str),
    External(&'q str, &'q str),
}

const SELECT: &str = "SELECT r.resource_id, r.kind, r.version, r.seq, r.groups_seq, r.created_at, r.modified_at, r.label, \
     r.doc, r.secret, e.value, c.nesting_seq, c.catalog_version, ";
/// The tenant is bound here once more: a database that is cut up by tenants does not look through to the outer rows.
const LISTED: (&str, &str) = (" FROM membership m WHERE m.tenant_id = ", " AND m.member_id = r.resource_id)");
const CLOCK: &str = " JOIN tenant_clock c ON c.tenant_id = r.tenant_id";
const OWN_EXTERNAL: &str =
    " LEFT JOIN external_id e ON e.tenant_id = r.tenant_id AND e.resource_id = r.resource_id AND e.domain_id";

/// What the two databases say differently.
struct Dialect {
    /// How it lays many ids one after the other.
    list: &'static str,
    /// How a domain is compared with one that is bound. As long as PostgreSQL has no statistics of a table that was just
    /// filled, it takes the index that begins with the domain for as good as the one that leads to the resource, and reads
    /// everybody whom the domain has a name for; it uses neither for this comparison, which is the same for what is never null.
    is_domain: &'static str,
}

const SQLITE: Dialect = Dialect { list: "(SELECT CAST(group_concat(m.group_id) AS BLOB)", is_domain: " = " };
const POSTGRES: Dialect =
    Dialect { list: "(SELECT string_agg(m.group_id, ','::bytea)", is_domain: " IS NOT DISTINCT FROM " };

type Columns = (record::Types, Nullable<Text>, BigInt, BigInt, Nullable<Binary>);

type Row = (record::Row, Option<String>, Seq, i64, Option<Vec<u8>>);

impl<const BY: u8, const GROUPS: bool> QueryId for Find<'_, BY, GROUPS> {
    type QueryId = Find<'static, BY, GROUPS>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const BY: u8, const GROUPS: bool> Query for Find<'_, BY, GROUPS> {
    type SqlType = Columns;
}

impl<const BY: u8, const GROUPS: bool> RunQueryDsl<SqliteConnection> for Find<'_, BY, GROUPS> {}
impl<const BY: u8, const GROUPS: bool> RunQueryDsl<PgConnection> for Find<'_, BY, GROUPS> {}

impl<const BY: u8, const GROUPS: bool> Find<'_, BY, GROUPS> {
    fn write<'b, DB>(&'b self, mut out: AstPass<'_, 'b, DB>, dialect: &Dialect) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt> + HasSqlType<Binary> + HasSqlType<Text>,
        i64: ToSql<BigInt, DB>,
        [u8]: ToSql<Binary, DB>,
        str: ToSql<Text, DB>,
    {
        out.push_sql(SELECT);
        match GROUPS {
            true => {
                out.push_sql(dialect.list);
                out.push_sql(LISTED.0);
                out.push_bind_param::<BigInt, i64>(&self.tenant)?;
                out.push_sql(LISTED.1);
            }
            false => out.push_sql("NULL"),
        }
        let from = match BY {
            VALUE => {
                " FROM attr_index i JOIN resource r ON r.tenant_id = i.tenant_id AND r.resource_id = i.resource_id"
            }
            EXTERNAL => {
                " FROM external_id e JOIN resource r ON r.tenant_id = e.tenant_id AND r.resource_id = e.resource_id"
            }
            // The member must be there still.
            MEMBER => {
                " FROM membership i JOIN resource l ON l.tenant_id = i.tenant_id AND l.resource_id = i.member_id \
                 JOIN resource r ON r.tenant_id = i.tenant_id AND r.resource_id = i.group_id"
            }
            _ => " FROM resource r",
        };
        out.push_sql(from);
        out.push_sql(CLOCK);
        if BY != EXTERNAL {
            out.push_sql(OWN_EXTERNAL);
            out.push_sql(dialect.is_domain);
            out.push_bind_param::<Binary, [u8]>(self.domain)?;
        }
        let tenant = match BY {
            VALUE | MEMBER => " WHERE i.tenant_id = ",
            EXTERNAL => " WHERE e.tenant_id = ",
            _ => " WHERE r.tenant_id = ",
        };
        out.push_sql(tenant);
        out.push_bind_param::<BigInt, i64>(&self.tenant)?;
        match &self.key {
            Key::Id(id) => {
                out.push_sql(if BY == MEMBER { " AND i.member_id = " } else { " AND r.resource_id = " });
                out.push_bind_param::<Binary, [u8]>(*id)?;
            }
            Key::Value(path, value) => {
                out.push_sql(" AND i.path_id = ");
                out.push_bind_param::<BigInt, i64>(path)?;
                out.push_sql(" AND i.value = ");
                out.push_bind_param::<Text, str>(value)?;
            }
            Key::External(kind, value) => {
                out.push_sql(" AND e.domain_id = ");
                out.push_bind_param::<Binary, [u8]>(self.domain)?;
                out.push_sql(" AND e.kind = ");
                out.push_bind_param::<Text, str>(kind)?;
                out.push_sql(" AND e.value = ");
                out.push_bind_param::<Text, str>(value)?;
            }
        }
        match BY {
            VALUE => out.push_sql(" ORDER BY i.resource_id LIMIT 17"),
            // One more than either `MOST`.
            MEMBER => out.push_sql(" ORDER BY i.group_id LIMIT 65"),
            _ => {}
        }
        Ok(())
    }
}

impl<const BY: u8, const GROUPS: bool> QueryFragment<Sqlite> for Find<'_, BY, GROUPS> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.write(out, &SQLITE)
    }
}

impl<const BY: u8, const GROUPS: bool> QueryFragment<Pg> for Find<'_, BY, GROUPS> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.write(out, &POSTGRES)
    }
}

fn run<const BY: u8, const GROUPS: bool>(find: Find<'_, BY, GROUPS>, db: &mut Db) -> QueryResult<Vec<Row>> {
    // Past the type that hides which database it is: what that one converts at run time costs as much as the statement.
    match db {
        Db::Sqlite(connection) => find.load::<Row>(connection),
        Db::Postgres(connection) => find.load::<Row>(connection),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_ids_are_read_whatever_bytes_they_end_with() {
        let ids = [u128::from(b','), 7, u128::MAX, u128::from(b',')].map(|id| ResourceId(uuid::Uuid::from_u128(id)));
        let listed = ids.map(|id| id.bytes()).join(&b',');
        assert_eq!(ids_of(&listed).expect("ids"), ids);
        assert!(ids_of(&[]).expect("none").is_empty() && ids_of(&[1; 15]).is_err());
    }
}
