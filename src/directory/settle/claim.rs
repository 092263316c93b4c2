//! Whose number it is, and whose address. Within an account domain an identity number is one account's, and an employee number one account's of
//! those from the same source; accounts that are over hold theirs until somebody else needs it. Asked under the lock before
//! an account is written, so that of two that come at once one is told. Who is refused learns the path and nothing else.
//! Where a policy covers the account, an address is one human being's, as the user name or among the addresses of an account.

use std::collections::BTreeSet;

use provisioning::names::employee_number;
use provisioning::person::{NUMBER, URN, USER};
use serde_json::{Map, Value};
use store::secret::Secrets;
use store::work::document_of;
use store::{Record, ResourceId, Tombstone, Work};

use super::super::secret::{Marks, PERSONAL, Sealer};
use super::super::work_items::{self, Item, Kind};
use super::super::{Ctx, Error, persons};
use super::depart::{ADDRESSES, ENTERPRISE, buried_form};
use super::{Book, standing};

/// Where it is kept whose names an account may have again: the id of who had the number and was purged.
const FORMER: &str = "former";
/// Accounts with one number that are looked at.
const MANY: i64 = 100;

/// An account as it is stored, and its document.
pub(super) type Holder = (Record, Map<String, Value>);

/// Who has or had the number of an account that is about to be written.
#[derive(Debug, Default)]
pub(in crate::directory) struct Sharing {
    /// Other accounts of the same domain that have it, or had it until they got a real one.
    pub(super) holders: Vec<Holder>,
    /// Who had it and was purged.
    former: Option<ResourceId>,
}

/// An account that is about to be written.
pub(in crate::directory) struct Claim<'c> {
    /// Its type.
    pub(in crate::directory) kind: &'c str,
    pub(in crate::directory) id: ResourceId,
    /// As it is stored; `None`: it is created.
    pub(in crate::directory) before: Option<&'c Map<String, Value>>,
    /// What lies sealed beside that.
    pub(in crate::directory) secrets: &'c Secrets,
    /// Who seals it.
    pub(in crate::directory) sealer: Option<&'c Sealer>,
    /// The domain whose source brings a key of its own for it.
    pub(in crate::directory) domain: Option<ResourceId>,
}

fn number(document: &Map<String, Value>) -> Option<&str> {
    document.get(URN)?.get(NUMBER)?.as_str()
}

fn account_domain(document: &Map<String, Value>) -> Option<&str> {
    document.get(URN)?.get("accountDomain")?.as_str()
}

/// Whether a resource of a kind has numbers that are asked about.
fn concerns(kind: &str, work: &Work<'_>) -> bool {
    kind == USER && work.catalog().registry().definition(USER).is_some_and(|user| user.extension(URN).is_some())
}

