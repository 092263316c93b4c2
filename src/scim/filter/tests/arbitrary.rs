//! Random filters and documents. Values come from small sets, so that comparisons are often true.

use proptest::collection::{hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Number, Value, json};

use super::definition;
use crate::filter::{Checked, Filter, Literal, Op, Parsed, Target, WrittenPath};
use crate::schema::{Attribute, Definition, Returned, Type};

/// Any filter that has a syntax.
pub(crate) fn written() -> impl Strategy<Value = Filter<Parsed>> {
    let path = prop_oneof![
        "[a-zA-Z$_][a-zA-Z0-9$_-]{0,8}",
        "[a-z]{1,4}\\.[a-z$][a-z]{0,4}",
        "urn:[a-z0-9.:%/-]{0,12}:[A-Za-z]{1,5}(\\.[a-z]{1,5})?",
    ];
    let name = "[a-zA-Z$_][a-zA-Z0-9$_-]{0,8}";
    let leaf = atom(path.boxed());
    let element = (name.prop_map(at), logical(atom(name.boxed()).boxed(), 3))
        .prop_map(|(path, part)| Filter::Element(path, Box::new(part)));
    logical(prop_oneof![3 => leaf, 1 => element].boxed(), 5)
}

/// A filter that fits the resource type `Probe`.
pub(crate) fn fitting() -> impl Strategy<Value = Filter<Checked>> {
    let definition = definition("Probe");
    let mut leaves = Vec::new();
    let mut elements = Vec::new();
    for target in targets(definition) {
        leaves.push(typed(target.canonical.to_string(), &target));
        leaves
            .extend(target.subs.iter().filter(|sub| !is_secret(sub)).map(|sub| typed(sub.canonical.to_string(), sub)));
        if target.kind == Type::Complex {
            let subs = target.subs.iter().filter(|sub| !is_secret(sub));
            let subs: Vec<_> = subs.map(|sub| typed(sub.sub.as_deref().unwrap_or_default().to_owned(), sub)).collect();
            let path = at(target.canonical.to_string());
            let part = logical(proptest::strategy::Union::new(subs).boxed(), 3);
            elements.push(part.prop_map(move |part| Filter::Element(path.clone(), Box::new(part))).boxed());
        }
    }
    let leaf = proptest::strategy::Union::new(leaves);
    let element = proptest::strategy::Union::new(elements);
    logical(prop_oneof![leaf, element].boxed(), 4).prop_map(|filter| filter.check(definition).unwrap())
}

/// A document of type `Probe` in canonical form.
pub(crate) fn document() -> impl Strategy<Value = Map<String, Value>> {
    let definition = definition("Probe");
    let (urn, extension) =
        definition.extensions.first().map(|(schema, _)| (schema.id.clone(), schema.clone())).unwrap();
    (attributes(&definition.core.attributes), attributes(&extension.attributes)).prop_map(move |(core, extension)| {
        let mut document = Map::new();
        let core_urn = "urn:example:scim:schemas:1.0:Probe";
        let schemas = if extension.is_empty() { json!([core_urn]) } else { json!([core_urn, urn]) };
        document.insert("schemas".into(), schemas);
        document.insert("id".into(), json!("1"));
        document.extend(core);
        if !extension.is_empty() {
            document.insert(urn.clone(), Value::Object(extension));
        }
        document
    })
}

/// Canonical paths to release: attributes, sub-attributes and now and then a whole extension.
pub(crate) fn released() -> impl Strategy<Value = Vec<String>> {
    let definition = definition("Probe");
    let mut paths: Vec<String> = vec![definition.extensions.first().map(|(schema, _)| schema.id.clone()).unwrap()];
    for target in targets(definition) {
        paths.push(target.canonical.to_string());
        paths.extend(target.subs.iter().map(|sub| sub.canonical.to_string()));
    }
    hash_set(select(paths), 0..10).prop_map(|paths| paths.into_iter().collect())
}

fn targets(definition: &Definition) -> Vec<Target> {
    let core = definition.attributes().map(|attribute| attribute.name.clone());
    let extended = definition.extensions.iter().flat_map(|(schema, _)| {
        schema.attributes.iter().map(|attribute| format!("{}:{}", schema.id, attribute.name)).collect::<Vec<_>>()
    });
    core.chain(extended).map(|path| Target::resolve(definition, &path).unwrap()).collect()
}

fn is_secret(target: &Target) -> bool {
    let place = definition("Probe").resolve(&target.canonical).unwrap();
    place.sub.is_some_and(|sub| sub.returned == Returned::Never)
}

