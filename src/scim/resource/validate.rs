//! The body of a POST becomes a document (RFC 7644 section 3.3): names in any case find their attribute, types are
//! checked, what only the server sets is ignored, `schemas` is checked and derived, required attributes are there.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::typing::{Reader, twice};
use super::{MAX_VALUES, MEMBERS, Notes, Spot, Strictness, find, normalise};
use crate::Error;
use crate::schema::{Attribute, Definition, Mutability, Schema};

/// Reads the body of a POST. Returns the canonical document without anything readOnly (so without `id` and `meta`).
///
/// Errors: 400 invalidSyntax for what is no resource of this type (not an object, a name twice; in strict mode also
/// anything unknown), 400 invalidValue for a value of the wrong kind or a required one that is missing.
pub fn validate(
    def: &Definition,
    body: &Value,
    strictness: Strictness,
    notes: &mut Notes,
) -> Result<Map<String, Value>, Error> {
    let doc = read_body(def, body, strictness, notes)?;
    check_whole(def, &doc, true)?;
    Ok(doc)
}

/// Fails with 400 invalidValue when a new document, read without what its client does not see, lacks what is required.
pub fn check_new(def: &Definition, doc: &Map<String, Value>) -> Result<(), Error> {
    check_whole(def, doc, true)
}

/// Types and names, but nothing about what must be there: PUT asks that after it has merged.
pub(crate) fn read_body(
    def: &Definition,
    body: &Value,
    strictness: Strictness,
    notes: &mut Notes,
) -> Result<Map<String, Value>, Error> {
    let mut reader = Reader { strictness, notes };
    let body = body.as_object().ok_or_else(|| Error::invalid_syntax("The body must be a JSON object."))?;
    let mut draft = Draft::default();
    draft.collect(def, body, &mut reader)?;
    check_schemas(def, draft.schemas, &mut reader)?;
    let mut doc = read_fields(None, &draft.core, &mut reader)?;
    for (schema, fields) in &draft.extensions {
        let fields = read_fields(Some(schema), fields, &mut reader)?;
        if !fields.is_empty() {
            doc.insert(schema.id.clone(), Value::Object(fields));
        }
    }
    normalise(def, &mut doc);
    Ok(doc)
}

type Fields<'b, 'd> = Vec<(&'d Attribute, Cow<'b, Value>)>;

/// The body's values sorted to their attributes, before any type is checked.
#[derive(Default)]
struct Draft<'b, 'd> {
    schemas: Option<&'b Value>,
    core: Fields<'b, 'd>,
    extensions: Vec<(&'d Schema, Fields<'b, 'd>)>,
}

impl<'b, 'd> Draft<'b, 'd> {
    fn collect(
        &mut self,
        def: &'d Definition,
        body: &'b Map<String, Value>,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        for (key, value) in body {
            if key.eq_ignore_ascii_case("schemas") {
                if self.schemas.replace(value).is_some() {
                    return Err(twice(Spot::Key("schemas")));
                }
            } else if let Some(attribute) = def.attribute(key) {
                insert(&mut self.core, None, attribute, Cow::Borrowed(value))?;
            } else if let Some(schema) = def.extension(key) {
                self.collect_extension(schema, value, reader)?;
            } else if key.eq_ignore_ascii_case(&def.core.id) && value.is_object() && reader.forgives("dotted-key") {
                if let Some(object) = value.as_object() {
                    self.collect(def, object, reader)?;
                }
            } else {
                self.collect_flat(def, key, value, reader)?;
            }
        }
        Ok(())
    }

