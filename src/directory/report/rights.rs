//! Rights without a ground, over everybody (`GET /Reports/rights`, `matrikel report --rights`): memberships and entitlements
//! that no rule gives and nobody gave with a reason, what is inherited from before the register and not confirmed, and what was
//! held on after its ground had fallen away. Users are read in slices with a few statements each; a page ends where the count
//! or the budget does, and never within a person. Views and protection hold for who and what is named. Writes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use provisioning::calendar::instant;
use provisioning::person::USER;
use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::scan::{Cut, Place};
use store::work::document_of;
use store::{Change, Grant, Holding, Reader, Reading, Record, ResourceId, TenantId};

use crate::directory::cursor::{Binding, Cursor, PURPOSE};
use crate::directory::rules::ENTITLEMENT;
use crate::directory::{Ctx, Directory, Error};

/// The schema of the answer.
pub const RIGHTS_URN: &str = "urn:matrikel:scim:api:messages:1.0:RightsReport";
/// Users read at a time.
const SLICE: i64 = 250;
/// Users that one page looks at, at most: it may be short then.
const BUDGET: usize = 5_000;
/// A right that was held on for less than this was not held late: the scheduler has its pace. µs.
const LATE: i64 = 3_600_000_000;

/// Why a right is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Somebody put it there, and no rule gives it nor says a reason.
    Hand,
    /// It was there before the register, and no rule has confirmed it.
    Inherited,
    /// A source says so. It has that ground, and is listed only when it is asked for.
    Source,
    /// The dates behind it did not speak for it any more.
    Late,
}

impl Lack {
    const ALL: [Lack; 4] = [Lack::Hand, Lack::Inherited, Lack::Source, Lack::Late];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Lack::Hand => "hand",
            Lack::Inherited => "inherited",
            Lack::Source => "source",
            Lack::Late => "late",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Only those; none: all but what a source says.
    pub kind: Option<Lack>,
    /// Only rights to this: an id, the name of a group, the value of an entitlement.
    pub target: Option<String>,
    /// Most rights on a page.
    pub count: Option<u64>,
    /// Where the page begins; `None`: at the first.
    pub cursor: Option<String>,
}

impl Rights {
    /// Takes what a parameter says; another one says nothing. Fails with 400 invalidValue for what is none.
    pub fn take(&mut self, name: &str, value: &str) -> Result<(), scim::Error> {
        match name.to_ascii_lowercase().as_str() {
            "kind" => {
                let found = Lack::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(value));
                let wrong = || scim::Error::invalid_value("kind is hand, inherited, late or source.");
                self.kind = Some(found.ok_or_else(wrong)?);
            }
            "target" => self.target = Some(value.to_owned()).filter(|target| !target.is_empty()),
            "count" => {
                let count = value.parse().ok().filter(|count| *count > 0);
                self.count = Some(count.ok_or_else(|| scim::Error::invalid_value("count is a number from 1 on."))?);
            }
            "cursor" => self.cursor = Some(value.to_owned()).filter(|cursor| !cursor.is_empty()),
            _ => {}
        }
        Ok(())
    }
}

/// One right that is listed. Instants are µs since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Right {
    /// Who has it: id and name.
    pub user: (ResourceId, String),
    /// What: type, id and name.
    pub target: (String, ResourceId, String),
    /// Why it is listed.
    pub kind: Lack,
    /// Since when it is held; of what was held late, since when without a ground. `None`: that is not known.
    pub since: Option<i64>,
    /// Until when it was held; `None`: it is.
    pub until: Option<i64>,
    /// Who put it there.
    pub by: Option<String>,
    /// What made it: `request`, `feed`, `operator` …; of what is inherited, the id of the adoption.
    pub cause: Option<String>,
}

/// Heads of the columns of [`Right::cells`].
pub const HEADS: [&str; 9] = ["user", "name", "type", "target", "targetName", "kind", "since", "until", "by"];

