//! `GET /Users/{id}/why`: for every right because of what, since when, until when; for what is not held, which clause failed
//! on which fact; for a moment that is over, what was held then. What a caller may not see of the User is not told as a
//! fact, and groups that it does not see are not named.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use provisioning::calendar::instant;
use provisioning::person::URN;
use provisioning::rules::{Case, Gives, Held, Judged, Kind, Rule, Standing, State, why_no_row, why_not};
use scim::key;
use store::work::document_of;
use store::{Grant, Record, ResourceId, Work};

use super::target::{self, GROUP};
use super::{ENTITLEMENT, USER};
use crate::directory::settle::rights::{Subject, judge};
use crate::directory::settle::{Book, EARLIER, NAMES, held_state};
use crate::directory::shape::id_of;
use crate::directory::{Ctx, Directory, Error, licences};

/// The schema of the answer.
const WHY_URN: &str = "urn:matrikel:scim:api:messages:1.0:Why";

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// A group by id or `displayName`, or an entitlement by id or `value`; `None`: everything that is held or nearly.
    pub target: Option<String>,
    /// A moment that is over, µs since 1970.
    pub at: Option<i64>,
}

impl Directory {
    /// The answer, JSON. Fails with 404 for a User that the caller does not see, 400 invalidValue for a target that there is
    /// not and for a moment that is yet to come.
    pub async fn why(&self, ctx: &Ctx, id: &str, question: Question) -> Result<Value, Error> {
        let user = id_of(USER, id)?;
        if question.at.is_some_and(|at| at > ctx.now) {
            return Err(scim::Error::invalid_value("at is yet to come: what will be held is not known.").into());
        }
        let definition = self.registry_of(ctx.tenant).definition(USER).cloned();
        let definition = definition.ok_or_else(|| scim::Error::not_found(USER, id))?;
        let (directory, caller, origin) = (self.clone(), ctx.clone(), ctx.origin());
        let is_whole = ctx.view(&definition).is_whole();
        let answer = move |reader: &mut store::Reader| {
            let state = directory.state_of(&caller, &definition, user, reader)?;
            caller.note_released(&definition, &state.record)?;
            reader.simulate(caller.tenant, origin, |work| {
                let target = question.target.as_deref().map(|text| find(text, &caller, work)).transpose()?;
                let rights = match question.at {
                    Some(at) => past(&caller, user, at, target, work)?,
                    None => present(&caller, user, target, is_whole, work)?,
                };
                let at = question.at.unwrap_or(caller.now);
                let mut answer =
                    json!({ "schemas": [WHY_URN], "user": user.to_string(), "at": instant(at), "rights": rights });
                if let Some(answer) = answer.as_object_mut().filter(|_| is_whole && target.is_none()) {
                    let document = work.document_of(user)?.unwrap_or_default();
                    answer.insert("names".to_owned(), names(&document, question.at));
                }
                Ok::<_, Error>(answer)
            })
        };
        let mut answer = self.store().read_for(ctx.tenant, answer).await?;
        self.remember_released(ctx, "why").await?;
        if !is_whole {
            hide(&mut answer);
        }
        Ok(answer)
    }
}

/// Which names the account has or had at a moment, who made them and since when; and what they were before. Names that a
/// client gives are the client's: of those it is known what they are, and not since when.
fn names(document: &Map<String, Value>, at: Option<i64>) -> Value {
    let part = |name: &str| document.get(URN).and_then(|person| person.get(name));
    let earlier = part(EARLIER).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_given = |names: &&Value| names.get("userName").is_some();
    let told = match (part(NAMES).filter(is_given), at) {
        (Some(now), None) => vec![now.clone()],
        (Some(now), Some(at)) => {
            let moment = |one: &Value, name: &str| one.get(name).and_then(Value::as_str).and_then(key::instant);
            let held = |one: &&Value| {
                moment(one, "since").is_some_and(|since| since <= at)
                    && moment(one, "until").is_none_or(|until| at < until)
            };
            earlier.iter().chain([now]).filter(held).cloned().collect()
        }
        (None, None) if part(NAMES).is_none() => {
            let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
            let mut primary = emails.filter(|email| email.get("primary") == Some(&Value::Bool(true)));
            let given = [
                ("origin", Some("source".into())),
                ("userName", document.get("userName").cloned()),
                ("address", primary.find_map(|email| email.get("value").cloned())),
            ];
            let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            let given = Value::Object(given.collect());
            vec![given]
        }
        (None, _) => Vec::new(),
    };
    let mut names = told.into_iter().next().unwrap_or_else(|| json!({}));
    if let (Some(names), None, false) = (names.as_object_mut(), at, earlier.is_empty()) {
        names.insert("before".to_owned(), earlier.into());
    }
    names
}

