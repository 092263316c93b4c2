use std::sync::Arc;

use scim::schema::Registry;
use serde_json::{Map as Object, Value, json};

use super::{Header, Map, Row, Spot, Threshold};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn registry() -> Registry {
    Registry::builtin().expect("documents")
}

fn read(text: &str) -> Result<Map, Vec<String>> {
    Map::read(text, &registry()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn row(cells: &[(&str, &str)]) -> Row {
    let names = cells.iter().map(|(name, _)| (*name).to_owned()).collect();
    let header = Arc::new(Header::new(names).expect("names"));
    Row::cells(7, header, cells.iter().map(|(_, cell)| (*cell).to_owned()).collect())
}

#[test]
fn every_fault_of_a_map_is_told_with_its_line() {
    let table: [(&str, &[&str]); 14] = [
        ("source = ", &["line 1, column 10: "]),
        (
            "source = \"a b\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n",
            &["line 1, column 10: source is a short name"],
        ),
        ("source = \"hr\"\n", &["There is no [[resource]]"]),
        (
            "source = \"hr\"\nsuorce = 1\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n",
            &["line 2, column 1: suorce means nothing here. There are: delimiter"],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"Client\"\nkey = \"Nr\"\n",
            &["line 3, column 8: There is no resource type Client here. There are: User, Group"],
        ),
        ("source = \"hr\"\n[[resource]]\nkind = \"User\"\n", &["key is missing"]),
        (
            "source = \"hr\"\ndelimiter = \";;\"\nencoding = \"ebcdic\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n",
            &["line 2, column 13: delimiter", "line 3, column 12: This encoding"],
        ),
        (
            "source = \"hr\"\n[snapshot]\nmode = \"all\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n",
            &["line 3, column 8: mode is full or delta"],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\nscope = \"nope eq 1\"\n",
            &["line 5, column 9: "],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"Group\"\nkey = \"Nr\"\nwithdraw = \"disable\"\n",
            &["Group has no active"],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n[resource.columns]\nnickname = \"A\"\nid = \"B\"\nemails.value = \"C\"\n\"emails.value\" = \"C\"\nname = \"D\"\n",
            &["id is not for a map to set", "line 8", "emails is a list. Say which element", "name has parts"],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n[resource.columns]\nactive = { column = \"A\", values = { J = \"yes\" } }\ntitle = { column = \"B\", date = \"%%\" }\ndisplayName = { constant = 3 }\nnickName = { values = {} }\n",
            &[
                "line 6, column 41: active is boolean",
                "line 7, column 32: This is no form of a date",
                "line 8, column 28: displayName is string",
                "One of column, template and constant",
            ],
        ),
        (
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n[[resource.list]]\npath = \"name\"\nkey = \"x\"\n",
            &["line 6, column 8: name is no list of objects"],
        ),
        (
            "source = \"hr\"\n[guard]\ncreates = { percent = -1 }\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n",
            &["line 3, column 23: percent must be a number that is not negative"],
        ),
    ];
    for (text, expected) in table {
        let faults = read(text).expect_err(text).join("\n");
        for expected in expected {
            assert!(faults.contains(expected), "{expected:?} is not in:\n{faults}\n---\n{text}");
        }
    }
}

#[test]
fn a_row_says_what_the_map_makes_of_it() {
    let text = format!(
        "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = [\"Bolag\", \"Nr\"]\nwhen = {{ column = \"Status\", is = [\"A\", \"B\"] }}\n\
         [resource.columns]\nuserName = \"Nr\"\nuserType = {{ constant = \"Employee\" }}\n\
         active = {{ column = \"Status\", values = {{ A = true }}, otherwise = false }}\n\
         'emails[type eq \"work\" and primary eq true].value' = \"Epost\"\n\
         \"{ENTERPRISE}:manager.value\" = {{ column = \"Chef\", refers = \"User\" }}\n\
         title = {{ column = \"Titel\", secret = true }}\n"
    );
    let map = read(&text).expect("a map");
    let part = &map.parts[0];
    let full =
        [("Bolag", "1"), ("Nr", " 17 "), ("Status", "B"), ("Epost", "a@b.fi"), ("Chef", "3"), ("Titel", "Spion")];
    let mapped = part.map(&row(&full), part.key_of(&row(&full)).expect("reads").expect("a key")).expect("maps");
    assert_eq!(
        mapped.shown(part),
        json!({
            "resourceType": "User", "externalId": "1/17", "userName": "17", "userType": "Employee", "active": false,
            "emails[type eq \"work\" and primary eq true].value": "a@b.fi",
            format!("{ENTERPRISE}:manager.value"): { "key": "3" }, "title": "***",
        })
    );
    // Another status is about something else, and a key that is empty about nobody.
    let other = |name: &str, value: &'static str| {
        let cells: Vec<(&str, &str)> =
            full.iter().map(|(known, cell)| (*known, if *known == name { value } else { *cell })).collect();
        row(&cells)
    };
    assert_eq!(part.key_of(&other("Status", "C")), Ok(None));
    assert!(part.key_of(&other("Nr", " ")).expect_err("no key").contains("Nr"));
    assert!(part.key_of(&other("Nr", "\u{FFFD}")).is_err());
    // Spaces, and columns that the map does not read, say nothing else.
    let key = || "1/17".to_owned();
    assert_eq!(part.map(&other("Nr", "17"), key()).expect("maps").digest, mapped.digest);
    assert_ne!(part.map(&other("Nr", "18"), key()).expect("maps").digest, mapped.digest);
    let lost = part.map(&other("Epost", "\u{FFFD}sa@b.fi"), key()).expect_err("a letter was lost");
    assert!(lost.contains("encoding"), "{lost}");
    // What is secret is in no sentence and in no row that is shown.
    let shown = row(&full).shown(map.columns(), &map.secrets().collect::<Vec<_>>());
    assert_eq!(shown["Titel"], "***");
    assert_eq!(shown["Epost"], "a@b.fi");
}

#[test]
fn texts_become_values_of_the_attributes_type() {
    let column = |path: &str, how: &str| {
        let text = format!(
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"A\"\n[resource.columns]\n\"{path}\" = {{ column = \"A\"{how} }}\n"
        );
        read(&text).expect("a map").parts[0].columns[0].clone()
    };
    let table = [
        ("active", "", "1", Some(json!(true))),
        ("active", "", "FALSE", Some(json!(false))),
        ("active", "", "ja", None),
        ("active", ", values = { ja = true }", "ja", Some(json!(true))),
        ("active", ", values = { ja = true }", "nej", None),
        ("title", ", date = \"%d.%m.%Y\"", "01.08.2026", Some(json!("2026-08-01"))),
        ("title", ", date = \"%Y%m%d\"", "20260229", None),
        // A cell that is a date.
        ("title", ", date = \"%Y%m%d\"", "2026-08-01", Some(json!("2026-08-01"))),
        ("title", "", " x ", Some(json!("x"))),
    ];
    for (path, how, text, expected) in table {
        let said = column(path, how).read(&row(&[("A", text)]));
        match (said, expected) {
            (Ok(Some(super::Said::Value(value))), Some(expected)) => assert_eq!(value, expected, "{path} {how} {text}"),
            (Err(_), None) => {}
            (said, expected) => panic!("{path} {how} {text:?}: {said:?}, expected {expected:?}"),
        }
    }
    assert_eq!(column("title", "").read(&row(&[("A", "  ")])), Ok(None));
}

#[test]
fn a_template_puts_columns_together_and_gives_nothing_where_one_is_empty() {
    let map = |template: &str| {
        let text = format!(
            "source = \"hr\"\n[[resource]]\nkind = \"User\"\nkey = \"given\"\n[resource.columns]\ndisplayName = {{ template = \"{template}\" }}\n"
        );
        read(&text)
    };
    let known = map("{{ given }} {{ family | upper }}").expect("a map");
    assert!(known.columns().any(|column| column == "family"), "the file must have it");
    let said = |cells: &[(&str, &str)]| known.parts[0].columns[0].read(&row(cells)).expect("reads");
    let whole = said(&[("given", "Maj"), ("family", " ek ")]);
    assert_eq!(whole, Some(super::Said::Value(json!("Maj EK"))));
    assert_eq!(said(&[("given", "Maj"), ("family", "")]), None);
    let faults = map("{{ given").expect_err("no template").join("\n");
    assert!(faults.contains("line 6, column "), "{faults}");
}

#[test]
fn a_spot_sets_what_it_names_and_nothing_else() {
    let registry = registry();
    let definition = registry.definition("User").expect("a resource type");
    let before = json!({
        "userName": "maj", "name": { "givenName": "Maj" },
        "emails": [{ "type": "home", "value": "h@x.fi" }, { "type": "Work", "value": "w@x.fi", "primary": true }],
    });
    let table: [(&str, Option<Value>, &str, Value); 8] = [
        ("name.familyName", Some(json!("Ek")), "/name", json!({ "givenName": "Maj", "familyName": "Ek" })),
        ("name.givenName", None, "/name", json!({})),
        (
            "emails[type eq \"work\"].value",
            Some(json!("n@x.fi")),
            "/emails/1",
            json!({ "type": "Work", "value": "n@x.fi", "primary": true }),
        ),
        ("emails[type eq \"work\"].value", None, "/emails", json!([{ "type": "home", "value": "h@x.fi" }])),
        (
            "emails[type eq \"other\"].value",
            Some(json!("o@x.fi")),
            "/emails/2",
            json!({ "type": "other", "value": "o@x.fi" }),
        ),
        ("emails[type eq \"work\"].display", None, "/emails/1/value", json!("w@x.fi")),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            Some(json!("Vård")),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            json!({ "department": "Vård" }),
        ),
        ("title", None, "/userName", json!("maj")),
    ];
    for (path, value, at, expected) in table {
        let spot = Spot::parse(definition, path).expect(path);
        let mut document: Object<String, Value> = before.as_object().expect("an object").clone();
        spot.put(&mut document, value.clone());
        assert_eq!(Value::Object(document.clone()).pointer(at), Some(&expected), "{path}");
        assert_eq!(spot.value(&document).cloned(), value, "{path}");
    }
}

#[test]
fn a_list_within_a_line_of_json_is_read_with_its_objects() {
    let text = "source = \"hr\"\nformat = \"jsonl\"\n[[resource]]\nkind = \"User\"\nkey = \"person.nr\"\n\
                [resource.columns]\nuserName = \"person.nr\"\n\
                [[resource.list]]\npath = \"emails\"\nkey = \"value\"\nfrom = \"mail\"\n[resource.list.columns]\nvalue = \"adr\"\ntype = \"typ\"\n";
    let map = read(text).expect("a map");
    let line = json!({ "person": { "nr": 5 }, "mail": [{ "adr": "a@x.fi", "typ": "work" }, { "typ": "home" }, { "adr": "b@x.fi" }] });
    let row = Row::object(1, line.as_object().expect("an object").clone());
    let mapped = map.parts[0].map(&row, "5".into()).expect("maps");
    assert_eq!(
        mapped.shown(&map.parts[0])["emails"],
        json!([{ "value": "a@x.fi", "type": "work" }, { "value": "b@x.fi" }])
    );
}

#[test]
fn a_threshold_is_a_share_with_a_floor() {
    let five = Threshold { percent: 5.0, floor: 10 };
    assert_eq!([0, 100, 200, 1_000, 150_000].map(|living| five.limit(living)), [10, 10, 10, 50, 7_500]);
}
