//! Text of any encoding as UTF-8, a piece at a time. A mark at the beginning that says UTF-8 or UTF-16 is believed before
//! the map, and taken off. What cannot be decoded becomes U+FFFD, which no value may hold.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8};

/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// A reader that decodes.
pub(super) struct Decoding<R> {
    source: R,
    decoder: Decoder,
    raw: Box<[u8]>,
    /// What of `raw` is not decoded yet.
    from: usize,
    to: usize,
    is_over: bool,
    is_flushed: bool,
}

impl<R: Read> Decoding<R> {
    pub(super) fn new(source: R, encoding: Option<&'static Encoding>) -> Self {
        Decoding {
            source,
            decoder: encoding.unwrap_or(UTF_8).new_decoder(),
            raw: vec![0; PIECE].into_boxed_slice(),
            from: 0,
            to: 0,
            is_over: false,
            is_flushed: false,
        }
    }
}

impl<R: Read> Read for Decoding<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // A decoder may need so much room for one letter.
        if out.len() < 16 {
            return Err(io::Error::other("a reader of text asks for too little at a time"));
        }
        loop {
            if self.is_flushed {
                return Ok(0);
            }
            if self.from == self.to && !self.is_over {
                self.to = self.source.read(&mut self.raw)?;
                self.from = 0;
                self.is_over = self.to == 0;
            }
            let left = self.raw.get(self.from..self.to).unwrap_or_default();
            let (result, read, written, _) = self.decoder.decode_to_utf8(left, out, self.is_over);
            self.from += read;
            self.is_flushed = self.is_over && result == CoderResult::InputEmpty;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

/// Whether a text looks like UTF-8 that was read as Latin-1: it has what å, ä, ö, é and their like become.
pub(in crate::intake) fn is_mojibake(text: &str) -> bool {
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if matches!(letter, 'Ã' | 'Â')
            && letters
                .peek()
                .is_some_and(|next| ('\u{80}'..='\u{BF}').contains(next) || "…„–—†‡ˆ‰Š‹ŒŽ‘’“”•˜™š›œžŸ".contains(*next))
        {
            return true;
        }
    }
    false
}
