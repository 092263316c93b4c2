//! Some of what a run has touched, turned back in one snapshot that is thrown away; what stays is what is told of each.

use store::{Reader, ResourceId, Work};

use super::super::image::Image;
use super::super::item::Item;
use super::super::sight::{self, Onlookers};
use super::super::slice::{Slice, Teller, Way, failed};
use super::journal::{Images, Touched, Undo, images};
use super::reverse::{Turned, reverse};
use crate::directory::settle::USER;
use crate::directory::{Ctx, Error, guard};

/// Works out the next `limit` resources after one.
pub(in crate::directory::simulations) fn work_out(
    way: &Way,
    undo: &Undo,
    reader: &mut Reader,
    (after, limit): (Option<ResourceId>, usize),
) -> Result<Slice, Error> {
    let tenant = way.ctx.tenant;
    let from = after.and_then(|after| undo.all.iter().position(|one| one.id == after)).map_or(0, |at| at + 1);
    let mut some: Vec<(&Touched, Images)> = Vec::new();
    for touched in undo.all.iter().skip(from).take(limit) {
        some.push((touched, images(reader, tenant, touched)?));
    }
    let is_last = from + some.len() >= undo.all.len();
    // The one who does it for good is told apart by its number; here nobody reads it.
    let ctx = Ctx { now: way.ctx.now, winners: way.ctx.winners.clone(), ..undo.ctx.clone() };
    reader.simulate(tenant, ctx.origin(), |work| {
        let seq = (work.seq(), work.book_seq());
        let mut slice = Slice::new(undo.all.len() as u64, seq, Default::default());
        let user = work.catalog().registry().definition(USER).cloned();
        let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User."))?;
        let mut onlookers = Onlookers::of(&way.ctx, &way.document, work)?;
        let mut teller = Teller::new(&user, ctx.now, work);
        for (touched, images) in &some {
            slice.passed += 1;
            slice.counts.users += 1;
            let told = work.rehearse(|work| {
                let is_user = touched.kind == USER;
                let shown = if is_user { onlookers.look(&user, touched.id, work)? } else { Vec::new() };
                let mut item = tell((&ctx, undo), (touched, images), &mut teller, work)?;
                if let Some(item) = item.as_mut().filter(|_| is_user) {
                    let shows = onlookers.look(&user, touched.id, work)?;
                    item.views = onlookers.tell(&shown, &shows);
                }
                Ok::<_, Error>((item, guard::tally(work)?))
            });
            let item = match told {
                Ok((item, tally)) => {
                    slice.tally.take_in(tally);
                    item
                }
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => Some(failed(touched.id, work, &error)?),
            };
            if let Some(mut item) = item {
                item.kind = (touched.kind != USER).then(|| touched.kind.clone());
                item.undoes = Some(touched.last);
                slice.add(item);
            }
        }
        slice.last = some.last().map(|(touched, _)| touched.id).filter(|_| !is_last);
        sight::add(&mut slice.shifts, onlookers.shifts);
        Ok(slice)
    })
}

fn tell(
    (ctx, undo): (&Ctx, &Undo),
    (touched, images): (&Touched, &Images),
    teller: &mut Teller<'_>,
    work: &mut Work<'_>,
) -> Result<Option<Item>, Error> {
    let (kind, id) = (touched.kind.as_str(), touched.id);
    let before = Image::of(kind, id, work)?;
    let Turned { is_done, conflicts } = reverse((ctx, undo, undo.run), (touched, images), work)?;
    if !is_done && conflicts.is_empty() {
        return Ok(None);
    }
    let after = Image::of(kind, id, work)?;
    let told = if is_done { before.told(&after, (kind, id), teller, work)? } else { None };
    let mut item = told.unwrap_or_else(|| before.bare(&after, id));
    item.op = match (is_done, before.is_there(), after.is_there()) {
        (false, ..) => "kept",
        (true, false, _) => "restored",
        (true, _, false) => "purged",
        _ => "changed",
    }
    .to_owned();
    item.conflicts = conflicts;
    Ok(Some(item))
}
