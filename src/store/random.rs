//! The source of ids and salts: the operating system's, or a seeded one so that a test can repeat itself.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Error, ResourceId};

/// Where random bytes come from. Cheap to clone; clones of a seeded source continue the same stream.
#[derive(Clone, Debug)]
pub struct Random(Source);

#[derive(Clone, Debug)]
enum Source {
    Os,
    Seeded(Arc<Mutex<(u64, u64)>>),
}

/// Bytes that were drawn ahead, for this thread alone: the generator costs more to ask than to answer. Each is given out
/// once and overwritten.
struct Pool {
    drawn: [u8; 512],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { drawn: [0; 512], used: 512 }) };
}

impl Pool {
    fn draw(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let failed = |error| Error::Unavailable(format!("no random bytes: {error}"));
        if self.used + out.len() > self.drawn.len() {
            if out.len() > self.drawn.len() / 4 {
                return openssl::rand::rand_bytes(out).map_err(failed);
            }
            openssl::rand::rand_bytes(&mut self.drawn).map_err(failed)?;
            self.used = 0;
        }
        for (to, from) in out.iter_mut().zip(self.drawn.iter_mut().skip(self.used)) {
            *to = std::mem::take(from);
        }
        self.used += out.len();
        Ok(())
    }
}

impl Random {
    /// The operating system's generator.
    pub fn os() -> Self {
        Random(Source::Os)
    }

    /// A repeatable stream. For tests and simulations, never for secrets.
    pub fn seeded(seed: u64) -> Self {
        Random(Source::Seeded(Arc::new(Mutex::new((seed, 0)))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], Error> {
        let mut out = [0; N];
        match &self.0 {
            Source::Os => POOL.with_borrow_mut(|pool| pool.draw(&mut out))?,
            Source::Seeded(state) => {
                for block in out.chunks_mut(32) {
                    let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let digest = Sha256::new().chain_update(state.0.to_be_bytes()).chain_update(state.1.to_be_bytes());
                    state.1 += 1;
                    block.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
                }
            }
        }
        Ok(out)
    }

    /// A salt of what is committed to.
    pub(crate) fn salt(&self) -> Result<Vec<u8>, Error> {
        Ok(self.bytes::<16>()?.to_vec())
    }

    /// A new resource id: UUID version 7, so that ids grow with time and the tables fill from the end.
    pub fn resource_id(&self, now: i64) -> Result<ResourceId, Error> {
        let millis = u64::try_from(now / 1_000).unwrap_or_default();
        Ok(ResourceId(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()?).into_uuid()))
    }

    /// An id without order: transactions and credentials.
    pub fn uuid(&self) -> Result<Uuid, Error> {
        Ok(uuid::Builder::from_random_bytes(self.bytes()?).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_ahead_is_given_out_once() {
        let random = Random::os();
        let drawn: HashSet<[u8; 16]> = (0..1_000).map(|_| random.bytes().expect("random bytes")).collect();
        assert_eq!(drawn.len(), 1_000);
        let odd: HashSet<[u8; 13]> = (0..1_000).map(|_| random.bytes().expect("random bytes")).collect();
        assert_eq!(odd.len(), 1_000, "the end of what was drawn is never filled up with zeros");
        let long: [u8; 200] = random.bytes().expect("random bytes");
        assert!(long.iter().filter(|byte| **byte != 0).count() > 100);
    }
}
