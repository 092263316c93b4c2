//! Whatever a client sends, nothing panics and what is accepted is canonical.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::cases::definition;
use crate::resource::{Notes, normalise, replace, validate};

/// Any JSON over the names and texts that mean something to the type `Device`.
fn anything() -> impl Strategy<Value = Value> {
    let names = "serial|SERIAL|label|height|weight|madeAt|image|pin|state|tags|codes|place|building|room|origin|ports|\
                 value|type|primary|maker|seen|place.room|urn:example:2.0:Lease|lessor|urn:example:2.0:Lease:lessor|\
                 schemas|id|meta|other|ports[value eq \"a\"].speed";
    let name = prop::sample::select(names.split('|').map(str::to_owned).collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        Just(json!(1.5)),
        prop::sample::select(vec![
            "",
            "a",
            "A",
            "b",
            "true",
            "AAAA",
            "2026-01-31T08:00:00Z",
            "\u{0}",
            "urn:example:2.0:Lease"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn word() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["a", "A", "b"]).prop_map(Value::from)
}

/// An object with some of the members.
fn object(members: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let members: Vec<_> =
        members.into_iter().map(|(name, value)| prop::option::of(value.prop_map(move |value| (name, value)))).collect();
    members
        .prop_map(|members| {
            Value::Object(members.into_iter().flatten().map(|(name, value)| (name.into(), value)).collect())
        })
        .boxed()
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn place() -> BoxedStrategy<Value> {
    let place = object(vec![("building", word().boxed()), ("room", word().boxed()), ("origin", word().boxed())]);
    let whole = place.prop_map(|place| with(place, "building", "A".into()));
    prop_oneof![3 => whole, 1 => object(vec![("room", word().boxed())])].boxed()
}

fn port() -> BoxedStrategy<Value> {
    let port = object(vec![
        ("type", word().boxed()),
        ("speed", (0..2).prop_map(Value::from).boxed()),
        ("primary", prop::sample::select(vec![false, false, true]).prop_map(Value::from).boxed()),
        ("maker", word().boxed()),
        ("seen", Just("2026-01-31T08:00:00Z".into()).boxed()),
    ]);
    (word(), port).prop_map(|(value, port)| with(port, "value", value)).boxed()
}

fn some(of: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop::collection::vec(of, 0..3).prop_map(Value::from).boxed()
}

fn device() -> impl Strategy<Value = Value> {
    let lease = object(vec![("until", Just("2026-01-31T08:00:00Z".into()).boxed())]);
    object(vec![
        ("label", word().boxed()),
        ("tags", some(word())),
        ("codes", some(word())),
        ("place", place()),
        ("ports", some(port())),
        ("pin", word().boxed()),
        ("urn:example:2.0:Lease", lease.prop_map(|lease| with(lease, "lessor", "L".into())).boxed()),
        ("other", word().boxed()),
    ])
    .prop_map(|device| with(device, "serial", "S".into()))
}

/// A path and a value that often fits it.
fn operation() -> impl Strategy<Value = Value> {
    let targets: Vec<(&str, BoxedStrategy<Value>)> = vec![
        ("serial", Just("S".into()).boxed()),
        ("label", word().boxed()),
        ("tags", some(word())),
        ("tags[value eq \"a\"]", word().boxed()),
        ("codes", some(word())),
        ("place", place()),
        ("place.room", word().boxed()),
        ("place.origin", word().boxed()),
        ("ports", some(port())),
        ("ports", some(port())),
        ("ports[value eq \"a\"]", port()),
        ("ports[type eq \"b\" and value eq \"b\"].speed", Just(7.into()).boxed()),
        ("ports[primary eq true].type", word().boxed()),
        ("ports[type eq \"b\"].primary", any::<bool>().prop_map(Value::from).boxed()),
        ("urn:example:2.0:Lease", object(vec![("lessor", word().boxed())])),
        ("urn:example:2.0:Lease:lessor", word().boxed()),
        ("", device().boxed()),
    ];
    let target = prop::sample::select(targets);
    let target = target.prop_flat_map(|(path, value)| (Just(path), prop_oneof![9 => value, 1 => anything()]));
    let op = prop::sample::select(vec!["add", "replace", "remove"]);
    (op, target).prop_map(|(op, (path, value))| match (op, path) {
        ("remove", path) => json!({ "op": "remove", "path": path }),
        (op, "") => json!({ "op": op, "value": value }),
        (op, path) => json!({ "op": op, "path": path, "value": value }),
    })
}

fn strictness() -> impl Strategy<Value = Strictness> {
    prop::sample::select(vec![Strictness::Tolerant, Strictness::Strict])
}

/// A document that is canonical and that a strict client could have sent.
fn check_canonical(doc: &Map<String, Value>) {
    let def = definition("Device");
    let mut normal = doc.clone();
    normalise(&def, &mut normal);
    assert_eq!(Value::Object(normal).to_string(), Value::Object(doc.clone()).to_string());
    let mut notes = Notes::new();
    let again = validate(&def, &Value::Object(doc.clone()), Strictness::Strict, &mut notes);
    assert_eq!(again.as_ref(), Ok(doc));
    assert!(notes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_accepted_is_canonical(
        body in prop_oneof![anything(), device()], other in device(), strictness in strictness(),
    ) {
        let def = definition("Device");
        if let Ok(doc) = validate(&def, &body, strictness, &mut Notes::new()) {
            check_canonical(&doc);
            if let Ok(next) = replace(&def, &doc, &other, Strictness::Tolerant, &mut Notes::new()) {
                check_canonical(&next);
            }
        }
    }

    #[test]
    fn what_a_patch_leaves_is_canonical(
        body in device(), operations in prop::collection::vec(operation(), 1..4), strictness in strictness(),
    ) {
        let def = definition("Device");
        let message = json!({ "schemas": [PATCH_OP_URN], "Operations": operations });
        let mut notes = Notes::new();
        let Ok(doc) = validate(&def, &body, Strictness::Tolerant, &mut notes) else { return Ok(()) };
        let Ok(patch) = parse(&def, &message, strictness, &mut notes) else { return Ok(()) };
        if let Ok(next) = apply(&def, &doc, &patch.document, &mut notes) {
            check_canonical(&next);
            prop_assert_eq!(&next["serial"], &doc["serial"]);
            if let Some(codes) = doc.get("codes") {
                prop_assert_eq!(next.get("codes"), Some(codes));
            }
        }
    }
}
