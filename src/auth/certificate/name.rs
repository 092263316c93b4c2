//! Distinguished names as text (RFC 4514): the most particular part first, `CN=hr,O=Storstads kommun,C=SE`. Only written,
//! so that equal names have equal texts; a name that an operator types is compared as it stands.

use std::fmt::Write as _;

use openssl::x509::X509NameRef;

/// The text of a name. Parts of a set are joined like parts of a sequence.
pub(super) fn written(name: &X509NameRef) -> String {
    let mut text = String::new();
    let entries: Vec<_> = name.entries().collect();
    for entry in entries.iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        let object = entry.object();
        match object.nid().short_name() {
            // A type without a short name is its numbers.
            Ok(short) if object.nid().as_raw() != 0 => text.push_str(short),
            _ => {
                let _ = write!(text, "{object}");
            }
        }
        text.push('=');
        match entry.data().to_string() {
            Ok(value) => escape(&value, &mut text),
            Err(_) => {
                text.push('#');
                entry.data().as_slice().iter().for_each(|byte| {
                    let _ = write!(text, "{byte:02X}");
                });
            }
        }
    }
    text
}

/// RFC 4514 section 2.4.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (place, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if place == 0 => text.push_str("\\#"),
            ' ' if place == 0 || place == last => text.push_str("\\ "),
            c if c.is_ascii_control() => {
                let _ = write!(text, "\\{:02X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509NameBuilder;

    use super::*;

    fn name(parts: &[(&str, &str)]) -> String {
        let mut builder = X509NameBuilder::new().expect("a name");
        for (kind, value) in parts {
            builder.append_entry_by_text(kind, value).expect("an entry");
        }
        written(&builder.build())
    }

    #[test]
    fn the_most_particular_part_stands_first() {
        assert_eq!(name(&[("C", "SE"), ("O", "Storstads kommun"), ("CN", "hr")]), "CN=hr,O=Storstads kommun,C=SE");
        assert_eq!(name(&[]), "");
    }

    #[test]
    fn what_has_a_meaning_in_the_text_is_escaped() {
        assert_eq!(name(&[("CN", "a,b=c+d\"e\\f")]), "CN=a\\,b=c\\+d\\\"e\\\\f");
        assert_eq!(name(&[("CN", " #a ")]), "CN=\\ #a\\ ");
        assert_eq!(name(&[("CN", "#a")]), "CN=\\#a");
        // Nothing that looks like two parts is made of one.
        assert_ne!(name(&[("CN", "hr,O=x")]), name(&[("O", "x"), ("CN", "hr")]));
        assert_eq!(name(&[("CN", "Åsa")]), "CN=Åsa");
    }
}
