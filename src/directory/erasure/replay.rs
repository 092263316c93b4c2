//! What a newer register has erased, erased again in an older copy of it. The list names ids, types and moments. Users go
//! first, since most of the rest goes with them; each is a write of its own, and what is done is not done twice, so that one
//! that broke off is begun again. What the copy never knew stands in its list too from then on: the next list is whole.

use std::collections::VecDeque;

use store::{Due, Erasure, ResourceId, Work};

use super::super::audit::act;
use super::super::settle::{self, USER};
use super::super::{Ctx, Directory, Error};
use super::{ACT, about, begin, origin};

/// Writes that wait at a time, and share commits.
const MANY: usize = 256;

/// A line of a list of erasures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What was erased.
    pub id: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// Since when it is erased, µs since 1970.
    pub at: i64,
}

/// What became of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many the list names, people and what went with them.
    pub listed: u64,
    /// People that were there and are erased now, with their past.
    pub purged: u64,
    /// People that were gone from the copy already and whose past is erased now.
    pub past: u64,
    /// People that were erased in the copy already.
    pub already: u64,
    /// People of whom the copy knows nothing.
    pub unknown: u64,
    /// People on legal hold in the copy, who are not erased.
    pub held: Vec<ResourceId>,
    /// What went with people, and is erased.
    pub beside: u64,
    /// What went with people, and is still there: with one on legal hold, or with another who was not erased.
    pub kept: u64,
    /// Of what something is to be done still, which the scheduler does: somebody else is at it.
    pub waiting: u64,
}

/// What a line came to.
enum Step {
    Purged(Vec<ResourceId>),
    Past,
    Already,
    Unknown,
    Kept,
    Held,
}

impl Directory {
    /// Erases what a list names, as of a newer state of this tenant. `told` hears how far it is: a stage, how many are done,
    /// of how many. Whoever is on legal hold is left as they are and told of.
    pub async fn replay_erasures(
        &self,
        ctx: &Ctx,
        mut list: Vec<Listed>,
        told: &mut (dyn FnMut(&'static str, u64, u64) + Send),
    ) -> Result<Replayed, Error> {
        list.sort_by_key(|one| (one.kind != USER, one.id));
        let total = list.len() as u64;
        let mut replayed = Replayed { listed: total, ..Replayed::default() };
        let mut begun: Vec<ResourceId> = Vec::new();
        let mut done = 0;
        for chunk in list.chunks(MANY) {
            // All of them lie in the queue before the first is waited for.
            let writes: VecDeque<_> = chunk.iter().map(|one| (one, self.replay_one(ctx, one.clone()))).collect();
            for (one, write) in writes {
                let (id, is_user) = (one.id, one.kind == USER);
                let (count, rest) = match write.await? {
                    Step::Purged(all) => (&mut replayed.purged, all),
                    Step::Past if is_user => (&mut replayed.past, vec![id]),
                    Step::Unknown if is_user => (&mut replayed.unknown, vec![id]),
                    Step::Already if is_user => (&mut replayed.already, Vec::new()),
                    Step::Past | Step::Unknown => (&mut replayed.beside, vec![id]),
                    Step::Already => (&mut replayed.beside, Vec::new()),
                    Step::Kept => (&mut replayed.kept, Vec::new()),
                    Step::Held => {
                        replayed.held.push(id);
                        continue;
                    }
                };
                *count += 1;
                begun.extend(rest);
            }
            done += chunk.len() as u64;
            told("Removing people", done, total);
        }
        let total = begun.len() as u64;
        self.forget_in_runs(ctx).await?;
        for (n, id) in begun.iter().enumerate() {
            replayed.waiting += u64::from(!self.finish_one(ctx, *id).await?);
            told("Erasing their past", n as u64 + 1, total);
        }
        Ok(replayed)
    }

    /// One line, in a write that waits in the queue from the call on.
    fn replay_one(&self, ctx: &Ctx, listed: Listed) -> impl Future<Output = Result<Step, Error>> + Send + use<> {
        let caller = ctx.clone();
        self.store.write(ctx.tenant, origin(ctx), move |work| replay(&caller, work, &listed))
    }
}

fn replay(ctx: &Ctx, work: &mut Work<'_>, listed: &Listed) -> Result<Step, Error> {
    let id = listed.id;
    let Some(record) = work.record(id)? else { return replay_past(ctx, work, listed) };
    if record.kind != USER {
        return Ok(Step::Kept);
    }
    if settle::is_held(&record)? {
        return Ok(Step::Held);
    }
    work.audit(act(ctx, ACT, about(id)));
    settle::purge(ctx, work, &record)?;
    let all = begin(ctx, work, id);
    // Since when it is erased, the list knows.
    work.put_erasure(id, Erasure::new(&listed.kind, listed.at));
    Ok(Step::Purged(all))
}

/// Has the past of something erased that is not there.
fn replay_past(ctx: &Ctx, work: &mut Work<'_>, listed: &Listed) -> Result<Step, Error> {
    let id = listed.id;
    match work.erasure(id)? {
        Some(erasure) if erasure.done_at.is_some() => return Ok(Step::Already),
        Some(_) => return Ok(Step::Past),
        None => {}
    }
    let is_known = work.last_document(id)?.is_some();
    if is_known && listed.kind == USER {
        work.audit(act(ctx, ACT, about(id)));
    }
    // Of runs only people are found.
    let runs_at = (listed.kind != USER).then_some(ctx.now);
    work.put_erasure(id, Erasure { runs_at, ..Erasure::new(&listed.kind, listed.at) });
    work.put_due(id, Some(Due::at(ctx.now)));
    Ok(if is_known { Step::Past } else { Step::Unknown })
}
