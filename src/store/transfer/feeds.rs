//! What feeds have said, as lines: so that the first file after a move is compared with what came before it. What a run has left,
//! sealed and soon erased, does not go along.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Hex, Line, TransferError};
use crate::ResourceId;
use crate::feed::{self, FeedKey, FeedRecord};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedRecordLine {
    feed: Uuid,
    kind: String,
    key: String,
    resource: Uuid,
    digest: Hex,
    run: Uuid,
    op: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<String>,
}

impl From<(FeedKey, FeedRecord)> for FeedRecordLine {
    fn from((key, record): (FeedKey, FeedRecord)) -> Self {
        FeedRecordLine {
            feed: key.feed.0,
            kind: key.kind,
            key: key.key,
            resource: record.resource.0,
            digest: Hex(record.digest),
            run: record.run.0,
            op: record.op,
            open: record.open,
        }
    }
}

impl From<FeedRecordLine> for (FeedKey, FeedRecord) {
    fn from(line: FeedRecordLine) -> Self {
        let key = FeedKey { feed: ResourceId(line.feed), kind: line.kind, key: line.key };
        let record = FeedRecord {
            resource: ResourceId(line.resource),
            digest: line.digest.0,
            run: ResourceId(line.run),
            op: line.op,
            open: line.open,
        };
        (key, record)
    }
}

impl super::export::Export<'_, '_> {
    /// What feeds have said, in the order of feeds and keys.
    pub(super) fn feeds(&mut self) -> Result<(), TransferError> {
        let mut after: Option<FeedKey> = None;
        loop {
            let slice = feed::slice(&mut self.reader.db, self.tenant, after.as_ref(), super::export::SLICE)?;
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            for record in slice {
                self.line(&Line::FeedRecord(record.into()))?;
            }
        }
    }
}
