//! Tokens of filters and PATCH paths (RFC 7644 figures 1 and 7). Tolerant where clients and the RFC's own examples are
//! careless: no space is needed between operator and literal, and text may stand in single quotes. A literal without
//! quotes stays an error, because guessing where it ends would be guessing what is asked.

use std::str::Chars;

use serde_json::Number;

/// What is wrong, and where: characters from the start, the first being 1.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) position: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(position: usize, message: impl Into<String>) -> Self {
        Fault { position, message: message.into() }
    }

    /// The sentence a client reads.
    pub(crate) fn detail(&self) -> String {
        format!("At character {}: {}.", self.position, self.message)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    /// An attribute path, operator or keyword; or `.sub` after a bracket.
    Word(String),
    Text(String),
    Number(Number),
    End,
}

impl Token {
    /// How an error message names the token.
    pub(crate) fn describe(&self) -> String {
        match self {
            Token::Open => "\"(\"".into(),
            Token::Close => "\")\"".into(),
            Token::OpenBracket => "\"[\"".into(),
            Token::CloseBracket => "\"]\"".into(),
            Token::Word(word) => format!("\"{word}\""),
            Token::Text(_) => "a text".into(),
            Token::Number(number) => format!("the number {number}"),
            Token::End => "the end".into(),
        }
    }
}

/// Splits a text into tokens with their positions; the last one is [`Token::End`].
pub(crate) fn lex(text: &str) -> Result<Vec<(usize, Token)>, Fault> {
    let mut lexer = Lexer { rest: text.chars(), position: 1 };
    let mut tokens = Vec::new();
    while let Some(next) = lexer.peek() {
        let start = lexer.position;
        let token = match next {
            ' ' | '\t' | '\r' | '\n' => {
                lexer.bump();
                continue;
            }
            '(' => lexer.single(Token::Open),
            ')' => lexer.single(Token::Close),
            '[' => lexer.single(Token::OpenBracket),
            ']' => lexer.single(Token::CloseBracket),
            '"' | '\'' => lexer.text(next)?,
            '-' | '0'..='9' => lexer.number()?,
            'a'..='z' | 'A'..='Z' | '$' | '_' | '.' => lexer.word(),
            other => return Err(Fault::new(start, format!("the character {other:?} has no place here"))),
        };
        tokens.push((start, token));
    }
    tokens.push((lexer.position, Token::End));
    Ok(tokens)
}

struct Lexer<'t> {
    rest: Chars<'t>,
    position: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.position += 1;
        Some(next)
    }

    fn single(&mut self, token: Token) -> Token {
        self.bump();
        token
    }

    fn word(&mut self) -> Token {
        let mut word = String::new();
        while let Some(next) = self.peek() {
            let named = next.is_ascii_alphanumeric() || matches!(next, '-' | '_' | '$' | '.' | ':');
            // A URN may hold more characters than a name; they only ever follow its colon.
            let in_urn = matches!(next, '/' | '%' | '+' | '~' | '@') && word.contains(':');
            if !named && !in_urn {
                break;
            }
            word.push(next);
            self.bump();
        }
        Token::Word(word)
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.position;
        let mut digits = String::new();
        while let Some(next) = self.peek() {
            if !next.is_ascii_alphanumeric() && !matches!(next, '+' | '-' | '.' | ':') {
                break;
            }
            digits.push(next);
            self.bump();
        }
        serde_json::from_str(&digits)
            .map(Token::Number)
            .map_err(|_| Fault::new(start, format!("\"{digits}\" is not a number; text must stand in double quotes")))
    }

    fn text(&mut self, quote: char) -> Result<Token, Fault> {
        let start = self.position;
        self.bump();
        let mut text = String::new();
        loop {
            let at = self.position;
            match self.bump() {
                None => return Err(Fault::new(start, "the text that begins here has no closing quote")),
                Some(next) if next == quote => return Ok(Token::Text(text)),
                Some('\\') => text.push(self.escape(at, quote)?),
                Some(next) if next < ' ' => {
                    return Err(Fault::new(at, "a control character in a text must be written as an escape"));
                }
                Some(next) => text.push(next),
            }
        }
    }

    fn escape(&mut self, at: usize, quote: char) -> Result<char, Fault> {
        Ok(match self.bump() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => self.unicode(at)?,
            Some(next) if next == quote || matches!(next, '"' | '\\' | '/') => next,
            _ => return Err(Fault::new(at, "expected one of the escapes of JSON after the backslash")),
        })
    }

    /// The character of `\uXXXX`, where two surrogates make one.
    fn unicode(&mut self, at: usize) -> Result<char, Fault> {
        let lone = || Fault::new(at, "a surrogate must be one of a pair, high before low");
        let first = self.code_unit(at)?;
        let code = match first {
            0xD800..=0xDBFF => {
                if self.bump() != Some('\\') || self.bump() != Some('u') {
                    return Err(lone());
                }
                let second = self.code_unit(at)?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return Err(lone());
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            0 => return Err(Fault::new(at, "no text holds the character U+0000")),
            _ => first,
        };
        char::from_u32(code).ok_or_else(lone)
    }

    fn code_unit(&mut self, at: usize) -> Result<u32, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.bump().and_then(|next| next.to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| Fault::new(at, "expected four hexadecimal digits after \\u"))?;
        }
        Ok(unit)
    }
}
