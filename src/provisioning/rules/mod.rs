//! Rules: who gets what, from when until when, and what it may not be combined with. A rule's filter is a SCIM filter over
//! User; what it gives follows from every employment that fits, each a ground of its own. Nothing here knows the store or
//! the clock: documents and the day come in, what shall be held and why comes out.
//!
//! [`Rule::read`] makes a document of `/Rules` into a rule, or says what is wrong with it; [`Case`] is one User on one day;
//! [`Rule::grounds`] says on which grounds the rule gives; [`weigh`] decides between grounds that stand against each other;
//! [`plan`] compares with what is held; [`why_not`] says which clause failed on which fact. [`table`] is rules whose rows say
//! what each unit, title and task gets.

mod case;
mod clause;
mod explain;
mod facts;
mod plan;
mod read;
pub mod table;
mod weigh;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::civil::Date;
use scim::filter::{Checked, Filter};
use scim::schema::Definition;
use scim::template::Template;
use serde_json::{Map, Value};

pub use case::{Case, Ground, Kind, When};
pub use clause::filter;
pub use explain::{why_no_row, why_not};
pub use plan::{Held, Plan, State, plan};
use read::{days, exceptions, family, grants, group, is_made, same_slot, texts, wrong};
pub use weigh::{
    Account, Claim, Judged, Other, Others, Standing, asks_for_others, claims, told_others, weigh, weigh_alone,
};

/// Longest time that a right made by hand lasts, in days.
pub const HAND_DAYS: i64 = 366;

/// How far a rule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Written down and tried out; gives nothing.
    Proposed,
    /// Gives.
    Active,
    /// Gives nothing any more.
    Deprecated,
}

impl Stage {
    /// The stage of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "proposed" => Some(Stage::Proposed),
            "active" => Some(Stage::Active),
            "deprecated" => Some(Stage::Deprecated),
            _ => None,
        }
    }

    /// The name in the rule's schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Proposed => "proposed",
            Stage::Active => "active",
            Stage::Deprecated => "deprecated",
        }
    }
}

/// What kind of thing a rule gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Membership of a group.
    Group,
    /// An entitlement, which may be a licence.
    Entitlement,
}

impl Sort {
    /// The resource type.
    pub fn as_str(self) -> &'static str {
        match self {
            Sort::Group => "Group",
            Sort::Entitlement => "Entitlement",
        }
    }
}

/// By what a group is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Its id.
    Id,
    /// The `externalId` it has in a provisioning domain.
    ExternalId,
    /// Its `displayName`; for an entitlement its `value`.
    Name,
}

/// One thing that a rule gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Gives {
    /// What kind of thing.
    pub sort: Sort,
    /// By what it is named.
    pub by: By,
    /// Whose `externalId`: id of a provisioning domain.
    pub domain: Option<String>,
    /// The name, or a template of one.
    pub value: String,
    /// The template, if it is one.
    pub template: Option<Template>,
    /// Whether a group that is missing is made; it is only reported otherwise.
    pub is_made: bool,
    /// Of what bears this name somebody has one alone: that of the rule with the highest priority.
    pub slot: Option<String>,
}

impl Gives {
    /// Whether the name depends on the ground.
    pub fn is_template(&self) -> bool {
        self.template.is_some()
    }

    /// The name that is meant on a ground. `unit` says of a key what a template may ask of a unit. Fails with why there is
    /// none: a unit that is not known, a value that is not there.
    pub fn name(
        &self,
        user: &Map<String, Value>,
        ground: &Ground,
        unit: impl FnOnce(&str) -> Result<Value, String>,
    ) -> Result<String, String> {
        let Some(template) = &self.template else { return Ok(self.value.clone()) };
        let element = ground.element.as_deref();
        let is_enrolment = element.is_some_and(|element| element.get("enrolmentId").is_some());
        let unit = match element.and_then(|element| element.get("unit")?.as_str()) {
            Some(key) if template.names().contains("unit") => Some(unit(key)?),
            _ => None,
        };
        let given = template.render(|name| match name {
            "unit" => unit.as_ref().map(Cow::Borrowed),
            "employment" => element.filter(|_| !is_enrolment).map(Cow::Borrowed),
            "enrolment" => element.filter(|_| is_enrolment).map(Cow::Borrowed),
            "user" => Some(Cow::Owned(Value::Object(user.clone()))),
            _ => None,
        });
        match given {
            Ok(name) if !name.trim().is_empty() => Ok(name),
            Ok(_) => Err(format!("{} gives no name here", self.value)),
            Err(error) => Err(format!("{}: {error}", self.value)),
        }
    }
}

