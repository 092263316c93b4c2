//! What the core costs by itself, without a store or a network: filters read, checked and tested, PATCH carried out,
//! resources validated and projected, keys made. `cargo bench --bench core [-- NAME]`.

#![expect(clippy::unwrap_used, reason = "a measurement: it stops at the first fault")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use scim::filter::{Checked, Filter};
use scim::key::{TextRule, of_text};
use scim::patch;
use scim::resource::{Notes, Projection, Strictness, validate};
use scim::schema::{Definition, Registry};
use serde_json::{Map, Value, json};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const FILTERS: [(&str, &str); 4] = [
    ("eq", r#"userName eq "maj.lind@kommun.example""#),
    ("element", r#"emails[type eq "work" and value co "@kommun.example"]"#),
    ("contains", r#"displayName co "nd b""#),
    (
        "boolean",
        r#"active eq true and (title sw "Coord" or urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "Care") and not (meta.lastModified lt "2020-01-01T00:00:00Z")"#,
    ),
];

fn user() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": "1000017",
        "userName": "Maj.Lind@kommun.example",
        "name": { "formatted": "Maj Lind Björk", "familyName": "Lind Björk", "givenName": "Maj" },
        "displayName": "Maj Lind Björk",
        "title": "Coordinator",
        "userType": "Employee",
        "preferredLanguage": "sv-SE",
        "active": true,
        "emails": [
            { "value": "maj.lind@kommun.example", "type": "work", "primary": true },
            { "value": "maj.17@home.example", "type": "home" },
        ],
        "phoneNumbers": [{ "value": "tel:+46-31-390-06-17", "type": "work" }],
        ENTERPRISE: { "employeeNumber": "1000017", "costCenter": "00017", "department": "Care" },
    })
}

fn canonical(definition: &Definition) -> Map<String, Value> {
    validate(definition, &user(), Strictness::Tolerant, &mut Notes::new()).unwrap()
}

fn filters(criterion: &mut Criterion) {
    let registry = Registry::builtin().unwrap();
    let definition = registry.definition("User").unwrap();
    let document = canonical(definition);
    for (name, text) in FILTERS {
        criterion.bench_function(&format!("filter/parse and check/{name}"), |bencher| {
            bencher.iter(|| Filter::parse(black_box(text)).unwrap().check(definition).unwrap());
        });
        let filter: Filter<Checked> = Filter::parse(text).unwrap().check(definition).unwrap();
        criterion.bench_function(&format!("filter/match/{name}"), |bencher| {
            bencher.iter(|| filter.matches(black_box(&document)));
        });
    }
}

fn patches(criterion: &mut Criterion) {
    let registry = Registry::builtin().unwrap();
    let definition = registry.definition("User").unwrap();
    let document = canonical(definition);
    let cases = [
        ("one attribute", json!([{ "op": "replace", "path": "title", "value": "Manager" }])),
        ("nothing changes", json!([{ "op": "replace", "path": "title", "value": "Coordinator" }])),
        ("element", json!([{ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "m@home.example" }])),
        ("without a path", json!([{ "op": "replace", "value": { "title": "Manager", "active": false } }])),
    ];
    for (name, operations) in cases {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
        });
        criterion.bench_function(&format!("patch/{name}"), |bencher| {
            bencher.iter(|| {
                let mut notes = Notes::new();
                let patch = patch::parse(definition, black_box(&body), Strictness::Tolerant, &mut notes).unwrap();
                patch::apply(definition, &document, &patch.document, &mut notes).unwrap()
            });
        });
    }
}

fn resources(criterion: &mut Criterion) {
    let registry = Registry::builtin().unwrap();
    let definition = registry.definition("User").unwrap();
    let (body, document) = (user(), canonical(definition));
    criterion.bench_function("resource/validate", |bencher| {
        bencher.iter(|| validate(definition, black_box(&body), Strictness::Tolerant, &mut Notes::new()).unwrap());
    });
    let text = serde_json::to_string(&document).unwrap();
    criterion.bench_function("resource/read JSON", |bencher| {
        bencher.iter(|| serde_json::from_str::<Map<String, Value>>(black_box(&text)).unwrap());
    });
    criterion.bench_function("resource/write JSON", |bencher| {
        bencher.iter(|| serde_json::to_string(black_box(&document)).unwrap());
    });
    let some = Projection::parse(definition, &["userName".to_owned(), "emails.value".to_owned()], &[]).unwrap();
    for (name, projection) in [("whole", Projection::whole(definition)), ("two attributes", some)] {
        criterion.bench_function(&format!("projection/{name}"), |bencher| {
            bencher.iter_batched(
                || document.clone(),
                |mut document| {
                    projection.apply(definition, &mut document);
                    document
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

fn keys(criterion: &mut Criterion) {
    let texts = [
        ("ascii", "maj.lind@kommun.example"),
        ("nordic", "Maj-Britt Åström Öhman"),
        ("sami", "Áile Näkkäläjärvi Áŋŋel"),
    ];
    for (rule, rule_name) in [(TextRule::Fold, "fold"), (TextRule::Username, "username"), (TextRule::Exact, "exact")] {
        for (name, text) in texts {
            criterion.bench_function(&format!("key/{rule_name}/{name}"), |bencher| {
                bencher.iter(|| of_text(black_box(text), rule));
            });
        }
    }
}

criterion_group!(core, filters, patches, resources, keys);
criterion_main!(core);
