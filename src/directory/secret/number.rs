//! Identity numbers of Users, of which more stands than that they are found: what is left of one when its owner is gone, or
//! has a real one in the place of a provisional one. That is a hash under keys of its own, by account domain, since numbers
//! are told apart within one. It is made when the number is sealed and lies beside it, so that a purge needs no key. Never
//! in clear, and never in a document.

use provisioning::number::is_provisional;
use provisioning::person;
use scim::schema::Definition;
use serde_json::{Map, Value};
use store::secret::{SealedValue, SealingKey, Secrets};
use store::{ResourceId, Tombstone, Work};

use super::keys::{BURY, TenantKeys};
use super::{Sealer, keyed_hash, open_data_key, open_value, token};
use crate::directory::Error;

/// Where what is left of numbers is kept.
pub(in crate::directory) const PERSONAL: &str = "personalNumber";
/// A school's temporary number.
const TEMPORARY: &str = "temporary";

/// What stands for the number of a User, under every key that is valid.
#[derive(Clone, Debug, Default)]
pub(in crate::directory) struct Marks {
    /// What stands for it in a document, the newest last.
    pub(in crate::directory) tokens: Vec<String>,
    /// What is left of it where its owner is gone.
    pub(in crate::directory) stones: Vec<String>,
    /// Whether it says who somebody is: a school's temporary one does not.
    pub(in crate::directory) is_hard: bool,
}

/// Whether resources of a type have identity numbers that are a person's.
pub(super) fn is_of(definition: &Definition) -> bool {
    definition.name() == person::USER && definition.extension(person::URN).is_some()
}

/// Whether a secret's path is that of the number.
pub(super) fn is(path: &str) -> bool {
    path.strip_prefix(person::URN).and_then(|rest| rest.strip_prefix(':')) == Some(person::NUMBER)
}

/// Whether a document has one.
pub(super) fn lies_in(definition: &Definition, document: &Map<String, Value>) -> bool {
    is_of(definition) && text(document, person::NUMBER).is_some()
}

fn text<'d>(document: &'d Map<String, Value>, name: &str) -> Option<&'d str> {
    document.get(person::URN)?.get(name)?.as_str()
}

fn hashed(document: &Map<String, Value>, clear: &str) -> String {
    [PERSONAL, text(document, "accountDomain").unwrap_or_default(), clear].join("\0")
}

/// What will be left of a number of this document, under the current key.
pub(super) fn stone(keys: &TenantKeys, document: &Map<String, Value>, clear: &str) -> Result<String, Error> {
    let (id, key) = keys.bury.last_key_value().ok_or_else(super::keys::none)?;
    Ok(format!("t{id}.{}", keyed_hash(key, &hashed(document, clear))?))
}

/// Whether what will be left of a number is under the current key.
pub(super) fn is_current(keys: &TenantKeys, value: &SealedValue) -> bool {
    let Some((id, _)) = keys.bury.last_key_value() else { return true };
    value.stone.as_ref().is_some_and(|stone| stone.starts_with(&format!("t{id}.")))
}

/// Remembers a provisional number that gives way to another one. Any other that does was wrong, and says nothing.
pub(super) fn remember(work: &mut Work<'_>, id: ResourceId, clear: &str, replaced: &SealedValue) {
    if let Some(stone) = replaced.stone.as_ref().filter(|_| is_provisional(clear)) {
        let at = work.now();
        work.bury(PERSONAL, stone, Tombstone { resource: id, at, until: None });
    }
}

/// Keeps what is left of the number of a User that is purged. What lies beside the document has it; `None`: it has no number,
/// or one from before numbers were kept.
pub(in crate::directory) fn bury(work: &mut Work<'_>, secrets: &Secrets, stone: Tombstone) {
    let values = secrets.values.iter().filter(|(path, _)| is(path));
    for left in values.filter_map(|(_, value)| value.stone.clone()) {
        work.bury(PERSONAL, &left, stone);
    }
}

/// Forgets older keys under which nothing is left.
pub(super) fn forget_keys(work: &mut Work<'_>, rows: &[SealingKey]) -> Result<(), Error> {
    let of_kind = || rows.iter().filter(|row| row.purpose == BURY).map(|row| row.id);
    let newest = of_kind().max();
    for id in of_kind().filter(|id| Some(*id) != newest) {
        if !work.is_any_buried(PERSONAL, &format!("t{id}."))? {
            work.drop_sealing_key(BURY, id);
        }
    }
    Ok(())
}

impl Sealer {
    /// What stands for the number of a document that is about to be written, in which it may be in clear or, where it is the
    /// one of `before`, what stands for it. `None`: it has none. Under the tenant's lock.
    pub(in crate::directory) fn marks(
        &self,
        work: &mut Work<'_>,
        id: ResourceId,
        document: &Map<String, Value>,
        before: &Secrets,
    ) -> Result<Option<Marks>, Error> {
        if !lies_in(&self.definition, document) {
            return Ok(None);
        }
        let secret = self.definition.secrets().iter().find(|secret| is(&secret.path));
        let (Some(secret), Some(value)) = (secret, text(document, person::NUMBER)) else { return Ok(None) };
        let keys = self.keys_under_lock(work, true)?;
        let clear = match before.values.get(&secret.path).filter(|kept| kept.token == value) {
            Some(kept) => open_value(&open_data_key(before, id, &keys)?, id, &secret.path, kept)?,
            None => value.to_owned(),
        };
        let mut marks = Marks { is_hard: text(document, "personalNumberType") != Some(TEMPORARY), ..Marks::default() };
        let compared = scim::key::of_text(&clear, secret.rule);
        for (id, key) in &keys.find {
            marks.tokens.push(token(*id, key, &secret.path, &compared)?);
        }
        let hashed = hashed(document, &clear);
        for (id, key) in &keys.bury {
            marks.stones.push(format!("t{id}.{}", keyed_hash(key, &hashed)?));
        }
        Ok(Some(marks))
    }
}
