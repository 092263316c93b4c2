//! What a write says of requests that are carried out after their answer. None of it is a change: nobody's identity is
//! another for it.

use uuid::Uuid;

use super::Work;
use crate::deferred::{self, Progress};
use crate::{Deferred, Error, ResourceId};

impl Work<'_> {
    /// Writes a request that is accepted, or is done.
    pub fn put_deferred(&mut self, request: Deferred) {
        self.open.deferred.insert(request.id, request);
    }

    /// How many requests of a client were accepted and are not done.
    pub fn waiting_deferred(&mut self, client: ResourceId) -> Result<usize, Error> {
        let stored = deferred::count(self.db, self.tenant, client)?;
        // One of this batch that is done is counted as stored still: the limit is reached a moment longer.
        let new = self.settled.deferred.values().chain(self.open.deferred.values());
        let new = new.filter(|request| request.client == client && request.expires_at.is_none()).count();
        Ok(usize::try_from(stored).unwrap_or_default() + new)
    }

    /// Notes what became of an operation of a deferred request, together with what the operation did.
    pub fn note_outcome(&mut self, request: Uuid, place: i64, outcome: Vec<u8>) {
        self.open.outcomes.insert((request, place), outcome);
    }

    /// How far an operation of a deferred request has come.
    pub fn progress(&mut self, request: Uuid, place: i64) -> Result<Progress, Error> {
        for layer in [&self.open, &self.settled] {
            if layer.deferred.get(&request).is_some_and(|request| request.expires_at.is_some()) {
                return Ok(Progress::Over);
            }
            if let Some(outcome) = layer.outcomes.get(&(request, place)) {
                return Ok(Progress::Decided(outcome.clone()));
            }
        }
        deferred::progress(self.db, self.tenant, request, place)
    }

    /// Runs a part of an operation; what it does is forgotten when it fails, and the operation goes on. It must come
    /// first in its operation.
    pub fn attempt<T, E>(&mut self, run: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let outcome = run(self);
        if outcome.is_err() {
            self.discard();
        }
        outcome
    }

    /// Forgets the results and the keys whose time has come at `now`.
    pub fn forget_deferred(&mut self, now: i64) {
        self.open.forget = Some(now);
    }
}
