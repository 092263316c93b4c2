//! The book: a tenant's policies, rules and what they go by, read and checked once and kept until one of them changes. Under
//! the lock it is the book as the operations before this one of the same batch have left it.

use std::sync::Arc;

use provisioning::calendar::Calendar;
use provisioning::choice::Cloud;
use provisioning::guard::Guard;
use provisioning::person::USER;
use provisioning::policy::Policy;
use provisioning::rules::Rule;
use provisioning::sources::{Authority, Site};
use provisioning::units::Units;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{ResourceId, Work};

use super::super::licences::{self, Pools};
use super::super::views::Leaving;
use super::super::{Error, authorities, rules};
use super::{AUTHORITY, POLICY, people};

/// A tenant's policies and rules, ready to be asked.
#[derive(Debug, Default)]
pub(in crate::directory) struct Book {
    /// The active rules, by name.
    rules: Vec<Arc<Rule>>,
    /// In the order in which they are asked.
    policies: Vec<Policy>,
    /// The organisation's units.
    units: Units,
    /// What is agreed on of limited entitlements.
    pools: Pools,
    /// What the first policy that guards lets pass.
    guard: Option<Guard>,
    /// Whose word counts for which values, by name; of sources those that there are.
    authorities: Vec<Authority>,
    /// The clouds that get one account of a person: of those with one name that of the first policy counts.
    clouds: Vec<(Cloud, Calendar)>,
    /// The views that show users who have left them for some days, by id.
    leavings: Vec<Leaving>,
}

impl Book {
    /// The book as this write finds it.
    pub(in crate::directory) fn of(work: &mut Work<'_>) -> Result<Arc<Book>, Error> {
        if let Some(book) = work.book().and_then(|book| book.downcast::<Book>().ok()) {
            return Ok(book);
        }
        let book = Arc::new(Book::read(work)?);
        work.keep_book(book.clone());
        Ok(book)
    }

    /// The active rules, by name.
    pub(in crate::directory) fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The policy that covers an account, by its document.
    pub(in crate::directory) fn policy_of(&self, document: &Map<String, Value>) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.covers(document))
    }

    /// All policies, in the order in which they are asked.
    pub(in crate::directory) fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The places of a resource type that several sources may speak of.
    pub(in crate::directory) fn sites<'b>(&'b self, kind: &'b str) -> impl Iterator<Item = (&'b Authority, &'b Site)> {
        let of = self.authorities.iter().filter(move |authority| authority.kind == kind);
        of.flat_map(|authority| authority.sites.iter().map(move |site| (authority, site)))
    }

    /// The organisation's units.
    pub(in crate::directory) fn units(&self) -> &Units {
        &self.units
    }

    /// The views that show users who have left them for some days, by id.
    pub(in crate::directory) fn leavings(&self) -> &[Leaving] {
        &self.leavings
    }

    /// What is agreed on of limited entitlements.
    pub(in crate::directory) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The clouds that get one account of a person, and the days that they go by.
    pub(super) fn clouds(&self) -> &[(Cloud, Calendar)] {
        &self.clouds
    }

    /// What may be done within a day, if a policy says so.
    pub(in crate::directory) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The days that an account lives by: those of the policy that covers it, else of the first policy.
    pub(in crate::directory) fn calendar_of(&self, document: &Map<String, Value>) -> Calendar {
        let policy = self.policy_of(document).or(self.policies.first());
        policy.map_or_else(Calendar::default, |policy| policy.terms.calendar.clone())
    }

    fn read(work: &mut Work<'_>) -> Result<Book, Error> {
        let registry = work.catalog().registry().clone();
        let Some(user) = registry.definition(USER) else { return Ok(Book::default()) };
        let mut policies = Vec::new();
        for record in work.records_of(POLICY)? {
            // One that the schemas of today do not fit covers nobody.
            match Policy::read(&document_of(&record)?, user) {
                Ok(policy) => policies.push(policy),
                Err(error) => {
                    let (policy, error) = (record.id.to_string(), error.detail.to_string());
                    tracing::warn!(policy, error, "a policy that does not fit the schemas any more covers nobody");
                }
            }
        }
        Policy::sort(&mut policies);
        let (pools, guard) = (licences::pools(work)?, policies.iter().find_map(|policy| policy.guard.clone()));
        let mut authorities = Vec::new();
        if work.count(AUTHORITY) > 0 {
            for (_, mut authority) in authorities::all(work)? {
                let mut sources = Vec::new();
                for source in authority.sources {
                    if let Ok(id) = source.parse::<ResourceId>()
                        && work.record(id)?.is_some()
                    {
                        sources.push(source);
                    }
                }
                authority.sources = sources;
                authorities.push(authority);
            }
        }
        let (units, leavings) = (people::units(work)?, Leaving::all(work)?);
        let mut clouds: Vec<(Cloud, Calendar)> = Vec::new();
        for policy in &policies {
            for cloud in &policy.clouds {
                if clouds.iter().all(|(known, _)| !known.name.eq_ignore_ascii_case(&cloud.name)) {
                    clouds.push((cloud.clone(), policy.terms.calendar.clone()));
                }
            }
        }
        Ok(Book { rules: rules::read_active(work)?, policies, units, pools, guard, authorities, clouds, leavings })
    }
}
