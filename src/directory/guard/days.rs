//! What falls due is weighed before it is done: who comes, leaves and loses what by dates, rules, policies and units alike. It is
//! rehearsed by the steps that would do it, in snapshots that are thrown away; what is too much is not done, and everybody
//! whom it is about waits for a person's decision. Looked at only where more falls due than any limit lets pass.

use provisioning::guard::Tally;
use provisioning::person::USER;
use store::{Due, ResourceId};

use super::super::settle::{EVERYBODY, look};
use super::{Asked, Book, POLICY, open, tally};
use crate::directory::{Ctx, Directory, Error};

/// Users that are rehearsed in one snapshot.
const SLICE: usize = 200;
/// What is held is due at no moment that comes: then, and as many µs later as there were seconds when it was held.
const NEVER: i64 = 8_000_000_000_000_000_000;

/// When what was held at a moment is due: never by itself, and told apart from what was held at another.
pub(super) fn held_at(started: i64) -> i64 {
    NEVER.saturating_add(started.div_euclid(1_000_000))
}

/// What becomes of what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Days {
    /// It is done.
    Go,
    /// Who is concerned by a change of rules is found first; it is weighed then.
    Spread,
    /// It is held.
    Held,
}

impl Directory {
    /// Weighs all that is due at the moment of `ctx`, and holds it when it is too much.
    pub async fn weigh_days(&self, ctx: &Ctx) -> Result<Days, Error> {
        let (tenant, origin, now) = (ctx.tenant, ctx.origin(), ctx.now);
        let fewest = self.store.read_for(tenant, move |reader| {
            reader.simulate(tenant, origin, |work| {
                if work.count(POLICY) == 0 {
                    return Ok(None);
                }
                let book = Book::of(work)?;
                let Some(guard) = book.guard() else { return Ok(None) };
                let spreads = work.due_of(EVERYBODY)?.is_some_and(|due| due.at <= now);
                Ok::<_, Error>(Some((guard.fewest(&ResourceId::SYSTEM.to_string(), now), spreads)))
            })
        });
        let Some((fewest, spreads)) = fewest.await? else { return Ok(Days::Go) };
        if spreads {
            return Ok(Days::Spread);
        }
        let fewest = i64::try_from(fewest).unwrap_or(i64::MAX);
        if (self.due(ctx, now, fewest).await?.len() as i64) < fewest {
            return Ok(Days::Go);
        }
        let due = self.due(ctx, now, i64::MAX).await?;
        let mut whole = Tally::default();
        for slice in due.chunks(SLICE) {
            whole.take_in(self.rehearse_days(ctx, slice.iter().map(|(id, _)| *id).collect()).await?);
        }
        let tripped = self.weigh_run(ctx, whole).await?;
        if tripped.is_empty() {
            return Ok(Days::Go);
        }
        let (caller, run, ids) = (ctx.clone(), ctx.random.resource_id(now)?, due);
        tracing::warn!(tenant = tenant.0, people = ids.len(), "what is due is too much at once, and is held");
        let write = self.store.write(tenant, ctx.origin(), move |work| {
            let summary = "What days, rules or units bring would be too much at once, and nothing of it was done: look at the \
                           run, and allow or reject it.";
            let asked = Asked { cause: "days", client: ResourceId::SYSTEM, summary, tripped: &tripped };
            open(&caller, work, run, &asked)?;
            for (id, at) in &ids {
                // Somebody may have looked at it meanwhile.
                if work.due_of(*id)?.is_some_and(|due| due.at == *at) {
                    work.put_due(*id, Some(Due::at(held_at(caller.now))));
                }
            }
            Ok::<_, Error>(())
        });
        write.await?;
        Ok(Days::Held)
    }

    /// What would become of these, if they were looked at now.
    async fn rehearse_days(&self, ctx: &Ctx, ids: Vec<ResourceId>) -> Result<Tally, Error> {
        let (tenant, origin, caller) = (ctx.tenant, ctx.origin(), ctx.clone());
        self.store
            .read_for(tenant, move |reader| {
                reader.simulate(tenant, origin, |work| {
                    let mut whole = Tally::default();
                    for id in ids {
                        let one = work.rehearse(|work| {
                            match work.record(id)?.filter(|record| record.kind == USER) {
                                Some(record) => look(&caller, work, &record).map(drop)?,
                                None => return Ok(Tally::default()),
                            }
                            tally(work)
                        });
                        match one {
                            Ok(one) => whole.take_in(one),
                            Err(error) if error.may_pass() => return Err(error),
                            // What cannot be done is put off when it is tried.
                            Err(_) => {}
                        }
                    }
                    Ok::<_, Error>(whole)
                })
            })
            .await
    }
}