    fn collect_extension(
        &mut self,
        schema: &'d Schema,
        value: &'b Value,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        let object = match value {
            Value::Null => return Ok(()),
            Value::Object(object) => object,
            _ => return Err(Error::invalid_value(format!("{} must be an object.", schema.id))),
        };
        for (key, value) in object {
            if let Some(attribute) = schema.attribute(key) {
                insert(self.fields(Some(schema)), Some(schema), attribute, Cow::Borrowed(value))?;
                continue;
            }
            // Flat sub-attributes such as "manager.value" also come inside the extension's object.
            match key.split_once('.').and_then(|(name, sub)| Some((schema.attribute(name)?, sub))) {
                Some((attribute, sub)) if !attribute.multi_valued && attribute.sub(sub).is_some() => {
                    let spot = Spot::Attribute(Some(&schema.id), key);
                    self.insert_sub(Some(schema), attribute, sub, value, spot, reader)?;
                }
                _ => reader.skip_unknown(Spot::Attribute(Some(&schema.id), key))?,
            }
        }
        Ok(())
    }

    /// A flat key, `name.givenName` or `urn:…:User:department`: no standard form, but understood where it can be.
    fn collect_flat(
        &mut self,
        def: &'d Definition,
        key: &'b str,
        value: &'b Value,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        let place = def.resolve(key).and_then(|place| Some((place.extension, place.attribute?, place.sub)));
        match place {
            Some((schema, attribute, Some(sub))) if !attribute.multi_valued => {
                self.insert_sub(schema, attribute, &sub.name, value, Spot::Key(key), reader)
            }
            Some((schema, attribute, None)) if attribute.name != "schemas" => {
                if !reader.forgives("dotted-key") {
                    return reader.skip_unknown(Spot::Key(key));
                }
                insert(self.fields(schema), schema, attribute, Cow::Borrowed(value))
            }
            _ => reader.skip_unknown(Spot::Key(key)),
        }
    }

    fn insert_sub(
        &mut self,
        schema: Option<&'d Schema>,
        attribute: &'d Attribute,
        sub: &str,
        value: &Value,
        spot: Spot<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(), Error> {
        if !reader.forgives("dotted-key") {
            return reader.skip_unknown(spot);
        }
        let fields = self.fields(schema);
        let known = fields.iter_mut().find(|(known, _)| std::ptr::eq(*known, attribute));
        let Some((_, known)) = known else {
            let object = Map::from_iter([(sub.to_owned(), value.clone())]);
            fields.push((attribute, Cow::Owned(Value::Object(object))));
            return Ok(());
        };
        if known.is_null() {
            *known = Cow::Owned(Value::Object(Map::new()));
        }
        match known.to_mut() {
            Value::Object(object) if !object.keys().any(|name| name.eq_ignore_ascii_case(sub)) => {
                object.insert(sub.to_owned(), value.clone());
                Ok(())
            }
            _ => Err(twice(spot)),
        }
    }

    fn fields(&mut self, schema: Option<&'d Schema>) -> &mut Fields<'b, 'd> {
        let Some(schema) = schema else { return &mut self.core };
        let at = self.extensions.iter().position(|(known, _)| std::ptr::eq(*known, schema)).unwrap_or_else(|| {
            self.extensions.push((schema, Vec::new()));
            self.extensions.len() - 1
        });
        match self.extensions.get_mut(at) {
            Some((_, fields)) => fields,
            None => &mut self.core,
        }
    }
}

/// Adds a value; a flat sub-attribute that came earlier joins an object that came later.
fn insert<'b, 'd>(
    fields: &mut Fields<'b, 'd>,
    schema: Option<&Schema>,
    attribute: &'d Attribute,
    value: Cow<'b, Value>,
) -> Result<(), Error> {
    let Some((_, known)) = fields.iter_mut().find(|(known, _)| std::ptr::eq(*known, attribute)) else {
        fields.push((attribute, value));
        return Ok(());
    };
    let spot = Spot::of(schema, attribute);
    match (known, value.as_ref()) {
        (Cow::Owned(Value::Object(known)), Value::Object(object)) => {
            for (name, value) in object {
                if known.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                    return Err(twice(Spot::Sub(&spot, name)));
                }
                known.insert(name.clone(), value.clone());
            }
            Ok(())
        }
        _ => Err(twice(spot)),
    }
}

fn read_fields(
    schema: Option<&Schema>,
    fields: &Fields<'_, '_>,
    reader: &mut Reader<'_>,
) -> Result<Map<String, Value>, Error> {
    let mut read = Map::with_capacity(fields.len());
    for (attribute, value) in fields {
        if attribute.mutability == Mutability::ReadOnly {
            continue;
        }
        if let Some(value) = reader.attribute(attribute, value, Spot::of(schema, attribute))? {
            read.insert(attribute.name.clone(), value);
        }
    }
    Ok(read)
}

