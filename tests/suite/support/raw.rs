//! HTTP/1.1 written by hand over TCP, for requests that no well-behaved client would send: bytes leave as they are
//! given. One request a connection.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than the server's own limit for a body.
const PATIENCE: Duration = Duration::from_secs(45);

/// A request as bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// All there is to send.
    pub(crate) bytes: Vec<u8>,
    /// Whether the client says after it that nothing more will come.
    pub(crate) hangs_up: bool,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// 0: the connection was closed without an answer.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Request {
    /// A request with its head in order; `headers` come as they are, after `Host`. A `Content-Length` is added for a
    /// body unless the headers speak of one.
    pub(crate) fn new(method: &[u8], target: &[u8], headers: &[(Vec<u8>, Vec<u8>)], body: &[u8]) -> Self {
        let mut bytes = [method, b" ", target, b" HTTP/1.1\r\n"].concat();
        let named = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        for (name, value) in headers {
            bytes.extend([name.as_slice(), b": ", value, b"\r\n"].concat());
        }
        if !named("connection") {
            bytes.extend(b"Connection: close\r\n");
        }
        if !named("content-length") && !named("transfer-encoding") && !body.is_empty() {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        Request { bytes, hangs_up: false }
    }

    /// Sends it to `address`, then waits for the whole answer.
    pub(crate) async fn send(&self, address: &str) -> Answer {
        match tokio::time::timeout(PATIENCE, self.exchange(address)).await {
            Ok(Ok(bytes)) => read_answer(&bytes),
            Ok(Err(error)) => Answer { text: error.to_string(), ..Answer::default() },
            Err(_) => Answer { text: "no answer in time".to_owned(), ..Answer::default() },
        }
    }

    async fn exchange(&self, address: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address).await?;
        let (mut reader, mut writer) = stream.split();
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 65_536];
        // The server may answer and close before it has read everything: both directions are tended at once, and the
        // answer ends where its own length says.
        let write = async {
            let _ = writer.write_all(&self.bytes).await;
            if self.hangs_up {
                let _ = writer.shutdown().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(write);
        loop {
            tokio::select! {
                () = &mut write => {}
                read = reader.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return Ok(bytes),
                    Ok(count) => {
                        bytes.extend(buffer.get(..count).unwrap_or_default());
                        if is_whole(&bytes) {
                            return Ok(bytes);
                        }
                    }
                }
            }
        }
    }
}

impl Answer {
    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// For a failure's report.
    pub(crate) fn show(&self) -> String {
        let mut shown = String::new();
        let _ = write!(shown, "{} {}", self.status, self.text.chars().take(400).collect::<String>());
        shown
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((bytes.get(..end)?, bytes.get(end + 4..)?))
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some((_, body)) = split(bytes) else { return false };
    let answer = read_answer(bytes);
    match answer.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => answer.header("transfer-encoding").is_none_or(|_| body.ends_with(b"0\r\n\r\n")),
    }
}

fn read_answer(bytes: &[u8]) -> Answer {
    let Some((head, body)) = split(bytes) else { return Answer::default() };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_default();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let mut answer = Answer { status, headers, text: String::new() };
    // What follows is the answer to the rest of what was sent.
    let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let body = body.get(..length.unwrap_or(body.len())).unwrap_or(body);
    answer.text = String::from_utf8_lossy(body).into_owned();
    answer
}
