//! Order-preserving keys: one pure function turns a value into text whose **byte order is the order of the values**, so
//! that an index, a sort and a comparison in memory cannot disagree (RFC 7644 sections 3.4.2.2 and 3.4.2.3).
//!
//! Text is compared by [`TextRule`]; booleans are `0` and `1`; integers and instants are seventeen hexadecimal digits;
//! decimals sixteen. Keys are never cut here: [`cut`] is for what stores them. No key starts with U+10FFFF, so that
//! [`ABSENT`] sorts after all of them. U+0000 is refused before values get here.

use std::borrow::Cow;

use jiff::civil::date;
use jiff::fmt::temporal::Pieces;
use serde_json::{Number, Value};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::schema::{Attribute, Type};

/// Sort key of a resource without a value: after every real key, so last ascending and first descending
/// (RFC 7644 section 3.4.2.3).
pub const ABSENT: &str = "\u{10FFFF}";

/// Longest stored key in bytes; see [`cut`].
pub const MAX_BYTES: usize = 512;

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextRule {
    /// As written, up to canonical equivalence (NFC).
    Exact,
    /// Without regard to case: full case folding, then NFC.
    Fold,
    /// PRECIS UsernameCaseMapped (RFC 8265 section 3.3): width mapping, lower case, NFC. Never fails: text that the
    /// profile would refuse has a key all the same, because refusing values is not a key's business.
    Username,
}

impl TextRule {
    /// The rule of an attribute that is not a User's `userName`. References compare exactly whatever their schema
    /// says (RFC 7643 erratum 6001), binary too.
    pub fn of(attribute: &Attribute) -> Self {
        if attribute.case_exact || matches!(attribute.kind, Type::Reference | Type::Binary) {
            TextRule::Exact
        } else {
            TextRule::Fold
        }
    }
}

/// The key of a text.
pub fn of_text(text: &str, rule: TextRule) -> String {
    fold(text, rule).into_owned()
}

/// The key of a value, or `None` when the value is not of that kind (a complex value never has a key).
///
/// `rule` matters to strings, references and binary alone. Whole numbers are decimals too; a decimal with no fraction
/// is an integer.
pub fn of(value: &Value, kind: Type, rule: TextRule) -> Option<String> {
    borrowed(value, kind, rule).map(Cow::into_owned)
}

/// [`of`] without copying text that is its own key already.
pub(crate) fn borrowed(value: &Value, kind: Type, rule: TextRule) -> Option<Cow<'_, str>> {
    match (kind, value) {
        (Type::String | Type::Reference | Type::Binary, Value::String(text)) => Some(fold(text, rule)),
        (Type::Boolean, Value::Bool(value)) => Some(Cow::Borrowed(if *value { "1" } else { "0" })),
        (Type::Integer, Value::Number(number)) => whole(number).map(|number| Cow::Owned(of_whole(number))),
        (Type::Decimal, Value::Number(number)) => number.as_f64().map(|number| Cow::Owned(of_decimal(number))),
        (Type::DateTime, Value::String(text)) => instant(text).map(|micros| Cow::Owned(of_whole(micros.into()))),
        _ => None,
    }
}

/// A password in the form in which it is hashed and compared: PRECIS OpaqueString (RFC 8265 section 4.2) without its
/// refusals. Every space becomes U+0020, the form is NFC, case is kept.
pub fn opaque(password: &str) -> String {
    let is_space =
        |c: char| matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}');
    password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect()
}

/// At most [`MAX_BYTES`] of a key, cut before a character rather than within one. A range probe on cut keys must be
/// inclusive and re-tested.
pub fn cut(key: &str) -> Cow<'_, str> {
    Cow::Borrowed(key.get(..key.floor_char_boundary(MAX_BYTES)).unwrap_or(key))
}

/// The instant that an RFC 3339 text with date, time and zone stands for, in microseconds since 1970; finer parts are
/// cut off. `None`: the text is no such instant. Covers the years 0000 to 9999 whole, for `9999-12-31T23:59:59Z` is what
/// many registers write for "never ends".
pub fn instant(text: &str) -> Option<i64> {
    // The parser knows more than RFC 3339 does: years with a sign and six digits.
    if !text.bytes().take(4).all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // Not a timestamp type: those of the library end a day before the year 9999 does.
    let pieces = Pieces::parse(text).ok()?;
    if pieces.time_zone_annotation().is_some() {
        return None;
    }
    let offset = pieces.offset()?.to_numeric_offset();
    let local = pieces.date().to_datetime(pieces.time()?).duration_since(date(1970, 1, 1).at(0, 0, 0, 0));
    let nanoseconds = local.as_nanos() - i128::from(offset.seconds()) * 1_000_000_000;
    nanoseconds.div_euclid(1000).try_into().ok()
}

