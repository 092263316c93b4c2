//! What a write remembers of itself for a client that gave it a key.

use super::Work;
use crate::idempotency::{self, Keyed};
use crate::{Error, ResourceId};

impl Work<'_> {
    /// The write that a client gave a key, however old. It is this batch's or a committed one: no other of the tenant
    /// can be under way.
    pub fn keyed(&mut self, client: ResourceId, key: &[u8]) -> Result<Option<Keyed>, Error> {
        let by = (client, key.to_vec());
        match self.open.keyed.get(&by).or_else(|| self.settled.keyed.get(&by)) {
            Some(keyed) => Ok(Some(keyed.clone())),
            None => idempotency::find(self.db, self.tenant, client, key),
        }
    }

    /// Remembers a write with what it does.
    pub fn put_keyed(&mut self, keyed: Keyed) {
        self.open.keyed.insert((keyed.client, keyed.key.clone()), keyed);
    }
}
