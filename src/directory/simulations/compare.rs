//! What was shown beside what is found when it is to be applied: User by User, and rule by rule. Decides nothing.

use serde_json::{Value, json};
use store::{ResourceId, TenantId};

use super::carry::{Found, PAGE, Simulator, place};
use super::item::{Difference, Item};
use super::record::{Document, Hold};
use super::slice::moment;
use super::strict::Recorded;
use super::{DIFFERENCES, Lists, attempts, lists};
use crate::directory::{Ctx, Error};

impl Simulator {
    /// Compares what is found now with what was shown, and keeps what is not the same: what would be something else, and with
    /// `is_strict` also what has only moved.
    pub(super) async fn compare(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        (found, is_strict): (&Found, bool),
    ) -> Result<Value, Error> {
        let ctx = self.ctx(tenant);
        self.directory.empty_simulation(&ctx, hold, vec![DIFFERENCES]).await?;
        let (Lists { objects: old, .. }, Lists { objects: new, .. }) =
            (lists(attempts(document)), lists(attempts(document) + 1));
        let at = document.get("base").and_then(|base| super::instant(base.get("at"))).unwrap_or_default();
        let (then, now) = (moment(at), moment(found.at));
        let (mut was, mut is) = (Items::of(self, &ctx, hold.id, old), Items::of(self, &ctx, hold.id, new));
        let (mut one, mut other) = (was.next().await?, is.next().await?);
        let (mut appeared, mut gone, mut others, mut moved, mut at) = (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
        let mut page: Vec<(i64, Difference)> = Vec::new();
        if is_strict {
            for difference in self.directory.moved_book(&ctx, document, found.book).await? {
                (moved, at) = (moved + 1, at + 1);
                page.push((place(at), difference));
            }
        }
        loop {
            let (left, right) = match (one.take(), other.take()) {
                (None, None) => break,
                (Some(left), Some(right)) if left.order() == right.order() => (Some(left), Some(right)),
                (Some(left), Some(right)) if left.order() < right.order() => {
                    other = Some(right);
                    (Some(left), None)
                }
                (Some(left), Some(right)) => {
                    one = Some(left);
                    (None, Some(right))
                }
                (left, right) => (left, right),
            };
            if left.is_some() {
                one = was.next().await?;
            }
            if right.is_some() {
                other = is.next().await?;
            }
            match (&left, &right) {
                (Some(left), Some(right)) if left.said(&then) == right.said(&now) => {
                    if !is_strict || left.version == right.version {
                        continue;
                    }
                    moved += 1;
                }
                (Some(_), Some(_)) => others += 1,
                (Some(_), None) => gone += 1,
                _ => appeared += 1,
            }
            let Some(named) = right.as_ref().or(left.as_ref()) else { continue };
            at += 1;
            let (id, display) = (named.id.clone(), named.display.clone());
            page.push((place(at), Difference { id, display, kind: None, version: None, was: left, is: right }));
            if i64::try_from(page.len()).is_ok_and(|length| length >= PAGE) {
                self.directory.put_simulated(&ctx, hold, DIFFERENCES, &page, None).await?;
                page.clear();
            }
        }
        self.directory.put_simulated(&ctx, hold, DIFFERENCES, &page, None).await?;
        Ok(match is_strict {
            true => json!({ "appeared": appeared, "gone": gone, "other": others, "moved": moved }),
            false => json!({ "appeared": appeared, "gone": gone, "other": others }),
        })
    }

    /// The resources of the result that is found now, with the versions that it was worked out from.
    pub(super) async fn recorded(&self, tenant: TenantId, hold: &Hold, document: &Document) -> Result<Recorded, Error> {
        let ctx = self.ctx(tenant);
        let mut items = Items::of(self, &ctx, hold.id, lists(attempts(document) + 1).objects);
        let mut recorded = Recorded::default();
        while let Some(item) = items.next().await? {
            recorded.note(&item);
        }
        Ok(recorded)
    }

    /// Whether any resource of the result has moved since it was shown, though it may come to the same.
    pub(super) async fn has_moved(&self, tenant: TenantId, hold: &Hold, document: &Document) -> Result<bool, Error> {
        let ctx = self.ctx(tenant);
        let (old, new) = (lists(attempts(document)).objects, lists(attempts(document) + 1).objects);
        let (mut was, mut is) = (Items::of(self, &ctx, hold.id, old), Items::of(self, &ctx, hold.id, new));
        loop {
            match (was.next().await?, is.next().await?) {
                (None, None) => return Ok(false),
                (Some(one), Some(other)) if one.id == other.id && one.version == other.version => {}
                _ => return Ok(true),
            }
        }
    }
}

/// The items of one list, one after the other.
pub(super) struct Items<'s> {
    simulator: &'s Simulator,
    ctx: &'s Ctx,
    id: ResourceId,
    list: &'static str,
    after: i64,
    page: std::vec::IntoIter<(i64, Item)>,
}

impl<'s> Items<'s> {
    pub(super) fn of(simulator: &'s Simulator, ctx: &'s Ctx, id: ResourceId, list: &'static str) -> Self {
        Items { simulator, ctx, id, list, after: 0, page: Vec::new().into_iter() }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Item>, Error> {
        if self.page.len() == 0 {
            let span = (self.after, PAGE);
            self.page = self.simulator.directory.run_items(self.ctx, self.id, self.list, span).await?.into_iter();
        }
        Ok(self.page.next().map(|(place, item)| {
            self.after = place;
            item
        }))
    }
}

/// Rules and policies with their versions, to be compared.
pub(super) fn versions(told: Option<&Value>) -> Vec<(String, i64, String)> {
    let told = told.and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = |one: &Value| one.get("version").and_then(Value::as_i64).unwrap_or_default();
    let mut all: Vec<_> = told.map(|one| (text(one, "value"), version(one), text(one, "change"))).collect();
    all.sort();
    all
}
