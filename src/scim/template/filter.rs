//! The filters and tests of the language: those of minijinja that work on texts and lists and cannot make much of
//! little, and our own in place of those that can.

use std::borrow::Cow;

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, filters, tests};
use unicode_normalization::UnicodeNormalization;

use super::MAX_TEXT;

/// Every filter.
pub(super) const FILTERS: [&str; 20] = [
    "ascii",
    "capitalize",
    "d",
    "default",
    "first",
    "int",
    "join",
    "last",
    "length",
    "lower",
    "map",
    "reject",
    "rejectattr",
    "replace",
    "select",
    "selectattr",
    "sort",
    "string",
    "trim",
    "upper",
];
/// Every test.
pub(super) const TESTS: [&str; 8] = ["defined", "undefined", "eq", "ne", "in", "startingwith", "endingwith", "string"];

/// Adds them to a language without any.
pub(super) fn add(language: &mut Environment<'static>) {
    language.add_filter("ascii", ascii);
    language.add_filter("capitalize", filters::capitalize);
    language.add_filter("d", filters::default);
    language.add_filter("default", filters::default);
    language.add_filter("first", filters::first);
    language.add_filter("int", filters::int);
    language.add_filter("join", join);
    language.add_filter("last", filters::last);
    language.add_filter("length", filters::length);
    language.add_filter("lower", filters::lower);
    language.add_filter("map", filters::map);
    language.add_filter("reject", filters::reject);
    language.add_filter("rejectattr", filters::rejectattr);
    language.add_filter("replace", replace);
    language.add_filter("select", filters::select);
    language.add_filter("selectattr", filters::selectattr);
    language.add_filter("sort", filters::sort);
    language.add_filter("string", filters::string);
    language.add_filter("trim", filters::trim);
    language.add_filter("upper", filters::upper);
    language.add_test("defined", tests::is_defined);
    language.add_test("undefined", tests::is_undefined);
    language.add_test("eq", tests::is_eq);
    language.add_test("ne", tests::is_ne);
    language.add_test("in", tests::is_in);
    language.add_test("startingwith", tests::is_startingwith);
    language.add_test("endingwith", tests::is_endingwith);
    language.add_test("string", tests::is_string);
}

fn bounded(text: String) -> Result<String, Error> {
    match text.len() > MAX_TEXT {
        true => Err(Error::new(ErrorKind::OutOfFuel, "a text is too long")),
        false => Ok(text),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands its arguments over")]
fn replace(text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    let found = text.matches(&*from).count();
    match found.saturating_mul(to.len()) > MAX_TEXT {
        true => bounded(" ".repeat(MAX_TEXT + 1)),
        false => bounded(text.replace(&*from, &to)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands its arguments over")]
fn join(list: Value, between: Option<Cow<'_, str>>) -> Result<String, Error> {
    if list.as_str().is_some() {
        return Err(Error::new(ErrorKind::InvalidOperation, "a text is no list"));
    }
    let mut joined = String::new();
    for (n, element) in list.try_iter()?.enumerate() {
        if n > 0 {
            joined.push_str(between.as_deref().unwrap_or_default());
        }
        joined.push_str(&element.to_string());
        joined = bounded(joined)?;
    }
    Ok(joined)
}

/// The text in the letters a to z as far as they can stand for it: marks go, and so does what has no such letter.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands its arguments over")]
fn ascii(text: Cow<'_, str>) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.nfd() {
        match letter {
            letter if letter.is_ascii() => out.push(letter),
            'ß' => out.push_str("ss"),
            'æ' => out.push_str("ae"),
            'Æ' => out.push_str("AE"),
            'œ' => out.push_str("oe"),
            'Œ' => out.push_str("OE"),
            'ø' => out.push('o'),
            'Ø' => out.push('O'),
            'ł' => out.push('l'),
            'Ł' => out.push('L'),
            'đ' | 'ð' => out.push('d'),
            'Đ' | 'Ð' => out.push('D'),
            'þ' => out.push_str("th"),
            'Þ' => out.push_str("Th"),
            'ı' => out.push('i'),
            _ => {}
        }
    }
    out
}