/// Takes out what tells of attributes.
fn hide(answer: &mut Value) {
    for right in answer.get_mut("rights").and_then(Value::as_array_mut).into_iter().flatten() {
        for ground in right.get_mut("grounds").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(ground) = ground.as_object_mut() {
                ground.shift_remove("facts");
                ground.shift_remove("failed");
                ground.shift_remove("source");
            }
        }
    }
}

/// The resource that a text means, which the caller sees.
fn find(text: &str, ctx: &Ctx, work: &mut Work<'_>) -> Result<ResourceId, Error> {
    let absent = || scim::Error::invalid_value(format!("target: there is no group or entitlement {text:?}."));
    let id = match text.parse::<ResourceId>() {
        Ok(id) => Some(id).filter(|id| matches!(work.record(*id), Ok(Some(record)) if is_target(&record))),
        Err(()) => match target::called(GROUP, "displayName", text, work)?.as_slice() {
            [one] => Some(*one),
            _ if work.catalog().registry().definition(ENTITLEMENT).is_none() => None,
            _ => target::called(ENTITLEMENT, "value", text, work)?.first().copied(),
        },
    };
    let id = id.ok_or_else(absent)?;
    match ctx.look(work, &[id])?.has(id) {
        true => Ok(id),
        false => Err(absent().into()),
    }
}

fn is_target(record: &Record) -> bool {
    record.kind == GROUP || record.kind == ENTITLEMENT
}

/// What is held now, or is not and why.
fn present(
    ctx: &Ctx,
    user: ResourceId,
    target: Option<ResourceId>,
    is_whole: bool,
    work: &mut Work<'_>,
) -> Result<Vec<Value>, Error> {
    let record = work.record(user)?.ok_or_else(|| scim::Error::not_found(USER, &user.to_string()))?;
    let document = document_of(&record)?;
    let book = Book::of(work)?;
    let calendar = book.calendar_of(&document);
    let state = held_state(&document);
    let subject = Subject {
        id: user,
        before: Some(&document),
        document: &document,
        is_new: false,
        state,
        calendar: &calendar,
        units: book.units(),
    };
    let judgement = judge(&licences::unhurried(ctx), work, &book, &subject)?;
    let mut rights: BTreeMap<String, Right> = BTreeMap::new();
    for one in &judgement.judged {
        let since = judgement.held.iter().filter(|held| held.state == State::Held && held.is_by(&one.claim));
        let since = since.map(|held| held.since).min();
        let key = one.claim.target.clone().unwrap_or_else(|_| one.claim.gives.value.clone());
        let place = match (&one.standing, key.parse()) {
            (Standing::Waiting, Ok(entitlement)) => licences::place(work, user, entitlement)?,
            _ => None,
        };
        rights.entry(key).or_default().add(one, since, place);
    }
    for held in judgement.held.iter().filter(|held| held.state == State::Held) {
        if judgement.judged.iter().any(|one| held.is_by(&one.claim)) {
            continue;
        }
        let right = rights.entry(held.target.clone()).or_default();
        right.is_held |= held.rule().is_empty();
        let since = Some(held.since).filter(|since| *since > 0).and_then(instant);
        let mut ground = json!({ "kind": held.kind.as_str(), "since": since });
        if let (Kind::Source, Some(ground)) = (held.kind, ground.as_object_mut()) {
            ground.insert("source".into(), client(&held.ground, work)?);
        }
        right.grounds.push(ground);
    }
    // What a source says and no rule is about is not weighed, and is held all the same.
    for grant in work.grants_of(user)?.iter().filter(|grant| grant.until.is_none()) {
        let is_weighed = |held: &Held| held.kind == Kind::Source && held.target == grant.key.target.to_string();
        if grant.key.ground_kind != Kind::Source.as_str() || judgement.held.iter().any(is_weighed) {
            continue;
        }
        let right = rights.entry(grant.key.target.to_string()).or_default();
        right.is_held = true;
        let source = client(&grant.key.ground_id, work)?;
        right.grounds.push(json!({ "kind": "source", "since": instant(grant.key.since), "source": source }));
    }
    if let Some(target) = target {
        let case = Case::new(&user.to_string(), &document, calendar.day_of(ctx.now));
        let right = rights.remove(&target.to_string()).unwrap_or_default();
        rights = BTreeMap::from([(target.to_string(), with_failures(right, target, book.rules(), &case, work)?)]);
    } else if !is_whole {
        // What a rule would give under a name is told only to who may see everything.
        rights.retain(|key, _| key.parse::<ResourceId>().is_ok());
    }
    tell(ctx, rights, work)
}

