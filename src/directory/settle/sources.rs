//! What several sources say of the same values, kept in the document itself (the extension Sources), so that whatever
//! replays, simulates, exports or erases documents has it too. [`hear`] takes what a write says out of the document and keeps
//! it as its client's word; [`show`] puts there what counts by now, and ends what is pinned when its day comes. Whose word
//! counts is worked out in [`provisioning::sources`].

use std::collections::BTreeMap;

use provisioning::calendar::instant;
use provisioning::sources::{Heard, Site, Statement, URN, Wish, choose, hear as listen, overhear};
use scim::authority::Absence;
use scim::key;
use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::{Record, ResourceId, Work};

use super::super::authority::Outside;
use super::super::scope::Access;
use super::super::{Ctx, Error};
use super::standing::{part_in, put_in};
use super::wished::PLACES;
use super::{AUTHORITY, Book};

const SAID: &str = "said";
const PINS: &str = "pins";

/// How a write speaks.
pub(in crate::directory) struct Voice<'v> {
    /// What it means that a value is not in the document.
    pub(in crate::directory) absence: Absence,
    /// Whether it speaks of a place by name.
    pub(in crate::directory) names: &'v dyn Fn(&Site) -> bool,
    /// What stands for an identity number that it brings.
    pub(in crate::directory) number: Option<String>,
    /// The names in its body, where its client leaves names to a policy.
    pub(in crate::directory) wished: Option<&'v Map<String, Value>>,
}

/// Whether what sources say of resources of a type is kept.
pub(in crate::directory) fn concern(definition: &Definition, work: &Work<'_>) -> bool {
    work.count(AUTHORITY) > 0 && definition.extension(URN).is_some()
}

/// Pins stay where they are not spoken of: only who takes one away by name ends it.
pub(in crate::directory) fn keep_pins(current: &Map<String, Value>, next: &mut Map<String, Value>) {
    if let Some(pins) = part_in(current, URN, PINS).filter(|_| part_in(next, URN, PINS).is_none()) {
        put_in(next, URN, PINS, Some(pins.clone()));
    }
}

/// Keeps what a write says of values that several may write as the word of its client, and leaves them as they were. Fails
/// as denied for who writes what it may not and is set to be told so.
pub(super) fn hear(
    ctx: &Ctx,
    book: &Book,
    definition: &Definition,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
    voice: &Voice<'_>,
) -> Result<(), Error> {
    put_in(after, URN, SAID, before.and_then(|before| part_in(before, URN, SAID)).cloned());
    guard_pins(ctx, book, definition, before, after)?;
    let client = ctx.caller.id.to_string();
    let may_pin = ctx.caller.scopes.allow(definition.name(), Access::Pin);
    let mut said = before.map(said).unwrap_or_default();
    let mut outside = Vec::new();
    for (authority, site) in book.sites(definition.name()) {
        let shown = before.map(|before| site.values(before)).unwrap_or_default();
        let wanted = site.values(after);
        let is_source = authority.sources.contains(&client);
        let pin = pin(after, site);
        let is_new = pin != before.and_then(|before| self::pin(before, site));
        if pin.is_some() && may_pin && (is_new || !is_source) {
            // The correction itself.
            continue;
        }
        if before.is_none() && !is_source && site.is_required() {
            // Somebody has to bring it.
            continue;
        }
        let wish = Wish { shown: &shown, wanted: &wanted, absence: voice.absence, is_named: (voice.names)(site) };
        let statements = said.entry(site.path().to_owned()).or_default();
        let at = statements.iter().position(|one| one.source == client);
        let own = at.and_then(|at| statements.get(at)).map(|one| one.values.clone()).unwrap_or_default();
        let heard = if is_source { listen(site, &own, wish) } else { overhear(site, wish) };
        match heard {
            Heard::Nothing => {}
            Heard::Outside => outside.push(site.path().to_owned()),
            Heard::Says(values) => {
                statements.retain(|one| one.source != client);
                if !values.is_empty() {
                    let since = instant(ctx.now).unwrap_or_default();
                    statements.push(Statement { source: client.clone(), values, since });
                }
            }
        }
        if wanted != shown {
            site.put(after, shown);
        }
    }
    write(after, &said);
    match ctx.caller.writes.outside {
        _ if outside.is_empty() => Ok(()),
        Outside::Ignore => {
            ctx.tolerances.ignore(&outside);
            Ok(())
        }
        Outside::Refuse => Err(Error::Denied(format!(
            "This client may not write {}: that is other sources' to say ({}). A correction by hand can be pinned. Nothing \
             was changed.",
            outside.join(", "),
            whose(book, definition, &outside),
        ))),
    }
}

