//! One entry under the lock: what is done, and the note of what was said beside it.

use scim::resource::Notes;
use serde_json::{Map as Object, Value};
use store::feed::{FeedKey, FeedRecord};
use store::work::document_of;
use store::{ResourceId, Work};

use super::by_hand;
use super::{Done, GONE, Op, Ready, Step, Task, Wish, is_gone, stored_op, written};
use crate::directory::Error;
use crate::directory::settle::sources;

impl Ready {
    pub(super) fn run(&self, task: &Task, work: &mut Work<'_>) -> Result<Done, Error> {
        let (entry, ctx) = (&self.entry, &task.ctx);
        let part = task.part(entry.part)?;
        if matches!(entry.wish, Wish::Refer) {
            let known = work.feed_record(&task.feed_key(part, &entry.key))?;
            return match known.filter(|_| !by_hand::is_spoken_of(part)) {
                Some(known) if by_hand::is_by_hand(work, known.resource)? => {
                    Ok(Done::nothing(Op::Unchanged, Some(known.resource)))
                }
                _ => task.refer(entry.part, &entry.key, work),
            };
        }
        let key = task.feed_key(part, &entry.key);
        let known = work.feed_record(&key)?;
        let done = |op, id| Done { open: self.open.clone(), cut: self.cut.clone(), ..Done::nothing(op, id) };
        if let Some(known) = known.as_ref().filter(|known| known.run == task.run)
            && self.was_done(known)
        {
            // By another who carries on with the same run.
            return Ok(done(stored_op(&known.op).0, Some(known.resource)));
        }
        let before = match self.id {
            Some(id) => work.record(id)?,
            None => None,
        };
        let was = before.as_ref().map(document_of).transpose()?;
        if matches!(entry.wish, Wish::Withdraw)
            && let (Some(scope), Some(was)) = (&part.scope, &was)
            && !scope.matches(was)
        {
            return Ok(Done { before: None, ..done(Op::Outside, self.id) });
        }
        if let Some(done) = by_hand::leave_alone(self, task, part, was.as_ref(), work)? {
            return Ok(done);
        }
        let (id, op) = match self.step.as_ref().map_err(Clone::clone)? {
            Step::Create(creation) => (Some(creation.run(ctx, work)?.record.id), Op::Created),
            Step::Revise(revising) => {
                let state = revising.run(ctx, &mut Notes::new(), work)?;
                let is_same = before.as_ref().is_some_and(|before| before.version == state.record.version);
                (Some(state.record.id), if is_same { Op::Unchanged } else { Op::Updated })
            }
            Step::Remove(removal) => {
                removal.run(ctx, work)?;
                (self.id, Op::Deleted)
            }
            Step::Nothing => (self.id, Op::Withdrawn),
        };
        if matches!(entry.wish, Wish::Withdraw)
            && let Some(id) = self.id
            && let Some(record) = work.record(id)?
        {
            // What it said of values that others speak of too goes with it, whatever becomes of the resource.
            sources::unsay(ctx, work, &record)?;
        }
        let is = match id {
            Some(id) if op != Op::Unchanged && op != Op::Deleted => task.document(id, work)?,
            _ => None,
        };
        let is_active = |document: &Option<Object<String, Value>>| {
            document.as_ref().and_then(|document| document.get("active")).and_then(Value::as_bool)
        };
        let op = match op {
            Op::Updated if is_active(&was) != Some(false) && is_active(&is) == Some(false) => Op::Disabled,
            op => op,
        };
        self.note_open(task, id, known.as_ref(), work)?;
        self.note(task, key, id, op, known, work);
        let told = |document: Option<Object<String, Value>>| document.filter(|_| task.in_detail);
        let after = if op == Op::Unchanged { None } else { told(is) };
        Ok(Done { before: if op == Op::Unchanged { None } else { told(was) }, after, ..done(op, id) })
    }

    fn was_done(&self, known: &FeedRecord) -> bool {
        match &self.entry.wish {
            Wish::Say { digest, .. } => !is_gone(&known.op) && known.digest == *digest,
            Wish::Withdraw => is_gone(&known.op),
            Wish::Refer => false,
        }
    }

    /// Has somebody look at references that lead nowhere, and no more at those that did.
    fn note_open(
        &self,
        task: &Task,
        id: Option<ResourceId>,
        known: Option<&FeedRecord>,
        work: &mut Work<'_>,
    ) -> Result<(), Error> {
        let was_open = known.is_some_and(|known| known.open.is_some());
        let is_said = matches!(self.entry.wish, Wish::Say { .. });
        match id.or(known.map(|known| known.resource)) {
            Some(id) if was_open || !self.open.is_empty() => {
                task.note_references(id, if is_said { &self.open } else { &[] }, work)
            }
            _ => Ok(()),
        }
    }

    /// Notes what was said, beside what became of it.
    fn note(
        &self,
        task: &Task,
        key: FeedKey,
        id: Option<ResourceId>,
        op: Op,
        known: Option<FeedRecord>,
        work: &mut Work<'_>,
    ) {
        let Some(resource) = id.or(known.map(|known| known.resource)) else { return };
        let record = match &self.entry.wish {
            Wish::Say { digest, .. } => FeedRecord {
                resource,
                digest: digest.clone(),
                run: task.run,
                op: op.as_str().to_owned(),
                open: written(&self.open),
            },
            _ => FeedRecord {
                resource,
                digest: Vec::new(),
                run: task.run,
                op: format!("{GONE}{}", op.as_str()),
                open: None,
            },
        };
        work.put_feed_record(key, record);
    }
}
