//! Random histories of a register, the same on any database. Values come from small pools, so that things collide.

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use store::change::Delta;
use store::work::Draft;
use store::{Error, Work};

use super::harness::{DOMAIN, Fixture, START, group, id, joins, leaves, origin, resource};

/// Users have the ids 0 to 14, groups those from 15 to 19.
pub(crate) const USERS: u32 = 15;
/// See [`USERS`].
pub(crate) const ALL: u32 = 20;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Creates a user, or changes it.
    User(u32, Value, Option<Option<String>>),
    /// Creates a group, or renames it.
    Group(u32, String, Option<Option<String>>),
    /// Members that come and go.
    Members(u32, Vec<(u32, bool)>),
    /// Deletes.
    Remove(u32),
}

/// Texts that fold, sort and cut in every way that matters: two of them differ beyond what an index key holds, and
/// two share all but a last character of two or three bytes at the very place of the cut.
pub(crate) fn texts() -> Vec<String> {
    let stem = "x".repeat(510);
    let mut texts: Vec<String> =
        ["", "a", "A", "ab", "b", "B c", "å", "Å", "ö", "z", "Zebra", "\"q\\", "e\u{301}", "é", "ﬀ", "\u{10FFFF}"]
            .map(str::to_owned)
            .into();
    texts.extend([
        format!("{stem}éa"),
        format!("{stem}éb"),
        format!("{stem}€"),
        format!("{stem}xx"),
        format!("{stem}yyy"),
    ]);
    texts
}

fn text() -> impl Strategy<Value = String> {
    select(texts())
}

/// A random history: any names, in any order, removed resources not to come again.
pub(crate) fn history(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let external =
        || option::weighted(0.4, option::weighted(0.8, select(vec!["1", "2", "X", "x", "å"]).prop_map(str::to_owned)));
    let step = prop_oneof![
        8 => (0..USERS, user(), external()).prop_map(|(n, doc, external)| Step::User(n, doc, external)),
        3 => (USERS..ALL, text(), external()).prop_map(|(n, name, external)| Step::Group(n, name, external)),
        5 => (USERS..ALL, vec((0..ALL, prop::bool::weighted(0.8)), 1..6)).prop_map(|(n, members)| Step::Members(n, members)),
        1 => (0..ALL).prop_map(Step::Remove),
    ];
    vec(step, length).prop_map(|steps| {
        let mut removed = Vec::new();
        steps
            .into_iter()
            .filter(|step| match step {
                Step::Remove(n) => {
                    removed.push(*n);
                    true
                }
                Step::User(n, ..) | Step::Group(n, ..) => !removed.contains(n),
                Step::Members(..) => true,
            })
            .collect()
    })
}

fn user() -> impl Strategy<Value = Value> {
    let email = (text(), option::of(select(vec!["work", "home"])), any::<bool>()).prop_map(|(value, kind, primary)| {
        let mut email = json!({ "value": value });
        if let Some(kind) = kind {
            email["type"] = json!(kind);
        }
        if primary {
            email["primary"] = json!(true);
        }
        email
    });
    let names =
        select(vec!["anna", "ANNA", "bo", "Bo", "\u{ff42}o", "cecilia", "Åsa", "d", "e", "f", "g", "h", "i", "j", "k"]);
    let core = (
        names,
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(any::<bool>()),
    );
    let more = (vec(email, 0..4), option::of(text()), option::of(text()), option::of(0..USERS));
    (core, more).prop_map(|((name, display, family, given, title, active), (emails, number, department, manager))| {
        let mut doc = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name });
        let mut put = |path: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            match path.split_once('/') {
                Some((outer, inner)) => doc[outer][inner] = value,
                None => doc[path] = value,
            }
        };
        put("name/familyName", family.map(Value::String));
        put("name/givenName", given.map(Value::String));
        put("displayName", display.map(Value::String));
        put("title", title.map(Value::String));
        put("active", active.map(Value::Bool));
        put("emails", (!emails.is_empty()).then_some(Value::Array(emails)));
        put(&format!("{ENTERPRISE}/employeeNumber"), number.map(Value::String));
        put(&format!("{ENTERPRISE}/department"), department.map(Value::String));
        put(&format!("{ENTERPRISE}/manager"), manager.map(|n| json!({ "value": id(n).to_string() })));
        doc
    })
}

/// Runs a history as fast as the queue takes it, so that it is committed in batches. Returns which steps were accepted.
pub(crate) async fn live(fixture: &Fixture, steps: &[Step]) -> Vec<bool> {
    let writes: Vec<_> = (0_i64..)
        .zip(steps.to_vec())
        .map(|(n, step)| {
            // The clock stands still now and then, and runs ahead.
            let now = START + (n / 3) * 1_000_000;
            fixture.store.write(fixture.tenant, origin(now), move |work| take(work, &step))
        })
        .collect();
    let outcomes: Vec<Result<(), Error>> = join_all(writes).await;
    let refused = |error: &Error| matches!(error, Error::NotFound | Error::Taken { .. } | Error::Stale);
    outcomes
        .into_iter()
        .map(|outcome| {
            assert!(outcome.as_ref().err().is_none_or(refused), "{outcome:?}");
            outcome.is_ok()
        })
        .collect()
}

fn take(work: &mut Work<'_>, step: &Step) -> Result<(), Error> {
    match step {
        Step::User(n, doc, external) => {
            let label = doc["userName"].as_str().unwrap_or_default();
            put(work, Draft { external: domain(external), ..resource(*n, "User", label, doc.clone()) })
        }
        Step::Group(n, name, external) => put(work, Draft { external: domain(external), ..group(*n, name, &[]) }),
        Step::Members(n, members) => {
            let held = work.record(id(*n))?.ok_or(Error::NotFound)?;
            let mut deltas = Vec::new();
            for (member, joined) in members {
                let delta = if *joined { joins(*member) } else { leaves(*member) };
                let is_group = *member >= USERS;
                let refused = match *joined {
                    true => {
                        work.record(id(*member))?.is_none()
                            || (is_group && work.nesting()?.would_cycle(id(*n), id(*member)))
                    }
                    false => false,
                };
                // Of two groups in one change, the second could close a circle with the first.
                let has_group = deltas.iter().any(|delta: &Delta| delta.kind == "Group");
                if !(refused || (is_group && has_group)) {
                    deltas.push(Delta { kind: if is_group { "Group" } else { "User" }.into(), ..delta });
                }
            }
            work.update(Draft { members: deltas, ..super::harness::as_is(&held) }).map(drop)
        }
        Step::Remove(n) => work.remove(id(*n)),
    }
}

fn put(work: &mut Work<'_>, draft: Draft) -> Result<(), Error> {
    match work.record(draft.id)? {
        Some(_) => work.update(draft).map(drop),
        None => work.create(draft).map(drop),
    }
}

fn domain(external: &Option<Option<String>>) -> Option<(store::ResourceId, Option<String>)> {
    external.clone().map(|value| (DOMAIN, value))
}
