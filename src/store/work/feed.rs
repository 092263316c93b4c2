//! What a write says of feeds and their runs. None of it is a change: the resources that a feed is about leave theirs.

use super::Work;
use crate::external::ExternalKey;
use crate::feed::{self, FeedKey, FeedRecord};
use crate::{Error, ResourceId};

impl Work<'_> {
    /// What a feed last said about a key.
    pub fn feed_record(&mut self, key: &FeedKey) -> Result<Option<FeedRecord>, Error> {
        match self.open.feed_records.get(key).or_else(|| self.settled.feed_records.get(key)) {
            Some(record) => Ok(Some(record.clone())),
            None => feed::find(self.db, self.tenant, key),
        }
    }

    /// Notes what a feed has said, together with what became of it.
    pub fn put_feed_record(&mut self, key: FeedKey, record: FeedRecord) {
        self.open.feed_records.insert(key, record);
    }

    /// Forgets all that a feed has said.
    pub fn forget_feed(&mut self, feed: ResourceId) {
        self.open.forgotten_feeds.push(feed);
    }

    /// Puts something into a list of a run; what was at that place goes.
    pub fn put_run_item(&mut self, run: ResourceId, list: &'static str, place: i64, body: Vec<u8>) {
        self.open.run_items.insert((run, list, place), body);
    }

    /// Empties a list of a run, of all that was put there before this batch.
    pub fn drop_run_items(&mut self, run: ResourceId, list: &'static str) {
        self.open.dropped_items.push((run, list));
    }

    /// Which resource a source's key leads to, in a provisioning domain.
    pub fn holder_by_key(&mut self, key: &ExternalKey) -> Result<Option<ResourceId>, Error> {
        self.external_holder(key)
    }
}
