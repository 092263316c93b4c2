//! How an organisation writes names in the letters a to z. Nordic, Sámi and German letters have a usual form, which an
//! organisation may change (`å=aa`); of all others the letter under the marks stays, and what has none goes.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The usual forms of letters that decomposition does not give, or not as people here write them.
const USUAL: [(char, &str); 18] = [
    ('å', "a"),
    ('ä', "a"),
    ('ö', "o"),
    ('ü', "u"),
    ('ø', "o"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ß', "ss"),
    ('đ', "d"),
    ('ð', "d"),
    ('þ', "th"),
    ('ŋ', "n"),
    ('ŧ', "t"),
    ('ł', "l"),
    ('ı', "i"),
    ('ħ', "h"),
    ('ǥ', "g"),
    ('ʒ', "z"),
];

/// What each letter becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters(BTreeMap<char, String>);

impl Letters {
    /// Reads what an organisation writes otherwise, such as `ä=ae`. Errors with the first text that says nothing of the
    /// kind.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, &'t str> {
        let mut own = BTreeMap::new();
        for text in texts {
            let (letter, written) = text.split_once('=').ok_or(text)?;
            let letter: String = letter.trim().to_lowercase().nfc().collect();
            let mut one = letter.chars();
            let (Some(letter), None) = (one.next(), one.next()) else { return Err(text) };
            let written = written.trim().to_ascii_lowercase();
            if letter.is_ascii_alphanumeric() || !written.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(text);
            }
            own.insert(letter, written);
        }
        Ok(Letters(own))
    }

    /// A text in small letters a to z, digits and the signs `.`, `-`, `_`; anything else goes, spaces and apostrophes too.
    pub fn fold(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        // Composed first, so that a letter is found however it is made up.
        for letter in text.to_lowercase().nfc() {
            self.put(letter, &mut out);
        }
        out
    }

    fn put(&self, letter: char, out: &mut String) {
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_') {
            out.push(letter);
            return;
        }
        let usual = || USUAL.iter().find(|(known, _)| *known == letter).map(|(_, written)| *written);
        if let Some(written) = self.0.get(&letter).map(String::as_str).or_else(usual) {
            out.push_str(written);
            return;
        }
        for part in letter.nfkd().filter(|part| !is_combining_mark(*part)) {
            match part {
                part if part.is_ascii_alphanumeric() => out.push(part.to_ascii_lowercase()),
                // Hyphens of other kinds.
                '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
                // What a letter decomposes into may have a usual form, such as the d of ǆ.
                part if part != letter => self.put(part, out),
                _ => {}
            }
        }
    }
}