/// The `schemas` of a body say what the client believes it sends (RFC 7643 section 3); the document's own are derived.
pub(crate) fn check_schemas(def: &Definition, schemas: Option<&Value>, reader: &mut Reader<'_>) -> Result<(), Error> {
    let mut has_core = false;
    let urns: &[Value] = match schemas {
        None | Some(Value::Null) => &[],
        Some(Value::Array(urns)) => urns,
        Some(urn @ Value::String(_)) if reader.forgives("bare-array") => std::slice::from_ref(urn),
        Some(_) => return Err(Error::invalid_syntax("schemas must be an array of schema URNs.")),
    };
    for (index, urn) in urns.iter().enumerate() {
        let Some(urn) = urn.as_str() else {
            return Err(Error::invalid_syntax(format!("schemas[{index}] must be a string.")));
        };
        if urn.eq_ignore_ascii_case(&def.core.id) {
            has_core = true;
        } else if def.extension(urn).is_none() && !reader.forgives("unknown-schema") {
            return Err(Error::invalid_syntax(format!("schemas[{index}] is not a schema of {}.", def.name())));
        }
    }
    if has_core || reader.forgives("schemas-missing") {
        return Ok(());
    }
    Err(Error::invalid_syntax(format!("schemas must be given and contain {}.", def.core.id)))
}

/// Whether a canonical document has all it needs and nothing in excess: required extensions, attributes and
/// sub-attributes, no blank where something is required, no overlong array. Secrets that are kept elsewhere count as
/// there unless `secrets` says that the document must bring them.
pub(crate) fn check_whole(def: &Definition, doc: &Map<String, Value>, secrets: bool) -> Result<(), Error> {
    for attribute in def.attributes() {
        check_attribute(attribute, find(doc, &attribute.name), Spot::of(None, attribute), secrets)?;
    }
    for (schema, required) in &def.extensions {
        match find(doc, &schema.id) {
            Some(Value::Object(fields)) => {
                for attribute in &schema.attributes {
                    let spot = Spot::of(Some(schema), attribute);
                    check_attribute(attribute, find(fields, &attribute.name), spot, secrets)?;
                }
            }
            _ if *required => return Err(Error::invalid_value(format!("{} is required.", schema.id))),
            _ => {}
        }
    }
    Ok(())
}

fn check_attribute(attribute: &Attribute, value: Option<&Value>, spot: Spot<'_>, secrets: bool) -> Result<(), Error> {
    let is_due = attribute.required
        && match attribute.mutability {
            Mutability::ReadOnly => false,
            Mutability::WriteOnly => secrets,
            Mutability::ReadWrite | Mutability::Immutable => true,
        };
    match value {
        None if is_due => Err(Error::invalid_value(format!("{spot} is required."))),
        None => Ok(()),
        Some(Value::String(text)) if attribute.required && text.trim().is_empty() => {
            Err(Error::invalid_value(format!("{spot} must not be empty.")))
        }
        Some(Value::Object(object)) => check_subs(attribute, object, spot, secrets),
        Some(Value::Array(elements)) => {
            if elements.len() > MAX_VALUES && attribute.name != MEMBERS {
                return Err(Error::invalid_value(format!("{spot} may have at most {MAX_VALUES} values.")));
            }
            for (index, element) in elements.iter().enumerate() {
                if attribute.name == MEMBERS && attribute.sub("value").is_some() && element.get("value").is_none() {
                    return Err(Error::invalid_value(format!("{spot}[{index}].value is required.")));
                }
                if let Value::Object(object) = element {
                    check_subs(attribute, object, Spot::Element(&spot, index), secrets)?;
                }
            }
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

fn check_subs(attribute: &Attribute, object: &Map<String, Value>, spot: Spot<'_>, secrets: bool) -> Result<(), Error> {
    for sub in attribute.sub_attributes.iter().filter(|sub| sub.required) {
        check_attribute(sub, object.get(&sub.name), Spot::Sub(&spot, &sub.name), secrets)?;
    }
    Ok(())
}
