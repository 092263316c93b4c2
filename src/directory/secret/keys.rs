//! Keys for secrets: master keys, which an operator keeps in a file or in the environment, and the tenants' own, which lie
//! in the database sealed under a master key. Keys that were opened are remembered; none is ever printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;
use store::secret::SealingKey;
use store::{Random, SealKey, TenantId, Work};

use super::super::Error;
use super::super::envelope::Envelope;

/// What a key of a tenant is for: sealing the keys of resources.
pub(super) const SEAL: &str = "seal";
/// What a key of a tenant is for: the hashes by which secrets are found.
pub(super) const FIND: &str = "find";
/// What a key of a tenant is for: the hashes of identity numbers whose owners are gone. An older one is valid as long as
/// something is left under it.
pub(super) const BURY: &str = "bury";
/// What a key of a tenant is for: requests that are answered before they are carried out.
pub(super) const DEFER: &str = "defer";

/// What secrets of the server itself are sealed for.
const SERVER: &str = "matrikel server secret 1";
/// Begins what is sealed. No key in DER does.
const SEALED: &[u8] = b"sealed:";
const USAGE: &str = "matrikel sealing key 1";

/// Why there are no master keys where some were named. Says nothing of what was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyringError(String);

/// The master keys, the first of which is the one that is sealed under. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Keyring(Arc<Ring>);

#[derive(Default)]
struct Ring {
    file: Option<PathBuf>,
    keys: RwLock<Vec<(String, SealKey)>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({})", self.names().join(", "))
    }
}

impl Keyring {
    /// The keys of a text: one a line, a name and 64 hexadecimal digits with a colon between; `#` begins a remark.
    pub fn of_text(text: &str) -> Result<Self, KeyringError> {
        Ok(Keyring(Arc::new(Ring { file: None, keys: RwLock::new(parse(text)?) })))
    }

    /// The keys of a file. It is read again when something is sealed under a key that was not in it.
    pub fn of_file(path: &Path) -> Result<Self, KeyringError> {
        let keys = read(path)?;
        Ok(Keyring(Arc::new(Ring { file: Some(path.to_owned()), keys: RwLock::new(keys) })))
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The names of the keys, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).iter().map(|(name, _)| name.clone()).collect()
    }

    /// A new key as a line of the file.
    pub fn line(name: &str) -> Result<String, Error> {
        let key: [u8; 32] = Random::os().bytes()?;
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{name}:{digits}"))
    }

    /// What is a secret of the server itself as it may be stored: sealed under the first master key, with that key's name
    /// before it. Fails with [`store::Error::Unavailable`] without a master key.
    pub fn seal(&self, binding: &str, clear: &[u8]) -> Result<Vec<u8>, store::Error> {
        let (name, key) = self.current().ok_or_else(no_key)?;
        let sealed = Envelope::new(&key, SERVER, binding.as_bytes())?.seal(clear, &Random::os())?;
        Ok([SEALED, name.as_bytes(), b"\n", &sealed].concat())
    }

    /// Whether it was sealed under the first master key.
    pub fn is_current(&self, stored: &[u8]) -> bool {
        let name = self.current().map(|(name, _)| name);
        name.is_some() && name.as_deref() == sealed_under(stored)
    }

    /// What [`Keyring::seal`] has made of it, or what an older version stored as it was; `None`: its master key is not here.
    pub fn open(&self, binding: &str, stored: &[u8]) -> Option<Vec<u8>> {
        let Some(rest) = stored.strip_prefix(SEALED) else { return Some(stored.to_vec()) };
        let (name, sealed) = rest.split_at_checked(rest.iter().position(|byte| *byte == b'\n')?)?;
        let key = self.find(std::str::from_utf8(name).ok()?)?;
        Envelope::new(&key, SERVER, binding.as_bytes()).ok()?.open(sealed.get(1..)?)
    }

    /// The key that is sealed under.
    fn current(&self) -> Option<(String, SealKey)> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }

    fn find(&self, name: &str) -> Option<SealKey> {
        let known =
            |keys: &[(String, SealKey)]| keys.iter().find(|(known, _)| known == name).map(|(_, key)| key.clone());
        if let Some(key) = known(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(key);
        }
        let fresh = read(self.0.file.as_deref()?).ok()?;
        let found = known(&fresh);
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        found
    }
}

