//! A lean HTTP/1.1 client (RFC 9112): one connection kept open, one request at a time, the answer's status and body.
//! It runs on the same processors as the server it measures, so it does as little as it can: the requests are ready
//! bytes, nothing is decoded but the length. Never used for anything but measuring: no TLS, no redirects, no proxies.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::measure::Link;

/// An answer. Borrowed from the connection until the next request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'c> {
    /// The status code.
    pub(super) status: u16,
    /// Status line and headers.
    pub(super) head: &'c [u8],
    /// The body, without its framing.
    pub(super) body: &'c [u8],
}

impl<'c> Answer<'c> {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'c str> {
        header(self.head, name)
    }

    /// The body as text for a message, cut short.
    pub(super) fn excerpt(&self) -> String {
        String::from_utf8_lossy(self.body).chars().take(300).collect()
    }
}

/// One connection to one server.
pub(super) struct Connection {
    stream: TcpStream,
    /// What has been read: the head, and the body as it came.
    buffer: Vec<u8>,
    /// The body of an answer in chunks, put together.
    whole: Vec<u8>,
}

/// How the body of an answer is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunks,
}

impl Link for Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("nothing answers at {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 << 10), whole: Vec::new() })
    }
}

impl Connection {
    /// Sends a request, which must be complete, and waits for its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let status = status(&self.buffer)?;
        let framing = framing(self.buffer.get(..end).unwrap_or_default(), status)?;
        match framing {
            Framing::Length(length) => {
                self.buffer.reserve((end + length).saturating_sub(self.buffer.len()));
                while self.buffer.len() < end + length {
                    self.fill().await?;
                }
                let (head, body) = self.buffer.split_at(end);
                Ok(Answer { status, head, body })
            }
            Framing::Chunks => {
                self.join(end).await?;
                Ok(Answer { status, head: self.buffer.get(..end).unwrap_or_default(), body: &self.whole })
            }
        }
    }

    /// Puts the chunks that begin at `at` together (RFC 9112 section 7.1).
    async fn join(&mut self, mut at: usize) -> anyhow::Result<()> {
        self.whole.clear();
        loop {
            let line = loop {
                if let Some(length) = find(self.buffer.get(at..).unwrap_or_default(), b"\r\n") {
                    break at..at + length;
                }
                self.fill().await?;
            };
            let begin = line.end + 2;
            let text = std::str::from_utf8(self.buffer.get(line).unwrap_or_default())?;
            let length = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)
                .with_context(|| format!("a chunk of the length {text:?}"))?;
            while self.buffer.len() < begin + length + 2 {
                self.fill().await?;
            }
            self.whole.extend_from_slice(self.buffer.get(begin..begin + length).unwrap_or_default());
            if length == 0 {
                return Ok(());
            }
            at = begin + length + 2;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn status(head: &[u8]) -> anyhow::Result<u16> {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).context("an answer that is no HTTP/1.1")
}

fn framing(head: &[u8], status: u16) -> anyhow::Result<Framing> {
    if matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if let Some(length) = header(head, "content-length") {
        return Ok(Framing::Length(length.parse().context("a Content-Length that is no number")?));
    }
    match header(head, "transfer-encoding") {
        Some("chunked") => Ok(Framing::Chunks),
        _ => bail!("an answer without a length"),
    }
}

fn header<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    head.split(|byte| *byte == b'\n').skip(1).find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| key.eq_ignore_ascii_case(name.as_bytes()))?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// Where `needle` begins in `text`.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|byte| *byte == first) {
        if text.get(from + at..)?.starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// Writes requests of one client to one server.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// The path that all begin with, such as `/scim/v2`.
    pub(super) base: String,
    /// Host as the client names it.
    pub(super) host: String,
    /// The bearer token.
    pub(super) token: String,
}

impl Writer {
    /// A request without a body.
    pub(super) fn plain(&self, method: &str, path: &str) -> Vec<u8> {
        self.with(method, path, "", None)
    }

    /// A request with a JSON body.
    pub(super) fn json(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        self.with(method, path, "", Some(body))
    }

    /// A request with further header lines, each ending in CR LF.
    pub(super) fn with(&self, method: &str, path: &str, headers: &str, body: Option<&str>) -> Vec<u8> {
        let Writer { base, host, token } = self;
        let mut request = format!(
            "{method} {base}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Accept: application/scim+json\r\n{headers}"
        );
        if let Some(body) = body {
            request += &format!("Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        } else {
            request += "\r\n";
        }
        request.into_bytes()
    }
}

/// A text as it may stand in a query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answer(bytes: &'static [&'static [u8]]) -> anyhow::Result<(u16, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = async {
            let (mut stream, _) = listener.accept().await?;
            for piece in bytes {
                stream.write_all(piece).await?;
                stream.flush().await?;
                tokio::task::yield_now().await;
            }
            anyhow::Ok(stream)
        };
        let client = async {
            let mut connection = Connection::open(address).await?;
            let answer = connection.send(b"GET / HTTP/1.1\r\n\r\n").await?;
            anyhow::Ok((answer.status, answer.body.to_vec()))
        };
        let (_stream, answer) = tokio::try_join!(server, client)?;
        Ok(answer)
    }

    #[tokio::test]
    async fn bodies_are_read_whole_however_they_are_framed_and_cut() {
        let long: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nCont", b"ent-Length: 5\r\n\r\nhe", b"llo"];
        assert_eq!(answer(long).await.expect("an answer"), (200, b"hello".to_vec()));
        let chunks: &[&[u8]] =
            &[b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r", b"\n2;x\r\nlo\r\n0\r\n", b"\r\n"];
        assert_eq!(answer(chunks).await.expect("an answer"), (200, b"hello".to_vec()));
        assert_eq!(answer(&[b"HTTP/1.1 204 No Content\r\n\r\n"]).await.expect("an answer"), (204, Vec::new()));
        assert!(answer(&[b"HTTP/1.1 200 OK\r\n\r\n"]).await.is_err());
    }

    #[test]
    fn a_needle_is_found_behind_its_own_beginning() {
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!((find(b"abc", b"cd"), find(b"", b"a")), (None, None));
    }
}
