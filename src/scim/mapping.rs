//! An attribute that is shown in another form: made by a template of what is stored of the resource, and of nothing else.
//! The form stands in the attribute's place wherever it is asked about; what is stored stays as it is.
//!
//! A template is given the attributes of the core schema by their names, and as `resource` the extensions by their URNs.
//! What is derived, secret, never returned or leads to other resources is not given to it. Where the template has no
//! text, the attribute has no value.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::filter::{Checked, Filter};
use crate::schema::{Attribute, Definition, Mutability, Returned, Type, Uniqueness};
use crate::template::Template;
use crate::view::{is_noted, read_by};

/// What is no part of a stored document, or not the resource's own to say.
const ELSEWHERE: [&str; 7] = ["id", "externalId", "schemas", "meta", "groups", "members", "password"];
/// The extensions, to a template.
const RESOURCE: &str = "resource";
/// How its text begins, which no path does.
const OPEN: char = '{';

/// How a mapping is written where indexes are kept.
#[derive(Serialize, Deserialize)]
struct Written<'t> {
    path: Cow<'t, str>,
    template: Cow<'t, str>,
    /// Which resources are shown it, where no two of them may share a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    among: Option<Cow<'t, str>>,
    /// Which resources are shown something else there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unless: Option<Cow<'t, str>>,
    /// The template of what they are shown; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neutral: Option<Cow<'t, str>>,
    /// The view that goes on showing it of resources that have left, and in which it stays theirs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    view: Option<Cow<'t, str>>,
}

/// Resources that are shown something else than the others.
#[derive(Clone, Debug, PartialEq)]
struct Exempt {
    /// `None`: there is none, as the type has no such attribute.
    who: Option<Filter<Checked>>,
    /// What they are shown; `None`: nothing.
    neutral: Option<Box<Mapping>>,
}

/// An attribute in another form.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    path: String,
    template: Template,
    /// The extensions that the template names.
    extensions: BTreeSet<String>,
    /// What of an extension the template is not given.
    hidden: BTreeSet<(String, String)>,
    /// Of which resources no two may share a value; `None`: any may.
    among: Option<Option<Filter<Checked>>>,
    exempt: Option<Exempt>,
    /// The view that goes on showing it of resources that have left.
    view: Option<String>,
    text: String,
}

impl Mapping {
    /// The attribute at `path` of resources of the type, made by a template. `filter` says which resources are shown it;
    /// where the attribute is unique, no two of those may share a value. Fails with a sentence.
    pub fn new(definition: &Definition, path: &str, template: &str, filter: Option<&str>) -> Result<Self, String> {
        let attribute = attribute(definition, path)?;
        let read = Template::parse(template).map_err(|error| error.to_string())?;
        let extensions = check_values(definition, &read)?;
        let is_unique = attribute.uniqueness != Uniqueness::None;
        let among = if is_unique { Some(filter) } else { None };
        let checked = among.map(|filter| filter.map(|filter| told(definition, filter)).transpose()).transpose()?;
        let among = among.map(|filter| Cow::Borrowed(filter.unwrap_or_default()));
        let path = Cow::Borrowed(attribute.name.as_str());
        let text = write(&Written { path, template: template.into(), among, unless: None, neutral: None, view: None })?;
        let hidden = definition.extensions.iter().flat_map(|(schema, _)| {
            let hidden = schema.attributes.iter().filter(|attribute| !is_open(definition, Some(&schema.id), attribute));
            hidden.map(|attribute| (schema.id.clone(), attribute.name.clone()))
        });
        let hidden = hidden.collect();
        Ok(Mapping {
            path: attribute.name.clone(),
            template: read,
            extensions,
            hidden,
            among: checked,
            exempt: None,
            view: None,
            text,
        })
    }

    /// The same, where resources that fit `who` are shown what the template `neutral` makes, or nothing. A filter that does
    /// not fit the type finds none. Fails with a sentence.
    pub fn unless(self, definition: &Definition, who: &str, neutral: Option<&str>) -> Result<Self, String> {
        let other = |template: &str| Mapping::new(definition, &self.path, template, None).map(Box::new);
        let exempt = Exempt { who: told(definition, who).ok(), neutral: neutral.map(other).transpose()? };
        let mut written: Written<'_> = serde_json::from_str(&self.text).map_err(|error| error.to_string())?;
        (written.unless, written.neutral) = (Some(who.into()), neutral.map(Cow::from));
        let text = write(&written)?;
        Ok(Mapping { exempt: Some(exempt), text, ..self })
    }

