//! New keys in the place of old ones, while servers serve. The tenant's keys are sealed under the first master key; then
//! the tenant gets new keys, which are used from that moment on, and every resource is sealed anew, a slice at a time
//! under the lock with other work between; when none is left under the old ones these are forgotten. Until then both are
//! valid. Whatever breaks off is gone on with by the next rotation: two keys of a kind say that one is under way. A
//! resource that is sealed anew says the same: it gets no version, and no change is written.

use provisioning::person;
use store::secret::{SealedValue, Secrets};
use store::work::{Origin, document_of};
use store::{Random, Record, ResourceId, TenantId, Work};

use super::keys::{BURY, FIND, Keys, SEAL, TenantKeys};
use super::{number, open_data_key, open_value, seal_data_key, token};
use crate::directory::{By, Directory, Error};
use scim::key::of_text;
use scim::schema::Definition;

/// Resources sealed anew at a time.
const SLICE: i64 = 200;

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Keys of the tenant that were sealed under another master key.
    pub rewrapped: u64,
    /// Resources that were sealed anew.
    pub resealed: u64,
    /// Whether the tenant has keys at all.
    pub is_anything: bool,
}

impl Directory {
    /// Rotates the keys of a tenant's secrets; one that has none is left as it is. With `only_master` its own keys stay,
    /// and are sealed under the first master key. `watch` is told how many resources were sealed anew.
    pub async fn rotate_keys(
        &self,
        tenant: TenantId,
        now: i64,
        only_master: bool,
        watch: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Rotated, Error> {
        let origin =
            || Origin { actor: ResourceId::SYSTEM, cause: "operator", by: By::default(), now, random: Random::os() };
        let keys = self.keys.clone();
        let mut rotated = Rotated::default();
        let begun = self.store.write(tenant, origin(), move |work| begin(&keys, tenant, work, only_master)).await;
        let Some((rewrapped, goes_on)): Option<(u64, bool)> = begun? else { return Ok(rotated) };
        (rotated.rewrapped, rotated.is_anything) = (rewrapped, true);
        if !goes_on {
            return Ok(rotated);
        }
        let registry = self.catalog(tenant, now).await?.registry().clone();
        for definition in registry.definitions().iter().filter(|definition| !definition.secrets().is_empty()) {
            let mut after = None;
            loop {
                let (keys, definition) = (self.keys.clone(), definition.clone());
                let slice = self.store.write(tenant, origin(), move |work| {
                    let open = keys.open_apart(tenant, &work.sealing_keys()?)?;
                    reseal(&open, &definition, work, after)
                });
                let (last, resealed): (_, u64) = slice.await?;
                rotated.resealed += resealed;
                watch(rotated.resealed);
                if last.is_none() {
                    break;
                }
                after = last;
            }
        }
        let forget = |work: &mut Work<'_>| {
            let rows = work.sealing_keys()?;
            for purpose in [SEAL, FIND] {
                let newest = rows.iter().filter(|row| row.purpose == purpose).map(|row| row.id).max();
                for row in rows.iter().filter(|row| row.purpose == purpose && Some(row.id) != newest) {
                    work.drop_sealing_key(purpose, row.id);
                }
            }
            number::forget_keys(work, &rows)?;
            Ok::<_, Error>(())
        };
        self.store.write(tenant, origin(), forget).await?;
        Ok(rotated)
    }
}

/// Seals the tenant's keys under the first master key and gives it new ones, unless a rotation is under way. How many
/// there were under another one, and whether there is something to go on with; `None`: it has none.
fn begin(keys: &Keys, tenant: TenantId, work: &mut Work<'_>, only_master: bool) -> Result<Option<(u64, bool)>, Error> {
    let rows = work.sealing_keys()?;
    if rows.is_empty() {
        return Ok(None);
    }
    keys.open_apart(tenant, &rows)?;
    let current = keys.ring.names().into_iter().next();
    let mut rewrapped = 0;
    for row in rows.iter().filter(|row| Some(&row.master) != current.as_ref()) {
        let open = keys.open_one(row)?;
        work.put_sealing_key(keys.seal(&row.purpose, row.id, &open, row.created_at)?);
        rewrapped += 1;
    }
    let count = |purpose: &str| rows.iter().filter(|row| row.purpose == purpose).count();
    let is_under_way = count(SEAL) > 1 || count(FIND) > 1;
    if only_master && !is_under_way {
        return Ok(Some((rewrapped, false)));
    }
    // What lies sealed may be from before there were keys for what is left of it.
    let has_numbers = work.catalog().registry().definition(person::USER).is_some_and(|user| number::is_of(user));
    let is_there =
        |purpose: &&&str| (has_numbers && **purpose == BURY) || rows.iter().any(|row| row.purpose == ***purpose);
    for purpose in [SEAL, FIND, BURY].iter().filter(|_| !is_under_way).filter(is_there) {
        let newest = rows.iter().filter(|row| row.purpose == *purpose).map(|row| row.id).max().unwrap_or_default();
        work.put_sealing_key(keys.make(purpose, newest + 1, work.now())?);
    }
    Ok(Some((rewrapped, true)))
}

/// Seals a slice of resources anew: the last of them, `None` when there was none, and how many were under other keys.
fn reseal(
    keys: &TenantKeys,
    definition: &Definition,
    work: &mut Work<'_>,
    after: Option<ResourceId>,
) -> Result<(Option<ResourceId>, u64), Error> {
    let ids = work.ids_of(definition.name(), after, SLICE)?;
    let mut resealed = 0;
    for id in &ids {
        let Some(record) = work.record(*id)? else { continue };
        if let Some(secret) = anew(keys, definition, &record)? {
            work.reseal(&record, secret.bytes()?)?;
            resealed += 1;
        }
    }
    Ok((ids.last().copied(), resealed))
}

/// What lies beside a document under the current keys; `None` when it is under them already, or there is nothing.
fn anew(keys: &TenantKeys, definition: &Definition, record: &Record) -> Result<Option<Secrets>, Error> {
    let mut secrets = Secrets::read(record.secret.as_deref())?;
    let Some(key) = &secrets.key else { return Ok(None) };
    let ((seal, _), (find, find_key)) = (keys.current_seal()?, keys.current_find()?);
    let is_current = |(path, value): (&String, &SealedValue)| {
        keys.find_of(&value.token).is_some_and(|(id, _)| id == find)
            && (!(number::is_of(definition) && number::is(path)) || number::is_current(keys, value))
    };
    if key.under == seal && secrets.values.iter().all(is_current) {
        return Ok(None);
    }
    let data_key = open_data_key(&secrets, record.id, keys)?;
    secrets.key = Some(seal_data_key(&data_key, record.id, keys, &Random::os())?);
    for (path, value) in &mut secrets.values {
        let rule = definition.secrets().iter().find(|secret| secret.path == *path).map(|secret| secret.rule);
        let clear = open_value(&data_key, record.id, path, value)?;
        if number::is_of(definition) && number::is(path) && !keys.bury.is_empty() {
            value.stone = Some(number::stone(keys, &document_of(record)?, &clear)?);
        }
        value.token = token(find, find_key, path, &of_text(&clear, rule.unwrap_or(scim::key::TextRule::Exact)))?;
    }
    Ok(Some(secrets))
}
