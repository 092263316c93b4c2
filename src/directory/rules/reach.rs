//! For whom a change of a rule matters: for nobody as long as it gives nothing, for those who are named when only what was
//! said by hand is another, else for everybody. They are looked at again in the background.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use provisioning::rules::Stage;
use store::{Due, ResourceId, Work};

use super::{STAMPS, stage};
use crate::directory::Ctx;
use crate::directory::settle::tell_everybody_soon;

/// What nobody's rights depend on.
const WORDS: [&str; 3] = ["description", "schemas", "externalId"];
/// What is said of single Users.
const BY_HAND: [&str; 2] = ["include", "exclude"];

#[derive(Debug, PartialEq)]
enum Reach {
    Nobody,
    These(BTreeSet<String>),
    Everybody,
}

/// After a change of a rule: whom it matters for is looked at again.
pub(super) fn note_change(
    ctx: &Ctx,
    work: &mut Work<'_>,
    before: Option<&Map<String, Value>>,
    after: Option<&Map<String, Value>>,
) {
    work.move_book();
    match reach(before, after) {
        Reach::Nobody => {}
        Reach::These(users) => {
            for user in users.iter().filter_map(|user| user.parse::<ResourceId>().ok()) {
                work.put_due(user, Some(Due::at(ctx.now)));
            }
        }
        Reach::Everybody => tell_everybody_soon(ctx, work),
    }
}

fn reach(before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> Reach {
    let is_active = |document: Option<&Map<String, Value>>| document.is_some_and(|one| stage(one) == Stage::Active);
    let (before, after) = match (is_active(before), is_active(after), before, after) {
        (false, false, ..) => return Reach::Nobody,
        (true, true, Some(before), Some(after)) => (before, after),
        _ => return Reach::Everybody,
    };
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).map(String::as_str).collect();
    let is_asked = |name: &&str| !WORDS.contains(name) && !STAMPS.contains(name);
    let changed: Vec<&str> =
        names.into_iter().filter(is_asked).filter(|name| before.get(*name) != after.get(*name)).collect();
    match changed.iter().all(|name| BY_HAND.contains(name)) {
        false => Reach::Everybody,
        true if changed.is_empty() => Reach::Nobody,
        true => {
            let named =
                [before, after].into_iter().flat_map(|document| changed.iter().filter_map(|name| document.get(*name)));
            let named = named.filter_map(Value::as_array).flatten();
            Reach::These(named.filter_map(|one| one.get("value")?.as_str()).map(str::to_owned).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_matters_for_those_whose_rights_may_be_others() {
        let rule = |more: Value| {
            let mut rule = json!({ "name": "r", "filter": "title pr", "lifecycle": "active" });
            rule.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
            rule.as_object().cloned().expect("an object")
        };
        let (active, off) = (rule(json!({})), rule(json!({ "lifecycle": "proposed" })));
        let said = rule(json!({ "exclude": [{ "value": "u", "reason": "x" }] }));
        let these = || Reach::These(BTreeSet::from(["u".to_owned()]));
        let table = [
            (None, Some(&off), Reach::Nobody),
            (Some(&off), None, Reach::Nobody),
            (None, Some(&active), Reach::Everybody),
            (Some(&active), None, Reach::Everybody),
            (Some(&off), Some(&active), Reach::Everybody),
            (Some(&active), Some(&off), Reach::Everybody),
            (Some(&active), Some(&rule(json!({ "description": "words", "activatedBy": "x" }))), Reach::Nobody),
            (Some(&active), Some(&rule(json!({ "after": 3 }))), Reach::Everybody),
            (Some(&active), Some(&said), these()),
            (Some(&said), Some(&active), these()),
        ];
        for (before, after, expected) in table {
            assert_eq!(reach(before, after), expected, "{before:?} {after:?}");
        }
    }
}
