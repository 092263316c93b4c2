//! `co` and `ew` by the rows of an index: its keys are looked through for the text, which takes a part of the time of
//! testing documents and costs nothing when something is written.

use diesel::sql_types::{Binary, Text};

use scim::key;

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, TenantId};

/// A key that was cut has at least so many characters, as one has at most four bytes.
const CUT_CHARS: i64 = (key::MAX_BYTES as i64 - 3) / 4;
/// Longer texts are not looked for in keys.
const LONGEST: usize = 128;

/// A text that keys are looked through for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) path: i64,
    text: String,
    /// Whether it has to stand at the end.
    at_end: bool,
}

/// Keys that hold a text, each with its resource.
#[derive(Debug)]
pub(crate) struct Holders {
    pub(crate) rows: Vec<(String, ResourceId)>,
    /// Whether no key was cut, so that these are all resources that have the text and no others.
    pub(crate) is_exact: bool,
}

impl Part {
    /// `None`: looking for it would not help.
    pub(crate) fn new(path: i64, text: &str, at_end: bool) -> Option<Self> {
        let is_fit = !text.is_empty() && text.len() <= LONGEST;
        is_fit.then(|| Part { path, text: text.to_owned(), at_end })
    }

    /// Appends table and condition. What it finds may be too much: SQLite takes no notice of the case of ASCII letters,
    /// and of a key that was cut the rest is not known.
    pub(crate) fn bind<Row>(&self, statement: Statement<Row>, tenant: TenantId) -> Statement<Row> {
        let mut pattern = String::from("%");
        for letter in self.text.chars() {
            if matches!(letter, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(letter);
        }
        if !self.at_end {
            pattern.push('%');
        }
        statement
            .sql("attr_index WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND path_id = ")
            .bind(self.path)
            .sql(" AND (value LIKE ")
            .bind(pattern)
            .sql(" ESCAPE '!' OR length(value) >= ")
            .bind(CUT_CHARS)
            .sql(")")
    }

    /// The keys that hold the text, or may. Fails with [`Error::TooMany`] beyond `limit`.
    pub(crate) fn holders(&self, db: &mut Db, tenant: TenantId, limit: u64) -> Result<Holders, Error> {
        let select = Statement::<(Text, Binary)>::new("SELECT value, resource_id FROM ");
        let rows = self
            .bind(select, tenant)
            .sql(" LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
            .load::<(String, Vec<u8>)>(db)?;
        if rows.len() as u64 > limit {
            return Err(Error::TooMany { limit });
        }
        let mut holders = Holders { rows: Vec::with_capacity(rows.len()), is_exact: true };
        for (value, id) in rows {
            let is_cut = value.len() >= key::MAX_BYTES - 3;
            if is_cut || self.is_in(&value) {
                holders.is_exact &= !is_cut;
                holders.rows.push((value, resource_id(&id)?));
            }
        }
        Ok(holders)
    }

    fn is_in(&self, value: &str) -> bool {
        value != key::ABSENT && if self.at_end { value.ends_with(&self.text) } else { value.contains(&self.text) }
    }
}
