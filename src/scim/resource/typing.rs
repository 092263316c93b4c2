//! One value against one attribute: the data types of RFC 7643 section 2.3, shared by POST, PUT and PATCH. What comes
//! out is canonical (names in the schema's case and order, nothing empty); what is wrong is named by its place, never
//! by its value. Sub-attributes that only the server sets are left out, as RFC 7644 section 3.3 asks.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::normalise::prune;
use super::{MAX_BINARY, MAX_TEXT, MAX_VALUES, MEMBERS, Notes, Spot, Strictness};
use crate::Error;
use crate::key;
use crate::schema::{Attribute, Mutability, Type};

const LOOSE_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LOOSE_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LOOSE_PADDING);

/// Reads values as a client's profile allows and notes what it had to forgive.
pub(crate) struct Reader<'n> {
    pub(crate) strictness: Strictness,
    pub(crate) notes: &'n mut Notes,
}

impl Reader<'_> {
    /// Whether the tolerance may be used; if so it is noted.
    pub(crate) fn forgives(&mut self, quirk: &'static str) -> bool {
        let tolerant = self.strictness == Strictness::Tolerant;
        if tolerant {
            self.notes.note(quirk);
        }
        tolerant
    }

    /// The canonical value of an attribute; `None` when the value says that there is none (RFC 7643 section 2.5).
    pub(crate) fn attribute(
        &mut self,
        attribute: &Attribute,
        value: &Value,
        spot: Spot<'_>,
    ) -> Result<Option<Value>, Error> {
        if attribute.multi_valued { self.array(attribute, value, spot) } else { self.single(attribute, value, spot) }
    }

    fn array(&mut self, attribute: &Attribute, value: &Value, spot: Spot<'_>) -> Result<Option<Value>, Error> {
        let elements = match value {
            Value::Null => return Ok(None),
            Value::Array(elements) => elements.as_slice(),
            Value::Object(_) | Value::String(_) if self.forgives("bare-array") => std::slice::from_ref(value),
            _ => return Err(Error::invalid_value(format!("{spot} must be an array."))),
        };
        if elements.len() > MAX_VALUES && attribute.name != MEMBERS {
            return Err(Error::invalid_value(format!("{spot} may have at most {MAX_VALUES} values.")));
        }
        let mut primaries = 0;
        let mut kept = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            if let Some(element) = self.single(attribute, element, Spot::Element(&spot, index))? {
                primaries += usize::from(super::read_primary(&element));
                kept.push(element);
            }
        }
        if primaries > 1 {
            return Err(Error::invalid_value(format!("{spot} may have one value with primary true, not {primaries}.")));
        }
        Ok((!kept.is_empty()).then_some(Value::Array(kept)))
    }

    /// The canonical form of the value of a singular attribute, or of one element of a multi-valued one.
    pub(crate) fn single(
        &mut self,
        attribute: &Attribute,
        value: &Value,
        spot: Spot<'_>,
    ) -> Result<Option<Value>, Error> {
        if value.is_null() {
            return Ok(None);
        }
        match attribute.kind {
            Type::Complex => self.complex(attribute, value, spot),
            Type::Boolean => self.boolean(value, spot).map(Some),
            Type::Integer if value.as_i64().is_some() => Ok(Some(value.clone())),
            Type::Integer => Err(Error::invalid_value(format!("{spot} must be a whole number."))),
            Type::Decimal if value.as_f64().is_some_and(f64::is_finite) => Ok(Some(value.clone())),
            Type::Decimal => Err(Error::invalid_value(format!("{spot} must be a number."))),
            Type::String | Type::Reference | Type::DateTime | Type::Binary => {
                check_text(attribute.kind, value, spot)?;
                Ok(Some(value.clone()))
            }
        }
    }

    fn boolean(&mut self, value: &Value, spot: Spot<'_>) -> Result<Value, Error> {
        let meant = match value {
            Value::Bool(_) => return Ok(value.clone()),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        match meant {
            Some(meant) if self.forgives("string-boolean") => Ok(Value::Bool(meant)),
            _ => Err(Error::invalid_value(format!("{spot} must be true or false."))),
        }
    }

    fn complex(&mut self, attribute: &Attribute, value: &Value, spot: Spot<'_>) -> Result<Option<Value>, Error> {
        match value {
            Value::Object(object) => self.object(attribute, object, spot),
            Value::Array(elements) if !attribute.multi_valued && elements.is_empty() => Ok(None),
            Value::Array(elements)
                if !attribute.multi_valued && elements.len() == 1 && self.forgives("bare-complex") =>
            {
                match elements.first() {
                    Some(Value::Object(object)) => self.object(attribute, object, spot),
                    Some(Value::String(text)) => self.bare(attribute, text, spot),
                    _ => Err(Error::invalid_value(format!("{spot} must be an object."))),
                }
            }
            Value::String(text) if attribute.sub("value").is_some() && self.forgives("bare-complex") => {
                self.bare(attribute, text, spot)
            }
            _ => Err(Error::invalid_value(format!("{spot} must be an object."))),
        }
    }

    /// A text where an object belongs stands for its `value`.
    fn bare(&mut self, attribute: &Attribute, text: &str, spot: Spot<'_>) -> Result<Option<Value>, Error> {
        if attribute.sub("value").is_none() {
            return Err(Error::invalid_value(format!("{spot} must be an object.")));
        }
        let mut object = Map::new();
        object.insert("value".to_owned(), text.into());
        self.object(attribute, &object, spot)
    }

    fn object(
        &mut self,
        attribute: &Attribute,
        object: &Map<String, Value>,
        spot: Spot<'_>,
    ) -> Result<Option<Value>, Error> {
        let mut found: Vec<(usize, &str, Value)> = Vec::with_capacity(object.len());
        let mut seen: Vec<&str> = Vec::with_capacity(object.len());
        for (key, value) in object {
            let position = attribute.sub_attributes.iter().position(|sub| sub.name.eq_ignore_ascii_case(key));
            let Some((position, sub)) = position.and_then(|at| Some((at, attribute.sub_attributes.get(at)?))) else {
                self.skip_unknown(Spot::Sub(&spot, key))?;
                continue;
            };
            if seen.contains(&sub.name.as_str()) {
                return Err(twice(Spot::Sub(&spot, &sub.name)));
            }
            seen.push(&sub.name);
            if sub.mutability == Mutability::ReadOnly {
                continue;
            }
            if let Some(value) = self.attribute(sub, value, Spot::Sub(&spot, &sub.name))? {
                found.push((position, &sub.name, value));
            }
        }
        found.sort_by_key(|(position, ..)| *position);
        let mut object: Map<String, Value> =
            found.into_iter().map(|(_, name, value)| (name.to_owned(), value)).collect();
        prune(&mut object);
        Ok((!object.is_empty()).then_some(Value::Object(object)))
    }

    /// An attribute that the type does not have: left out and noted, or refused.
    pub(crate) fn skip_unknown(&mut self, spot: Spot<'_>) -> Result<(), Error> {
        if self.forgives("unknown-attribute") {
            return Ok(());
        }
        Err(Error::invalid_syntax(format!("{spot} is not an attribute of this resource type.")))
    }
}

