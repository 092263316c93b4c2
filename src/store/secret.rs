//! What lies sealed beside a document, and what stands for it in there. A sealed value is text that only the directory can
//! open; its *token*, a keyed hash, is what indexes, unique keys and filters work with. A stored document, and so every
//! change row, has neither: a mark stands in their place. Whoever reads a document as data ([`document_of`](crate::work::document_of),
//! [`assemble`](crate::assemble)) finds the tokens there. Knows no key.

use std::collections::BTreeMap;

use diesel::sql_types::{BigInt, Binary, Text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::db::Db;
use crate::statement::{Statement, delete, insert};
use crate::{Error, TenantId};

/// What stands in a stored document for a value that is sealed.
const MARK: &str = "\u{1}sealed\u{1}";
/// How the bytes begin when there are sealed values.
const VALUES: &[u8] = b"{\"values\":";

/// What lies beside a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Sealed values by the canonical path of their attribute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, SealedValue>,
    /// The key that they are sealed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<DataKey>,
    /// The hash of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// What stands for it.
    pub token: String,
    /// The value under the resource's key, base64.
    pub sealed: String,
    /// What is left of it when the resource is gone: a hash under a key of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stone: Option<String>,
}

/// The key of one resource, itself sealed under a key of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataKey {
    /// Which of the tenant's keys.
    pub under: i64,
    /// The key, base64.
    pub sealed: String,
}

impl Secrets {
    /// Reads what lies beside a document.
    pub fn read(secret: Option<&[u8]>) -> Result<Self, Error> {
        let Some(secret) = secret else { return Ok(Secrets::default()) };
        // The bytes themselves are in no message.
        serde_json::from_slice(secret).map_err(|_| Error::Corrupt("what lies sealed beside a document".into()))
    }

    /// As it is stored; `None` when there is nothing.
    pub fn bytes(&self) -> Result<Option<Vec<u8>>, Error> {
        if *self == Secrets::default() {
            return Ok(None);
        }
        serde_json::to_vec(self).map(Some).map_err(|error| Error::Corrupt(error.to_string()))
    }
}

/// Whether values lie sealed there.
pub(crate) fn has_values(secret: Option<&[u8]>) -> bool {
    secret.is_some_and(|secret| secret.starts_with(VALUES))
}

/// Puts the tokens into a document that was read.
pub(crate) fn put_tokens(secret: Option<&[u8]>, document: &mut Map<String, Value>) -> Result<(), Error> {
    if has_values(secret) {
        for (path, value) in Secrets::read(secret)?.values {
            put(document, &path, value.token);
        }
    }
    Ok(())
}

/// The document as it is stored.
pub(crate) fn without_tokens(
    secret: Option<&[u8]>,
    document: &Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut document = document.clone();
    for path in Secrets::read(secret)?.values.keys() {
        put(&mut document, path, MARK.to_owned());
    }
    Ok(document)
}

fn put(document: &mut Map<String, Value>, path: &str, value: String) {
    let slot = match path.rsplit_once(':') {
        Some((urn, name)) => document.get_mut(urn).and_then(|fields| fields.get_mut(name)),
        None => document.get_mut(path),
    };
    if let Some(slot) = slot {
        *slot = Value::String(value);
    }
}

/// A key of a tenant as it is stored: sealed under a master key that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey {
    /// What it is for: `seal` or `find`.
    pub purpose: String,
    /// Its number; newer keys have higher ones.
    pub id: i64,
    /// The name of the master key.
    pub master: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
    /// µs since 1970.
    pub created_at: i64,
}

/// Every key of a tenant, by purpose and number.
pub(crate) fn keys(db: &mut Db, tenant: TenantId) -> Result<Vec<SealingKey>, Error> {
    let rows = Statement::<(Text, BigInt, Text, Binary, BigInt)>::new(
        "SELECT purpose, key_id, master, sealed, created_at FROM sealing_key WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" ORDER BY purpose, key_id")
    .load::<(String, i64, String, Vec<u8>, i64)>(db)?;
    let key = |(purpose, id, master, sealed, created_at)| SealingKey { purpose, id, master, sealed, created_at };
    Ok(rows.into_iter().map(key).collect())
}

/// Writes what became of keys: each is new or changed, or gone.
pub(crate) fn store_keys(
    db: &mut Db,
    tenant: TenantId,
    keys: impl IntoIterator<Item = ((String, i64), Option<SealingKey>)>,
) -> Result<(), Error> {
    let (mut rows, mut gone) = (Vec::new(), Vec::new());
    for ((purpose, id), key) in keys {
        match key {
            Some(key) => rows.push(vec![
                tenant.into(),
                purpose.into(),
                id.into(),
                key.master.into(),
                key.sealed.into(),
                key.created_at.into(),
            ]),
            None => gone.push(vec![tenant.into(), purpose.into(), id.into()]),
        }
    }
    delete(db, "sealing_key", &["tenant_id", "purpose", "key_id"], gone)?;
    insert(
        db,
        "INSERT INTO sealing_key (tenant_id, purpose, key_id, master, sealed, created_at)",
        rows,
        "ON CONFLICT (tenant_id, purpose, key_id) DO UPDATE SET master = excluded.master, sealed = excluded.sealed",
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_document_has_marks_and_one_that_is_read_has_tokens() {
        let value = |token: &str| SealedValue { token: token.into(), sealed: "c2VhbGVk".into(), stone: None };
        let secrets = Secrets {
            values: BTreeMap::from([
                ("number".to_owned(), value("one")),
                ("urn:example:Person:1.5:number".to_owned(), value("two")),
            ]),
            key: Some(DataKey { under: 1, sealed: "a2V5".into() }),
            password: Some("hash".into()),
        };
        let bytes = secrets.bytes().expect("bytes");
        assert_eq!(Secrets::read(bytes.as_deref()).expect("reads"), secrets);
        assert!(has_values(bytes.as_deref()));
        let document = json!({ "number": "one", "title": "x", "urn:example:Person:1.5": { "number": "two", "a": 1 } });
        let document = document.as_object().expect("an object");
        let mut stored = without_tokens(bytes.as_deref(), document).expect("a document");
        let expected = json!({ "number": MARK, "title": "x", "urn:example:Person:1.5": { "number": MARK, "a": 1 } });
        assert_eq!(Value::Object(stored.clone()), expected);
        put_tokens(bytes.as_deref(), &mut stored).expect("tokens");
        assert_eq!(stored, *document);
        let password = Secrets { password: Some("hash".into()), ..Secrets::default() }.bytes().expect("bytes");
        assert_eq!(password.as_deref(), Some(br#"{"password":"hash"}"#.as_slice()), "as it always was");
        assert!(!has_values(password.as_deref()));
        assert_eq!(Secrets::default().bytes().expect("nothing"), None);
    }
}
