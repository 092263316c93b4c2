//! How much waits for a person, for whoever watches over the server: counted by the keys that items have as long as there is a
//! ground for them, which an index answers alone. So what somebody has dismissed while its ground lasts is counted too: a run
//! that is held is held, whatever became of its item.

use std::sync::atomic::Ordering;

use super::{Kind, WORK_ITEM, key_of};
use crate::directory::{Directory, Error};

impl Directory {
    /// Counts what has a ground to be decided, in every tenant that is served, by kind; [`Directory::falls`] has the counts
    /// from then on.
    pub async fn count_grounds(&self) -> Result<(), Error> {
        let count = |reader: &mut store::Reader| {
            let mut counts = [0_u64; Kind::ALL.len()];
            for tenant in reader.tenants_having(WORK_ITEM)? {
                for (count, kind) in counts.iter_mut().zip(Kind::ALL) {
                    *count += reader.having_begin(tenant, (WORK_ITEM, "key"), &key_of(kind))?.unsigned_abs();
                }
            }
            Ok::<_, store::Error>(counts)
        };
        let counts = self.store.read(count).await?;
        for (ground, count) in self.falls().grounds.iter().zip(counts) {
            ground.store(count, Ordering::Relaxed);
        }
        Ok(())
    }
}
