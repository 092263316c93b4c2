//! Recursive descent over the grammar of RFC 7644 figure 1: `or` binds least, then `and`, then `not` and grouping.
//! Beyond it, `attr[filter].sub op literal` is understood as `attr[filter and sub op literal]`, the way one widespread
//! client asks. Knows no schema. Recursion is bounded by [`MAX_DEPTH`].

use std::iter::Peekable;
use std::vec::IntoIter;

use super::lex::{self, Fault, Token};
use super::{Filter, Literal, MAX_BYTES, MAX_DEPTH, MAX_NODES, Op, Parsed, WrittenPath};
use crate::Error;

type Result<T> = std::result::Result<T, Fault>;

impl Filter<Parsed> {
    /// Reads a filter. Fails with 400 invalidFilter; the detail says at which character and what was expected.
    pub fn parse(text: &str) -> std::result::Result<Self, Error> {
        let parse = || {
            let mut parser = Parser::new(text)?;
            let filter = parser.filter()?;
            parser.end("\"and\", \"or\" or the end of the filter")?;
            Ok(filter)
        };
        parse().map_err(|fault: Fault| Error::invalid_filter(fault.detail()))
    }
}

pub(crate) struct Parser {
    tokens: Peekable<IntoIter<(usize, Token)>>,
    nodes: usize,
    depth: usize,
    /// Between brackets, where no further bracket may open.
    inside: bool,
}