/// The name of the master key that a secret of the server is sealed under; `None`: under none.
pub fn sealed_under(stored: &[u8]) -> Option<&str> {
    let rest = stored.strip_prefix(SEALED)?;
    std::str::from_utf8(rest.get(..rest.iter().position(|byte| *byte == b'\n')?)?).ok()
}

fn read(path: &Path) -> Result<Vec<(String, SealKey)>, KeyringError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| KeyringError(format!("{} cannot be read ({error}).", path.display())))?;
    parse(&text).map_err(|KeyringError(reason)| KeyringError(format!("{}: {reason}", path.display())))
}

fn parse(text: &str) -> Result<Vec<(String, SealKey)>, KeyringError> {
    let mut keys: Vec<(String, SealKey)> = Vec::new();
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    for (n, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |what: &str| {
            KeyringError(format!(
                "line {n} {what}. A line is a name, a colon and 64 hexadecimal digits; `matrikel key new NAME` makes one."
            ))
        };
        let (name, digits) = line.split_once(':').ok_or_else(|| wrong("is no key"))?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(wrong("has a name of other than letters, digits, -, _ and ."));
        }
        if keys.iter().any(|(known, _)| known == name) {
            return Err(wrong("has the name of another one"));
        }
        let key = bytes(digits).ok_or_else(|| wrong("does not hold 32 bytes"))?;
        keys.push((name.to_owned(), SealKey(key)));
    }
    if keys.is_empty() {
        return Err(KeyringError("there is no key. `matrikel key new NAME` makes one.".to_owned()));
    }
    Ok(keys)
}

fn bytes(digits: &str) -> Option<[u8; 32]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

/// The keys of a tenant, opened, by number; the highest is the current one.
#[derive(Clone, Default, PartialEq)]
pub(in crate::directory) struct TenantKeys {
    pub(super) seal: BTreeMap<i64, SealKey>,
    pub(super) find: BTreeMap<i64, SealKey>,
    pub(super) bury: BTreeMap<i64, SealKey>,
}

impl TenantKeys {
    pub(super) fn is_whole(&self) -> bool {
        !self.seal.is_empty() && !self.find.is_empty()
    }

    pub(super) fn current_seal(&self) -> Result<(i64, &SealKey), Error> {
        self.seal.last_key_value().map(|(id, key)| (*id, key)).ok_or_else(none)
    }

    pub(super) fn current_find(&self) -> Result<(i64, &SealKey), Error> {
        self.find.last_key_value().map(|(id, key)| (*id, key)).ok_or_else(none)
    }

    /// The key that a token was made with.
    pub(super) fn find_of(&self, token: &str) -> Option<(i64, &SealKey)> {
        let id = token.strip_prefix('s')?.split_once('.')?.0.parse().ok()?;
        Some((id, self.find.get(&id)?))
    }
}

pub(super) fn none() -> Error {
    no_key().into()
}

fn no_key() -> store::Error {
    store::Error::Unavailable("there is no master key; set secrets.key_file".to_owned())
}

/// Rows, and the keys that they are.
struct Opened(Vec<SealingKey>, Arc<TenantKeys>);

/// Keys of tenants that were opened already. Cheap to clone; clones share them.
#[derive(Clone)]
pub(in crate::directory) struct Keys {
    pub(in crate::directory) ring: Keyring,
    /// A tenant's, with the rows they were opened from.
    opened: Cache<TenantId, Arc<Opened>>,
}

impl Keys {
    pub(in crate::directory) fn new(ring: Keyring) -> Self {
        Keys { ring, opened: Cache::new(10_000) }
    }

    /// The keys of these rows. Fails with [`store::Error::Unavailable`] when the master key of one is not here.
    pub(super) fn open(&self, tenant: TenantId, rows: &[SealingKey]) -> Result<Arc<TenantKeys>, Error> {
        let keys = self.open_apart(tenant, rows)?;
        self.opened.insert(tenant, Arc::new(Opened(rows.to_vec(), keys.clone())));
        Ok(keys)
    }

