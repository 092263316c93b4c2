//! `strict`: what is decided on is applied as it was recorded, or not at all. What has moved since is asked of versions, even
//! where it would come to the same: of each resource of the result, and of rules, policies, units and pools.

use std::collections::HashMap;

use provisioning::units::KIND as UNIT;
use serde_json::Value;
use store::{Record, ResourceId, Seq, TenantId, Work};

use super::carry::Passed;
use super::item::{Difference, Item};
use super::record::{Document, Hold};
use crate::directory::rules::ENTITLEMENT;
use crate::directory::settle::{POLICY, RULE};
use crate::directory::{Ctx, Directory, Error};

/// Why nothing was applied.
pub(super) const MOVED: &str = "Something that was recorded has moved, and strict was asked for: nothing was applied.";

/// Whether whoever decided has asked for it.
pub(super) fn is_asked(document: &Document) -> bool {
    document.get("strict") == Some(&Value::Bool(true))
}

/// The resources of a result with the versions that it was worked out from.
#[derive(Debug, Default)]
pub(super) struct Recorded(HashMap<ResourceId, i64>);

impl Recorded {
    pub(super) fn note(&mut self, item: &Item) {
        if let Ok(id) = item.id.parse() {
            self.0.insert(id, item.version);
        }
    }

    /// Whether one of them is of another version, of what has changed after a number. Under the lock.
    pub(super) fn have_moved(&self, after: Seq, work: &mut Work<'_>) -> Result<bool, Error> {
        for id in work.changed_since(after)? {
            let Some(version) = self.0.get(&id) else { continue };
            if work.record(id)?.map(|record| record.version).unwrap_or_default() != *version {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The simulation, if it is still ours and neither the book nor what was recorded has moved since the numbers at which it was
/// worked out; otherwise how it goes on. Under the lock.
pub(super) fn unmoved(
    hold: &Hold,
    (seq, book): (Seq, Seq),
    recorded: Option<&Recorded>,
    work: &mut Work<'_>,
) -> Result<Result<(Record, Document), Passed>, Error> {
    if work.book_seq() != book {
        return Ok(Err(Passed::Moved));
    }
    let Some(found) = hold.find(work)? else { return Ok(Err(Passed::Over)) };
    let has_moved = recorded.map(|recorded| recorded.have_moved(seq, work)).transpose()?.unwrap_or_default();
    Ok(if has_moved { Err(Passed::Moved) } else { Ok(found) })
}

impl Directory {
    /// What of the book has another version than at a number, each as an item of the list of differences.
    pub(super) async fn moved_book(&self, ctx: &Ctx, document: &Document, book: Seq) -> Result<Vec<Difference>, Error> {
        let base = |name: &str| document.get("base").and_then(|base| base.get(name)?.as_i64());
        // One that was worked out by an earlier version does not say; its rules and policies are compared anyhow.
        let (Some(seq), Some(known)) = (base("seq"), base("book")) else { return Ok(Vec::new()) };
        if known == book {
            return Ok(Vec::new());
        }
        let tenant: TenantId = ctx.tenant;
        let read = self.store().read_for(tenant, move |reader| {
            let mut moved = Vec::new();
            for kind in [POLICY, RULE, UNIT, ENTITLEMENT] {
                moved.extend(reader.records_of(tenant, kind)?.into_iter().filter(|record| record.seq > seq));
            }
            Ok::<_, store::Error>(moved)
        });
        let told = |record: store::Record| Difference {
            id: record.id.to_string(),
            display: record.label,
            kind: Some(record.kind),
            version: Some(record.version),
            was: None,
            is: None,
        };
        Ok(read.await?.into_iter().map(told).collect())
    }
}
