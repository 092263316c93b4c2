//! What templates give, and what is no template.

use serde_json::{Value, json};

use super::*;

fn render(source: &str, values: &Value) -> Result<String, TemplateError> {
    Template::parse(source)?.render(|name| values.get(name).map(Cow::Borrowed))
}

#[test]
fn a_template_gives_a_text_of_its_values() {
    let anna = json!({
        "userName": "anna.öst", "name": { "givenName": "Anna", "familyName": "Öst Łódź" }, "title": null,
        "emails": [{ "value": "a@home.example", "type": "home" }, { "value": "a@work.example", "type": "work" }],
        "active": true, "urn:x": { "unit": "KER" },
    });
    let table = [
        ("plain", "plain"),
        ("{{ userName }}@cloud.example", "anna.öst@cloud.example"),
        ("{{ name.givenName | lower }}.{{ name.familyName | ascii | lower | replace(' ', '-') }}", "anna.ost-lodz"),
        ("{{ (emails | selectattr('type', 'eq', 'work') | first).value }}", "a@work.example"),
        ("{{ emails | map(attribute='value') | join(';') }}", "a@home.example;a@work.example"),
        ("{{ title | default('none') }}", "none"),
        ("{% if active %}on{% else %}off{% endif %}", "on"),
        ("{{ name.givenName[0] }}{{ name['familyName'][:2] }}", "AÖs"),
        ("{{ 'yes' if userName is startingwith 'anna' else 'no' }}", "yes"),
        ("{{ 'no' if nickName is defined else '<b>' }}{# said #}", "<b>"),
    ];
    for (source, expected) in table {
        assert_eq!(render(source, &anna).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_not_there_is_an_error_and_never_an_empty_text() {
    let values = json!({ "name": { "givenName": "Anna" }, "title": null, "active": true });
    for source in ["{{ userName }}", "{{ name.familyName }}", "{{ title }}", "{{ name.a.b }}", "{% if x %}a{% endif %}"]
    {
        assert_eq!(render(source, &values), Err(TemplateError::Undefined), "{source}");
    }
    for source in ["{{ active | join }}", "{{ name() }}", "{{ name.givenName | int }}"] {
        assert_eq!(render(source, &values), Err(TemplateError::Unfit), "{source}");
    }
}

#[test]
fn what_is_no_template_says_why() {
    for (source, said) in [
        ("{{ userName", "The template is none in line 1"),
        ("{{ userName | shout }}", "There is no filter shout."),
        ("{{ 1 if userName is odd else 2 }}", "There is no test odd."),
        ("{% for e in emails %}{{ e }}{% endfor %}", "for is no statement"),
        ("{% set x = 'a' %}{{ x }}", "set is no statement"),
        ("{%- set x = 'a' %}{{ x }}", "set is no statement"),
        ("{% include 'other' %}", "The template is none"),
        ("{% raw %}{{ x }}{% endraw %}", "raw is no statement"),
        ("{{ 'a' * 100000 }}", "Multiplication"),
        ("{{ {'a': 1} }}", "Braces"),
        ("{{ 'a\\n' }}", "A text in a template has no backslash."),
    ] {
        match Template::parse(source) {
            Err(TemplateError::Malformed(detail)) => assert!(detail.starts_with(said), "{source}: {detail}"),
            other => panic!("{source}: {other:?}"),
        }
    }
    assert!(Template::parse(&"x".repeat(MAX_SOURCE + 1)).is_err());
}

#[test]
fn a_template_makes_no_much_of_little() {
    let values = json!({ "t": "a".repeat(1_000), "list": (0..2_000).collect::<Vec<_>>() });
    for source in ["{{ t | replace('a', t) }}", "{{ list | join(t) }}", &"{{ t }}".repeat(17)] {
        assert_eq!(render(source, &values), Err(TemplateError::TooMuch), "{source}");
    }
}

#[test]
fn a_template_tells_what_it_asks_for() {
    let template = Template::parse("{{ name.givenName }}{{ resource['urn:x'].unit }}{{ title | d(nickName) }}");
    let template = template.expect("reads");
    assert_eq!(template.names().into_iter().collect::<Vec<_>>(), ["name", "nickName", "resource", "title"]);
    assert_eq!(template.literals().collect::<Vec<_>>(), ["urn:x"]);
    assert!(template.paths().any(|path| path == "name.givenName"));
    assert_eq!(format!("{:?}", Template::parse("{{ a }}").expect("reads")), "Template(\"{{ a }}\")");
}