/// What was said of one User by hand, beside the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The User's id.
    pub user: String,
    /// Why.
    pub reason: String,
    /// Its last day; `None`: for good, which only an exclusion may be.
    pub until: Option<Date>,
    /// Who said so: a client's id.
    pub by: Option<String>,
    /// When (µs since 1970).
    pub at: Option<i64>,
}

impl Exception {
    /// Whether it still counts on a day.
    pub fn counts(&self, day: Date) -> bool {
        self.until.is_none_or(|until| day <= until)
    }
}

/// A rule as it is written.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Version of its document.
    pub version: i64,
    /// How far it has come.
    pub stage: Stage,
    /// Whether it is about the human being: all accounts of the same person count together.
    pub is_of_person: bool,
    /// For whom it is.
    pub filter: Filter<Checked>,
    /// Canonical paths of what the filter asks about.
    asks: BTreeSet<String>,
    /// What it gives; nothing where it is a table.
    pub grants: Vec<Gives>,
    /// Who gets what, row by row.
    pub table: Vec<table::Row>,
    /// How many days before the ground it begins.
    pub before: i64,
    /// How many days after the ground it stays.
    pub after: i64,
    /// The family in which only the highest rank gives, and its rank there.
    pub family: Option<(String, i64)>,
    /// Names or ids of the rules that one person must not have at the same time.
    pub not_with: Vec<String>,
    /// Whether a conflict costs both rights, and not the newer one alone.
    pub denies_both: bool,
    /// What goes first; more is earlier.
    pub priority: i64,
    /// Whether a second person has to activate it. No right of it is made by hand, and none holds during a leave.
    pub is_restricted: bool,
    /// Users who have it without fitting.
    pub include: Vec<Exception>,
    /// Users who do not have it though they fit.
    pub exclude: Vec<Exception>,
}

impl Rule {
    /// Reads a document of `/Rules` against the tenant's User. Errors are 400 invalidValue and name the attribute.
    pub fn read(id: &str, version: i64, document: &Map<String, Value>, user: &Definition) -> Result<Self, scim::Error> {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let stage = text("lifecycle").unwrap_or(Stage::Proposed.as_str());
        let stage = Stage::parse(stage).ok_or_else(|| wrong("lifecycle", "must be proposed, active or deprecated"))?;
        let is_of_person = match text("scope") {
            None | Some("user") => false,
            Some("person") => true,
            Some(_) => return Err(wrong("scope", "must be user or person")),
        };
        let denies_both = match text("onConflict") {
            None | Some("keepOlder") => false,
            Some("denyBoth") => true,
            Some(_) => return Err(wrong("onConflict", "must be keepOlder or denyBoth")),
        };
        let written = text("filter").ok_or_else(|| wrong("filter", "is missing"))?;
        let filter = filter(written, user).map_err(|error| wrong("filter", &error.detail))?;
        let asks = filter.attributes();
        if let Some(secret) = user.secrets().iter().find(|secret| asks.contains(secret.path.as_str())) {
            return Err(wrong("filter", &format!("{} is secret, and no rule can go by it", secret.path)));
        }
        let rule = Rule {
            id: id.to_owned(),
            name: text("name").unwrap_or_default().to_owned(),
            version,
            stage,
            is_of_person,
            asks: asks.into_iter().map(str::to_owned).collect(),
            filter,
            grants: grants(document)?,
            table: table::rows(document, is_made(document)?)?,
            before: days(document, "before")?,
            after: days(document, "after")?,
            family: family(document)?,
            not_with: texts(document, "notWith"),
            denies_both,
            priority: document.get("priority").and_then(Value::as_i64).unwrap_or_default(),
            is_restricted: document.get("restricted") == Some(&Value::Bool(true)),
            include: exceptions(document, "include")?,
            exclude: exceptions(document, "exclude")?,
        };
        rule.check_table()?;
        rule.check_exceptions()?;
        match rule.not_with.iter().any(|other| rule.is_called(other)) {
            true => Err(wrong("notWith", "names the rule itself")),
            false => Ok(rule),
        }
    }

