//! What a write reads and says of what clients have done within a day, and what the open operation found before it began.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Work, document_of};
use crate::guard::{self, Pass};
use crate::{Error, ResourceId, due, external, record};

/// Kind and document of a resource.
pub type Found = (String, Arc<Map<String, Value>>);

impl Work<'_> {
    /// Kind and document of a resource as the open operation found it; `None`: it was not there.
    pub fn found(&mut self, id: ResourceId) -> Result<Option<Found>, Error> {
        let known = self.settled.resources.get(&id).or_else(|| self.seen.get(&id)).cloned();
        let known = match known {
            Some(known) => known,
            None => record::find(self.db, self.tenant, id)?,
        };
        let Some(known) = known else { return Ok(None) };
        let document = match self.settled.documents.get(&id) {
            Some(document) => document.clone(),
            None => Arc::new(document_of(&known)?),
        };
        Ok(Some((known.kind, document)))
    }

    /// What a client has done of a sort after an hour (hours since 1970), this batch included.
    pub fn counted(&mut self, client: ResourceId, sort: &str, after: i64) -> Result<i64, Error> {
        let mut sum = guard::counted(self.db, self.tenant, client, sort, after)?;
        for layer in [&self.settled, &self.open] {
            let own =
                layer.counts.iter().filter(|((of, name, hour), _)| *of == client && name == sort && *hour > after);
            sum += own.map(|(_, n)| *n).sum::<i64>();
        }
        Ok(sum)
    }

    /// Notes that a client has done so much more of a sort within an hour.
    pub fn count_done(&mut self, client: ResourceId, sort: &str, hour: i64, n: i64) {
        *self.open.counts.entry((client, sort.to_owned(), hour)).or_default() += n;
    }

    /// What is decided about a client and a sort.
    pub fn pass_of(&mut self, client: ResourceId, sort: &str) -> Result<Option<Pass>, Error> {
        let key = (client, sort.to_owned());
        match self.open.passes.get(&key).or_else(|| self.settled.passes.get(&key)) {
            Some(pass) => Ok(*pass),
            None => guard::pass(self.db, self.tenant, &key),
        }
    }

    /// Writes what is decided about a client and a sort; `None`: nothing any more.
    pub fn put_pass(&mut self, client: ResourceId, sort: &str, pass: Option<Pass>) {
        self.open.passes.insert((client, sort.to_owned()), pass);
    }

    /// How many resources of a kind have a key of a domain, as far as that is committed.
    pub fn known_to(&mut self, domain: ResourceId, kind: &str) -> Result<i64, Error> {
        external::count(self.db, self.tenant, domain, kind)
    }

    /// The resources that are due at exactly that moment (µs since 1970), as far as that is committed.
    pub fn due_just_at(&mut self, at: i64) -> Result<Vec<ResourceId>, Error> {
        due::just_at(self.db, self.tenant, at)
    }
}