/// Two spellings of one name in one object: nobody can tell which is meant.
pub(crate) fn twice(spot: Spot<'_>) -> Error {
    Error::invalid_syntax(format!("{spot} is given more than once; names are the same in any case."))
}

fn check_text(kind: Type, value: &Value, spot: Spot<'_>) -> Result<(), Error> {
    let must = |what: &str| Error::invalid_value(format!("{spot} must be {what}."));
    let text = value.as_str().ok_or_else(|| must("a string"))?;
    let limit = if kind == Type::Binary { MAX_BINARY } else { MAX_TEXT };
    if text.len() > limit {
        return Err(Error::invalid_value(format!("{spot} may have at most {limit} bytes.")));
    }
    if text.contains('\0') {
        return Err(Error::invalid_value(format!("{spot} must not contain the character U+0000.")));
    }
    match kind {
        Type::Reference if text.is_empty() => Err(must("a URI, not an empty string")),
        Type::DateTime if !is_instant(text) => Err(must("a date and time with its zone, such as 2026-01-31T08:00:00Z")),
        Type::Binary if STANDARD.decode(text).is_err() && URL_SAFE.decode(text).is_err() => {
            Err(must("base64 (RFC 4648 section 4 or 5)"))
        }
        _ => Ok(()),
    }
}

/// RFC 3339 as RFC 7643 section 2.3.5 wants it: date, `T`, time and zone; no zone name in brackets.
fn is_instant(text: &str) -> bool {
    let has_time = text.as_bytes().get(10).is_some_and(|separator| separator.eq_ignore_ascii_case(&b'T'));
    has_time && key::instant(text).is_some()
}