fn whose(book: &Book, definition: &Definition, paths: &[String]) -> String {
    let of = book.sites(definition.name()).filter(|(_, site)| paths.iter().any(|path| path == site.path()));
    let mut names: Vec<&str> = of.map(|(authority, _)| authority.name.as_str()).collect();
    names.dedup();
    format!("authority {}", names.join(", "))
}

/// Puts into the document what counts by now of what sources say. Answers when a pin ends next, µs since 1970.
pub(super) fn show(
    ctx: &Ctx,
    book: &Book,
    kind: &str,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Option<i64> {
    if part_in(after, URN, SAID).is_none()
        && part_in(after, URN, PINS).is_none()
        && before.and_then(|before| before.get(URN)).is_none()
    {
        return None;
    }
    let is_pinned = |pin: &Value| until(pin).is_some_and(|until| until > ctx.now);
    let mut said = said(after);
    let was_said = before.map(self::said).unwrap_or_default();
    let (mut kept, mut next) = (Vec::new(), None);
    let mut known = BTreeMap::new();
    for (authority, site) in book.sites(kind) {
        let mut statements = said.remove(site.path()).unwrap_or_default();
        statements.retain(|one| authority.sources.contains(&one.source));
        let pin = pin(after, site);
        if let Some(pin) = pin.as_ref().filter(|pin| is_pinned(pin)) {
            next = next.into_iter().chain(until(pin)).min();
            kept.push(pin.clone());
        } else {
            let had = pin.is_some()
                || was_said.contains_key(site.path())
                || before.is_some_and(|before| self::pin(before, site).is_some());
            let chosen = choose(site, &statements, &authority.sources, authority.combine);
            let shown: Vec<Value> = site.values(after).into_iter().map(|value| site.sayable(value)).collect();
            // What nobody has spoken of stays, and what a resource must have.
            let stays = chosen.is_empty() && (!had || site.is_required());
            if !stays && shown != chosen {
                site.put(after, chosen);
            }
        }
        if !statements.is_empty() {
            known.insert(site.path().to_owned(), statements);
        }
    }
    // Names that are said where they are a policy's to make are kept, and do not show.
    known.extend(said.into_iter().filter(|(path, _)| PLACES.contains(&path.as_str())));
    write(after, &known);
    put_in(after, URN, PINS, (!kept.is_empty()).then_some(Value::Array(kept)));
    name_schema(after);
    next
}

/// Whether a client has said anything of a resource.
pub(super) fn speaks(document: &Map<String, Value>, client: ResourceId) -> bool {
    let client = client.to_string();
    said(document).values().flatten().any(|one| one.source == client)
}

/// Takes back all that a client has said.
pub(super) fn fall_silent(document: &mut Map<String, Value>, client: ResourceId) {
    let client = client.to_string();
    let mut said = said(document);
    said.values_mut().for_each(|statements| statements.retain(|one| one.source != client));
    write(document, &said);
}

/// What a client has said of a resource that it names no more is taken back, and what others say shows.
pub(in crate::directory) fn unsay(ctx: &Ctx, work: &mut Work<'_>, record: &Record) -> Result<(), Error> {
    let before = store::work::document_of(record)?;
    if work.count(AUTHORITY) == 0 || !speaks(&before, ctx.caller.id) {
        return Ok(());
    }
    let book = Book::of(work)?;
    let mut after = before.clone();
    fall_silent(&mut after, ctx.caller.id);
    let next = super::conclude(ctx, work, &book, (&record.kind, record.id), Some(&before), &mut after)?;
    super::depart::rewrite(work, record, after)?;
    super::follow(ctx, work, record.id, next)
}

/// What is said, by place.
pub(in crate::directory) fn said(document: &Map<String, Value>) -> BTreeMap<String, Vec<Statement>> {
    let mut all: BTreeMap<String, Vec<Statement>> = BTreeMap::new();
    for one in part_in(document, URN, SAID).and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str);
        let (Some(source), Some(path)) = (text("source"), text("path")) else { continue };
        let values = text("value").and_then(|value| serde_json::from_str::<Vec<Value>>(value).ok());
        let Some(values) = values.filter(|values| !values.is_empty()) else { continue };
        let since = text("since").unwrap_or_default().to_owned();
        all.entry(path.to_owned()).or_default().push(Statement { source: source.to_owned(), values, since });
    }
    all
}