fn at(text: String) -> WrittenPath {
    WrittenPath { text, position: 1 }
}

fn logical(leaf: BoxedStrategy<Filter<Parsed>>, depth: u32) -> BoxedStrategy<Filter<Parsed>> {
    leaf.prop_recursive(depth, 24, 4, |part| {
        prop_oneof![
            vec(part.clone(), 2..4).prop_map(Filter::And),
            vec(part.clone(), 2..4).prop_map(Filter::Or),
            part.prop_map(|part| Filter::Not(Box::new(part))),
        ]
    })
    .boxed()
}

fn atom(path: BoxedStrategy<String>) -> impl Strategy<Value = Filter<Parsed>> {
    let is_keyword = |path: &String| ["not", "and", "or"].iter().any(|word| word.eq_ignore_ascii_case(path));
    let path = path.prop_filter("keywords name no attribute", move |path| !is_keyword(path)).prop_map(at);
    let literal = prop_oneof![
        any::<String>().prop_map(|text| Literal::Text(text.replace('\0', ""))),
        any::<i64>().prop_map(|number| Literal::Number(number.into())),
        any::<u64>().prop_map(|number| Literal::Number(number.into())),
        any::<i32>().prop_filter_map("finite", |number| Number::from_f64(f64::from(number) / 8.0).map(Literal::Number)),
        any::<bool>().prop_map(Literal::Boolean),
        Just(Literal::Null),
    ];
    prop_oneof![
        path.clone().prop_map(Filter::Present),
        (path, select(&Op::ALL[..]), literal).prop_map(|(path, op, literal)| Filter::Compare(path, op, literal)),
    ]
}

/// A test of that path that fits its type.
fn typed(path: String, target: &Target) -> BoxedStrategy<Filter<Parsed>> {
    let present = Just(Filter::Present(at(path.clone()))).boxed();
    let null = select(vec![Op::Eq, Op::Ne]);
    let null_path = at(path.clone());
    let null = null.prop_map(move |op| Filter::Compare(null_path.clone(), op, Literal::Null)).boxed();
    let Some(target) = target.comparable() else { return prop_oneof![present, null].boxed() };
    let ops = match target.kind {
        Type::Boolean | Type::Binary => vec![Op::Eq, Op::Ne],
        Type::String | Type::Reference => Op::ALL.to_vec(),
        _ => vec![Op::Eq, Op::Ne, Op::Gt, Op::Ge, Op::Lt, Op::Le],
    };
    let literal = value(target.kind).prop_map(|value| match value {
        Value::String(text) => Literal::Text(text),
        Value::Number(number) => Literal::Number(number),
        other => Literal::Boolean(other == Value::Bool(true)),
    });
    let compare =
        (select(ops), literal).prop_map(move |(op, literal)| Filter::Compare(at(path.clone()), op, literal)).boxed();
    prop_oneof![1 => present, 1 => null, 6 => compare].boxed()
}

fn attributes(attributes: &[Attribute]) -> BoxedStrategy<Map<String, Value>> {
    let members: Vec<_> = attributes
        .iter()
        .map(|attribute| {
            let name = attribute.name.clone();
            option::of(values(attribute)).prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    members.prop_map(|members| members.into_iter().flatten().collect()).boxed()
}

fn values(attribute: &Attribute) -> BoxedStrategy<Value> {
    let single = match attribute.kind {
        Type::Complex => self::attributes(&attribute.sub_attributes)
            .prop_filter("no empty objects", |members| !members.is_empty())
            .prop_map(Value::Object)
            .boxed(),
        kind => value(kind),
    };
    if attribute.multi_valued { vec(single, 1..4).prop_map(Value::Array).boxed() } else { single }
}

fn value(kind: Type) -> BoxedStrategy<Value> {
    let values = match kind {
        Type::Boolean => vec![json!(true), json!(false)],
        Type::Integer => vec![json!(-2), json!(0), json!(1), json!(10)],
        Type::Decimal => vec![json!(-1.5), json!(0), json!(0.25), json!(10)],
        Type::DateTime => vec![
            json!("1969-12-31T23:59:59.5Z"),
            json!("2011-05-13T04:42:34Z"),
            json!("2011-05-13T06:42:34+02:00"),
            json!("2024-02-29T00:00:00Z"),
        ],
        _ => vec![json!(""), json!("a"), json!("A"), json!("ab"), json!("b"), json!("\u{e5}"), json!("\u{c5}")],
    };
    select(values).boxed()
}