    /// The same, where resources that have left this view go on being shown it for a while, and where it is unique nobody
    /// else has it meanwhile. Fails with a sentence.
    pub fn staying(self, view: &str) -> Result<Self, String> {
        if !self.is_unique() {
            return Ok(self);
        }
        let mut written: Written<'_> = serde_json::from_str(&self.text).map_err(|error| error.to_string())?;
        written.view = Some(view.into());
        let text = write(&written)?;
        Ok(Mapping { view: Some(view.to_owned()), text, ..self })
    }

    /// Whether its value hangs on an attribute of the core schema.
    pub fn asks_for(&self, name: &str) -> bool {
        self.template.names().contains(name)
            || self.exempt.iter().flat_map(|exempt| &exempt.neutral).any(|neutral| neutral.asks_for(name))
    }

    /// The mapping of a text as [`Mapping::text`] gives it; `None`: it is none, or does not fit the type any more.
    pub fn read(definition: &Definition, text: &str) -> Option<Self> {
        let written: Written<'_> = serde_json::from_str(text).ok()?;
        let among = written.among.as_deref().filter(|filter| !filter.is_empty());
        let mapping = Mapping::new(definition, &written.path, &written.template, among).ok()?;
        let mapping = match &written.unless {
            Some(who) => mapping.unless(definition, who, written.neutral.as_deref()).ok()?,
            None => mapping,
        };
        match &written.view {
            Some(view) => mapping.staying(view).ok(),
            None => Some(mapping),
        }
    }

    /// Whether a text could be a mapping's, and is no path.
    pub fn is_text(text: &str) -> bool {
        text.starts_with(OPEN)
    }

    /// All that it says, as one text: two mappings with the same text are the same.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Canonical path of the attribute.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether no two resources that are shown it may share a value.
    pub fn is_unique(&self) -> bool {
        self.among.is_some()
    }

    /// Whether no other resource that is shown it may have the value of this one.
    pub fn binds(&self, document: &Map<String, Value>) -> bool {
        let has_left = || self.view.as_deref().is_some_and(|view| is_noted(document, view));
        self.among
            .as_ref()
            .is_some_and(|filter| filter.as_ref().is_none_or(|filter| filter.matches(document)) || has_left())
    }

    /// Names of the top-level attributes and extensions that its value depends on.
    pub fn tops(&self) -> BTreeSet<&str> {
        let mut tops = self.template.names();
        if tops.remove(RESOURCE) {
            tops.extend(self.extensions.iter().map(String::as_str));
        }
        if let Some(Exempt { who: Some(who), neutral }) = &self.exempt {
            tops.extend(who.tops());
            tops.extend(neutral.iter().flat_map(|neutral| neutral.tops()));
        }
        tops
    }

    /// Its value for a resource, of its stored document; what else the document holds does not matter.
    pub fn value(&self, document: &Map<String, Value>) -> Option<Value> {
        if let Some(Exempt { who: Some(who), neutral }) = &self.exempt
            && who.matches(document)
        {
            return neutral.as_ref()?.value(document);
        }
        let text = self.template.render(|name| match name {
            RESOURCE => Some(Cow::Owned(self.extensions_of(document))),
            name => document.get(name).map(Cow::Borrowed),
        });
        let text = text.ok()?;
        (!text.is_empty() && !text.contains('\0')).then_some(Value::String(text))
    }

    fn extensions_of(&self, document: &Map<String, Value>) -> Value {
        let named = self.extensions.iter().filter_map(|urn| {
            let mut fields = document.get(urn)?.as_object()?.clone();
            fields.retain(|name, _| !self.hidden.contains(&(urn.clone(), name.clone())));
            Some((urn.clone(), Value::Object(fields)))
        });
        Value::Object(named.collect())
    }
}

fn write(written: &Written<'_>) -> Result<String, String> {
    serde_json::to_string(written).map_err(|error| error.to_string())
}

