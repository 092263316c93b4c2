//! What a change of a resource type or of its schemas would do to resources that are stored already.

use super::{Finding, Findings};
use crate::schema::{Attribute, Definition, Schema, Uniqueness};

/// Everything by which resources that were valid need not be so any more, or would be found under other keys. Adding
/// what is optional, and changing descriptions, suggestions and what is returned, is never among it.
pub fn breaks(old: &Definition, new: &Definition) -> Vec<Finding> {
    let mut findings = Findings::default();
    if old.endpoint() != new.endpoint() {
        findings.add("endpoint", "would move.");
    }
    if !old.core.id.eq_ignore_ascii_case(&new.core.id) {
        findings.add("schema", "would be another.");
        return findings.0;
    }
    schema(&old.core, &new.core, "", &mut findings);
    for (before, _) in &old.extensions {
        match new.extension(&before.id) {
            Some(after) => schema(before, after, &format!("{}:", before.id), &mut findings),
            None => findings.add(before.id.as_str(), "would be no extension any more."),
        }
    }
    for (after, is_required) in &new.extensions {
        let was_required = old.extensions.iter().any(|(before, required)| *required && before.id == after.id);
        if *is_required && !was_required {
            findings.add(after.id.as_str(), "would be required.");
        }
    }
    findings.0
}

/// Paths of simple attributes that are unique in `new` and were not so in `old`.
pub fn newly_unique(old: &Definition, new: &Definition) -> Vec<String> {
    let before = unique(old);
    unique(new).into_iter().filter(|path| !before.contains(path)).collect()
}

fn unique(definition: &Definition) -> Vec<String> {
    let of = |schema: &Schema, prefix: &str| {
        let unique = schema.attributes.iter().filter(|attribute| attribute.uniqueness != Uniqueness::None);
        unique.map(|attribute| format!("{prefix}{}", attribute.name)).collect::<Vec<_>>()
    };
    let extensions = definition.extensions.iter().flat_map(|(schema, _)| of(schema, &format!("{}:", schema.id)));
    of(&definition.core, "").into_iter().chain(extensions).collect()
}

fn schema(old: &Schema, new: &Schema, prefix: &str, findings: &mut Findings) {
    attributes(&old.attributes, &new.attributes, prefix, findings);
}

fn attributes(old: &[Attribute], new: &[Attribute], prefix: &str, findings: &mut Findings) {
    let same = |one: &Attribute, other: &Attribute| one.name.eq_ignore_ascii_case(&other.name);
    for before in old {
        let path = format!("{prefix}{}", before.name);
        let Some(after) = new.iter().find(|after| same(before, after)) else {
            findings.add(path, "would be gone.");
            continue;
        };
        if before.name != after.name {
            findings.add(path.as_str(), format!("would be spelled {}.", after.name));
        }
        if before.kind != after.kind {
            let (from, to) = (before.kind.as_str(), after.kind.as_str());
            findings.add(path.as_str(), format!("would be {to} and is {from}."));
        }
        if before.multi_valued != after.multi_valued {
            let form = if after.multi_valued { "would be multi-valued." } else { "would have a single value." };
            findings.add(path.as_str(), form);
        }
        if before.case_exact != after.case_exact {
            findings.add(path.as_str(), "would be compared in another way: caseExact changes.");
        }
        if before.secret != after.secret {
            findings.add(path.as_str(), "would be kept in another way: secret changes.");
        }
        if after.required && !before.required {
            findings.add(path.as_str(), "would be required.");
        }
        attributes(&before.sub_attributes, &after.sub_attributes, &format!("{path}."), findings);
    }
    for after in new.iter().filter(|after| after.required && !old.iter().any(|before| same(before, after))) {
        findings.add(format!("{prefix}{}", after.name), "would be new and required.");
    }
}