    /// Whether that is its name or id.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || (!self.name.is_empty() && self.name.eq_ignore_ascii_case(name))
    }

    /// Whether one of the two must not be combined with the other.
    pub fn excludes(&self, other: &Rule) -> bool {
        self.not_with.iter().any(|name| other.is_called(name)) || other.not_with.iter().any(|name| self.is_called(name))
    }

    /// What was said by hand of a User that still counts on a day.
    pub fn exception<'r>(&self, list: &'r [Exception], user: &str, day: Date) -> Option<&'r Exception> {
        list.iter().find(|exception| exception.user == user && exception.counts(day))
    }

    /// All that it may give, to whomever.
    pub fn gives(&self) -> impl Iterator<Item = &Gives> {
        self.grants.iter().chain(self.table.iter().flat_map(|row| &row.gives))
    }

    /// What it gives on a ground.
    pub fn gives_on(&self, ground: &Ground) -> &[Gives] {
        match ground.row {
            Some(row) => self.table.get(row).map(|row| row.gives.as_slice()).unwrap_or_default(),
            None => &self.grants,
        }
    }

    fn check_table(&self) -> Result<(), scim::Error> {
        match (self.grants.is_empty(), self.table.is_empty()) {
            (true, true) => Err(wrong("grants", "is missing: a rule that gives nothing does nothing")),
            (false, false) => Err(wrong("grants", "must be empty: the rows of the table say what the rule gives")),
            (true, false) if !self.include.is_empty() => {
                Err(wrong("include", "must be empty: who has which row of a table is said by the row"))
            }
            _ => Ok(()),
        }
    }

    fn check_exceptions(&self) -> Result<(), scim::Error> {
        if self.is_restricted && !self.include.is_empty() {
            return Err(wrong("include", "must be empty: no right of a restricted rule is made by hand"));
        }
        if let Some(one) = self.include.iter().find(|one| one.until.is_none()) {
            return Err(wrong(
                "include",
                &format!("{} has no until, and no right that is made by hand is for good", one.user),
            ));
        }
        let both = self.include.iter().find(|one| self.exclude.iter().any(|other| other.user == one.user));
        match both {
            Some(one) => Err(wrong("include", &format!("{} is among exclude too", one.user))),
            None => Ok(()),
        }
    }
}

/// What two active rules cannot both say. `other` is active already. Errors are 400 invalidValue.
pub fn check_together(rule: &Rule, other: &Rule) -> Result<(), scim::Error> {
    if rule.id == other.id || other.stage != Stage::Active {
        return Ok(());
    }
    if let (Some((family, rank)), Some((theirs, as_high))) = (&rule.family, &other.family)
        && family.eq_ignore_ascii_case(theirs)
        && rank == as_high
    {
        let detail = format!(
            "is {rank} in the family {family}, and so is that of the rule {}; one of them has to go before",
            other.name
        );
        return Err(wrong("rank", &detail));
    }
    let shared = rule.grants.iter().find_map(|one| other.grants.iter().find_map(|theirs| same_slot(one, theirs)));
    match shared.filter(|_| rule.priority == other.priority) {
        Some(slot) => {
            let (priority, name) = (rule.priority, &other.name);
            let detail = format!(
                "is {priority}, and so is that of the rule {name}, which gives {slot} too; of two, somebody could have only one"
            );
            Err(wrong("priority", &detail))
        }
        None => Ok(()),
    }
}
