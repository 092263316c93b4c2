//! Answers that are kept in order: who matched a filter, in the order that was asked for, at a change of the tenant. The next
//! page of the same list, or the same page asked again, is then cut out of it, without testing and ordering all who match
//! once more. What was changed since is tested anew and put where it belongs, so that a kept answer is that of the state
//! which is read, as a kept total is ([`super::total`]); the same things are never kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use moka::sync::Cache;

use scim::filter::{Checked, Filter};

use super::total::{Question, is_own_path};
use super::{Needs, Places, Search};
use crate::{Error, ResourceId, Seq, record};

/// Most memory that all of them take together, in bytes.
const KEPT: u64 = 4 << 20;
/// Longer answers are not kept: to bring one up to date takes longer than a step along an index.
const MOST: usize = 10_000;
/// What a place takes beside its key, about.
const PLACE: usize = 64;

/// Who matches, least first, at one change of the tenant.
#[derive(Clone, Debug)]
struct Known {
    seq: Seq,
    digest: Vec<u8>,
    places: Places,
}

/// The answers that a node keeps, by question and path of the order.
pub(crate) struct Arrangements {
    known: Cache<(Question, String), Known>,
    /// Matches from which an answer is worth keeping.
    from: u64,
}

impl Arrangements {
    pub(crate) fn new(from: u64) -> Self {
        let weigh = |(question, path): &(Question, String), known: &Known| {
            let keys: usize = known.places.iter().map(|place| PLACE + place.key.as_ref().map_or(0, String::len)).sum();
            u32::try_from(question.weight() + path.len() + keys).unwrap_or(u32::MAX)
        };
        Arrangements { known: Cache::builder().max_capacity(KEPT).weigher(weigh).build(), from }
    }
}

impl Search<'_> {
    /// Who matches, least first, if that was kept and still holds or can be brought up to date.
    pub(super) fn arranged(&mut self, filter: &Filter<Checked>) -> Result<Option<Places>, Error> {
        let Some(question) = self.arrangement(filter) else { return Ok(None) };
        let Some(known) = self.reader.shared.arrangements.known.get(&question) else { return Ok(None) };
        if known.seq == self.clock.seq && known.digest == self.clock.digest {
            return Ok(Some(known.places));
        }
        if known.seq > self.clock.seq {
            return Ok(None);
        }
        let Some(changed) = self.changed(known.seq, &known.digest)? else { return Ok(None) };
        // To look at all of them again is no dearer then.
        if changed.len() > known.places.len() {
            return Ok(None);
        }
        let changed: Vec<ResourceId> = changed.into_keys().collect();
        let mut places = (*known.places).clone();
        if !changed.is_empty() {
            let gone: HashSet<&ResourceId> = changed.iter().collect();
            places.retain(|place| !gone.contains(&place.id));
            let mut after = record::find_all(&mut self.reader.db, self.tenant, &changed)?;
            after.retain(|_, record| record.kind == self.kind);
            let needs = Needs::of(filter, self.sort);
            self.test_batch(after.into_values().collect(), filter, &needs, &mut places, &mut HashMap::new())?;
            places.sort_unstable();
        }
        let places = Arc::new(places);
        self.keep_arrangement(question, places.clone());
        Ok(Some(places))
    }

    /// Keeps who matches at the state that is read, least first.
    pub(super) fn arrange(&mut self, filter: &Filter<Checked>, places: &Places) {
        if (places.len() as u64) < self.reader.shared.arrangements.from || places.len() > MOST {
            return;
        }
        if let Some(question) = self.arrangement(filter) {
            self.keep_arrangement(question, places.clone());
        }
    }

    fn keep_arrangement(&self, question: (Question, String), places: Places) {
        let kept = &self.reader.shared.arrangements.known;
        // A reader in an older snapshot leaves the newer one where it is.
        if kept.get(&question).is_none_or(|known| known.seq <= self.clock.seq) {
            kept.insert(question, Known { seq: self.clock.seq, digest: self.clock.digest.clone(), places });
        }
    }

    /// What was asked, in which order; `None`: changes of resources do not tell all that this depends on.
    fn arrangement(&self, filter: &Filter<Checked>) -> Option<(Question, String)> {
        let path = self.sort.map_or("id", |sort| &*sort.target.canonical);
        if !(self.is_told_by_changes(filter) && is_own_path(path)) {
            return None;
        }
        Some((self.question(filter)?, path.to_owned()))
    }
}
