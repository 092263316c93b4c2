//! What became of entries, counted, and what of it is kept with the run.

use serde_json::{Map as Object, Value, json};

use super::{BATCH, Way};
use crate::directory::differences;
use crate::directory::feeds::{Counts, Done, OBJECTS, Op, Outcome, REJECTS, WARNINGS};
use crate::intake::{IntakeError, Reject};

impl Way<'_> {
    /// Keeps rejects in a list of the run.
    pub(super) async fn keep_rejects(
        &self,
        list: &'static str,
        rejects: &mut Vec<(i64, Reject)>,
    ) -> Result<(), IntakeError> {
        Ok(self.intake.directory.put_run_items(&self.ctx(), self.run, list, std::mem::take(rejects)).await?)
    }

    pub(super) fn reject(&self, part: usize, key: &str, row: u64, reason: String) -> Reject {
        let kind = self.task.parts.get(part).map(|part| part.definition.name().to_owned());
        Reject { row, kind, key: Some(key.to_owned()), reason, raw: Object::new() }
    }

    pub(super) async fn keep_refused(&self, refused: Vec<(usize, Reject)>) -> Result<(), IntakeError> {
        let mut refused = refused.into_iter().map(|(part, reject)| (reject.place(part), reject)).collect();
        self.keep_rejects(REJECTS, &mut refused).await
    }

    /// Counts outcomes and keeps what was refused; with a place, objects too.
    pub(super) async fn count(
        &self,
        counts: &mut Counts,
        outcomes: Vec<Outcome>,
        mut place: Option<&mut i64>,
    ) -> Result<(), IntakeError> {
        let (mut refused, mut warned, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            let Outcome { part, key, row, done } = outcome;
            let done = match done {
                Ok(done) => done,
                Err(reason) => {
                    counts.rejected += 1;
                    refused.push((part, self.reject(part, &key, row, reason)));
                    continue;
                }
            };
            match done.op {
                Op::Created => counts.created += 1,
                Op::Updated => counts.updated += 1,
                Op::Unchanged => counts.unchanged += 1,
                Op::Disabled => counts.disabled += 1,
                Op::Deleted => counts.deleted += 1,
                Op::Outside => counts.outside += 1,
                Op::Withdrawn => {}
            }
            // Only what the file does not name comes without a row.
            counts.withdrawn += u64::from(row == 0 && done.op != Op::Outside);
            counts.open += done.open.len() as u64;
            if let Some(cut) = &done.cut {
                let reason = format!("{} {} is itself, and was left out.", cut.kind, cut.key);
                warned.push((part, self.reject(part, &key, row, reason)));
            }
            if let Some(place) = place.as_deref_mut()
                && done.op != Op::Unchanged
            {
                *place += 1;
                objects.push((*place, self.object(part, &key, row, &done)));
            }
        }
        self.keep_refused(refused).await?;
        let mut warned = warned.into_iter().map(|(part, reject)| (reject.place(part), reject)).collect();
        self.keep_rejects(WARNINGS, &mut warned).await?;
        for slice in objects.chunks(BATCH) {
            let ctx = self.ctx();
            self.intake
                .directory
                .put_run_items(&ctx, self.run, OBJECTS, slice.iter().map(|(place, object)| (*place, object)))
                .await?;
        }
        Ok(())
    }

    /// An object of a simulation: attribute by attribute what it was and would be.
    fn object(&self, part: usize, key: &str, row: u64, done: &Done) -> Value {
        let definition = self.task.parts.get(part).map(|part| part.definition.clone());
        let changes =
            definition.as_ref().map(|definition| differences(definition, done.before.as_ref(), done.after.as_ref()));
        let id = (done.op != Op::Created).then_some(done.id).flatten().map(|id| id.to_string());
        let mut object = json!({
            "kind": definition.as_ref().map(|definition| definition.name()),
            "key": key,
            "op": done.op.as_str(),
            "changes": changes,
        });
        if let (Some(object), Some(id)) = (object.as_object_mut(), id) {
            object.insert("id".into(), id.into());
        }
        if let (Some(object), true) = (object.as_object_mut(), row > 0) {
            object.insert("row".into(), row.into());
        }
        object
    }
}
