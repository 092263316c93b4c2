//! A policy: whose accounts follow their dates, in which time zone, so many days before and after. Reads the document of
//! one, and says with its place what is wrong with it; what follows for an account is [`lifecycle`](crate::lifecycle)'s.

use scim::filter::{Checked, Filter};
use scim::schema::Definition;
use serde_json::{Map, Value};

use crate::calendar::Calendar;
use crate::choice::Cloud;
use crate::guard::Guard;
use crate::lifecycle::{Offsets, Terms};
use crate::names::Scheme;
use crate::person;
use crate::sponsor::Sponsoring;

/// What is made of names whose owners were purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// None is made up again; one that a client brings is taken.
    #[default]
    Supplied,
    /// One that a client brings is refused too.
    Never,
}

/// A policy, checked.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What it is called.
    pub name: String,
    /// Of several that cover an account, the one with the highest counts, then the first by name.
    pub priority: i64,
    /// Whom it covers; `None`: everybody.
    pub covers: Option<Filter<Checked>>,
    /// Its days.
    pub terms: Terms,
    /// What is made of names whose owners were purged.
    pub reuse: Reuse,
    /// How names are made; `None`: as is usual.
    pub names: Option<Scheme>,
    /// What may be done within a day; `None`: whatever is asked.
    pub guard: Option<Guard>,
    /// Who needs a sponsor and an end.
    pub sponsoring: Sponsoring,
    /// Whether who leads somebody follows from employments and units; it is what clients write otherwise.
    pub derives_manager: bool,
    /// Which account of a person clouds get.
    pub clouds: Vec<Cloud>,
}

/// Days for which the account goes on that was chosen before, where nothing is said.
const KEEP_DAYS: i64 = 30;
/// Most days that an offset may have: ten years.
const MOST_DAYS: i64 = 3_653;

/// What `covers` cannot go by: what is not in the document, and what follows from being covered.
const DERIVED: [&str; 7] = ["id", "meta", "externalId", "groups", "active", "password", "schemas"];
/// The same of the Person extension.
const FOLLOWING: [&str; 11] = [
    "clouds",
    "lifecycle",
    "block",
    "legalHold",
    "sources",
    "person",
    "names",
    "namesBefore",
    "aliases",
    "managerFrom",
    "managersPassed",
];

impl Policy {
    /// Reads the document of a policy. `user` is the resource type that it covers. Fails with 400 invalidValue that names
    /// the place.
    pub fn read(document: &Map<String, Value>, user: &Definition) -> Result<Self, scim::Error> {
        if user.extension(person::URN).is_none() {
            return Err(refuse(
                "A policy goes by the dates of the extension Person, which this register does not have. \
                               Install it first: matrikel schema install.",
            ));
        }
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let covers = text("covers").map(|filter| filter_of("covers", filter, user)).transpose()?;
        let zone = text("zone").unwrap_or_default();
        let calendar = Calendar::of(zone);
        let calendar = calendar
            .ok_or_else(|| refuse(&format!("zone: {zone:?} is no IANA time zone, such as Europe/Helsinki.")))?;
        let offsets = offsets(document, "", Offsets::default())?;
        let mut kinds: Vec<(String, Offsets)> = Vec::new();
        for (n, kind) in document.get("kinds").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let Some(object) = kind.as_object() else { continue };
            let name = object.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            if kinds.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                return Err(refuse(&format!("kinds[{n}].type: {name:?} is there twice.")));
            }
            let own = self::offsets(object, &format!("kinds[{n}]."), offsets)?;
            kinds.push((name, own));
        }
        let purges = document.get("purge").and_then(Value::as_bool).unwrap_or_default();
        let purge_after = days(document, "", "purgeAfter")?;
        let purge_after = match (purges, purge_after) {
            (true, None) => {
                return Err(refuse("purgeAfter is missing: after how many days in limbo are accounts purged?"));
            }
            (true, days) => days,
            (false, _) => None,
        };
        let reuse = match text("reuse") {
            None | Some("supplied") => Reuse::Supplied,
            Some("never") => Reuse::Never,
            Some(other) => return Err(refuse(&format!("reuse: {other:?} is neither supplied nor never."))),
        };
        let derives_manager = match text("manager") {
            None | Some("given") => false,
            Some("derived") => true,
            Some(other) => return Err(refuse(&format!("manager: {other:?} is neither given nor derived."))),
        };
        Ok(Policy {
            derives_manager,
            name: text("name").unwrap_or_default().to_owned(),
            priority: document.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            covers,
            terms: Terms {
                calendar,
                offsets,
                kinds,
                keep_access: document.get("keepAccess").and_then(Value::as_bool).unwrap_or(true),
                purge_after,
            },
            reuse,
            names: document.get("names").and_then(Value::as_object).map(Scheme::read).transpose()?,
            guard: Guard::read(document)?,
            clouds: clouds(document, user)?,
            sponsoring: Sponsoring::read(document, user)?,
        })
    }

    /// Whether it covers an account, by its document.
    pub fn covers(&self, document: &Map<String, Value>) -> bool {
        self.covers.as_ref().is_none_or(|filter| filter.matches(document))
    }

    /// Puts policies in the order in which they are asked.
    pub fn sort(policies: &mut [Policy]) {
        policies.sort_by(|one, other| other.priority.cmp(&one.priority).then_with(|| one.name.cmp(&other.name)));
    }
}