impl Parser {
    pub(crate) fn new(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Fault::new(1, format!("the text is {} bytes long; at most {MAX_BYTES} are read", text.len())));
        }
        Ok(Parser { tokens: lex::lex(text)?.into_iter().peekable(), nodes: 0, depth: 0, inside: false })
    }

    pub(crate) fn filter(&mut self) -> Result<Filter<Parsed>> {
        self.chain("or", Parser::conjunction, Filter::Or)
    }

    /// Fails unless everything was read.
    pub(crate) fn end(&mut self, expected: &str) -> Result<()> {
        match self.next() {
            (_, Token::End) => Ok(()),
            (position, found) => Err(unexpected(position, &found, expected)),
        }
    }

    /// An attribute path.
    pub(crate) fn attribute(&mut self) -> Result<WrittenPath> {
        match self.next() {
            (position, Token::Word(text)) if is_path(&text) => Ok(WrittenPath { text, position }),
            (position, found) => Err(unexpected(position, &found, "an attribute")),
        }
    }

    /// `[filter]`, if a bracket comes next.
    pub(crate) fn brackets(&mut self) -> Result<Option<Filter<Parsed>>> {
        let Some(position) = self.take(&Token::OpenBracket) else { return Ok(None) };
        if self.inside {
            return Err(Fault::new(position, "a value filter cannot hold another one"));
        }
        self.inside = true;
        let filter = self.nested(position, &Token::CloseBracket, "\"and\", \"or\" or \"]\"")?;
        self.inside = false;
        Ok(Some(filter))
    }

    /// `.sub` after brackets, if it comes next: the name without its dot.
    pub(crate) fn sub(&mut self) -> Result<Option<WrittenPath>> {
        match self.tokens.peek() {
            Some((_, Token::Word(word))) if word.starts_with('.') => {}
            _ => return Ok(None),
        }
        match self.next() {
            (position, Token::Word(word)) if word.strip_prefix('.').is_some_and(is_name) => {
                Ok(Some(WrittenPath { text: word.trim_start_matches('.').to_owned(), position: position + 1 }))
            }
            (position, found) => Err(unexpected(position, &found, "one sub-attribute after the dot")),
        }
    }

    fn conjunction(&mut self) -> Result<Filter<Parsed>> {
        self.chain("and", Parser::factor, Filter::And)
    }

    /// One or more parts with a keyword between them; a single part stands for itself.
    fn chain(
        &mut self,
        keyword: &str,
        part: fn(&mut Self) -> Result<Filter<Parsed>>,
        join: fn(Vec<Filter<Parsed>>) -> Filter<Parsed>,
    ) -> Result<Filter<Parsed>> {
        let first = part(self)?;
        if !self.at_keyword(keyword) {
            return Ok(first);
        }
        self.count()?;
        let mut parts = vec![first];
        while self.at_keyword(keyword) {
            self.next();
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn factor(&mut self) -> Result<Filter<Parsed>> {
        if let Some(position) = self.take(&Token::Open) {
            return self.nested(position, &Token::Close, "\"and\", \"or\" or \")\"");
        }
        if self.at_keyword("not") {
            self.next();
            self.count()?;
            return match self.next() {
                (position, Token::Open) => {
                    Ok(Filter::Not(Box::new(self.nested(position, &Token::Close, "\"and\", \"or\" or \")\"")?)))
                }
                (position, found) => Err(unexpected(position, &found, "\"(\" after \"not\"")),
            };
        }
        if self.at_keyword("and") || self.at_keyword("or") {
            let (position, found) = self.next();
            return Err(unexpected(position, &found, "an attribute, \"not\" or \"(\""));
        }
        self.count()?;
        let path = match self.next() {
            (position, Token::Word(text)) if is_path(&text) => WrittenPath { text, position },
            (position, found) => return Err(unexpected(position, &found, "an attribute, \"not\" or \"(\"")),
        };
        match self.brackets()? {
            Some(inner) => self.element(path, inner),
            None => self.comparison(path),
        }
    }

    fn element(&mut self, path: WrittenPath, inner: Filter<Parsed>) -> Result<Filter<Parsed>> {
        let Some(sub) = self.sub()? else { return Ok(Filter::Element(path, Box::new(inner))) };
        self.count()?;
        let comparison = self.comparison(sub)?;
        let mut parts = match inner {
            Filter::And(parts) => parts,
            other => vec![other],
        };
        parts.push(comparison);
        Ok(Filter::Element(path, Box::new(Filter::And(parts))))
    }

    fn comparison(&mut self, path: WrittenPath) -> Result<Filter<Parsed>> {
        const EXPECTED: &str = "an operator (eq, ne, co, sw, ew, gt, ge, lt, le or pr)";
        let (position, token) = self.next();
        let Token::Word(word) = &token else { return Err(unexpected(position, &token, EXPECTED)) };
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let op = Op::parse(word).ok_or_else(|| unexpected(position, &token, EXPECTED))?;
        Ok(Filter::Compare(path, op, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal> {
        const EXPECTED: &str = "a text in double quotes, a number, true, false or null";
        match self.next() {
            (_, Token::Text(text)) => Ok(Literal::Text(text)),
            (_, Token::Number(number)) => Ok(Literal::Number(number)),
            (_, Token::Word(word)) if word.eq_ignore_ascii_case("true") => Ok(Literal::Boolean(true)),
            (_, Token::Word(word)) if word.eq_ignore_ascii_case("false") => Ok(Literal::Boolean(false)),
            (_, Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(Literal::Null),
            (position, found) => Err(unexpected(position, &found, EXPECTED)),
        }
    }

    fn nested(&mut self, position: usize, close: &Token, expected: &str) -> Result<Filter<Parsed>> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(position, format!("filters may be nested {MAX_DEPTH} levels deep at most")));
        }
        self.depth += 1;
        let filter = self.filter()?;
        self.depth -= 1;
        match self.next() {
            (_, found) if found == *close => Ok(filter),
            (position, found) => Err(unexpected(position, &found, expected)),
        }
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let position = self.tokens.peek().map_or(1, |(position, _)| *position);
            return Err(Fault::new(position, format!("a filter may have {MAX_NODES} expressions at most")));
        }
        Ok(())
    }

    fn at_keyword(&mut self, keyword: &str) -> bool {
        matches!(self.tokens.peek(), Some((_, Token::Word(word))) if word.eq_ignore_ascii_case(keyword))
    }

    fn take(&mut self, wanted: &Token) -> Option<usize> {
        self.tokens.next_if(|(_, token)| token == wanted).map(|(position, _)| position)
    }

    fn next(&mut self) -> (usize, Token) {
        // The end is never read past: whoever meets it stops.
        self.tokens.next().unwrap_or((1, Token::End))
    }
}

fn unexpected(position: usize, found: &Token, expected: &str) -> Fault {
    let hint = match found {
        Token::Word(_) if expected.starts_with("a text") => "; text must stand in double quotes",
        _ => "",
    };
    Fault::new(position, format!("expected {expected}, found {}{hint}", found.describe()))
}

/// `name`, `name.sub`, or either behind a URN. Whether it exists is for the schema to say.
fn is_path(word: &str) -> bool {
    match word.rsplit_once(':') {
        // The last part of a URN alone may be a version such as 1.0.
        Some((urn, last)) => !urn.is_empty() && !last.is_empty() && !last.starts_with('.') && !last.ends_with('.'),
        None => match word.split_once('.') {
            Some((name, sub)) => is_name(name) && is_name(sub),
            None => is_name(word),
        },
    }
}

/// A name of RFC 7643 section 2.1, or one with the `$` or `_` that its own attributes and clients begin with.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '$' | '_'))
        && name.chars().all(|next| next.is_ascii_alphanumeric() || matches!(next, '-' | '_' | '$'))
}
