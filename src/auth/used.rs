//! When credentials were used, on the way to the database: noted where a credential is looked up, which is every few
//! seconds while it is in use and never on the way of a request that is remembered, and written at most once a minute for
//! each. It is no change of anything, and the last minute may be lost with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::TenantId;
use uuid::Uuid;

/// µs.
const MINUTE: i64 = 60_000_000;
/// Credentials that are noted at a time; the others are noted later.
const MOST: usize = 100_000;

/// When a credential was used, and whether that was taken to be written.
struct Use {
    at: i64,
    is_taken: bool,
}

/// Credentials that were used lately. Cheap to clone; clones share what they note.
#[derive(Clone, Default)]
pub struct Used(Arc<Mutex<HashMap<(TenantId, Uuid), Use>>>);

impl Used {
    /// Notes that a credential was used at `now`, in µs since 1970.
    pub fn note(&self, tenant: TenantId, credential: Uuid, now: i64) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = Use { at: now, is_taken: false };
        match noted.get_mut(&(tenant, credential)) {
            Some(known) if known.is_taken && known.at + MINUTE <= now => *known = used,
            Some(_) => {}
            None => {
                if noted.len() < MOST {
                    noted.insert((tenant, credential), used);
                }
            }
        }
    }

    /// Takes what is to be written at `now`, by tenant.
    pub fn take(&self, now: i64) -> HashMap<TenantId, Vec<(Uuid, i64)>> {
        let mut taken: HashMap<TenantId, Vec<(Uuid, i64)>> = HashMap::new();
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((tenant, credential), used) in noted.iter_mut().filter(|(_, used)| !used.is_taken) {
            used.is_taken = true;
            taken.entry(*tenant).or_default().push((*credential, used.at));
        }
        noted.retain(|_, used| used.at + MINUTE > now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_taken_once_a_minute() {
        let (used, tenant, id) = (Used::default(), TenantId(1), Uuid::from_u128(7));
        let at = |used: &Used, now| used.take(now).remove(&tenant).map(|uses| uses.iter().map(|(_, at)| *at).collect());
        used.note(tenant, id, 0);
        used.note(tenant, id, 5);
        assert_eq!(at(&used, 10), Some(vec![0]));
        used.note(tenant, id, MINUTE - 1);
        assert_eq!(at(&used, MINUTE - 1), None);
        used.note(tenant, id, MINUTE);
        assert_eq!(at(&used, MINUTE + 1), Some(vec![MINUTE]));
        assert_eq!(at(&used, 10 * MINUTE), None);
        assert!(used.0.lock().expect("sound").is_empty(), "nothing of it is kept");
    }
}