/// The clouds of a policy, in its order.
fn clouds(document: &Map<String, Value>, user: &Definition) -> Result<Vec<Cloud>, scim::Error> {
    let mut clouds: Vec<Cloud> = Vec::new();
    for (n, one) in document.get("clouds").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(object) = one.as_object() else { continue };
        let place = format!("clouds[{n}]");
        let name = object.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.trim().is_empty() || clouds.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            return Err(refuse(&format!("{place}.name: {name:?} is no name, or is there twice.")));
        }
        let filters = object.get("prefer").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let prefer = filters.map(|text| filter_of(&format!("{place}.prefer"), text, user));
        let prefer = prefer.collect::<Result<Vec<_>, _>>()?;
        let both = match object.get("undecided").and_then(Value::as_str) {
            None | Some("none") => false,
            Some("both") => true,
            Some(other) => return Err(refuse(&format!("{place}.undecided: {other:?} is neither none nor both."))),
        };
        let keep_days = days(object, &format!("{place}."), "keepDays")?.unwrap_or(KEEP_DAYS);
        clouds.push(Cloud { name, prefer, keep_days, both });
    }
    Ok(clouds)
}

/// A filter over Users that goes by what is written alone, and by nothing secret.
fn filter_of(place: &str, text: &str, user: &Definition) -> Result<Filter<Checked>, scim::Error> {
    let wrong = |detail: &str| refuse(&format!("{place}: {detail}"));
    let filter = Filter::parse(text).and_then(|filter| filter.check(user));
    let filter = filter.map_err(|error| wrong(&error.detail))?;
    let paths = filter.attributes();
    let follows = |path: &&&str| {
        let in_person = path.strip_prefix(person::URN).and_then(|rest| rest.strip_prefix(':'));
        let (top, known) = match in_person {
            Some(rest) => (rest, FOLLOWING.as_slice()),
            None => (**path, DERIVED.as_slice()),
        };
        known.contains(&top.split('.').next().unwrap_or_default())
    };
    if let Some(path) = paths.iter().find(follows) {
        return Err(wrong(&format!(
            "{path} cannot decide: it is not in the document, or follows from what is covered."
        )));
    }
    match user.secrets().iter().find(|secret| paths.contains(&*secret.path)) {
        Some(secret) => Err(wrong(&format!("{} is secret, and no policy can go by it.", secret.path))),
        None => Ok(filter),
    }
}

/// The offsets of an object, with what it does not say as in `from`.
fn offsets(object: &Map<String, Value>, place: &str, from: Offsets) -> Result<Offsets, scim::Error> {
    Ok(Offsets {
        stage_before: days(object, place, "stageBefore")?.unwrap_or(from.stage_before),
        ending_before: days(object, place, "endingBefore")?.unwrap_or(from.ending_before),
        limbo_after: days(object, place, "limboAfter")?.unwrap_or(from.limbo_after),
        bridge: days(object, place, "bridgeDays")?.unwrap_or(from.bridge),
    })
}

fn days(object: &Map<String, Value>, place: &str, name: &str) -> Result<Option<i64>, scim::Error> {
    let Some(days) = object.get(name).and_then(Value::as_i64) else { return Ok(None) };
    match (0..=MOST_DAYS).contains(&days) {
        true => Ok(Some(days)),
        false => Err(refuse(&format!("{place}{name}: {days} is not between 0 and {MOST_DAYS} days."))),
    }
}

fn refuse(detail: &str) -> scim::Error {
    scim::Error::invalid_value(detail.to_owned())
}
