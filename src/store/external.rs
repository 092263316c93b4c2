//! `externalId`: each client, or each group of clients that share a provisioning domain, has its own (RFC 7643
//! section 3.1). Nobody sees another domain's.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Among, LIST, Statement, Value, delete, insert};
use crate::{Error, ResourceId, TenantId};

/// The key under which one domain knows one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalKey {
    /// The provisioning domain.
    pub domain: ResourceId,
    /// Name of the resource type.
    pub kind: String,
    /// The value as the client sent it.
    pub value: String,
}

/// Who holds the key.
pub(crate) fn holder(db: &mut Db, tenant: TenantId, key: &ExternalKey) -> Result<Option<ResourceId>, Error> {
    Statement::<Binary>::new("SELECT resource_id FROM external_id WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND domain_id = ")
        .bind(key.domain)
        .sql(" AND kind = ")
        .bind(key.kind.as_str())
        .sql(" AND value = ")
        .bind(key.value.as_str())
        .get_result::<Vec<u8>>(db)
        .optional()?
        .map(|id| resource_id(&id))
        .transpose()
}

/// Who holds keys of one resource type in a domain, by value.
pub(crate) fn holders(
    db: &mut Db,
    tenant: TenantId,
    (domain, kind): (ResourceId, &str),
    values: &[&str],
) -> Result<Vec<(String, ResourceId)>, Error> {
    let mut found = Vec::with_capacity(values.len());
    for part in values.chunks(LIST) {
        let rows = Statement::<(Text, Binary)>::new("SELECT value, resource_id FROM external_id WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND domain_id = ")
            .bind(domain)
            .sql(" AND kind = ")
            .bind(kind)
            .sql(" AND value IN ")
            .list(part.iter().copied())
            .load::<(String, Vec<u8>)>(db)?;
        for (value, id) in rows {
            found.push((value, resource_id(&id)?));
        }
    }
    Ok(found)
}

/// The type and `externalId` of each of the resources that has one in the domain.
pub(crate) fn names_of(
    db: &mut Db,
    tenant: TenantId,
    domain: ResourceId,
    ids: &[ResourceId],
) -> Result<Vec<(ResourceId, String, String)>, Error> {
    let mut found = Vec::with_capacity(ids.len());
    for part in ids.chunks(LIST) {
        let rows = Statement::<(Binary, Text, Text)>::new(
            "SELECT resource_id, kind, value FROM external_id WHERE tenant_id = ",
        )
        .bind(tenant)
        .sql(" AND domain_id = ")
        .bind(domain)
        .sql(" AND resource_id IN ")
        .list(part.iter().copied())
        .load::<(Vec<u8>, String, String)>(db)?;
        for (id, kind, value) in rows {
            found.push((resource_id(&id)?, kind, value));
        }
    }
    Ok(found)
}

/// The `externalId` of each of the resources that has one in the domain.
pub(crate) fn of_resources(
    db: &mut Db,
    tenant: TenantId,
    domain: ResourceId,
    ids: Among<'_>,
) -> Result<HashMap<ResourceId, String>, Error> {
    let mut found = HashMap::new();
    for part in ids.parts() {
        let statement =
            Statement::<(Binary, Text)>::new("SELECT resource_id, value FROM external_id WHERE tenant_id = ")
                .bind(tenant)
                .sql(" AND domain_id = ")
                .bind(domain);
        let rows = part.bind(statement, "resource_id").load::<(Vec<u8>, String)>(db)?;
        for (id, value) in rows {
            found.insert(resource_id(&id)?, value);
        }
    }
    Ok(found)
}

/// Every key of one resource, whatever the domain.
pub(crate) fn keys_of(db: &mut Db, tenant: TenantId, id: ResourceId) -> Result<Vec<ExternalKey>, Error> {
    Statement::<(Binary, Text, Text)>::new("SELECT domain_id, kind, value FROM external_id WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(id)
        .load::<(Vec<u8>, String, String)>(db)?
        .into_iter()
        .map(|(domain, kind, value)| Ok(ExternalKey { domain: resource_id(&domain)?, kind, value }))
        .collect()
}

/// Stores what became of each key: a holder, or nobody.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    mut keys: Vec<(ExternalKey, Option<ResourceId>)>,
) -> Result<(), Error> {
    keys.sort_unstable();
    let key = |key: &ExternalKey| -> Vec<Value> {
        vec![tenant.into(), key.domain.into(), key.kind.as_str().into(), key.value.as_str().into()]
    };
    let freed = keys.iter().filter(|(_, holder)| holder.is_none()).map(|(external, _)| key(external)).collect();
    delete(db, "external_id", &["tenant_id", "domain_id", "kind", "value"], freed)?;
    let rows = keys
        .iter()
        .filter_map(|(external, holder)| {
            let mut row = key(external);
            row.push((*holder)?.into());
            Some(row)
        })
        .collect();
    insert(
        db,
        "INSERT INTO external_id (tenant_id, domain_id, kind, value, resource_id)",
        rows,
        "ON CONFLICT (tenant_id, domain_id, kind, value) DO UPDATE SET resource_id = excluded.resource_id",
    )?;
    Ok(())
}

/// The domains that have keys in a tenant, by one look at an index for each.
pub(crate) fn domains(db: &mut Db, tenant: TenantId) -> Result<Vec<ResourceId>, Error> {
    let mut domains: Vec<ResourceId> = Vec::new();
    loop {
        let mut next = Statement::<Binary>::new("SELECT domain_id FROM external_id WHERE tenant_id = ").bind(tenant);
        if let Some(last) = domains.last() {
            next = next.sql(" AND domain_id > ").bind(*last);
        }
        match next.sql(" ORDER BY domain_id LIMIT 1").get_result::<Vec<u8>>(db).optional()? {
            Some(id) => domains.push(resource_id(&id)?),
            None => return Ok(domains),
        }
    }
}

/// Every key that a domain has for resources of a kind, and whose it is.
pub(crate) fn of_kind(
    db: &mut Db,
    tenant: TenantId,
    domain: ResourceId,
    kind: &str,
) -> Result<Vec<(ExternalKey, ResourceId)>, Error> {
    let rows = Statement::<(Text, Binary)>::new("SELECT value, resource_id FROM external_id WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND domain_id = ")
        .bind(domain)
        .sql(" AND kind = ")
        .bind(kind)
        .load::<(String, Vec<u8>)>(db)?;
    let row =
        |(value, id): (String, Vec<u8>)| Ok((ExternalKey { domain, kind: kind.to_owned(), value }, resource_id(&id)?));
    rows.into_iter().map(row).collect()
}

/// How many resources of a kind a domain has keys for.
pub(crate) fn count(db: &mut Db, tenant: TenantId, domain: ResourceId, kind: &str) -> Result<i64, Error> {
    Ok(Statement::<BigInt>::new("SELECT COUNT(*) FROM external_id WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND domain_id = ")
        .bind(domain)
        .sql(" AND kind = ")
        .bind(kind)
        .get_result::<i64>(db)?)
}
