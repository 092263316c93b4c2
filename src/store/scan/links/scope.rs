//! From a filter on memberships to the parts of the relation in which all matches lie. Like every plan it may take in
//! too much and never too little; where it takes in exactly the matches it says so, and nothing has to be tested.

use scim::filter::{Checked, Filter, Op};
use serde_json::{Map, Value, json};

use crate::ResourceId;
use crate::link::{GROUP_MEMBERSHIP, MembershipId};
use crate::relation::Within;

/// Most parts of a plan; a filter that has more is tested row by row.
const PARTS: usize = 64;

/// Where the matches of a filter lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Parts of the relation; a membership may lie in several.
    pub(super) parts: Vec<Within>,
    /// Whether every membership in them matches.
    pub(super) is_exact: bool,
}

impl Plan {
    /// The plan of a filter without `not`. `kinds` are the resource types that can be members; none: nothing is concluded
    /// from their names.
    pub(super) fn of(filter: &Filter<Checked>, kinds: &[&str]) -> Plan {
        match filter {
            Filter::And(filters) => {
                filters.iter().map(|filter| Plan::of(filter, kinds)).fold(Plan::everything(), Plan::both)
            }
            Filter::Or(filters) => {
                let mut either = Plan { parts: Vec::new(), is_exact: true };
                for plan in filters.iter().map(|filter| Plan::of(filter, kinds)) {
                    either.is_exact &= plan.is_exact;
                    either.parts.extend(plan.parts);
                }
                either.simplify()
            }
            // Neither attribute has more than one value: what holds within the brackets holds of the membership.
            Filter::Element(_, inner) => Plan::of(inner, kinds),
            Filter::Const(true) => Plan::everything(),
            Filter::Const(false) => Plan { parts: Vec::new(), is_exact: true },
            Filter::Compare(target, Op::Eq, operand) => {
                let Some(text) = operand.raw.as_str() else { return Plan::inexact() };
                match &*target.canonical {
                    "id" => Plan::exact(text.parse().ok().map(|MembershipId { group, member }| Within {
                        group: Some(group),
                        member: Some(member),
                        kind: None,
                    })),
                    "group.value" => Plan::exact(end(text).map(|id| Within { group: Some(id), ..Within::default() })),
                    "member.value" => Plan::exact(end(text).map(|id| Within { member: Some(id), ..Within::default() })),
                    path => Plan::constant(path, filter, kinds),
                }
            }
            Filter::Compare(target, ..) => Plan::constant(&target.canonical, filter, kinds),
            _ => Plan::inexact(),
        }
    }

    /// What can be said of attributes that have one of few values, whatever is asked of them.
    fn constant(path: &str, filter: &Filter<Checked>, kinds: &[&str]) -> Plan {
        let fits = |document: Value| matches!(document, Value::Object(document) if filter.matches(&document));
        match path {
            "member.type" if !kinds.is_empty() => {
                let kinds = kinds.iter().filter(|kind| fits(json!({ "member": { "type": kind } })));
                Plan::exact(kinds.map(|kind| Within { kind: Some((*kind).to_owned()), ..Within::default() }))
            }
            "meta.resourceType" if fits(json!({ "meta": { "resourceType": GROUP_MEMBERSHIP } })) => Plan::everything(),
            "meta.resourceType" => Plan::exact(None),
            "externalId" if filter.matches(&Map::new()) => Plan::everything(),
            "externalId" => Plan::exact(None),
            _ => Plan::inexact(),
        }
    }

    fn everything() -> Plan {
        Plan::exact([Within::default()])
    }

    /// Anything may match, and everything has to be tested.
    fn inexact() -> Plan {
        Plan { is_exact: false, ..Plan::everything() }
    }

    fn exact(parts: impl IntoIterator<Item = Within>) -> Plan {
        Plan { parts: parts.into_iter().collect(), is_exact: true }
    }

    fn both(self, other: Plan) -> Plan {
        if self.parts.len().saturating_mul(other.parts.len()) > PARTS {
            let fewer = if self.parts.len() <= other.parts.len() { self } else { other };
            return Plan { is_exact: false, ..fewer };
        }
        let parts = self.parts.iter().flat_map(|one| other.parts.iter().filter_map(|other| one.and(other))).collect();
        Plan { parts, is_exact: self.is_exact && other.is_exact }.simplify()
    }

    /// Drops parts that lie in others; too many are given up for the whole relation.
    fn simplify(self) -> Plan {
        let mut kept: Vec<Within> = Vec::new();
        for part in self.parts {
            if kept.iter().any(|known| part.lies_in(known)) {
                continue;
            }
            kept.retain(|known| !known.lies_in(&part));
            kept.push(part);
        }
        match kept.len() > PARTS {
            true => Plan::inexact(),
            false => Plan { parts: kept, is_exact: self.is_exact },
        }
    }
}

