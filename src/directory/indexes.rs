//! Which paths an operator has indexed. A choice of speed, never of meaning: answers are the same with an index and
//! without, so it is no change of the register and leaves no change row.

use store::work::Indexing;

use super::{Ctx, Directory, Error};

impl Directory {
    /// Has a path of a resource type indexed. Answers at once; what is stored already gets its rows in the background.
    pub async fn index(&self, ctx: &Ctx, kind: &str, path: &str) -> Result<Indexing, Error> {
        let (kind, path) = (kind.to_owned(), path.to_owned());
        self.commit(ctx, move |work| Ok(work.index(&kind, &path)?)).await
    }

    /// Has a path indexed no more. Its rows are cleared in the background.
    pub async fn unindex(&self, ctx: &Ctx, kind: &str, path: &str) -> Result<Indexing, Error> {
        let (kind, path) = (kind.to_owned(), path.to_owned());
        self.commit(ctx, move |work| Ok(work.unindex(&kind, &path)?)).await
    }
}