impl Right {
    /// As JSON.
    pub fn to_json(&self) -> Value {
        let Right { user, target, kind, since, until, by, cause } = self;
        let mut told = json!({
            "user": { "value": user.0.to_string(), "display": user.1 },
            "target": { "type": target.0, "value": target.1.to_string(), "display": target.2 },
            "kind": kind.as_str(),
        });
        let more = [
            ("since", since.and_then(instant)),
            ("until", until.and_then(instant)),
            ("by", by.clone()),
            ("cause", cause.clone()),
        ];
        if let Some(told) = told.as_object_mut() {
            told.extend(more.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
        }
        told
    }

    /// As a row. No cell is a formula for the program that opens it.
    pub fn cells(&self) -> [String; 9] {
        let Right { user, target, kind, since, until, by, .. } = self;
        let moment = |at: &Option<i64>| at.and_then(instant).unwrap_or_default();
        [
            user.0.to_string(),
            user.1.clone(),
            target.0.clone(),
            target.1.to_string(),
            target.2.clone(),
            kind.as_str().to_owned(),
            moment(since),
            moment(until),
            by.clone().unwrap_or_default(),
        ]
        .map(crate::directory::simulations::plain)
    }
}

/// A page of the report.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// By user and target.
    pub rights: Vec<Right>,
    /// Where the next page begins; `None`: there is no more.
    pub next: Option<String>,
}

impl Page {
    /// How many rights to each target, by type and name.
    pub fn counts(&self) -> BTreeMap<(String, String, ResourceId), u64> {
        let mut counts = BTreeMap::new();
        for Right { target: (kind, id, name), .. } in &self.rights {
            *counts.entry((kind.clone(), name.clone(), *id)).or_default() += 1;
        }
        counts
    }

    /// As JSON: the rights, how many of each target are among them, and where to go on.
    pub fn to_json(&self) -> Value {
        let mut told = Map::new();
        told.insert("schemas".into(), json!([RIGHTS_URN]));
        told.insert("targets".into(), told_counts(&self.counts()));
        told.insert("rights".into(), self.rights.iter().map(Right::to_json).collect());
        told.extend(self.next.clone().map(|next| ("nextCursor".to_owned(), next.into())));
        Value::Object(told)
    }
}

/// How many rights to each target, as JSON.
pub fn told_counts(counts: &BTreeMap<(String, String, ResourceId), u64>) -> Value {
    let told = |((kind, name, id), count): (&(String, String, ResourceId), &u64)| json!({ "type": kind, "value": id.to_string(), "display": name, "count": count });
    counts.iter().map(told).collect()
}

impl Directory {
    /// A page of the rights without a ground. Fails with 400 for a cursor that does not belong to the question.
    pub async fn rights_report(&self, ctx: &Ctx, asked: &Rights) -> Result<Page, Error> {
        let key = self.seal_key(ctx, PURPOSE).await?;
        let epoch = self.epoch(ctx).await?;
        let kind = asked.kind.map_or("", Lack::as_str);
        let binding = Binding::new(ctx, ["Reports/rights", kind, asked.target.as_deref().unwrap_or_default()]);
        let after = match &asked.cursor {
            None => None,
            Some(text) => {
                let now = (ctx.now, epoch, self.limits.cursor_seconds);
                match Cursor::open(text, &key, &binding, asked.count, now)?.from {
                    Cut::After(place) => Some(place.id),
                    _ => None,
                }
            }
        };
        let count = asked.count.unwrap_or(self.limits.page_default).min(self.limits.page_max);
        let definition = self.registry_of(ctx.tenant).definition(USER).cloned();
        let definition = definition.ok_or_else(|| scim::Error::not_found(USER, "rights"))?;
        let (caller, asked_for) = (ctx.clone(), asked.clone());
        let read = move |reader: &mut Reader| {
            let walk = Walk::new(&caller, reader, definition, asked_for)?;
            walk.go(after, usize::try_from(count).unwrap_or(usize::MAX))
        };
        let (rights, rest) = self.store.read_for(ctx.tenant, move |reader| reader.snapshot(read)).await?;
        self.remember_released(ctx, "rights").await?;
        let seal = |id: ResourceId| {
            let from = Cut::After(Place { key: None, id });
            let cursor = Cursor { issued_at: ctx.now, epoch, count: asked.count, backwards: false, part: 0, from };
            cursor.seal(&key, &binding, &ctx.random)
        };
        Ok(Page { rights, next: rest.map(seal).transpose()? })
    }
}

/// What of a user is to be listed, before it is known who sees it.
struct Found {
    user: ResourceId,
    target: ResourceId,
    kind: Lack,
    since: Option<i64>,
    until: Option<i64>,
    /// Number of the change that made it.
    change: Option<i64>,
    cause: Option<String>,
}

