//! A first look at a whole file: it has a header that is understood, an end, and is what was written. Stores nothing.

use std::io::{BufRead, Seek};

use sha2::{Digest, Sha256};

use super::{FORMAT, Header, Line, Trailer, TransferError};
use crate::check::Watch;

/// What a first look at the file tells.
pub(super) struct Survey {
    pub(super) header: Header,
    /// Digest of the file.
    pub(super) source: Vec<u8>,
}

/// Says what is wrong with a line.
pub(super) fn fault(line: u64, what: impl Into<String>) -> TransferError {
    TransferError::File { line, what: what.into() }
}

/// Reads a line.
pub(super) fn parse(line: u64, text: &[u8]) -> Result<Line, TransferError> {
    serde_json::from_slice(text).map_err(|error| fault(line, error.to_string()))
}

/// Reads the whole file once: it has a header that is understood, an end, and is what was written.
pub(super) fn survey(file: &mut (impl BufRead + Seek), watch: &mut Watch<'_>) -> Result<Survey, TransferError> {
    let (mut digest, mut text, mut at) = (Sha256::new(), Vec::new(), 0);
    file.rewind()?;
    file.read_until(b'\n', &mut text)?;
    let header = match parse(1, &text) {
        Ok(Line::Export(header)) => header,
        Ok(_) => return Err(fault(1, "not the header of an export")),
        Err(error) => return Err(error),
    };
    if header.format != FORMAT {
        return Err(fault(1, format!("format {}, and this version reads format {FORMAT}", header.format)));
    }
    loop {
        at += 1;
        if text.starts_with(b"{\"end\":") {
            break;
        }
        if !text.ends_with(b"\n") {
            return Err(fault(at, "the file ends here, before its last line: it was cut short"));
        }
        digest.update(&text);
        text.clear();
        file.read_until(b'\n', &mut text)?;
        if at % 4_096 == 0 {
            (watch)("Reading the file", at, header.lines);
        }
    }
    let Line::End(Trailer { lines, sha256 }) = parse(at, &text)? else { return Err(fault(at, "not the last line")) };
    if sha256.0 != digest.finalize().to_vec() || lines != header.lines || lines.saturating_add(2) != at {
        return Err(fault(at, "the file is not as it was written: its digest or the number of its lines is another"));
    }
    text.clear();
    if file.read_until(b'\n', &mut text)? > 0 {
        return Err(fault(at + 1, "something follows the last line"));
    }
    Ok(Survey { header, source: sha256.0 })
}
