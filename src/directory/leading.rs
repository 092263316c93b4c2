//! What leads to a register without naming it (certificates of its clients, issuers and their audiences), laid anew after the
//! register was read in from a file: routes belong to the server, and a file of one tenant has none.

use store::ResourceId;
use store::work::document_of;

use super::clients::{CLIENT, lead_to};
use super::issuers::{ISSUER, lead};
use super::{Ctx, Directory, Error};

impl Directory {
    /// Lays what leads to the clients and issuers of a register. Returns those to which something leads no more, because it
    /// leads elsewhere on this server already.
    pub async fn lead_again(&self, ctx: &Ctx) -> Result<Vec<ResourceId>, Error> {
        let tenant = ctx.tenant;
        let kinds = [CLIENT, ISSUER];
        let records = self.store.read(move |reader| {
            let mut records = Vec::new();
            for kind in kinds {
                records.extend(reader.records_of(tenant, kind)?);
            }
            Ok::<_, Error>(records)
        });
        let mut lost = Vec::new();
        for record in records.await? {
            let (id, now) = (record.id, ctx.now);
            let led = self.commit(ctx, move |work| {
                if record.kind == CLIENT {
                    return lead_to(id, &work.credentials_of(id)?, now, work);
                }
                lead(work, id, None, Some(&document_of(&record)?))
            });
            match led.await {
                Ok(()) => {}
                Err(Error::Scim(_)) => lost.push(id),
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }
}