/// Goes through the Users of a tenant.
struct Walk<'r> {
    ctx: Ctx,
    tenant: TenantId,
    reader: &'r mut Reader,
    definition: Arc<Definition>,
    asked: Rights,
    /// Ids of entitlements, by their values in lower case.
    entitlements: HashMap<String, ResourceId>,
    /// Type and name of targets and clients; `None`: it is gone.
    known: HashMap<ResourceId, Option<(String, String)>>,
}

impl<'r> Walk<'r> {
    fn new(ctx: &Ctx, reader: &'r mut Reader, definition: Arc<Definition>, asked: Rights) -> Result<Self, Error> {
        let tenant = ctx.tenant;
        let mut entitlements = HashMap::new();
        for record in reader.records_of(tenant, ENTITLEMENT)? {
            if let Some(value) = document_of(&record)?.get("value").and_then(Value::as_str) {
                entitlements.insert(value.to_lowercase(), record.id);
            }
        }
        Ok(Walk { ctx: ctx.clone(), tenant, reader, definition, asked, entitlements, known: HashMap::new() })
    }

    /// The next rights after a user, and after which one to go on; `None`: there is no more.
    fn go(mut self, mut after: Option<ResourceId>, most: usize) -> Result<(Vec<Right>, Option<ResourceId>), Error> {
        let mut rights: Vec<Right> = Vec::new();
        let mut looked = 0;
        loop {
            let users = self.reader.records_after(self.tenant, USER, after, SLICE)?;
            let is_last = i64::try_from(users.len()) != Ok(SLICE);
            looked += users.len();
            let found = self.without_ground(&users)?;
            let mut told = self.tell(&users, found)?.into_iter().peekable();
            for user in &users {
                let of_user: Vec<Right> =
                    std::iter::from_fn(|| told.next_if(|right| right.user.0 == user.id)).collect();
                if !rights.is_empty() && rights.len() + of_user.len() > most {
                    return Ok((rights, after));
                }
                rights.extend(of_user);
                after = Some(user.id);
            }
            match is_last {
                true => return Ok((rights, None)),
                false if rights.len() >= most || looked >= BUDGET => return Ok((rights, after)),
                false => {}
            }
        }
    }

    /// What these users have without a ground, in the order of users and targets.
    fn without_ground(&mut self, users: &[Record]) -> Result<Vec<Found>, Error> {
        let ids: Vec<ResourceId> = users.iter().map(|user| user.id).collect();
        let mut grants: HashMap<ResourceId, Vec<Grant>> = HashMap::new();
        for grant in self.reader.grants_of_all(self.tenant, &ids)? {
            grants.entry(grant.key.user).or_default().push(grant);
        }
        let mut holdings: HashMap<ResourceId, Vec<Holding>> = HashMap::new();
        for holding in self.reader.holdings(self.tenant, &ids)? {
            holdings.entry(holding.member).or_default().push(holding);
        }
        let mut all = Vec::new();
        for user in users {
            let grants = grants.remove(&user.id).unwrap_or_default();
            let groups = holdings.remove(&user.id).unwrap_or_default();
            let groups = groups.into_iter().map(|holding| (holding.group, Some(holding.since)));
            let entitlements = self.entitlements_of(user)?.into_iter().map(|id| (id, None));
            let mut found: Vec<Found> = Vec::new();
            for (target, change) in groups.chain(entitlements) {
                found.extend(lacks(user.id, target, change, &grants));
            }
            found.extend(grants.iter().filter_map(|grant| late(grant, self.ctx.now)));
            found.retain(|one| self.asked.kind.map_or(one.kind != Lack::Source, |kind| kind == one.kind));
            found.sort_by_key(|one| (one.target, one.since));
            all.extend(found);
        }
        Ok(all)
    }

    /// The entitlements that a user's document names, as far as they are resources.
    fn entitlements_of(&self, user: &Record) -> Result<BTreeSet<ResourceId>, Error> {
        // The text is looked through before it is read.
        if self.entitlements.is_empty() || !user.doc.contains("\"entitlements\"") {
            return Ok(BTreeSet::new());
        }
        let document = document_of(user)?;
        let elements = document.get("entitlements").and_then(Value::as_array).into_iter().flatten();
        let values = elements.filter_map(|element| element.get("value")?.as_str());
        Ok(values.filter_map(|value| self.entitlements.get(&value.to_lowercase()).copied()).collect())
    }