    /// The same for rows that are not committed yet, and so are not remembered.
    pub(super) fn open_apart(&self, tenant: TenantId, rows: &[SealingKey]) -> Result<Arc<TenantKeys>, Error> {
        if let Some(known) = self.opened.get(&tenant).filter(|known| known.0 == rows) {
            return Ok(known.1.clone());
        }
        let mut keys = TenantKeys::default();
        // Those for requests that wait are opened where they are used.
        for row in rows.iter().filter(|row| row.purpose != DEFER) {
            let key = self.open_one(row)?;
            match row.purpose.as_str() {
                SEAL => drop(keys.seal.insert(row.id, key)),
                FIND => drop(keys.find.insert(row.id, key)),
                BURY => drop(keys.bury.insert(row.id, key)),
                _ => {}
            }
        }
        Ok(Arc::new(keys))
    }

    /// The keys as they were last opened.
    pub(super) fn known(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, Error> {
        self.opened.get(&tenant).map(|known| known.1.clone()).ok_or_else(none)
    }

    pub(super) fn open_one(&self, row: &SealingKey) -> Result<SealKey, Error> {
        let open = || {
            let master = self.ring.find(&row.master)?;
            Envelope::new(&master, USAGE, &binding(&row.purpose, row.id)).ok()?.open(&row.sealed)?.try_into().ok()
        };
        let missing =
            || store::Error::Unavailable(format!("the master key {} is not here, or is another one", row.master));
        Ok(SealKey(open().ok_or_else(missing)?))
    }

    /// Makes a tenant's first keys for these purposes.
    pub(super) fn begin(
        &self,
        tenant: TenantId,
        work: &mut Work<'_>,
        purposes: &[&str],
    ) -> Result<Arc<TenantKeys>, Error> {
        let mut rows = work.sealing_keys()?;
        for purpose in purposes {
            if !rows.iter().any(|row| row.purpose == *purpose) {
                let row = self.make(purpose, 1, work.now())?;
                work.put_sealing_key(row.clone());
                rows.push(row);
            }
        }
        rows.sort_by(|one, other| (&one.purpose, one.id).cmp(&(&other.purpose, other.id)));
        self.open_apart(tenant, &rows)
    }

    /// The tenant's keys for requests that wait, the newest first, which is made when there is none that can be opened here.
    /// Those that cannot be opened are another server's.
    pub(super) fn defer(&self, work: &mut Work<'_>) -> Result<Vec<SealKey>, Error> {
        let rows = work.sealing_keys()?;
        let mut open = self.open_deferring(&rows);
        if open.is_empty() {
            let newest = rows.iter().filter(|row| row.purpose == DEFER).map(|row| row.id).max().unwrap_or_default();
            let row = self.make(DEFER, newest + 1, work.now())?;
            work.put_sealing_key(row.clone());
            open.push(self.open_one(&row)?);
        }
        Ok(open)
    }

    /// Those of these rows that are for requests that wait and can be opened here, the newest first.
    pub(super) fn open_deferring(&self, rows: &[SealingKey]) -> Vec<SealKey> {
        let mut rows: Vec<&SealingKey> = rows.iter().filter(|row| row.purpose == DEFER).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        rows.into_iter().filter_map(|row| self.open_one(row).ok()).collect()
    }

    /// A new key of a tenant.
    pub(super) fn make(&self, purpose: &str, id: i64, now: i64) -> Result<SealingKey, Error> {
        self.seal(purpose, id, &SealKey(Random::os().bytes()?), now)
    }

    /// A key of a tenant, sealed under the current master key.
    pub(super) fn seal(&self, purpose: &str, id: i64, key: &SealKey, created_at: i64) -> Result<SealingKey, Error> {
        let (master, under) = self.ring.current().ok_or_else(none)?;
        let sealed = Envelope::new(&under, USAGE, &binding(purpose, id))?.seal(&key.0, &Random::os())?;
        Ok(SealingKey { purpose: purpose.to_owned(), id, master, sealed, created_at })
    }
}

fn binding(purpose: &str, id: i64) -> Vec<u8> {
    [purpose.as_bytes(), &id.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn keys_are_read_in_order_and_shown_by_name_alone() {
        let ring = Keyring::of_text(&format!("# of this year\n2026:{DIGITS}\n\n  old-1:{DIGITS}\n")).expect("keys");
        assert_eq!(ring.names(), ["2026", "old-1"]);
        assert_eq!(format!("{ring:?}"), "Keyring(2026, old-1)");
        assert!(ring.find("old-1").is_some() && ring.find("other").is_none());
        assert!(Keyring::default().is_empty() && Keyring::default().current().is_none());
        let line = Keyring::line("new").expect("a key");
        assert_eq!(Keyring::of_text(&line).expect("a key").names(), ["new"]);
        assert_ne!(Keyring::line("new").expect("a key"), line);
    }

    #[test]
    fn a_secret_of_the_server_is_opened_with_its_key_and_for_its_use_alone() {
        let ring = |lines: &str| Keyring::of_text(lines).expect("keys");
        let (one, both) = (ring(&format!("a:{DIGITS}")), ring(&format!("b:{}\na:{DIGITS}", DIGITS.replace('0', "1"))));
        let sealed = one.seal("key-1", b"private").expect("sealed");
        assert!(!sealed.windows(7).any(|part| part == b"private"));
        for ring in [&one, &both] {
            assert_eq!(ring.open("key-1", &sealed).as_deref(), Some(&b"private"[..]));
            assert_eq!(ring.open("key-2", &sealed), None);
        }
        assert_eq!(Keyring::default().open("key-1", &sealed), None);
        assert_eq!(ring(&format!("a:{}", DIGITS.replace('0', "1"))).open("key-1", &sealed), None);
        assert!(Keyring::default().seal("key-1", b"private").is_err(), "nothing is stored as it is");
        // An older version did.
        assert_eq!(both.open("key-1", b"private").as_deref(), Some(&b"private"[..]));
        assert_eq!((sealed_under(&sealed), sealed_under(b"private")), (Some("a"), None));
        assert!(one.is_current(&sealed) && !both.is_current(&sealed) && !one.is_current(b"private"));
        assert!(!Keyring::default().is_current(b"private"));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_nothing_of_it() {
        let table = [
            (String::new(), "there is no key"),
            ("# nothing\n".into(), "there is no key"),
            (DIGITS.into(), "line 1 is no key"),
            (format!("a:{DIGITS}\nb b:{DIGITS}"), "line 2 has a name"),
            (format!(":{DIGITS}"), "line 1 has a name"),
            (format!("a:{DIGITS}\na:{DIGITS}"), "line 2 has the name of another"),
            (format!("a:{}", &DIGITS[1..]), "line 1 does not hold 32 bytes"),
            (format!("a:{DIGITS}00"), "line 1 does not hold 32 bytes"),
            (format!("a:{}", DIGITS.replace('a', "x")), "line 1 does not hold 32 bytes"),
        ];
        for (text, expected) in table {
            let said = Keyring::of_text(&text).expect_err(expected).to_string();
            assert!(said.contains(expected) && !said.contains("8899"), "{said}");
        }
    }

    #[test]
    fn a_key_of_a_tenant_opens_under_its_own_master_key_purpose_and_number_alone() {
        let keys = Keys::new(Keyring::of_text(&format!("one:{DIGITS}")).expect("a key"));
        let row = keys.make(SEAL, 1, 0).expect("a key");
        let opened = keys.open_one(&row).expect("opens");
        assert_eq!(keys.open_one(&keys.seal(SEAL, 1, &opened, 0).expect("sealed")).expect("opens"), opened);
        let other = Keys::new(Keyring::of_text(&Keyring::line("one").expect("a key")).expect("a key"));
        assert!(other.open_one(&row).is_err(), "another key of that name");
        for wrong in [
            SealingKey { purpose: FIND.into(), ..row.clone() },
            SealingKey { id: 2, ..row.clone() },
            SealingKey { master: "two".into(), ..row.clone() },
            SealingKey { sealed: row.sealed.iter().map(|byte| byte ^ 1).collect(), ..row.clone() },
        ] {
            assert!(keys.open_one(&wrong).is_err(), "{wrong:?}");
        }
    }
}