/// The key of an instant in microseconds since 1970.
pub fn of_instant(micros: i64) -> String {
    of_whole(micros.into())
}

/// The instant whose key this is; `None`: it is the key of none.
pub fn to_instant(key: &str) -> Option<i64> {
    let number = u128::from_str_radix(key, 16).ok().filter(|_| key.len() == 17)?;
    i64::try_from(i128::try_from(number).ok()? + i128::from(i64::MIN)).ok()
}

/// The whole number that a JSON number stands for, if it has no fraction and fits 64 bits, signed or not.
pub(crate) fn whole(number: &Number) -> Option<i128> {
    const LIMIT: f64 = 18_446_744_073_709_551_616.0;
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    let number = number.as_f64()?;
    // The bounds keep the cast exact; within them it cannot saturate.
    (number.fract() == 0.0 && (-LIMIT / 2.0..LIMIT).contains(&number)).then_some(number as i128)
}

/// Seventeen digits hold everything from the smallest signed to the largest unsigned 64 bit number.
fn of_whole(number: i128) -> String {
    format!("{:017x}", number - i128::from(i64::MIN))
}

/// IEEE 754 totally ordered: negative numbers have all bits flipped, others the sign bit.
fn of_decimal(number: f64) -> String {
    let number = if number == 0.0 { 0.0 } else { number };
    let bits = number.to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    format!("{ordered:016x}")
}

fn fold(text: &str, rule: TextRule) -> Cow<'_, str> {
    if text.is_ascii() {
        return match rule {
            TextRule::Fold | TextRule::Username if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(text.to_ascii_lowercase())
            }
            _ => Cow::Borrowed(text),
        };
    }
    let key = match rule {
        TextRule::Exact if is_nfc(text) => Cow::Borrowed(text),
        TextRule::Exact => Cow::Owned(text.nfc().collect()),
        // Folding decomposed text makes canonically equivalent texts equal (Unicode section 3.13, D145).
        TextRule::Fold => Cow::Owned(caseless::default_case_fold_str(&text.nfd().collect::<String>()).nfc().collect()),
        TextRule::Username => {
            Cow::Owned(text.chars().flat_map(narrow).collect::<String>().to_lowercase().nfc().collect())
        }
    };
    if key.contains(ABSENT) {
        // A noncharacter that no register holds; its neighbour stands for it so that no key reaches the sentinel.
        return Cow::Owned(key.replace(ABSENT, "\u{10FFFE}"));
    }
    key
}

/// The width mapping of RFC 8264 section 5.2.1: full-width and half-width characters become their ordinary form, one
/// step of decomposition and no other compatibility mapping.
fn narrow(character: char) -> impl Iterator<Item = char> {
    let shift = |base: u32| char::from_u32(base).unwrap_or(character);
    let code = u32::from(character);
    let one_step = match code {
        // Half-width Hangul: the full decomposition would go on to conjoining letters.
        0xFFA0 => '\u{3164}',
        0xFFA1..=0xFFBE => shift(code - 0xFFA1 + 0x3131),
        0xFFC2..=0xFFC7 => shift(code - 0xFFC2 + 0x314F),
        0xFFCA..=0xFFCF => shift(code - 0xFFCA + 0x3155),
        0xFFD2..=0xFFD7 => shift(code - 0xFFD2 + 0x315B),
        0xFFDA..=0xFFDC => shift(code - 0xFFDA + 0x3161),
        // The full-width macron would become a space and a combining mark.
        0xFFE3 => '\u{00AF}',
        _ => character,
    };
    let wide = matches!(u32::from(one_step), 0x3000 | 0xFF01..=0xFF9F | 0xFFE0..=0xFFEE);
    let (decomposed, itself) = if wide { (Some(one_step), None) } else { (None, Some(one_step)) };
    decomposed.into_iter().nfkd().chain(itself)
}

#[cfg(test)]
mod tests;
