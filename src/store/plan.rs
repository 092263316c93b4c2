//! From a filter to a way of finding candidates: "the index proposes". A plan may propose too much, never too little;
//! what it proposes is tested with the filter itself afterwards.

use std::collections::BTreeSet;

use diesel::sql_types::{BigInt, Binary};

use scim::filter::{Checked, Filter, Op, Operand, Target};
use scim::key;
use scim::schema::Type;

use crate::contain::Part;
use crate::db::Db;
use crate::external::{self, ExternalKey};
use crate::index::KindIndexes;
use crate::nesting::Nesting;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, TenantId};

/// Candidates counted exactly up to here when plans are compared.
pub(crate) const COUNTED: i64 = 2_000;

/// A way of finding candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// These resources, if they exist.
    Ids(Vec<ResourceId>),
    /// The resource that the domain knows under this key.
    External(ExternalKey),
    /// Those with an index value in the range.
    Index { path: i64, range: KeyRange },
    /// Those with an index value that holds a text.
    Part(Part),
    /// Those modified between two instants, inclusive, µs.
    Modified(i64, i64),
    /// The groups with this direct member.
    GroupsOf(ResourceId),
    /// The direct members of one of these groups.
    MembersOf(Vec<ResourceId>),
    /// Any of these.
    Union(Vec<Access>),
}

/// A range of keys. The lower end is inclusive, so that keys that were cut are found too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    low: String,
    high: High,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum High {
    Inclusive(String),
    Exclusive(String),
}

/// What a plan is made for.
pub(crate) struct Planner<'p> {
    pub(crate) kind: &'p str,
    pub(crate) indexes: &'p KindIndexes,
    pub(crate) domain: ResourceId,
    /// Groups within groups, where the filter asks about groups.
    pub(crate) nesting: Option<&'p Nesting>,
}

impl Planner<'_> {
    /// Every access that proposes all matches of the filter; none: everything has to be tested.
    pub(crate) fn accesses(&self, filter: &Filter<Checked>) -> Vec<Access> {
        filter.conjuncts().into_iter().filter_map(|part| self.access(part)).collect()
    }

    /// The access that proposes the matches of the whole filter and nothing else, beside resources of other types. Its
    /// keys are those that the filter itself would compare, and none was cut where that could matter; whether one was that
    /// holds a text, its [`Holders`](crate::contain::Holders) say.
    pub(crate) fn exact(&self, filter: &Filter<Checked>) -> Option<Access> {
        let Filter::Compare(target, op, operand) = filter else { return None };
        let access = self.compare(target, *op, operand)?;
        let is_whole = operand.key.len() < key::MAX_BYTES - 3;
        let is_exact = match (&access, op) {
            (Access::Ids(_) | Access::External(_), Op::Eq) => true,
            (Access::Part(_), _) => true,
            (Access::Index { .. }, Op::Eq | Op::Sw | Op::Ge | Op::Le) => is_whole,
            _ => false,
        };
        is_exact.then_some(access)
    }

    fn access(&self, part: &Filter<Checked>) -> Option<Access> {
        match part {
            Filter::Or(parts) => {
                let all =
                    parts.iter().map(|part| self.accesses(part).into_iter().next()).collect::<Option<Vec<_>>>()?;
                Some(Access::Union(all))
            }
            // Inside brackets each condition on its own proposes at least the resources of the whole.
            Filter::Element(_, inner) => inner.conjuncts().into_iter().find_map(|part| match part {
                Filter::Compare(target, op, operand) => self.compare(target, *op, operand),
                _ => None,
            }),
            Filter::Present(target) => {
                let path = self.indexes.path(&target.canonical)?.id;
                // An empty text is no value to `pr`, but its key is the lowest: the test disposes of it.
                let range = KeyRange { low: String::new(), high: High::Exclusive(key::ABSENT.into()) };
                Some(Access::Index { path, range })
            }
            Filter::Compare(target, op, operand) => self.compare(target, *op, operand),
            Filter::Const(false) => Some(Access::Ids(Vec::new())),
            _ => None,
        }
    }

    fn compare(&self, target: &Target, op: Op, operand: &Operand) -> Option<Access> {
        let text = operand.raw.as_str();
        match (&*target.canonical, op) {
            ("id", Op::Eq) => Some(Access::Ids(text?.parse().ok().into_iter().collect())),
            ("externalId", Op::Eq) => Some(Access::External(ExternalKey {
                domain: self.domain,
                kind: self.kind.to_owned(),
                value: operand.key.clone(),
            })),
            ("members.value", Op::Eq) if self.indexes.has_members() => Some(match text?.parse() {
                Ok(member) => Access::GroupsOf(member),
                Err(()) => Access::Ids(Vec::new()),
            }),
            ("groups.value", Op::Eq) if !self.indexes.has_members() => Some(match text?.parse() {
                Ok(group) => {
                    let mut groups: Vec<ResourceId> = self.nesting?.descendants(group).into_iter().collect();
                    groups.push(group);
                    Access::MembersOf(groups)
                }
                Err(()) => Access::Ids(Vec::new()),
            }),
            ("meta.lastModified", op) => {
                let at = key::instant(text?)?;
                Some(match op {
                    Op::Eq => Access::Modified(at, at),
                    Op::Gt | Op::Ge => Access::Modified(at, i64::MAX),
                    Op::Lt | Op::Le => Access::Modified(i64::MIN, at),
                    _ => return None,
                })
            }
            _ => {
                let path = self.indexes.path(&target.canonical)?;
                if matches!(op, Op::Co | Op::Ew) {
                    return Part::new(path.id, &operand.key, op == Op::Ew).map(Access::Part);
                }
                let range = KeyRange::of(op, &operand.key, target.kind)?;
                Some(Access::Index { path: path.id, range })
            }
        }
    }
}

