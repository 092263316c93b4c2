//! Secrets at rest. The value of an attribute whose schema says `secret` leaves the document before it is stored: it is
//! sealed under a key of its resource, which is sealed under a key of the tenant, which is sealed under a master key that
//! the database does not have (`keys`). A keyed hash stands for it where it is to be found or to be unique, under another
//! key. What it is comes out of here alone, in the answer to a request that asks for it by name; a filter may ask whether
//! it is that whole value, and nothing less.

mod keys;
mod number;
pub mod rotate;

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use provisioning::calendar::Calendar;
use provisioning::person;
use scim::filter::{self, Filter};
use scim::key::of_text;
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::{Definition, SecretPath};
use serde_json::{Map, Value, json};
use store::secret::{DataKey, SealedValue, Secrets};
use store::{Random, Record, ResourceId, SealKey, TenantId, Work};

use super::envelope::Envelope;
use super::types::Document;
use super::{Ctx, Directory, Error};

pub use keys::{Keyring, KeyringError, sealed_under};
pub(super) use keys::{Keys, TenantKeys};
pub(super) use number::{Marks, PERSONAL, bury};

use keys::{BURY, FIND, SEAL};

/// What keys are derived for.
const DATA_KEY: &str = "matrikel data key 1";
const VALUE: &str = "matrikel secret 1";
/// The identity number's path, after the URN of its extension.
const NUMBER: &str = ":personalNumber";

/// A document that has tokens, and what lies beside it.
type Sealed<'d> = (Cow<'d, Map<String, Value>>, Option<Vec<u8>>);

/// Seals the secrets of one tenant's resources.
#[derive(Clone)]
pub(super) struct Sealer {
    keys: Keys,
    tenant: TenantId,
    definition: Arc<Definition>,
    /// The keys as they were before the lock.
    known: Arc<TenantKeys>,
}

impl Directory {
    /// Who seals resources of a type; `None` for one that has no secrets. Afterwards they can be shown, too.
    pub(super) async fn sealer(&self, ctx: &Ctx, definition: &Arc<Definition>) -> Result<Option<Sealer>, Error> {
        if definition.secrets().is_empty() {
            return Ok(None);
        }
        let known = self.secret_keys(ctx.tenant).await?;
        Ok(Some(Sealer { keys: self.keys.clone(), tenant: ctx.tenant, definition: definition.clone(), known }))
    }

    /// Sees to it that the secrets of a type that are asked for can be shown. A key that is missing is told when it is
    /// needed, so that everything else is served without it.
    pub(super) async fn remember_keys(&self, ctx: &Ctx, definition: &Definition, projection: &Projection) {
        if definition.secrets().iter().any(|secret| projection.wants(&secret.path))
            && let Err(error) = self.secret_keys(ctx.tenant).await
        {
            tracing::debug!(%error, tenant = ctx.tenant.0, "secrets cannot be shown");
        }
    }

    /// 400 invalidValue for a schema with secret attributes where there is no master key to seal them under.
    pub(super) fn check_master_key(&self, what: Document, body: &Value) -> Result<(), Error> {
        let attributes = body.get("attributes").and_then(Value::as_array).into_iter().flatten();
        let is_secret = |attribute: &Value| {
            let mut members = attribute.as_object().into_iter().flatten();
            members.any(|(name, value)| name.eq_ignore_ascii_case("secret") && *value == Value::Bool(true))
        };
        match attributes.enumerate().find(|(_, attribute)| is_secret(attribute)) {
            Some((n, _)) if what == Document::Schema && self.keys.ring.is_empty() => {
                Err(scim::Error::invalid_value(format!(
                    "attributes[{n}].secret: this server has no master key to seal secrets under. Its operator sets \
                     secrets.key_file."
                ))
                .into())
            }
            _ => Ok(()),
        }
    }