/// With the rules that would give the target and do not fit, and why.
fn with_failures(
    mut right: Right,
    target: ResourceId,
    rules: &[Arc<Rule>],
    case: &Case<'_>,
    work: &mut Work<'_>,
) -> Result<Right, Error> {
    let claimed: Vec<Value> =
        right.grounds.iter().filter_map(|ground| ground.get("rule")?.get("id").cloned()).collect();
    for rule in rules.iter().filter(|rule| !claimed.contains(&rule.id.as_str().into())) {
        let mut known: BTreeMap<&str, bool> = BTreeMap::new();
        for gives in rule.gives() {
            if !known.contains_key(gives.value.as_str()) {
                known.insert(&gives.value, gives.is_template() || is_meant(gives, target, work)?);
            }
        }
        let gives_it = |gives: &Gives| known.get(gives.value.as_str()).copied().unwrap_or_default();
        let failed = match rule.gives().any(gives_it) {
            false => Vec::new(),
            true => match why_not(rule, case) {
                failed if rule.table.is_empty() => failed,
                // Of a table the rows that give it are asked, unless the rule is for others altogether.
                _ if rule.fits(case) => why_no_row(rule, case, |row| row.gives.iter().any(gives_it)),
                failed => failed,
            },
        };
        if !failed.is_empty() {
            right.grounds.push(json!({ "kind": "rule", "rule": about(rule), "standing": "unfit", "failed": failed }));
        }
    }
    Ok(right)
}

fn is_meant(gives: &Gives, target: ResourceId, work: &mut Work<'_>) -> Result<bool, Error> {
    Ok(target::find(gives, &gives.value, work)? == Ok(target))
}

/// What was held at a moment that is over.
fn past(
    ctx: &Ctx,
    user: ResourceId,
    at: i64,
    target: Option<ResourceId>,
    work: &mut Work<'_>,
) -> Result<Vec<Value>, Error> {
    let mut rights: BTreeMap<String, Right> = BTreeMap::new();
    if let Some(target) = target {
        rights.insert(target.to_string(), Right::default());
    }
    for grant in work.grants_of(user)? {
        let is_asked = target.is_none_or(|target| target == grant.key.target);
        if !is_asked || !grant.is_held_at(at) {
            continue;
        }
        let right = rights.entry(grant.key.target.to_string()).or_default();
        right.is_held = true;
        right.grounds.push(was(&grant, at, work)?);
    }
    tell(ctx, rights, work)
}

/// A client, by its id.
fn client(id: &str, work: &mut Work<'_>) -> Result<Value, Error> {
    let record = match id.parse() {
        Ok(id) => work.record(id)?,
        Err(()) => None,
    };
    Ok(json!({ "value": id, "display": record.map(|record| record.label) }))
}