impl KeyRange {
    fn of(op: Op, wanted: &str, kind: Type) -> Option<KeyRange> {
        let end = High::Exclusive(key::ABSENT.into());
        // A stored key was cut at the last character that fits, so it may be some bytes shorter than another one that
        // was cut: the lower end is one that no cut key falls below. The upper end needs no cut, for cutting lowers.
        let low = || wanted.get(..wanted.floor_char_boundary(key::MAX_BYTES - 3)).unwrap_or(wanted).to_owned();
        Some(match op {
            Op::Eq => {
                let cut = key::cut(wanted).into_owned();
                KeyRange { low: cut.clone(), high: High::Inclusive(cut) }
            }
            Op::Sw if kind != Type::Binary => {
                KeyRange { low: low(), high: successor(wanted).map_or(end, High::Exclusive) }
            }
            Op::Gt | Op::Ge => KeyRange { low: low(), high: end },
            Op::Lt | Op::Le => KeyRange { low: String::new(), high: High::Inclusive(wanted.to_owned()) },
            _ => return None,
        })
    }

    /// Whether one key alone lies in the range.
    pub(crate) fn is_point(&self) -> bool {
        matches!(&self.high, High::Inclusive(high) if *high == self.low)
    }

    /// The condition, as far as the ends are wanted. A point has no ends.
    fn bind<Row>(&self, statement: Statement<Row>, low: bool, high: bool) -> Statement<Row> {
        if self.is_point() {
            return statement.sql(" AND value = ").bind(self.low.as_str());
        }
        let statement = if low { statement.sql(" AND value >= ").bind(self.low.as_str()) } else { statement };
        match &self.high {
            _ if !high => statement,
            High::Inclusive(high) => statement.sql(" AND value <= ").bind(high.as_str()),
            High::Exclusive(high) => statement.sql(" AND value < ").bind(high.as_str()),
        }
    }
}

/// The least text that is greater than every text starting with `prefix`; `None`: there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

impl Access {
    /// Whether candidates can be counted by looking at these alone, and not at all entries of an index.
    pub(crate) fn is_narrow(&self) -> bool {
        match self {
            Access::Part(_) => false,
            Access::Union(parts) => parts.iter().all(Access::is_narrow),
            _ => true,
        }
    }

    /// How many candidates there are, counted up to a cap.
    pub(crate) fn estimate(&self, db: &mut Db, tenant: TenantId, kind: &str) -> Result<i64, Error> {
        Ok(match self {
            Access::Ids(ids) => ids.len() as i64,
            Access::External(_) => 1,
            Access::Union(parts) => {
                let mut sum = 0;
                for part in parts {
                    sum += part.estimate(db, tenant, kind)?;
                }
                sum
            }
            _ => self
                .statement::<BigInt>("SELECT COUNT(*) FROM (SELECT 1 AS one FROM ", tenant, kind)
                .sql(" LIMIT ")
                .bind(COUNTED)
                .sql(") AS counted")
                .get_result::<i64>(db)?,
        })
    }

