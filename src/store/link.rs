//! One membership as a resource of its own (draft-zollner-scim-group-members): its id, which is made of its two ends and
//! needs no table, and its document, of which nothing is stored but the row in `membership`.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use diesel::sql_types::BigInt;
use scim::schema::Registry;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::assemble::{endpoint, format_instant};
use crate::db::Db;
use crate::reader::Reader;
use crate::statement::{LIST, Statement};
use crate::{Error, ResourceId, Seq, TenantId, membership, record};

/// The resource type of memberships. No row of the table of resources is of it.
pub const GROUP_MEMBERSHIP: &str = "GroupMembership";
/// The schema of memberships.
pub const GROUP_MEMBERSHIP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:GroupMembership";
const GROUP: &str = "Group";

/// Which membership: that of this member in that group. It is printed as 64 hexadecimal digits in lower case, whose order
/// is the order of memberships.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MembershipId {
    /// Who has the member.
    pub group: ResourceId,
    /// Who is in the group.
    pub member: ResourceId,
}

impl fmt::Display for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.group.0.simple(), self.member.0.simple())
    }
}

impl FromStr for MembershipId {
    type Err = ();

    /// Reads the printed form alone, so that one membership has one spelling.
    fn from_str(text: &str) -> Result<Self, ()> {
        let half = |half: Option<&str>| half.and_then(|half| Uuid::try_parse(half).ok()).map(ResourceId).ok_or(());
        let id = MembershipId { group: half(text.get(..32))?, member: half(text.get(32..))? };
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// A membership as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Which.
    pub id: MembershipId,
    /// Resource type of the member.
    pub kind: String,
    /// Number of the change that made it.
    pub since: Seq,
}

/// A membership with what its ends are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which.
    pub id: MembershipId,
    /// Resource type of the member.
    pub kind: String,
    /// Number of the change that made it: its version.
    pub since: Seq,
    /// When it was made, µs; `None` once that change is forgotten.
    pub at: Option<i64>,
    /// What the group is called.
    pub group_label: String,
    /// What the member is called.
    pub member_label: String,
}

impl Link {
    /// The weak entity tag: the number of the change that made it, and a digest of the names of its ends. `lens` as in
    /// [`crate::etag`].
    pub fn etag(&self, lens: u64) -> String {
        let digest = Sha256::new()
            .chain_update((self.group_label.len() as u64).to_be_bytes())
            .chain_update(&self.group_label)
            .chain_update(&self.member_label)
            .chain_update(lens.to_be_bytes())
            .finalize();
        let digest: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        format!("W/\"{}.{digest}\"", self.since)
    }

    /// Its address.
    pub fn location(&self, base_url: &str, registry: &Registry) -> String {
        format!("{base_url}/{}/{}", endpoint(registry, GROUP_MEMBERSHIP), self.id)
    }

    /// The whole document in canonical form.
    pub fn document(&self, base_url: &str, lens: u64, registry: &Registry) -> Map<String, Value> {
        let MembershipId { group, member } = self.id;
        let address = |kind: &str, id: ResourceId| format!("{base_url}/{}/{id}", endpoint(registry, kind));
        let mut meta = Map::new();
        meta.insert("resourceType".into(), GROUP_MEMBERSHIP.into());
        if let Some(at) = self.at {
            meta.insert("created".into(), format_instant(at).into());
            meta.insert("lastModified".into(), format_instant(at).into());
        }
        meta.insert("version".into(), self.etag(lens).into());
        meta.insert("location".into(), self.location(base_url, registry).into());
        let mut document = Map::new();
        document.insert("id".into(), self.id.to_string().into());
        document.insert("schemas".into(), json!([GROUP_MEMBERSHIP_URN]));
        let named = |mut end: Value, label: &str| {
            if let Some(end) = end.as_object_mut().filter(|_| !label.is_empty()) {
                end.insert("display".into(), label.into());
            }
            end
        };
        let group = json!({ "value": group.to_string(), "$ref": address(GROUP, group) });
        document.insert("group".into(), named(group, &self.group_label));
        let member = json!({ "value": member.to_string(), "$ref": address(&self.kind, member), "type": self.kind });
        document.insert("member".into(), named(member, &self.member_label));
        document.insert("meta".into(), Value::Object(meta));
        document
    }
}

/// The memberships with what their ends are called, in the order given. One whose group or member is gone is left out.
pub(crate) fn complete(db: &mut Db, tenant: TenantId, heads: Vec<Head>) -> Result<Vec<Link>, Error> {
    let labels = record::labels(db, tenant, heads.iter().flat_map(|head| [head.id.group, head.id.member]))?;
    let mut numbers: Vec<Seq> = heads.iter().map(|head| head.since).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut instants: HashMap<Seq, i64> = HashMap::with_capacity(numbers.len());
    for numbers in numbers.chunks(LIST) {
        let statement = Statement::<(BigInt, BigInt)>::new("SELECT seq, at FROM change WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND seq IN ")
            .list(numbers.iter().copied());
        instants.extend(statement.load::<(i64, i64)>(db)?);
    }
    let label = |id: ResourceId| labels.get(&id).cloned();
    let links = heads.into_iter().filter_map(|head| {
        let (group_label, member_label) = (label(head.id.group)?, label(head.id.member)?);
        let at = instants.get(&head.since).copied();
        Some(Link { id: head.id, kind: head.kind, since: head.since, at, group_label, member_label })
    });
    Ok(links.collect())
}

impl Reader {
    /// One membership of a living member in a living group.
    pub fn link(&mut self, tenant: TenantId, id: MembershipId) -> Result<Option<Link>, Error> {
        let found = membership::among(&mut self.db, tenant, id.group, &[id.member])?.remove(&id.member);
        let head = found.map(|found| Head { id, kind: found.kind, since: found.since });
        Ok(complete(&mut self.db, tenant, head.into_iter().collect())?.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(group: u128, member: u128) -> MembershipId {
        MembershipId { group: ResourceId(Uuid::from_u128(group)), member: ResourceId(Uuid::from_u128(member)) }
    }

    #[test]
    fn a_membership_has_one_spelling() {
        let text = id(0xA, 0xB).to_string();
        assert_eq!(text.parse(), Ok(id(0xA, 0xB)));
        let hyphenated = format!("{}{}", Uuid::from_u128(0xA), Uuid::from_u128(0xB));
        for other in
            [text.to_uppercase(), format!("{text}0"), hyphenated, text[..63].into(), String::new(), "å".repeat(32)]
        {
            assert_eq!(other.parse::<MembershipId>(), Err(()), "{other}");
        }
    }

    #[test]
    fn ids_are_in_the_order_of_groups_and_then_of_members() {
        let mut ids = [id(2, 1), id(1, 300), id(1, 2), id(u128::MAX, 0)];
        ids.sort_unstable();
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
    }
}
