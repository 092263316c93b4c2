//! What clients have done, hour by hour and sort by sort, and what a person has decided about it. Knows no limits: whether it
//! is too much is said elsewhere. Kept and not counted: a row for each client, sort and hour, and none for who does nothing.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, delete, insert};
use crate::{Error, ResourceId, TenantId};

/// Hours whose counts are kept.
const KEPT: i64 = 48;

/// A client, a sort and an hour (hours since 1970).
pub(crate) type Counted = (ResourceId, String, i64);
/// A client and a sort.
pub(crate) type Passing = (ResourceId, String);

/// How far a decision has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassState {
    /// A person has to decide.
    Held,
    /// More is allowed.
    Allowed,
    /// It is not.
    Rejected,
}

impl PassState {
    fn as_str(self) -> &'static str {
        match self {
            PassState::Held => "held",
            PassState::Allowed => "allowed",
            PassState::Rejected => "rejected",
        }
    }
}

/// What is decided about a client and a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// How far it has come.
    pub state: PassState,
    /// Until when it holds, µs since 1970.
    pub until: i64,
    /// What may be reached within a day meanwhile.
    pub most: i64,
    /// The run that asks for it.
    pub run: ResourceId,
}

/// What a client has done of a sort since an hour.
pub(crate) fn counted(db: &mut Db, tenant: TenantId, client: ResourceId, sort: &str, since: i64) -> Result<i64, Error> {
    Ok(Statement::<BigInt>::new("SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM guard_count WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND client_id = ")
        .bind(client)
        .sql(" AND sort = ")
        .bind(sort)
        .sql(" AND hour > ")
        .bind(since)
        .get_result::<i64>(db)?)
}

/// What is decided about a client and a sort.
pub(crate) fn pass(db: &mut Db, tenant: TenantId, (client, sort): &Passing) -> Result<Option<Pass>, Error> {
    let row = Statement::<(Text, BigInt, BigInt, Binary)>::new(
        "SELECT state, until, most, run_id FROM guard_pass WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND client_id = ")
    .bind(*client)
    .sql(" AND sort = ")
    .bind(sort.as_str())
    .get_result::<(String, i64, i64, Vec<u8>)>(db)
    .optional()?;
    row.map(|(state, until, most, run)| {
        let states = [PassState::Held, PassState::Allowed, PassState::Rejected];
        let state = states.into_iter().find(|known| known.as_str() == state);
        let state = state.ok_or_else(|| Error::Corrupt("a pass is in no state that is known".into()))?;
        Ok(Pass { state, until, most, run: resource_id(&run)? })
    })
    .transpose()
}

/// Adds what was done, and forgets what is too old to count. Writes what was decided; `None`: nothing any more.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    counts: BTreeMap<Counted, i64>,
    passes: BTreeMap<Passing, Option<Pass>>,
) -> Result<(), Error> {
    let mut newest: BTreeMap<ResourceId, i64> = BTreeMap::new();
    for (client, _, hour) in counts.keys() {
        let known = newest.entry(*client).or_insert(*hour);
        *known = (*known).max(*hour);
    }
    let rows = counts
        .into_iter()
        .map(|((client, sort, hour), n)| vec![tenant.into(), client.into(), sort.into(), hour.into(), n.into()]);
    insert(
        db,
        "INSERT INTO guard_count (tenant_id, client_id, sort, hour, n)",
        rows.collect(),
        "ON CONFLICT (tenant_id, client_id, sort, hour) DO UPDATE SET n = guard_count.n + excluded.n",
    )?;
    for (client, hour) in newest {
        Statement::<()>::new("DELETE FROM guard_count WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND client_id = ")
            .bind(client)
            .sql(" AND hour < ")
            .bind(hour - KEPT)
            .run(db)?;
    }
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for ((client, sort), pass) in passes {
        match pass {
            Some(Pass { state, until, most, run }) => rows.push(vec![
                tenant.into(),
                client.into(),
                sort.into(),
                state.as_str().into(),
                until.into(),
                most.into(),
                run.into(),
            ]),
            None => gone.push(vec![tenant.into(), client.into(), sort.into()]),
        }
    }
    insert(
        db,
        "INSERT INTO guard_pass (tenant_id, client_id, sort, state, until, most, run_id)",
        rows,
        "ON CONFLICT (tenant_id, client_id, sort) DO UPDATE SET state = excluded.state, until = excluded.until, \
         most = excluded.most, run_id = excluded.run_id",
    )?;
    delete(db, "guard_pass", &["tenant_id", "client_id", "sort"], gone)?;
    Ok(())
}
