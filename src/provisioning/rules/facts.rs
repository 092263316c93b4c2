//! Why a rule gives: the facts of a document that it asked for, as they are kept with a right.

use serde_json::{Map, Value, json};

use super::Rule;
use super::case::Single;
use super::table::Row;
use crate::person::URN;

/// The attributes that a rule asks for, as a document has them.
pub(super) fn facts_of(rule: &Rule, document: &Map<String, Value>) -> Value {
    let mut facts = Map::new();
    for path in &rule.asks {
        let (urn, name) = path.rsplit_once(':').map_or((None, path.as_str()), |(urn, name)| (Some(urn), name));
        let name = name.split('.').next().unwrap_or(name);
        let value = match urn {
            Some(urn) => document.get(urn).and_then(|extension| extension.get(name)),
            None => document.get(name),
        };
        if let Some(value) = value {
            facts.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(facts)
}

/// What a rule asks for of one employment, with its key and dates.
pub(super) fn element_facts(rule: &Rule, single: &Single) -> Value {
    const ALWAYS: [&str; 7] = ["employmentId", "enrolmentId", "start", "end", "from", "to", "unit"];
    let prefix = format!("{URN}:{}.", single.list);
    let asked: Vec<&str> = rule.asks.iter().filter_map(|path| path.strip_prefix(&prefix)).collect();
    let members = single.element.as_object().into_iter().flatten();
    let kept: Map<String, Value> = members
        .filter(|(name, _)| *name != "current" && (ALWAYS.contains(&name.as_str()) || asked.contains(&name.as_str())))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({ single.list: [kept] })
}

/// The same with what a row of the table asked for, and the row.
pub(super) fn row_facts(rule: &Rule, single: &Single, row: &Row) -> Value {
    let mut facts = element_facts(rule, single);
    let Some(facts_by_name) = facts.as_object_mut() else { return facts };
    let element = facts_by_name.get_mut(single.list).and_then(|list| list.get_mut(0)).and_then(Value::as_object_mut);
    if let Some(element) = element {
        for name in ["unitPath", "title", "taskCode", "professionalNumber"] {
            let is_asked = row.told.get(name).is_some() || (name == "unitPath" && row.told.get("unit").is_some());
            if let (true, Some(value)) = (is_asked, single.element.get(name)) {
                element.insert(name.to_owned(), value.clone());
            }
        }
    }
    facts_by_name.insert("row".to_owned(), row.told.clone());
    facts
}