    /// Those that the caller sees, in words.
    fn tell(&mut self, users: &[Record], found: Vec<Found>) -> Result<Vec<Right>, Error> {
        let changes: BTreeSet<i64> = found.iter().filter_map(|one| one.change).collect();
        let changes = self.reader.headers(self.tenant, &changes.into_iter().collect::<Vec<_>>())?;
        let actors = changes.values().map(|change| change.actor);
        let ids: BTreeSet<ResourceId> = found.iter().map(|one| one.target).chain(actors).collect();
        self.learn(ids)?;
        let people: BTreeSet<ResourceId> = found.iter().flat_map(|one| [one.user, one.target]).collect();
        let seen =
            self.ctx.look(&mut Reading(&mut *self.reader, self.tenant), &people.into_iter().collect::<Vec<_>>())?;
        let names: HashMap<ResourceId, &Record> = users.iter().map(|user| (user.id, user)).collect();
        let is_whole = self.ctx.view(&self.definition).is_whole();
        let mut rights = Vec::with_capacity(found.len());
        for one in found {
            let Some(record) = names.get(&one.user) else { continue };
            let Some(Some((kind, name))) = self.known.get(&one.target).cloned() else { continue };
            let (Some(user), Some(name)) = (seen.label(one.user, record.label.clone()), seen.label(one.target, name))
            else {
                continue;
            };
            let is_asked =
                |target: &String| target.to_lowercase() == name.to_lowercase() || target.parse() == Ok(one.target);
            if !self.asked.target.as_ref().is_none_or(is_asked) {
                continue;
            }
            self.ctx.note_released(&self.definition, record)?;
            let change = one.change.and_then(|number| changes.get(&number));
            let by = change.filter(|_| is_whole).map(|change| self.actor(change));
            rights.push(Right {
                user: (one.user, user),
                target: (kind, one.target, name),
                kind: one.kind,
                since: one.since.or(change.map(|change| change.at)),
                until: one.until,
                by,
                cause: one.cause.or(change.map(|change| change.cause.clone())),
            });
        }
        Ok(rights)
    }

    fn actor(&self, change: &Change) -> String {
        match self.known.get(&change.actor) {
            Some(Some((_, name))) => name.clone(),
            _ if change.actor == ResourceId::SYSTEM => change.cause.clone(),
            _ => change.actor.to_string(),
        }
    }

    /// Remembers types and names of resources, each asked for once.
    fn learn(&mut self, ids: BTreeSet<ResourceId>) -> Result<(), Error> {
        let new: Vec<ResourceId> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        self.known.extend(new.iter().map(|id| (*id, None)));
        for (id, named) in self.reader.named(self.tenant, &new)? {
            self.known.insert(id, Some(named));
        }
        Ok(())
    }
}

/// What a right lacks that is held; `None`: a rule gives it, or somebody did with a reason.
fn lacks(user: ResourceId, target: ResourceId, change: Option<i64>, grants: &[Grant]) -> Option<Found> {
    let living = || grants.iter().filter(|grant| grant.key.target == target && grant.until.is_none());
    let of = |kind: &str| living().find(|grant| grant.key.ground_kind == kind);
    if of("rule").is_some() || living().any(|grant| grant.key.ground_kind == "hand" && !grant.key.ground_id.is_empty())
    {
        return None;
    }
    let (kind, grant) = match (of("source"), of("inherited"), of("hand")) {
        (Some(grant), _, _) => (Lack::Source, Some(grant)),
        (_, Some(grant), _) => (Lack::Inherited, Some(grant)),
        (_, _, grant) => (Lack::Hand, grant),
    };
    let cause = grant.filter(|_| kind == Lack::Inherited).map(|grant| grant.key.ground_id.clone());
    // The change says when somebody put it there; a row, since when it is known.
    let since = grant.map(|grant| grant.key.since).filter(|_| change.is_none() || kind != Lack::Hand);
    Some(Found { user, target, kind, since, until: None, change, cause })
}

/// A right that was held on, or is, though the dates behind it had not spoken for it any more: HR was late.
fn late(grant: &Grant, now: i64) -> Option<Found> {
    let (user, target) = (grant.key.user, grant.key.target);
    let without = grant.ground_until?.max(grant.key.since);
    let is_late = grant.key.ground_kind == "rule" && grant.until.unwrap_or(now) - without >= LATE;
    let cause = Some("rule".to_owned());
    is_late.then_some(Found {
        user,
        target,
        kind: Lack::Late,
        since: Some(without),
        until: grant.until,
        change: None,
        cause,
    })
}
