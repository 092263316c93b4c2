//! Cursors (RFC 9865): a place in the answer to one query of one client, sealed so that it can neither be read nor made
//! up. A cursor is no permission: it says where to go on, and everything else is decided anew at each page.
//!
//! The key that seals a cursor is derived from the tenant's key and from all that must stay the same, client and query
//! included. A cursor that was changed, that belongs to somebody else or to another query does not open, and nothing
//! tells these apart. See `docs/designs/` for the layout.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scim::error::ScimType;
use sha2::{Digest, Sha256};
use store::scan::{Cut, Place};
use store::{Random, ResourceId, SealKey};

use super::envelope::Envelope;
use super::{Ctx, Error};

/// What the tenant's key is for, as the store knows it.
pub(super) const PURPOSE: &str = "cursor";
/// What a key that is derived from it is for: one for each client and query.
const USAGE: &str = "matrikel cursor 2";
/// Lengths are rounded up to this, so that a cursor's length says little about the place it holds.
const BLOCK: usize = 64;
/// No cursor of ours is longer; longer ones are not looked at.
const LONGEST: usize = 2_048;

/// A place to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// When the page was answered, µs.
    pub(super) issued_at: i64,
    /// The tenant's epoch then: a cursor does not outlive a restore.
    pub(super) epoch: i64,
    /// The `count` of the walk's requests.
    pub(super) count: Option<u64>,
    /// Towards the first page.
    pub(super) backwards: bool,
    /// Which of the resource types asked for.
    pub(super) part: u16,
    /// Where in it.
    pub(super) from: Cut,
}

/// All that must stay the same from page to page: tenant, client, what it may see, and the query.
#[derive(Clone, Debug)]
pub(super) struct Binding([u8; 32]);

impl Binding {
    /// The binding of these words, in order.
    pub(super) fn new<'w>(ctx: &Ctx, words: impl IntoIterator<Item = &'w str>) -> Self {
        let mut digest = Sha256::new();
        let mut add = |word: &[u8]| {
            digest.update((word.len() as u64).to_be_bytes());
            digest.update(word);
        };
        add(&ctx.tenant.0.to_be_bytes());
        add(&ctx.caller.id.bytes());
        add(&ctx.caller.domain.bytes());
        add(ctx.caller.role.as_str().as_bytes());
        add(ctx.caller.scopes.to_string().as_bytes());
        // A client whose view has changed begins anew.
        add(&ctx.views.digest().to_be_bytes());
        words.into_iter().for_each(|word| add(word.as_bytes()));
        Binding(digest.finalize().into())
    }

    /// The binding as a number.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.0
    }
}

impl Cursor {
    /// The cursor as clients get it: letters, digits, `-` and `_`.
    pub(super) fn seal(&self, key: &SealKey, binding: &Binding, random: &Random) -> Result<String, Error> {
        let sealed = Envelope::new(key, USAGE, &binding.0)?.seal(&self.encode(), random)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a cursor that comes back at `now`, in that epoch, with that `count`.
    ///
    /// Fails with 400 invalidCursor, expiredCursor or invalidCount, in that order (RFC 9865 section 2.1).
    pub(super) fn open(
        text: &str,
        key: &SealKey,
        binding: &Binding,
        count: Option<u64>,
        (now, epoch, seconds): (i64, i64, u64),
    ) -> Result<Self, Error> {
        let cursor = unseal(text, key, binding).ok_or_else(|| {
            scim::Error::new(
                ScimType::InvalidCursor,
                "The cursor does not belong to this query. Begin with an empty cursor, and change nothing but the \
                 cursor from page to page.",
            )
        })?;
        if cursor.epoch != epoch {
            let detail = "The register was brought back from a backup, or from elsewhere, after this page. Begin again \
                          with an empty cursor.";
            return Err(scim::Error::new(ScimType::ExpiredCursor, detail).into());
        }
        let age = now.saturating_sub(cursor.issued_at) / 1_000_000;
        if u64::try_from(age).is_ok_and(|age| age > seconds) {
            let detail = format!("The cursor is older than {seconds} seconds. Begin again with an empty cursor.");
            return Err(scim::Error::new(ScimType::ExpiredCursor, detail).into());
        }
        if cursor.count != count {
            let detail = "count is not that of the first page. Keep it from page to page.";
            return Err(scim::Error::new(ScimType::InvalidCount, detail).into());
        }
        Ok(cursor)
    }

    fn encode(&self) -> Vec<u8> {
        let (kind, place) = match &self.from {
            Cut::Start => (0, None),
            Cut::Before(place) => (1, Some(place)),
            Cut::After(place) => (2, Some(place)),
            Cut::End => (3, None),
        };
        let key = place.and_then(|place| place.key.as_deref());
        let flags = u8::from(self.backwards) | u8::from(self.count.is_some()) << 1 | u8::from(key.is_some()) << 2;
        let mut bytes = vec![flags, kind];
        bytes.extend(self.issued_at.to_be_bytes());
        bytes.extend(self.epoch.to_be_bytes());
        bytes.extend(self.count.unwrap_or_default().to_be_bytes());
        bytes.extend(self.part.to_be_bytes());
        bytes.extend(place.map_or([0; 16], |place| place.id.0.into_bytes()));
        // A key is cut to 512 bytes where it is made.
        let key = key.unwrap_or_default();
        bytes.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(key.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [flags, kind] = take(&mut rest)?;
        let issued_at = i64::from_be_bytes(take(&mut rest)?);
        let epoch = i64::from_be_bytes(take(&mut rest)?);
        let count = u64::from_be_bytes(take(&mut rest)?);
        let part = u16::from_be_bytes(take(&mut rest)?);
        let id = ResourceId::from_bytes(&take::<16>(&mut rest)?)?;
        let length = u16::from_be_bytes(take(&mut rest)?);
        let key = std::str::from_utf8(rest.get(..length.into())?).ok()?;
        let place = Place { key: (flags & 4 != 0).then(|| key.to_owned()), id };
        let from = match kind {
            0 => Cut::Start,
            1 => Cut::Before(place),
            2 => Cut::After(place),
            3 => Cut::End,
            _ => return None,
        };
        let count = (flags & 2 != 0).then_some(count);
        Some(Cursor { issued_at, epoch, count, backwards: flags & 1 != 0, part, from })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn unseal(text: &str, key: &SealKey, binding: &Binding) -> Option<Cursor> {
    let sealed = URL_SAFE_NO_PAD.decode(Some(text).filter(|text| text.len() <= LONGEST)?).ok()?;
    Cursor::decode(&Envelope::new(key, USAGE, &binding.0).ok()?.open(&sealed)?)
}

#[cfg(test)]
mod tests;