/// Always in the same order, so that the order in which things were said changes no document.
pub(super) fn write(document: &mut Map<String, Value>, said: &BTreeMap<String, Vec<Statement>>) {
    let mut all = Vec::new();
    for (path, statements) in said {
        let mut statements: Vec<&Statement> = statements.iter().collect();
        statements.sort_by(|one, other| one.source.cmp(&other.source));
        all.extend(statements.into_iter().map(|one| {
            let value = Value::Array(one.values.clone()).to_string();
            json!({ "source": one.source, "path": path, "value": value, "since": one.since })
        }));
    }
    put_in(document, URN, SAID, (!all.is_empty()).then_some(Value::Array(all)));
    name_schema(document);
}

/// `schemas` names the extension where there is something in it (RFC 7643 section 3).
fn name_schema(document: &mut Map<String, Value>) {
    let has = document.contains_key(URN);
    let Some(Value::Array(schemas)) = document.get_mut("schemas") else { return };
    let at = schemas.iter().position(|urn| urn == URN);
    match (has, at) {
        (true, None) => schemas.push(URN.into()),
        (false, Some(at)) => drop(schemas.remove(at)),
        _ => {}
    }
}

/// The pin of a place.
pub(in crate::directory) fn pin(document: &Map<String, Value>, site: &Site) -> Option<Value> {
    pins(document).find(|pin| pin.get("path").and_then(Value::as_str) == Some(site.path())).cloned()
}

fn pins(document: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    part_in(document, URN, PINS).and_then(Value::as_array).into_iter().flatten()
}

fn until(pin: &Value) -> Option<i64> {
    key::instant(pin.get("until")?.as_str()?)
}

/// Sees to the pins that a write leaves: who may not pin changes nothing of them. Fails as denied for one who tries, 400
/// invalidValue for a pin of nothing, without a reason or of the past.
fn guard_pins(
    ctx: &Ctx,
    book: &Book,
    definition: &Definition,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let text = |pin: &Value, name: &str| pin.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let said = |pin: &Value| (text(pin, "path"), text(pin, "reason"), until(pin));
    let old: Vec<Value> = before.into_iter().flat_map(pins).cloned().collect();
    let new: Vec<Value> = pins(after).cloned().collect();
    let is_same = old.len() == new.len() && new.iter().all(|pin| old.iter().any(|known| said(known) == said(pin)));
    if is_same {
        put_in(after, URN, PINS, (!old.is_empty()).then_some(Value::Array(old)));
        return Ok(());
    }
    if !ctx.caller.scopes.allow(definition.name(), Access::Pin) {
        let detail = format!("{URN}:{PINS} is changed by administrators and clients with the scope User:pin.");
        return Err(Error::Denied(detail));
    }
    let refuse = |why: String| Error::from(scim::Error::invalid_value(format!("{URN}:{PINS}: {why}")));
    let mut kept: Vec<Value> = Vec::new();
    for pin in &new {
        let written = text(pin, "path");
        let site = Site::parse(definition, &written)?;
        let path = site.path().to_owned();
        if !book.sites(definition.name()).any(|(_, known)| known.path() == path) {
            return Err(refuse(format!("no authority is about {path}, so nothing would write over it.")));
        }
        if kept.iter().any(|known| text(known, "path") == path) {
            return Err(refuse(format!("{path} is there twice.")));
        }
        if let Some(known) = old.iter().find(|known| said(known) == (path.clone(), text(pin, "reason"), until(pin))) {
            kept.push(known.clone());
            continue;
        }
        if text(pin, "reason").trim().is_empty() {
            return Err(refuse("reason is missing: whoever pins says why.".to_owned()));
        }
        if until(pin).is_none_or(|until| until <= ctx.now) {
            return Err(refuse(format!("until of {path} is a moment to come.")));
        }
        kept.push(json!({
            "path": path, "reason": text(pin, "reason"), "until": text(pin, "until"), "since": instant(ctx.now),
            "by": ctx.caller.name.as_ref(),
        }));
    }
    put_in(after, URN, PINS, (!kept.is_empty()).then_some(Value::Array(kept)));
    Ok(())
}