/// The attribute that can be shown in another form.
fn attribute<'d>(definition: &'d Definition, path: &str) -> Result<&'d Attribute, String> {
    let kind = definition.name();
    let place = definition.resolve(path).ok_or_else(|| format!("{kind} has no attribute {path}."))?;
    let refused = || {
        Err(format!(
            "{path} cannot be mapped: only attributes of the core schema that hold one text can, and neither parts of \
             others nor those of extensions."
        ))
    };
    let (None, Some(attribute), None) = (place.extension, place.attribute, place.sub) else { return refused() };
    let is_text = attribute.kind == Type::String && !attribute.multi_valued;
    match is_text && !ELSEWHERE.contains(&attribute.name.as_str()) && is_open(definition, None, attribute) {
        true => Ok(attribute),
        false => refused(),
    }
}

/// Whether every value that the template asks for is there for it. Returns the extensions that it names.
fn check_values(definition: &Definition, template: &Template) -> Result<BTreeSet<String>, String> {
    for path in template.paths() {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        if name == RESOURCE {
            continue;
        }
        let found = definition.core.attribute(name).filter(|attribute| attribute.name == name);
        let attribute = found.ok_or_else(|| {
            format!(
                "{} has no attribute {name} in its core schema. Those of extensions are had by their URN: \
                 resource[\"urn:…\"].name.",
                definition.name()
            )
        })?;
        if ELSEWHERE.contains(&name) || !is_open(definition, None, attribute) {
            return Err(format!(
                "The template cannot ask for {name}: it is not the resource's own, or not to be shown."
            ));
        }
        let part = rest.split('.').next().unwrap_or_default();
        if part.is_empty() {
            continue;
        }
        if attribute.multi_valued {
            return Err(format!("{name} has several values: take one of them, as in ({name} | first).{part}."));
        }
        if attribute.sub(part).is_none_or(|sub| sub.name != part) {
            return Err(format!("{name} has no part {part}."));
        }
    }
    let named: BTreeSet<String> =
        template.literals().filter(|text| text.starts_with("urn:")).map(str::to_owned).collect();
    if template.names().contains(RESOURCE) {
        if named.is_empty() {
            return Err("resource holds the extensions by their URN: resource[\"urn:…\"].name.".to_owned());
        }
        let is_known = |urn: &&String| definition.extensions.iter().any(|(schema, _)| schema.id == **urn);
        if let Some(unknown) = named.iter().find(|urn| !is_known(urn)) {
            return Err(format!("{} has no extension {unknown}.", definition.name()));
        }
    }
    Ok(named)
}

/// The filter of who is shown the mapping, which must hang on nothing but the document.
fn told(definition: &Definition, filter: &str) -> Result<Filter<Checked>, String> {
    let filter = Filter::parse(filter).and_then(|filter| filter.check(definition)).map_err(|error| error.detail)?;
    match read_by(&filter, definition) {
        Some(_) => Ok(filter),
        None => Err(
            "It is unique, and so can be mapped only where the filter asks about stored attributes alone: not about \
             groups, members, externalId, id or meta."
                .to_owned(),
        ),
    }
}

