//! What a write says of erasures, and what it erases. What is erased is taken out of the database at once and not when the
//! batch is flushed; so nothing is erased in the batch that has it erased, whose own changes are not there yet.

use super::Work;
use crate::erasure::{self, Erasure, Left};
use crate::{Error, ResourceId};

/// What a change that is erased costs of a batch, in bytes: a few hundred of them fill one.
const COST: usize = 4_096;

impl Work<'_> {
    /// Has a resource erased, or says how far that has come.
    pub fn put_erasure(&mut self, id: ResourceId, erasure: Erasure) {
        self.open.erasures.insert(id, erasure);
    }

    /// How far the erasure of a resource has come; `None`: it is not to be erased.
    pub fn erasure(&mut self, id: ResourceId) -> Result<Option<Erasure>, Error> {
        match self.open.erasures.get(&id).or_else(|| self.settled.erasures.get(&id)) {
            Some(erasure) => Ok(Some(erasure.clone())),
            None => erasure::find(self.db, self.tenant, id),
        }
    }

    /// Whether this batch has something to write of the erasure of a resource, and so may have changes of it that are not in
    /// the database yet.
    pub fn is_erasure_fresh(&self, id: ResourceId) -> bool {
        self.open.erasures.contains_key(&id) || self.settled.erasures.contains_key(&id)
    }

    /// Takes content and salt of changes of a resource, of at most `limit`. Of how many that was.
    pub fn erase_changes(&mut self, id: ResourceId, limit: i64) -> Result<usize, Error> {
        let erased = erasure::changes(self.db, self.tenant, id, limit)?;
        self.weight += erased * COST;
        self.swept |= erased > 0;
        Ok(erased)
    }

    /// Takes away what tells of rights that somebody had. What is to stay is written anew.
    pub fn erase_grants(&mut self, user: ResourceId) -> Result<(), Error> {
        self.swept = true;
        erasure::grants(self.db, self.tenant, user)
    }

    /// Forgets what feeds have said of a resource, as far as `is_over` says so of what became of it. Whether any of it stays.
    pub fn erase_said(&mut self, id: ResourceId, is_over: impl Fn(&str) -> bool) -> Result<bool, Error> {
        let said = erasure::said(self.db, self.tenant, id)?;
        let all = said.len();
        let over: Vec<_> = said.into_iter().filter(|(_, _, _, op)| is_over(op)).collect();
        let stays = over.len() < all;
        self.swept |= !over.is_empty();
        erasure::unsay(self.db, self.tenant, over)?;
        Ok(stays)
    }

    /// Forgets places of what runs have left.
    pub fn erase_left(&mut self, left: &[Left]) -> Result<(), Error> {
        self.swept |= !left.is_empty();
        erasure::unleave(self.db, self.tenant, left)
    }

    /// The newest document of a resource that the changes have, whether it lives or not.
    pub fn last_document(&mut self, id: ResourceId) -> Result<Option<String>, Error> {
        crate::trace::image_ever(self.db, self.tenant, id)
    }
}
