//! What a configuration key is, and how values of its kind are taken out of TOML or the environment and shown again. The
//! errors are the middle of a sentence.

use toml::Value;

use super::{Config, Network};

/// One configuration key.
pub struct Key {
    /// Name in the file; a dot is a TOML table.
    pub name: &'static str,
    /// What a value means, as the end of a sentence.
    pub help: &'static str,
    /// Takes a value; the error is the middle of a sentence.
    pub(super) set: fn(&mut Config, Value) -> Result<(), String>,
    /// The effective value as TOML; `None`: not set.
    pub(super) show: fn(&Config) -> Option<String>,
    /// Whether it is a number: a variable of the environment says so by its text alone.
    pub(super) number: bool,
}

impl Key {
    /// The environment variable of the key.
    pub fn variable(&self) -> String {
        match self.name {
            "database_url" => "DATABASE_URL".to_owned(),
            name => format!("MATRIKEL_{}", name.replace('.', "_").to_uppercase()),
        }
    }

    /// A variable's text as a value of the key's kind; text that is no number is left for the key to refuse.
    pub(super) fn value(&self, text: &str) -> Value {
        match text.parse() {
            Ok(number) if self.number => Value::Integer(number),
            _ => Value::String(text.to_owned()),
        }
    }
}

/// A text that is not empty.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        Value::String(_) => Err("is empty.".to_owned()),
        other => Err(format!("is {}, not text in quotation marks.", article(&other))),
    }
}

/// A boolean; in the environment a text.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::String(text) => text.parse().map_err(|_| format!("is {text:?}.")),
        other => Err(format!("is {}, not true or false.", article(other))),
    }
}

/// A list of texts; in the environment one text with commas.
pub(super) fn texts(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Array(values) => values.into_iter().map(text).collect(),
        Value::String(list) => {
            let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(str::to_owned).collect())
        }
        other => Err(format!("is {}, not a list.", article(&other))),
    }
}

/// A list of addresses and networks.
pub(super) fn networks(value: Value) -> Result<Vec<Network>, String> {
    let network =
        |text: String| Network::parse(&text).ok_or_else(|| format!("has {text:?}, which is no address or network."));
    texts(value)?.into_iter().map(network).collect()
}

/// A list as TOML; an empty one is not set.
pub(super) fn shown(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.map(|text| quoted(&text)).collect();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(", ")))
}

/// An origin as browsers send it (RFC 6454 section 6.2): no path, no upper case, no `*`.
pub(super) fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte))
    })
}

/// A whole number between two.
pub(super) fn number<N: TryFrom<i64>>(value: &Value, least: i64, most: i64) -> Result<N, String> {
    let Value::Integer(number) = *value else {
        return Err(format!("is {}, not a number.", article(value)));
    };
    if !(least..=most).contains(&number) {
        return Err(format!("is {number}."));
    }
    N::try_from(number).map_err(|_| format!("is {number}."))
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// A text as TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
