//! What runs leave behind expires: what was refused, and what a simulated run would change, is personal data. The run itself stays,
//! with its numbers. What simulations of rules leave has a date of its own and is not touched.

use store::ResourceId;

use super::run::{RunState, instant};
use super::{BODY, OBJECTS, REJECTS, WARNINGS};
use crate::directory::{Ctx, Directory, Error};

impl Directory {
    /// Erases the items of all runs that ended before a moment (µs since 1970); of how many runs that was. One that is held, or
    /// is not done, keeps its own.
    pub async fn expire_run_items(&self, ctx: &Ctx, before: i64) -> Result<u64, Error> {
        let (tenant, mut after, mut expired) = (ctx.tenant, None::<ResourceId>, 0);
        loop {
            let last = after;
            let read = self.store.read_for(tenant, move |reader| reader.run_with_items(tenant, last));
            let Some(run) = read.await.map_err(|error: store::Error| error)? else { return Ok(expired) };
            after = Some(run);
            let Some(document) = self.run_document(ctx, run).await? else { continue };
            let is_over = matches!(
                RunState::of(&document),
                Some(RunState::Applied | RunState::Simulated | RunState::Rejected | RunState::Failed)
            );
            if is_over && instant(document.get("ended")).is_some_and(|ended| ended < before) {
                self.drop_run_items(ctx, run, &[BODY, REJECTS, OBJECTS, WARNINGS]).await?;
                expired += 1;
            }
        }
    }
}