/// Whether all of an attribute may be made use of.
fn is_open(definition: &Definition, extension: Option<&str>, attribute: &Attribute) -> bool {
    let is_hidden = |attribute: &Attribute| {
        attribute.returned == Returned::Never || attribute.mutability == Mutability::WriteOnly || attribute.secret
    };
    let path = extension.map_or_else(|| attribute.name.clone(), |urn| format!("{urn}:{}", attribute.name));
    let leads = attribute.sub("$ref").is_some() && attribute.sub("value").is_some();
    let is_secret = definition.secrets().iter().any(|secret| secret.path == path);
    !leads && !is_secret && !is_hidden(attribute) && !attribute.sub_attributes.iter().any(is_hidden)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Registry;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn mapping(path: &str, template: &str, filter: Option<&str>) -> Result<Mapping, String> {
        let registry = Registry::builtin().expect("documents");
        Mapping::new(registry.definition("User").expect("a type"), path, template, filter)
    }

    #[test]
    fn a_mapping_is_a_function_of_what_is_stored() {
        let anna = json!({
            "userName": "anna", "name": { "givenName": "Anna" }, "emails": [{ "value": "a@x.example", "type": "work" }],
            ENTERPRISE: { "employeeNumber": "7", "manager": { "value": "1", "displayName": "Bo" } },
        });
        let table = [
            ("{{ userName }}@cloud.example", Some("anna@cloud.example")),
            ("{{ name.givenName | lower }}", Some("anna")),
            ("{{ name.familyName }}", None),
            ("{{ title | default('') }}", None),
            ("{{ (emails | first).value }}", Some("a@x.example")),
            (&format!("{{{{ resource['{ENTERPRISE}'].employeeNumber }}}}"), Some("7")),
            (&format!("{{{{ resource['{ENTERPRISE}'].manager.displayName }}}}"), None),
        ];
        for (template, expected) in table {
            let mapping = mapping("nickName", template, None).expect(template);
            let found = mapping.value(anna.as_object().expect("an object"));
            assert_eq!(found.as_ref().and_then(Value::as_str), expected, "{template}");
        }
    }

    #[test]
    fn what_cannot_be_mapped_says_why() {
        for (path, template, filter, said) in [
            ("shoe", "x", None, "User has no attribute shoe."),
            ("name.formatted", "x", None, "name.formatted cannot be mapped"),
            ("emails", "x", None, "emails cannot be mapped"),
            ("active", "x", None, "active cannot be mapped"),
            ("externalId", "x", None, "externalId cannot be mapped"),
            ("password", "x", None, "password cannot be mapped"),
            (&format!("{ENTERPRISE}:department"), "x", None, "urn"),
            ("title", "{{", None, "The template is none"),
            ("title", "{{ shoe }}", None, "User has no attribute shoe in its core schema."),
            ("title", "{{ username }}", None, "User has no attribute username"),
            ("title", "{{ groups }}", None, "The template cannot ask for groups"),
            ("title", "{{ emails.value }}", None, "emails has several values"),
            ("title", "{{ name.nick }}", None, "name has no part nick."),
            ("title", "{{ resource.x }}", None, "resource holds the extensions"),
            ("title", "{{ resource['urn:x'].y }}", None, "User has no extension urn:x."),
            ("userName", "{{ userName }}", Some("groups pr"), "It is unique"),
            ("userName", "{{ userName }}", Some("userName"), ""),
        ] {
            let error = mapping(path, template, filter).expect_err(template);
            assert!(error.starts_with(said), "{path} {template}: {error}");
        }
        mapping("title", "{{ userName }}", Some("groups pr")).expect("what is not unique may be shown by groups");
    }

    #[test]
    fn who_is_exempt_is_shown_something_else_or_nothing() {
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition("User").expect("a type");
        let anna = json!({ "userName": "anna", "title": "secret", ENTERPRISE: { "employeeNumber": "7" } });
        let anna = anna.as_object().expect("an object");
        let neutral = format!("u{{{{ resource['{ENTERPRISE}'].employeeNumber }}}}");
        for (who, neutral, shown) in [
            ("title pr", Some(neutral.as_str()), Some("u7")),
            ("title pr", None, None),
            ("nickName pr", Some(neutral.as_str()), Some("anna")),
            ("urn:none:such pr", Some(neutral.as_str()), Some("anna")),
        ] {
            let mapping = mapping("userName", "{{ userName }}", None).expect("a mapping");
            let mapping = mapping.unless(user, who, neutral).expect("a mapping");
            assert_eq!(mapping.value(anna).as_ref().and_then(Value::as_str), shown, "{who} {neutral:?}");
            assert_eq!(Mapping::read(user, mapping.text()), Some(mapping.clone()));
            assert_eq!(mapping.tops().contains("title"), who == "title pr");
        }
        let mapping = mapping("userName", "{{ userName }}", None).expect("a mapping");
        assert!(mapping.unless(user, "title pr", Some("{{ shoe }}")).expect_err("refused").starts_with("User has no"));
    }

    #[test]
    fn its_text_says_all_of_it() {
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition("User").expect("a type");
        for filter in [None, Some("active eq true")] {
            let mapping = mapping("USERNAME", "{{ nickName }}", filter).expect("a mapping");
            assert_eq!(Mapping::read(user, mapping.text()), Some(mapping.clone()));
            assert!(Mapping::is_text(mapping.text()) && mapping.is_unique() && mapping.path() == "userName");
            let shown = json!({ "active": true });
            assert!(mapping.binds(shown.as_object().expect("an object")));
            assert_eq!(mapping.binds(&Map::new()), filter.is_none());
        }
        assert!(Mapping::read(user, "{\"path\":\"shoe\",\"template\":\"x\"}").is_none());
    }
}