    /// The tenant's keys as they are now. They are remembered for what is shown.
    pub(super) async fn secret_keys(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, Error> {
        let rows = self.store.read(move |reader| reader.sealing_keys(tenant)).await?;
        self.keys.open(tenant, &rows)
    }

    /// The tenant's keys for requests that wait, the newest first, made when there is none. Empty without a master key.
    pub(super) async fn deferring_keys(&self, ctx: &Ctx) -> Result<Vec<SealKey>, Error> {
        if self.keys.ring.is_empty() {
            return Ok(Vec::new());
        }
        let tenant = ctx.tenant;
        let rows = self.store.read_for(tenant, move |reader| reader.sealing_keys(tenant)).await?;
        let open = self.keys.open_deferring(&rows);
        if !open.is_empty() {
            return Ok(open);
        }
        let keys = self.keys.clone();
        self.store.write(tenant, ctx.origin(), move |work| keys.defer(work)).await
    }

    /// Puts secret values in the place of what stands for them, as far as these are still in the document.
    pub(super) fn reveal(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        record: &Record,
        document: &mut Map<String, Value>,
    ) -> Result<(), Error> {
        if !definition.secrets().iter().any(|secret| secret.value(document).is_some()) {
            return Ok(());
        }
        let secrets = Secrets::read(record.secret.as_deref())?;
        let keys = self.keys.known(ctx.tenant)?;
        let data_key = open_data_key(&secrets, record.id, &keys)?;
        for secret in definition.secrets() {
            if secret.value(document).is_none() {
                continue;
            }
            let sealed = secrets.values.get(&secret.path).ok_or_else(|| unreadable(record.id))?;
            secret.put(document, open_value(&data_key, record.id, &secret.path, sealed)?);
        }
        Ok(())
    }

    /// Whether a filter asks about a secret. Fails with 403 sensitive for a search that is sorted by one.
    pub(super) fn asks_about_secrets(definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<bool, Error> {
        let definitions: Vec<&Definition> = definitions.iter().map(AsRef::as_ref).collect();
        if let Some(secret) = request.sort_by.as_deref().and_then(|path| filter::secret(&definitions, path)) {
            return Err(filter::refusal(secret).into());
        }
        let parsed = request.filter.as_deref().map(Filter::parse).transpose()?;
        Ok(parsed.is_some_and(|parsed| parsed.secret(&definitions).is_some()))
    }

    /// A search with what stands for secrets in the place of their values.
    ///
    /// Fails with 403 sensitive for any other question about a secret than `eq` and `pr`.
    pub(super) fn conceal(
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
        keys: &TenantKeys,
    ) -> Result<SearchRequest, Error> {
        let definitions: Vec<&Definition> = definitions.iter().map(AsRef::as_ref).collect();
        let Some(parsed) = request.filter.as_deref().map(Filter::parse).transpose()? else {
            return Ok(request.clone());
        };
        let concealed = parsed.conceal(&definitions, &mut |path, value| {
            let mut values = vec![value.to_owned()];
            if path.strip_prefix(person::URN) == Some(NUMBER) {
                // It is kept in one form and may be asked for in any.
                values.extend(person::spellings(value, Calendar::default().day_of(ctx.now)));
                values.dedup();
            }
            let mut tokens = Vec::new();
            for (id, key) in &keys.find {
                for value in &values {
                    tokens.push(token(*id, key, path, value)?);
                }
            }
            if tokens.is_empty() {
                // Without a key nothing is sealed, and no text stands for it.
                tokens.push("s0.".to_owned());
            }
            Ok::<_, Error>(tokens)
        })?;
        Ok(SearchRequest { filter: Some(concealed.to_string()), ..request.clone() })
    }
}

impl Ctx {
    /// 403 sensitive when a search that came in a URL asks about a secret: URLs end up in logs (RFC 7644 section 7.5.2).
    pub(super) fn check_secrets(definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<(), Error> {
        if definitions.iter().all(|definition| definition.secrets().is_empty()) {
            return Ok(());
        }
        let Some(text) = request.filter.as_deref() else { return Ok(()) };
        let definitions: Vec<&Definition> = definitions.iter().map(AsRef::as_ref).collect();
        if let Some(secret) = Filter::parse(text)?.secret(&definitions) {
            let path = &secret.path;
            let detail =
                format!("A filter by {path} must not stand in a URL, as it is secret. Send it to .search with POST.");
            return Err(scim::Error::new(scim::ScimType::Sensitive, detail).into());
        }
        Ok(())
    }
}

impl Sealer {
    /// Puts what stands for a value in its place where the document says what is stored already, so that nothing seems
    /// to change.
    pub(super) fn recognise(&self, record: &Record, document: &mut Map<String, Value>) -> Result<(), Error> {
        let before = Secrets::read(record.secret.as_deref())?;
        recognise(&self.definition, record.id, &before, &self.known, document)
    }

    /// Seals the secrets of a document that is about to be stored; what stands for those of `before` is kept. The document
    /// has tokens afterwards, and what lies beside it is returned. Under the tenant's lock, so with the keys of the moment.
    ///
    /// Fails with [`store::Error::Taken`] for a value that has to be unique and is held under an older key.
    pub(super) fn seal<'d>(
        &self,
        work: &mut Work<'_>,
        id: ResourceId,
        document: &'d Map<String, Value>,
        before: &Secrets,
        password: Option<String>,
    ) -> Result<Sealed<'d>, Error> {
        let mut secrets = Secrets { password, ..Secrets::default() };
        if !self.definition.secrets().iter().any(|secret| secret.value(document).is_some()) {
            return Ok((Cow::Borrowed(document), secrets.bytes()?));
        }
        let buries = number::lies_in(&self.definition, document);
        let keys = self.keys_under_lock(work, buries)?;
        let mut document = document.clone();
        recognise(&self.definition, id, before, &keys, &mut document)?;
        let random = Random::os();
        let data_key = match &before.key {
            Some(_) => open_data_key(before, id, &keys)?,
            None => SealKey(random.bytes()?),
        };
        secrets.key = match &before.key {
            Some(key) => Some(key.clone()),
            None => Some(seal_data_key(&data_key, id, &keys, &random)?),
        };
        for secret in self.definition.secrets() {
            let Some(value) = secret.value(&document).map(str::to_owned) else { continue };
            let is_number = buries && number::is(&secret.path);
            if let Some(kept) = before.values.get(&secret.path).filter(|kept| kept.token == value) {
                let mut kept = kept.clone();
                if is_number && kept.stone.is_none() {
                    kept.stone =
                        Some(number::stone(&keys, &document, &open_value(&data_key, id, &secret.path, &kept)?)?);
                }
                secrets.values.insert(secret.path.clone(), kept);
                continue;
            }
            let mut stone = None;
            if is_number {
                stone = Some(number::stone(&keys, &document, &value)?);
                if let Some(replaced) = before.values.get(&secret.path) {
                    number::remember(work, id, &open_value(&data_key, id, &secret.path, replaced)?, replaced);
                }
            }
            let compared = of_text(&value, secret.rule);
            let (current, key) = keys.current_find()?;
            for (older, key) in keys.find.iter().filter(|(id, _)| **id != current) {
                let held = at(secret, &token(*older, key, &secret.path, &compared)?);
                work.check_unique(self.definition.name(), id, &held)?;
            }
            let token = token(current, key, &secret.path, &compared)?;
            secret.put(&mut document, token.clone());
            let sealed = seal_value(&data_key, id, &secret.path, &value, &random)?;
            secrets.values.insert(secret.path.clone(), SealedValue { token, sealed, stone });
        }
        Ok((Cow::Owned(document), secrets.bytes()?))
    }

    /// The keys as they are under the lock, made where there are none. `buries`: those for what is left of numbers too.
    fn keys_under_lock(&self, work: &mut Work<'_>, buries: bool) -> Result<Arc<TenantKeys>, Error> {
        let rows = work.sealing_keys()?;
        match self.keys.open_apart(self.tenant, &rows)? {
            keys if keys.is_whole() && (!buries || !keys.bury.is_empty()) => Ok(keys),
            _ if buries => self.keys.begin(self.tenant, work, &[SEAL, FIND, BURY]),
            _ => self.keys.begin(self.tenant, work, &[SEAL, FIND]),
        }
    }
}

fn recognise(
    definition: &Definition,
    id: ResourceId,
    before: &Secrets,
    keys: &TenantKeys,
    document: &mut Map<String, Value>,
) -> Result<(), Error> {
    for secret in definition.secrets() {
        let (Some(value), Some(kept)) = (secret.value(document), before.values.get(&secret.path)) else { continue };
        let Some((number, key)) = keys.find_of(&kept.token).filter(|_| value != kept.token) else { continue };
        if token(number, key, &secret.path, &of_text(value, secret.rule))? != kept.token {
            continue;
        }
        // Two spellings that compare alike are two values all the same.
        if open_value(&open_data_key(before, id, keys)?, id, &secret.path, kept)? == value {
            secret.put(document, kept.token.clone());
        }
    }
    Ok(())
}

/// A document that has that value alone.
fn at(secret: &SecretPath, value: &str) -> Map<String, Value> {
    let document = match &secret.extension {
        Some(urn) => json!({ urn.as_str(): { secret.name.as_str(): value } }),
        None => json!({ secret.name.as_str(): value }),
    };
    document.as_object().cloned().unwrap_or_default()
}

/// What stands for a value: it says under which key it was made, and nothing of the value to who does not have that.
fn token(id: i64, key: &SealKey, path: &str, compared: &str) -> Result<String, Error> {
    Ok(format!("s{id}.{}", keyed_hash(key, &[path, compared].join("\0"))?))
}

/// The keyed hash of a text, in digits.
fn keyed_hash(key: &SealKey, text: &str) -> Result<String, Error> {
    let made = || {
        let key = PKey::hmac(&key.0)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        signer.sign_oneshot_to_vec(text.as_bytes())
    };
    let hash =
        made().map_err(|error| Error::from(store::Error::Unavailable(format!("nothing can be hashed: {error}"))))?;
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn seal_data_key(key: &SealKey, id: ResourceId, keys: &TenantKeys, random: &Random) -> Result<DataKey, Error> {
    let (under, tenants) = keys.current_seal()?;
    let sealed = Envelope::new(tenants, DATA_KEY, &id.bytes())?.seal(&key.0, random)?;
    Ok(DataKey { under, sealed: STANDARD.encode(sealed) })
}

fn open_data_key(secrets: &Secrets, id: ResourceId, keys: &TenantKeys) -> Result<SealKey, Error> {
    let open = || {
        let key = secrets.key.as_ref()?;
        let tenants = keys.seal.get(&key.under)?;
        let sealed = STANDARD.decode(&key.sealed).ok()?;
        let open = Envelope::new(tenants, DATA_KEY, &id.bytes()).ok()?.open(&sealed)?;
        open.try_into().ok().map(SealKey)
    };
    open().ok_or_else(|| unreadable(id))
}

fn binding(id: ResourceId, path: &str) -> Vec<u8> {
    [id.bytes().as_slice(), path.as_bytes()].concat()
}

fn seal_value(key: &SealKey, id: ResourceId, path: &str, value: &str, random: &Random) -> Result<String, Error> {
    let sealed = Envelope::new(key, VALUE, &binding(id, path))?.seal(value.as_bytes(), random)?;
    Ok(STANDARD.encode(sealed))
}

fn open_value(key: &SealKey, id: ResourceId, path: &str, value: &SealedValue) -> Result<String, Error> {
    let open = || {
        let sealed = STANDARD.decode(&value.sealed).ok()?;
        String::from_utf8(Envelope::new(key, VALUE, &binding(id, path)).ok()?.open(&sealed)?).ok()
    };
    open().ok_or_else(|| unreadable(id))
}

fn unreadable(id: ResourceId) -> Error {
    store::Error::Unavailable(format!(
        "the secrets of {id} cannot be opened: the key that they are sealed under is not here"
    ))
    .into()
}
