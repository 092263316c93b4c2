//! What belongs to one run and goes with it: the file that was received, what was refused, what would become of each
//! object. It is personal data, so it is sealed and never enters a change row.

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::ResourceId;

use crate::directory::envelope::Envelope;
use crate::directory::{Ctx, Directory, Error};

/// What a key that is derived from it is for: one for each run.
const USAGE: &str = "matrikel intake 1";
/// Bytes of a piece of a file.
const PIECE: usize = 1 << 18;

/// The list that is the file itself, piece by piece.
pub const BODY: &str = "body";
/// The list of what was refused.
pub const REJECTS: &str = "reject";
/// The list of objects and what would become of them.
pub const OBJECTS: &str = "object";
/// The list of what should be looked at.
pub const WARNINGS: &str = "warning";

impl Directory {
    pub(in crate::directory) async fn run_envelope(&self, ctx: &Ctx, run: ResourceId) -> Result<Envelope, Error> {
        self.lasting_envelope(ctx, USAGE, run.0).await
    }

    /// Puts items into a list of a run, each at its place.
    pub async fn put_run_items<T: Serialize>(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        list: &'static str,
        items: impl IntoIterator<Item = (i64, T)>,
    ) -> Result<(), Error> {
        let sealed = self.seal_run_items(ctx, run, items).await?;
        self.put_sealed(ctx, run, list, sealed).await
    }

    /// Items as they are stored, for whoever puts them there in a write of its own.
    pub(in crate::directory) async fn seal_run_items<T: Serialize>(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        items: impl IntoIterator<Item = (i64, T)>,
    ) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        let envelope = self.run_envelope(ctx, run).await?;
        let mut sealed = Vec::new();
        for (place, item) in items {
            let text = serde_json::to_vec(&item).map_err(|error| store::Error::Corrupt(error.to_string()))?;
            sealed.push((place, envelope.seal(&text, &ctx.random)?));
        }
        Ok(sealed)
    }

    async fn put_sealed(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        list: &'static str,
        sealed: Vec<(i64, Vec<u8>)>,
    ) -> Result<(), Error> {
        if sealed.is_empty() {
            return Ok(());
        }
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            for (place, body) in &sealed {
                work.put_run_item(run, list, *place, body.clone());
            }
            Ok::<_, Error>(())
        });
        write.await
    }

    /// The next items of a list of a run after a place, at most `limit`.
    pub async fn run_items<T: DeserializeOwned>(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        list: &'static str,
        (after, limit): (i64, i64),
    ) -> Result<Vec<(i64, T)>, Error> {
        let envelope = self.run_envelope(ctx, run).await?;
        let broken = || store::Error::Corrupt("an item of a run cannot be opened".into());
        let mut found = Vec::new();
        for (place, body) in self.read_sealed(ctx, run, list, (after, limit)).await? {
            let text = envelope.open(&body).ok_or_else(broken)?;
            found.push((place, serde_json::from_slice(&text).map_err(|_| broken())?));
        }
        Ok(found)
    }

    async fn read_sealed(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        list: &'static str,
        span: (i64, i64),
    ) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        let tenant = ctx.tenant;
        Ok(self.store.read_for(tenant, move |reader| reader.run_items(tenant, run, list, span)).await?)
    }

    /// Keeps a file with its run, until [`Directory::drop_run_items`]. `read` fills a piece and says how much of it; 0 at
    /// the end.
    pub async fn keep_body(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
    ) -> Result<(), Error> {
        let envelope = self.run_envelope(ctx, run).await?;
        let mut piece = vec![0; PIECE];
        let mut place = 0;
        loop {
            let mut length = 0;
            while let Some(rest) = piece.get_mut(length..).filter(|rest| !rest.is_empty()) {
                match read(rest).map_err(|error| store::Error::Unavailable(error.to_string()))? {
                    0 => break,
                    more => length += more,
                }
            }
            let Some(text) = piece.get(..length).filter(|text| !text.is_empty()) else { return Ok(()) };
            self.put_sealed(ctx, run, BODY, vec![(place, envelope.seal(text, &ctx.random)?)]).await?;
            place += 1;
        }
    }

    /// Writes the file of a run out, piece by piece. `false`: there is none.
    pub async fn body_of(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<bool, Error> {
        let envelope = self.run_envelope(ctx, run).await?;
        let broken = || store::Error::Corrupt("a piece of a file cannot be opened".into());
        let mut after = -1;
        loop {
            let Some((place, body)) = self.read_sealed(ctx, run, BODY, (after, 1)).await?.pop() else {
                return Ok(after >= 0);
            };
            let text = envelope.open(&body).ok_or_else(broken)?;
            write(&text).map_err(|error| store::Error::Unavailable(error.to_string()))?;
            after = place;
        }
    }

    /// Forgets lists of a run.
    pub async fn drop_run_items(
        &self,
        ctx: &Ctx,
        run: ResourceId,
        lists: &'static [&'static str],
    ) -> Result<(), Error> {
        let write = self.store.write(ctx.tenant, ctx.origin(), move |work| {
            lists.iter().for_each(|list| work.drop_run_items(run, list));
            Ok::<_, Error>(())
        });
        write.await
    }
}
