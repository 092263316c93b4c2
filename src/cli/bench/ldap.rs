//! As much of LDAP (RFC 4511) as the comparison with a directory server takes: bind, search, add and modify, one request at a
//! time, over a connection kept open. Requests are made as bytes by hand: BER is lengths before contents. Never used for
//! anything but measuring.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::measure::Link;

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const INTEGER: u8 = 0x02;
const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const MODIFY: u8 = 0x66;
const ADD: u8 = 0x68;

/// One connection, bound as the administrator.
pub(super) struct Directory {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a request was answered with.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Entries that were found.
    pub(super) entries: u64,
    /// The result code; 0 is success.
    pub(super) code: u8,
    /// The last entry as it came.
    pub(super) last: Vec<u8>,
}

impl Link for Directory {
    /// Connects and binds.
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("no directory at {address}"))?;
        stream.set_nodelay(true)?;
        let mut directory = Directory { stream, buffer: Vec::with_capacity(16 << 10) };
        let version = tlv(INTEGER, &[3]);
        let name = tlv(OCTETS, b"cn=admin,dc=bench,dc=test");
        let password = tlv(0x80, b"bench");
        let outcome = directory.send(&message(&tlv(BIND, &[version, name, password].concat()))).await?;
        ensure!(outcome.code == 0, "a bind was answered {}", outcome.code);
        Ok(directory)
    }
}

impl Directory {
    /// Sends a request and reads until its result.
    pub(super) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Outcome> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let mut outcome = Outcome::default();
        let mut at = 0;
        loop {
            let (begin, length) = loop {
                if let Some((begin, length)) = frame(self.buffer.get(at..).unwrap_or_default())
                    && self.buffer.len() >= at + begin + length
                {
                    break (at + begin, length);
                }
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    bail!("the directory closed the connection");
                }
            };
            let content = self.buffer.get(begin..begin + length).unwrap_or_default();
            at = begin + length;
            // The message's number, then the operation.
            let (number, size) = frame(content).context("a message without a number")?;
            let operation = content.get(number + size..).context("a message without an operation")?;
            let (inner, size) = frame(operation).context("an operation that is cut off")?;
            match operation.first() {
                Some(&ENTRY) => {
                    outcome.entries += 1;
                    outcome.last = operation.get(inner..inner + size).unwrap_or_default().to_vec();
                }
                Some(_) => {
                    // LDAPResult begins with the code, an ENUMERATED of one byte.
                    outcome.code = *operation.get(inner + 2).context("a result without a code")?;
                    return Ok(outcome);
                }
                None => bail!("a message without an operation"),
            }
        }
    }
}

/// Where the content of the first element begins, and how long it is; `None` when more is to come.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(1)?);
    if first < 0x80 {
        return Some((2, first));
    }
    let count = first & 0x7f;
    let length = bytes.get(2..2 + count)?.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
    Some((2 + count, length))
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            let bytes = (length as u32).to_be_bytes();
            out.push(0x84);
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}

fn message(operation: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(INTEGER, &[1]), operation.to_vec()].concat())
}

fn attribute(name: &str, values: &[String]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| tlv(OCTETS, value.as_bytes())).collect();
    tlv(SEQUENCE, &[tlv(OCTETS, name.as_bytes()), tlv(0x31, &values)].concat())
}

/// What a search looks for.
pub(super) enum Wanted<'w> {
    /// A uid.
    Equal(&'w str),
    /// A part of a uid.
    Part(&'w str),
}

/// A search below ou=people that answers whole entries.
pub(super) fn search(wanted: &Wanted<'_>) -> Vec<u8> {
    let uid = tlv(OCTETS, b"uid");
    let filter = match wanted {
        Wanted::Equal(value) => tlv(0xa3, &[uid, tlv(OCTETS, value.as_bytes())].concat()),
        Wanted::Part(value) => tlv(0xa4, &[uid, tlv(SEQUENCE, &tlv(0x81, value.as_bytes()))].concat()),
    };
    let operation = [
        tlv(OCTETS, b"ou=people,dc=bench,dc=test"),
        tlv(ENUMERATED, &[2]),
        tlv(ENUMERATED, &[0]),
        tlv(INTEGER, &[0]),
        tlv(INTEGER, &[0]),
        tlv(0x01, &[0]),
        filter,
        tlv(SEQUENCE, &[]),
    ];
    message(&tlv(SEARCH, &operation.concat()))
}

/// Adds an entry.
pub(super) fn add(name: &str, attributes: &[(&str, Vec<String>)]) -> Vec<u8> {
    let list: Vec<u8> = attributes.iter().flat_map(|(name, values)| attribute(name, values)).collect();
    message(&tlv(ADD, &[tlv(OCTETS, name.as_bytes()), tlv(SEQUENCE, &list)].concat()))
}

/// Replaces an attribute of an entry.
pub(super) fn replace(name: &str, what: &str, value: &str) -> Vec<u8> {
    let change = [tlv(ENUMERATED, &[2]), attribute(what, &[value.to_owned()])].concat();
    message(&tlv(MODIFY, &[tlv(OCTETS, name.as_bytes()), tlv(SEQUENCE, &tlv(SEQUENCE, &change))].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for length in [0, 1, 127, 128, 300, 70_000] {
            let element = tlv(OCTETS, &vec![7; length]);
            let (begin, found) = frame(&element).expect("an element");
            assert_eq!((found, begin + found), (length, element.len()));
        }
        assert_eq!(frame(&[OCTETS]), None);
        assert_eq!(frame(&[OCTETS, 0x84, 0, 0]), None);
    }
}