impl Within {
    /// What lies in both.
    fn and(&self, other: &Within) -> Option<Within> {
        fn join<T: Clone + PartialEq>(one: &Option<T>, other: &Option<T>) -> Option<Option<T>> {
            match (one, other) {
                (Some(one), Some(other)) if one != other => None,
                (Some(one), _) => Some(Some(one.clone())),
                (None, other) => Some(other.clone()),
            }
        }
        Some(Within {
            group: join(&self.group, &other.group)?,
            member: join(&self.member, &other.member)?,
            kind: join(&self.kind, &other.kind)?,
        })
    }

    fn lies_in(&self, other: &Within) -> bool {
        self.and(other).as_ref() == Some(self)
    }
}

/// An id is case-exact and has one spelling: what is none belongs to nobody.
fn end(text: &str) -> Option<ResourceId> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use scim::schema::Registry;

    use super::*;

    const A: &str = "0198c0de-0000-7000-8000-00000000000a";
    const B: &str = "0198c0de-0000-7000-8000-00000000000b";

    fn plan(filter: &str) -> Plan {
        let registry = Registry::builtin().expect("documents");
        let definition = registry.definition(GROUP_MEMBERSHIP).expect("a resource type");
        let filter = filter.replace("{a}", A).replace("{b}", B);
        let filter = Filter::parse(&filter).expect("a filter").check(definition).expect("fits").push_not();
        Plan::of(&filter, &["User", "Group"])
    }

    fn within(group: Option<&str>, member: Option<&str>, kind: Option<&str>) -> Within {
        let id = |text: &str| text.parse().expect("an id");
        Within { group: group.map(id), member: member.map(id), kind: kind.map(str::to_owned) }
    }

    #[test]
    fn what_names_an_end_or_a_type_is_a_part_of_the_relation_and_nothing_is_left_to_test() {
        let (a, b) = (Some(A), Some(B));
        let whole = format!("{A}{B}").replace('-', "");
        for (filter, parts) in [
            (r#"group.value eq "{a}""#, vec![within(a, None, None)]),
            (r#"group[value eq "{a}"]"#, vec![within(a, None, None)]),
            (r#"member.value eq "{b}""#, vec![within(None, b, None)]),
            (r#"group.value eq "{a}" and member.value eq "{b}""#, vec![within(a, b, None)]),
            (r#"group.value eq "{a}" and group.value eq "{b}""#, vec![]),
            (r#"group.value eq "{a}" or group.value eq "{b}""#, vec![within(a, None, None), within(b, None, None)]),
            (
                r#"group.value eq "{a}" or (group.value eq "{a}" and member.value eq "{b}")"#,
                vec![within(a, None, None)],
            ),
            (r#"group.value eq "{a}" and member.type eq "GROUP""#, vec![within(a, None, Some("Group"))]),
            (r#"not (member.type eq "user")"#, vec![within(None, None, Some("Group"))]),
            (r#"member.type eq "Device""#, vec![]),
            (r#"group.value eq "no id""#, vec![]),
            (r#"meta.resourceType eq "GroupMembership""#, vec![within(None, None, None)]),
            (r#"meta.resourceType eq "User""#, vec![]),
            (&format!(r#"id eq "{whole}""#), vec![within(a, b, None)]),
        ] {
            assert_eq!(plan(filter), Plan { parts, is_exact: true }, "{filter}");
        }
    }

    #[test]
    fn what_names_no_end_is_tested_within_what_does() {
        let everything = vec![within(None, None, None)];
        for (filter, parts) in [
            (r#"member.display sw "a""#, everything.clone()),
            (r#"member.value ne "{a}""#, everything.clone()),
            (r#"group.value eq "{a}" or member.display sw "a""#, everything),
            (r#"group.value eq "{a}" and member.display sw "a""#, vec![within(Some(A), None, None)]),
        ] {
            assert_eq!(plan(filter), Plan { parts, is_exact: false }, "{filter}");
        }
    }

    #[test]
    fn a_filter_of_very_many_parts_is_tested_row_by_row() {
        let many = |n: usize| {
            let parts: Vec<String> =
                (0..n).map(|n| format!(r#"group.value eq "0198c0de-0000-7000-8000-{n:012x}""#)).collect();
            parts.join(" or ")
        };
        assert_eq!(plan(&many(64)).parts.len(), 64);
        assert_eq!(plan(&many(65)), Plan { parts: vec![Within::default()], is_exact: false });
    }
}