fn was(grant: &Grant, at: i64, work: &mut Work<'_>) -> Result<Value, Error> {
    let mut ground = Map::new();
    ground.insert("kind".into(), grant.key.ground_kind.as_str().into());
    let id = grant.key.ground_id.split('/').next().unwrap_or_default();
    if grant.key.ground_kind == Kind::Source.as_str() {
        ground.insert("source".into(), client(id, work)?);
    } else if let Ok(rule) = id.parse::<ResourceId>() {
        let name = work.record(rule)?.map(|record| record.label);
        ground.insert("rule".into(), json!({ "id": id, "name": name, "version": grant.rule_version }));
    }
    let moments = [
        ("since", Some(grant.key.since)),
        ("until", grant.until),
        ("groundFrom", grant.ground_from),
        ("groundUntil", grant.ground_until),
    ];
    for (name, moment) in moments {
        if let Some(moment) = moment.and_then(instant) {
            ground.insert(name.into(), moment.into());
        }
    }
    // HR was late: held, though the dates had not spoken for it any more.
    if grant.ground_until.is_some_and(|until| at >= until) {
        ground.insert("withoutGround".into(), true.into());
    }
    ground.insert("facts".into(), serde_json::from_str(&grant.facts).unwrap_or_default());
    Ok(Value::Object(ground))
}

/// One thing, and the grounds for it.
#[derive(Default)]
struct Right {
    is_held: bool,
    grounds: Vec<Value>,
}

impl Right {
    /// `place`: how many come before in the queue.
    fn add(&mut self, one: &Judged, since: Option<i64>, place: Option<i64>) {
        let (standing, reason) = words(&one.standing);
        self.is_held |= one.standing == Standing::Held;
        let ground = &one.claim.ground;
        let mut told = Map::new();
        told.insert("kind".into(), ground.kind.as_str().into());
        told.insert("rule".into(), about(&one.claim.rule));
        told.insert("standing".into(), standing.into());
        let texts = [
            ("reason", reason),
            ("since", since.and_then(instant)),
            ("from", ground.from.map(|from| from.to_string())),
            ("to", ground.to.map(|to| to.to_string())),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                told.insert(name.into(), text.into());
            }
        }
        if let Some(place) = place {
            told.insert("place".into(), place.saturating_add(1).into());
        }
        told.insert("facts".into(), ground.facts.clone());
        self.grounds.push(Value::Object(told));
    }
}

fn about(rule: &Rule) -> Value {
    json!({ "id": rule.id, "name": rule.name, "version": rule.version })
}

fn words(standing: &Standing) -> (&'static str, Option<String>) {
    match standing {
        Standing::Held => ("held", None),
        Standing::Ahead(from) => ("ahead", from.map(|from| format!("it begins on {from}"))),
        Standing::Rests(reason) => ("rests", Some(reason.clone())),
        Standing::Reserved => ("reserved", Some("the account is not active yet".to_owned())),
        Standing::Waiting => ("waiting", Some("there is no seat for it yet".to_owned())),
        Standing::Excluded(reason) => ("excluded", Some(reason.clone())),
        Standing::Superseded(by) => ("superseded", Some(format!("the rule {by} ranks higher"))),
        Standing::Withheld(reason) => ("withheld", Some(reason.clone())),
        Standing::Lapsed => ("lapsed", Some("it was given by hand, and lost when the account was closed".to_owned())),
        Standing::Missing(reason) => ("missing", Some(reason.clone())),
    }
}

/// The rights as they are told, without those to what the caller does not see.
fn tell(ctx: &Ctx, rights: BTreeMap<String, Right>, work: &mut Work<'_>) -> Result<Vec<Value>, Error> {
    let ids: Vec<ResourceId> = rights.keys().filter_map(|key| key.parse().ok()).collect();
    let seen = ctx.look(work, &ids)?;
    let mut told = Vec::with_capacity(rights.len());
    for (key, right) in rights {
        let target = match key.parse::<ResourceId>() {
            Err(()) => json!({ "display": key }),
            Ok(id) => {
                let Some(record) = work.record(id)? else {
                    told.push(json!({ "target": { "value": key }, "held": right.is_held, "grounds": right.grounds }));
                    continue;
                };
                let Some(label) = seen.label(id, record.label) else { continue };
                json!({ "type": record.kind, "value": key, "display": label })
            }
        };
        told.push(json!({ "target": target, "held": right.is_held, "grounds": right.grounds }));
    }
    Ok(told)
}
