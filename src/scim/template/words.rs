//! What of the language a template makes use of, found in its source before it ever runs: statements, filters and tests
//! that there are not, and what makes much of little, are told to whoever writes it.

use std::collections::BTreeSet;

use super::filter::{FILTERS, TESTS};

/// The statements that there are.
const STATEMENTS: [&str; 4] = ["if", "elif", "else", "endif"];

/// Looks through a source that could be read. Returns the texts in quotes within its expressions, or what is wrong.
pub(super) fn check(source: &str) -> Result<BTreeSet<String>, String> {
    let mut literals = BTreeSet::new();
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        rest = rest.get(open + 1..).unwrap_or_default();
        let close = match rest.as_bytes().first() {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                rest = rest.split_once("#}").map_or("", |(_, after)| after);
                continue;
            }
            _ => continue,
        };
        rest = rest.get(1..).unwrap_or_default();
        let tokens = tokens(rest, close)?;
        check_tokens(&tokens.list, close == "%}")?;
        literals.extend(tokens.list.into_iter().filter_map(|token| match token {
            Token::Text(text) => Some(text.to_owned()),
            _ => None,
        }));
        rest = tokens.rest;
    }
    Ok(literals)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'s> {
    Word(&'s str),
    /// Between quotes.
    Text(&'s str),
    Sign(char),
}

struct Tokens<'s> {
    list: Vec<Token<'s>>,
    rest: &'s str,
}

/// The tokens up to where the expression closes.
fn tokens<'s>(source: &'s str, close: &str) -> Result<Tokens<'s>, String> {
    let mut list = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix(close) {
            return Ok(Tokens { list, rest: after });
        }
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let length = match first {
            '"' | '\'' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner.find(first).ok_or("A text lacks its second quote.")?;
                let text = inner.get(..end).unwrap_or_default();
                if text.contains('\\') {
                    return Err("A text in a template has no backslash.".to_owned());
                }
                list.push(Token::Text(text));
                end + 2
            }
            '{' | '}' => return Err("Braces within an expression are not part of the language.".to_owned()),
            '*' => return Err("Multiplication is not part of the language.".to_owned()),
            letter if is_word(letter) => {
                let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
                list.push(Token::Word(rest.get(..end).unwrap_or_default()));
                end
            }
            sign => {
                if !sign.is_whitespace() {
                    list.push(Token::Sign(sign));
                }
                sign.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(Tokens { list, rest })
}

fn check_tokens(tokens: &[Token<'_>], is_statement: bool) -> Result<(), String> {
    let words = |from: usize| {
        tokens.iter().skip(from).find_map(|token| match token {
            Token::Word("not") => None,
            Token::Word(word) => Some(*word),
            _ => None,
        })
    };
    if is_statement {
        let word = words(0).unwrap_or_default();
        if !STATEMENTS.contains(&word) {
            return Err(format!("{word} is no statement of the language. There are if, elif, else and endif."));
        }
    }
    for (place, token) in tokens.iter().enumerate() {
        let word = words(place + 1).unwrap_or_default();
        match token {
            Token::Sign('|') if !FILTERS.contains(&word) => {
                return Err(format!("There is no filter {word}. There are {}.", FILTERS.join(", ")));
            }
            Token::Word("is") if !is_part(tokens, place) && !TESTS.contains(&word) => {
                return Err(format!("There is no test {word}. There are {}.", TESTS.join(", ")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the word there is the name of a part: `unit.is`.
fn is_part(tokens: &[Token<'_>], place: usize) -> bool {
    place.checked_sub(1).and_then(|before| tokens.get(before)) == Some(&Token::Sign('.'))
}
