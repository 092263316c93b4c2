//! People without HR, and what feeds say of them: a feed whose map does not speak of sponsors touches nobody who has one. Its
//! row is refused, whether it leads there by its key or has the same number, and somebody is to decide; its silence withdraws
//! nobody. Whoever takes the sponsor away leaves the account to the feed.

use provisioning::names::employee_number;
use provisioning::person::{URN, USER};
use provisioning::sponsor::{SPONSOR, sponsor};
use serde_json::{Map as Object, Value};
use store::{ResourceId, Work};

use super::{Done, Op, Part, Ready, Step, Task, Wish};
use crate::directory::Error;
use crate::directory::create::Creation;
use crate::directory::settle::{self, Book};
use crate::directory::work_items::{self, Item, Kind};

/// Accounts of one number that are looked at.
const MANY: i64 = 10;
const EMPLOYEE_NUMBER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber";

/// Whether the map of a feed says who answers for its people: they are its own.
pub(super) fn is_spoken_of(part: &Part) -> bool {
    let mut spots = part.columns.iter().map(|column| &column.spot);
    spots.any(|spot| spot.extension.as_deref() == Some(URN) && spot.attribute == SPONSOR)
}

/// Whether somebody was entered by hand, with a sponsor.
pub(super) fn is_by_hand(work: &mut Work<'_>, id: ResourceId) -> Result<bool, Error> {
    let record = work.record(id)?.filter(|record| record.kind == USER);
    Ok(record.map(|record| store::work::document_of(&record)).transpose()?.is_some_and(|one| sponsor(&one).is_some()))
}

/// What becomes of an entry that is about somebody without HR; `None`: it is about nobody such.
pub(super) fn leave_alone(
    ready: &Ready,
    task: &Task,
    part: &Part,
    was: Option<&Object<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Done>, Error> {
    if part.definition.name() != USER || is_spoken_of(part) {
        return Ok(None);
    }
    let found = match (ready.id, &ready.step) {
        (Some(id), _) => was.and_then(sponsor).map(|_| id),
        (None, Ok(Step::Create(creation))) => with_number(creation, work)?,
        _ => None,
    };
    let Some(id) = found else { return Ok(None) };
    if matches!(ready.entry.wish, Wish::Withdraw) {
        return Ok(Some(Done::nothing(Op::Outside, Some(id))));
    }
    let summary = "A feed speaks of somebody who was entered by hand, with a sponsor, and was not heard: take the sponsor away \
                   if the account is the feed's from now on; otherwise have the row taken out.";
    let mut item = Item::new(Kind::Takeover, id, summary, &format!("feed {}", task.map.source));
    item.details = vec![format!("{} {}", task.map.source, ready.entry.key)];
    work_items::open(&task.ctx, work, &item)?;
    let reason = format!(
        "The User {id} was entered by hand, with a sponsor, and no feed touches it. A work item asks whose it is."
    );
    Ok(Some(Done { refused: Some(reason), ..Done::nothing(Op::Unchanged, Some(id)) }))
}

/// Somebody with a sponsor who has the number of an account that a feed would create, in the same account domain.
fn with_number(creation: &Creation, work: &mut Work<'_>) -> Result<Option<ResourceId>, Error> {
    if !Book::of(work)?.policies().iter().any(|policy| policy.sponsoring.is_asked()) {
        return Ok(None);
    }
    let new = creation.document();
    let tokens = creation.number_tokens(work)?;
    let mut found = settle::having_number(work, &tokens)?;
    let employee = employee_number(new);
    if !employee.is_empty() {
        let there = work.having(USER, EMPLOYEE_NUMBER, std::slice::from_ref(&employee), None, MANY)?;
        found.extend(there.into_iter().flatten());
    }
    let domain = |document: &Object<String, Value>| document.get(URN)?.get("accountDomain").cloned();
    for id in found {
        let Some(known) = work.document_of(id)? else { continue };
        if sponsor(&known).is_some() && domain(&known) == domain(new) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}
