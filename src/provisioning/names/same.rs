//! Whether two spellings are one name: in capitals, with other spaces, or garbled on its way through a system that took its
//! encoding for another one. Nobody is renamed for that.

use unicode_normalization::UnicodeNormalization;

/// Whether `after` is the name `before` in another shape: capitals, spaces, UTF-8 read as Latin-1 or Windows-1252 (`MÃ¤ki`),
/// or letters lost to `?` and `\u{FFFD}`.
pub fn is_same(before: &str, after: &str) -> bool {
    let (before, after) = (shapes(before), shapes(after));
    let is_same = |before: &str, after: &str| {
        before == after || (!before.is_empty() && !after.is_empty() && differs_by_losses(before, after))
    };
    before.iter().any(|before| after.iter().any(|after| is_same(before, after)))
}

/// A name as it may have been before it was garbled, once or twice; itself first.
fn shapes(text: &str) -> Vec<String> {
    let composed: String = text.nfc().collect();
    let garbled = std::iter::successors(Some(composed), |text| repair(text)).take(3);
    garbled
        .map(|text| {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            words.join(" ").nfc().collect()
        })
        .collect()
}

/// The text that was UTF-8 and was read as Latin-1 or Windows-1252; `None`: it was not.
fn repair(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = text.chars().map(byte).collect();
    String::from_utf8(bytes?).ok()
}

/// The byte that Windows-1252, else Latin-1, has for a letter.
fn byte(letter: char) -> Option<u8> {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8D}', 'Ž', '\u{8F}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9D}', 'ž', 'Ÿ',
    ];
    let high = HIGH.iter().position(|known| *known == letter).and_then(|place| u8::try_from(place + 0x80).ok());
    high.or_else(|| u8::try_from(u32::from(letter)).ok())
}

/// Whether they differ only where a letter was lost.
fn differs_by_losses(before: &str, after: &str) -> bool {
    let is_lost = |letter: char| matches!(letter, '?' | '\u{FFFD}');
    if !before.chars().chain(after.chars()).any(is_lost) {
        return false;
    }
    let (mut one, mut other) = (before.chars().peekable(), after.chars().peekable());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b => {}
            (Some(lost), Some(letter)) | (Some(letter), Some(lost)) if is_lost(lost) && !letter.is_ascii() => {
                // One letter may have become two marks, one for each of its bytes.
                let rest = if before.chars().any(is_lost) { &mut one } else { &mut other };
                while rest.next_if(|letter| is_lost(*letter)).is_some() {}
            }
            _ => return false,
        }
    }
}