impl Claim<'_> {
    /// What stands for the number of the document that shall be, as far as it is another one or the account was over.
    pub(in crate::directory) fn marks(
        &self,
        work: &mut Work<'_>,
        after: &Map<String, Value>,
    ) -> Result<Option<Marks>, Error> {
        let now = work.now();
        let is_same =
            self.before.is_some_and(|before| number(before) == number(after) && standing::keeps_numbers(before, now));
        match self.sealer.filter(|_| self.kind == USER && !is_same) {
            Some(sealer) => sealer.marks(work, self.id, after, self.secrets),
            None => Ok(None),
        }
    }

    /// Who else has or had the number of the document that shall be, by what stands for it. A school's temporary one is nobody's.
    pub(in crate::directory) fn sharing(
        &self,
        work: &mut Work<'_>,
        after: &Map<String, Value>,
        marks: Option<&Marks>,
    ) -> Result<Sharing, Error> {
        let Some(marks) = marks.filter(|marks| marks.is_hard) else { return Ok(Sharing::default()) };
        let mut sharing = Sharing::default();
        let mut ids = having_number(work, &marks.tokens)?;
        for stone in &marks.stones {
            let Some(left) = work.tombstone(PERSONAL, stone)? else { continue };
            match work.record(left.resource)? {
                Some(_) => drop(ids.insert(left.resource)),
                None => sharing.former = Some(left.resource),
            }
        }
        for id in ids.into_iter().filter(|id| *id != self.id) {
            let Some(record) = work.record(id)?.filter(|record| record.kind == USER) else { continue };
            let document = document_of(&record)?;
            if account_domain(&document) == account_domain(after) {
                sharing.holders.push((record, document));
            }
        }
        Ok(sharing)
    }

    /// Sees to it that the numbers of the document that shall be are nobody else's. Answers which accounts that are over have
    /// them too, for somebody to look at. Fails with [`store::Error::Taken`] with the path.
    pub(in crate::directory) fn check(
        &self,
        work: &mut Work<'_>,
        after: &Map<String, Value>,
        sharing: &Sharing,
    ) -> Result<Vec<ResourceId>, Error> {
        if !concerns(self.kind, work) {
            return Ok(Vec::new());
        }
        let now = work.now();
        let keeps = |document: &Map<String, Value>| standing::keeps_numbers(document, now);
        let is_opened = self.before.is_none_or(|before| !keeps(before) && keeps(after));
        let mut over = Vec::new();
        let is_new = self.before.is_none_or(|before| number(before) != number(after));
        for (record, document) in sharing.holders.iter().filter(|_| is_new || is_opened) {
            match keeps(document) {
                true => return Err(store::Error::Taken { path: format!("{URN}:{NUMBER}") }.into()),
                false => over.push(record.id),
            }
        }
        let wanted = employee_number(after);
        let is_new = self.before.is_none_or(|before| employee_number(before) != wanted);
        if !wanted.is_empty() && (is_new || is_opened) && self.is_employed_twice(work, after, wanted)? {
            return Err(store::Error::Taken { path: format!("{ENTERPRISE}:employeeNumber") }.into());
        }
        Ok(over)
    }

    /// Whether an account that is not over, of the same domain and from one of the same sources, has an employee number.
    fn is_employed_twice(
        &self,
        work: &mut Work<'_>,
        after: &Map<String, Value>,
        wanted: String,
    ) -> Result<bool, Error> {
        let path = format!("{ENTERPRISE}:employeeNumber");
        // Without an index nobody is asked: the number says less than a person's own.
        let there = work.having(USER, &path, &[wanted], None, MANY)?.unwrap_or_default();
        let mut own: Option<(BTreeSet<ResourceId>, BTreeSet<ResourceId>)> = None;
        for id in there.into_iter().filter(|id| *id != self.id) {
            let Some(record) = work.record(id)? else { continue };
            let document = document_of(&record)?;
            let keeps = standing::keeps_numbers(&document, work.now());
            if account_domain(&document) != account_domain(after) || !keeps {
                continue;
            }
            let (clients, domains) = match &mut own {
                Some(own) => own,
                none => {
                    let mut domains = work.domains_of(self.id)?;
                    domains.extend(self.domain);
                    none.insert((standing::holders(after), domains))
                }
            };
            if !standing::holders(&document).is_disjoint(clients) || !work.domains_of(id)?.is_disjoint(domains) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes whose names the account may have: who had this number and was purged.
    pub(in crate::directory) fn recall(&self, work: &mut Work<'_>, sharing: &Sharing) -> Result<(), Error> {
        if self.before.is_none() && sharing.former.is_none() {
            return Ok(());
        }
        let key = self.id.to_string();
        let known = work.tombstone(FORMER, &key)?.map(|known| known.resource);
        // A number that was wrong gives nobody another one's names.
        let shall = sharing.former.or(known.map(|_| self.id));
        if let Some(resource) = shall.filter(|_| shall != known) {
            let at = work.now();
            work.bury(FORMER, &key, Tombstone { resource, at, until: None });
        }
        Ok(())
    }

    /// Who else has or had the number, where it is another one or the account was over; notes whose names it may have.
    pub(in crate::directory) fn look(&self, work: &mut Work<'_>, after: &Map<String, Value>) -> Result<Sharing, Error> {
        let marks = self.marks(work, after)?;
        let sharing = self.sharing(work, after, marks.as_ref())?;
        if marks.is_some_and(|marks| marks.is_hard) {
            self.recall(work, &sharing)?;
        }
        Ok(sharing)
    }
}

/// Who had the number of an account and was purged, if the account is that one's.
pub(super) fn former(work: &mut Work<'_>, id: ResourceId) -> Result<Option<ResourceId>, Error> {
    let known = work.tombstone(FORMER, &id.to_string())?;
    Ok(known.map(|known| known.resource).filter(|former| *former != id))
}

/// Accounts that have a number now, by what stands for it.
pub(in crate::directory) fn having_number(
    work: &mut Work<'_>,
    tokens: &[String],
) -> Result<BTreeSet<ResourceId>, Error> {
    if tokens.is_empty() {
        return Ok(BTreeSet::new());
    }
    if let Some(there) = work.having(USER, &format!("{URN}:{NUMBER}"), tokens, None, MANY)? {
        return Ok(there.into_iter().collect());
    }
    // Not indexed yet: everybody is looked at.
    let mut there = BTreeSet::new();
    for record in work.records_of(USER)? {
        if number(&document_of(&record)?).is_some_and(|number| tokens.iter().any(|token| token == number)) {
            there.insert(record.id);
        }
    }
    Ok(there)
}

/// The addresses of a document that the organisation answers for: not those that people have at home.
fn addresses(document: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
    let is_private = |email: &&Value| {
        let kind = email.get("type").and_then(Value::as_str).unwrap_or_default();
        kind.eq_ignore_ascii_case("home") && email.get("primary") != Some(&Value::Bool(true))
    };
    emails.filter(move |email| !is_private(email)).filter_map(|email| email.get("value")?.as_str())
}

/// The same as they are compared.
fn compared(document: &Map<String, Value>) -> BTreeSet<String> {
    addresses(document).map(|address| buried_form(ADDRESSES, address)).collect()
}

fn login(document: &Map<String, Value>) -> Option<&str> {
    document.get("userName")?.as_str()
}

/// Users with an address, as the primary one or as any other.
pub(super) fn having_address(work: &mut Work<'_>, address: &str) -> Result<Vec<ResourceId>, Error> {
    if let Some(there) = work.having(USER, "emails.value", &[address.to_owned()], None, MANY)? {
        return Ok(there);
    }
    // Not indexed any more: everybody is looked at.
    let form = buried_form(ADDRESSES, address);
    let mut there = Vec::new();
    for record in work.records_of(USER)? {
        let document = document_of(&record)?;
        let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
        let mut values = emails.filter_map(|email| email.get("value")?.as_str());
        if values.any(|value| buried_form(ADDRESSES, value) == form) {
            there.push(record.id);
        }
    }
    Ok(there)
}

/// Sees to it that the addresses of an account that is about to be written, as far as they are new, are no other human
/// being's, where a policy covers it. What was double before stays. Fails with [`store::Error::Taken`] with the path.
pub(in crate::directory) fn claim_addresses(
    work: &mut Work<'_>,
    (kind, id): (&str, ResourceId),
    before: Option<&Map<String, Value>>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    let is_same = |before: &Map<String, Value>| login(before) == login(after) && addresses(before).eq(addresses(after));
    if kind != USER || before.is_some_and(is_same) || Book::of(work)?.policy_of(after).is_none() {
        return Ok(());
    }
    let known = before.map(compared).unwrap_or_default();
    let new: Vec<String> = compared(after).into_iter().filter(|address| !known.contains(address)).collect();
    let name = login(after).filter(|name| name.contains('@') && before.and_then(login) != Some(name));
    let person = persons::person_of(after);
    let wanted = new.iter().map(|address| (address.as_str(), "emails.value"));
    for (address, path) in wanted.chain(name.map(|name| (name, "userName"))) {
        let mut holders = having_address(work, address)?;
        if path == "emails.value" {
            let named = Map::from_iter([("userName".to_owned(), address.into())]);
            holders.extend(work.holder_of(USER, &named)?);
        }
        for holder in holders.into_iter().filter(|holder| *holder != id) {
            let Some(document) = work.document_of(holder)? else { continue };
            let form = buried_form(ADDRESSES, address);
            let is_private = !compared(&document).contains(&form)
                && login(&document).is_none_or(|name| buried_form(ADDRESSES, name) != form);
            // Accounts of one human being may lead to one mailbox.
            if !is_private && (person.is_none() || persons::person_of(&document) != person) {
                return Err(store::Error::Taken { path: path.to_owned() }.into());
            }
        }
    }
    Ok(())
}

/// Has somebody look at an account that may be the same human being's as others that are over. Once it is written.
pub(in crate::directory) fn review(
    ctx: &Ctx,
    work: &mut Work<'_>,
    id: ResourceId,
    others: &[ResourceId],
) -> Result<(), Error> {
    let others: BTreeSet<ResourceId> = others.iter().copied().collect();
    if others.is_empty() {
        return Ok(());
    }
    let summary = "This account may be that of somebody whose account is over: find out, and have the source enter the \
                   number or key of the one that it is.";
    let mut item = Item::new(Kind::Review, id, summary, "rehire");
    item.details = others.iter().map(|other| format!("User {other}")).collect();
    work_items::open(ctx, work, &item)
}