    /// How many entries there are in all.
    pub(crate) fn count(&self, db: &mut Db, tenant: TenantId, kind: &str) -> Result<u64, Error> {
        let count = self.statement::<BigInt>("SELECT COUNT(*) FROM ", tenant, kind).get_result::<i64>(db)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// The candidates, each once, by id. Fails with [`Error::TooMany`] beyond `limit`.
    pub(crate) fn gather(
        &self,
        db: &mut Db,
        tenant: TenantId,
        kind: &str,
        limit: u64,
    ) -> Result<BTreeSet<ResourceId>, Error> {
        let found: BTreeSet<ResourceId> = match self {
            Access::Ids(ids) => ids.iter().copied().collect(),
            Access::External(key) => external::holder(db, tenant, key)?.into_iter().collect(),
            Access::Union(parts) => {
                let mut all = BTreeSet::new();
                for part in parts {
                    all.extend(part.gather(db, tenant, kind, limit)?);
                }
                all
            }
            Access::Part(part) => part.holders(db, tenant, limit)?.rows.into_iter().map(|(_, id)| id).collect(),
            _ => {
                let select = Statement::<Binary>::new("SELECT ").sql(self.column()).sql(" FROM ");
                let rows = self
                    .within(select, tenant, kind, true, true)
                    .sql(" LIMIT ")
                    .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
                    .load::<Vec<u8>>(db)?;
                // A resource can have several values in the range; only a full page of rows can hide another one.
                if rows.len() as u64 > limit {
                    return Err(Error::TooMany { limit });
                }
                rows.iter().map(|id| resource_id(id)).collect::<Result<_, _>>()?
            }
        };
        if found.len() as u64 > limit { Err(Error::TooMany { limit }) } else { Ok(found) }
    }

    fn statement<Row>(&self, select: &'static str, tenant: TenantId, kind: &str) -> Statement<Row> {
        self.within(Statement::new(select), tenant, kind, true, true)
    }

    /// The column that names the candidates.
    pub(crate) fn column(&self) -> &'static str {
        match self {
            Access::GroupsOf(_) => "group_id",
            Access::MembersOf(_) => "member_id",
            _ => "resource_id",
        }
    }

    /// Appends table and condition; a range without its low or high end where that is not wanted.
    pub(crate) fn within<Row>(
        &self,
        statement: Statement<Row>,
        tenant: TenantId,
        kind: &str,
        low: bool,
        high: bool,
    ) -> Statement<Row> {
        match self {
            Access::Index { path, range } => {
                let statement = statement.sql("attr_index WHERE tenant_id = ").bind(tenant);
                range.bind(statement.sql(" AND path_id = ").bind(*path), low, high)
            }
            Access::Part(part) => part.bind(statement, tenant),
            Access::Modified(from, to) => {
                let statement = statement.sql("resource WHERE tenant_id = ").bind(tenant);
                let statement = statement.sql(" AND kind = ").bind(kind);
                let statement = if low { statement.sql(" AND modified_at >= ").bind(*from) } else { statement };
                if high { statement.sql(" AND modified_at <= ").bind(*to) } else { statement }
            }
            Access::GroupsOf(member) => {
                statement.sql("membership WHERE tenant_id = ").bind(tenant).sql(" AND member_id = ").bind(*member)
            }
            Access::MembersOf(groups) => {
                let statement = statement.sql("membership WHERE tenant_id = ").bind(tenant);
                match groups.as_slice() {
                    [group] => statement.sql(" AND group_id = ").bind(*group),
                    groups => statement.sql(" AND group_id IN ").list(groups.iter().copied()),
                }
            }
            Access::Ids(_) | Access::External(_) | Access::Union(_) => statement.sql("resource WHERE 1 = 0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_of_a_prefix_is_greater_than_all_that_start_with_it() {
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("a\u{D7FF}").as_deref(), Some("a\u{E000}"));
        assert_eq!(successor(""), None);
        assert!("ab\u{10FFFF}zzz" < successor("ab").expect("there is one").as_str());
    }
}
