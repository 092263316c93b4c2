//! Where metadata comes from, and what was believed last. It is fetched over https or read from a file, verified against the
//! anchor, checked, and only then takes the place of what was known; the copy beside it survives a restart and serves until
//! it expires while nothing newer can be had. Older metadata than what was believed is refused, for whoever could bring it
//! back could bring back a member that was put out. Time is an argument; who looks, and how often, is the caller's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Url;
use reqwest::redirect::Policy;
use sha2::{Digest, Sha256};

use super::jws::{Distrust, Verified};
use super::key::{self, KeyError, PublicKey};
use super::metadata::{self, Invalid};
use super::{Known, Members, SECOND};
use crate::auth::chain;

/// Largest metadata in bytes: of some ten thousand members.
const SIZE: usize = 32 * 1024 * 1024;
const CONNECTING: Duration = Duration::from_secs(10);
const FETCHING: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 3;
/// How often a file is looked at.
const FILE_PERIOD: Duration = Duration::from_secs(2);
/// How often metadata that does not say is fetched, and at least and at most.
const USUAL_PERIOD: u64 = 3600;
const SHORTEST_PERIOD: u64 = 5;
const LONGEST_PERIOD: u64 = 86_400;
/// After one failure; doubled with each further one, up to the most.
const RETRY: u64 = 10;
const RETRY_AT_MOST: u64 = 300;

/// Where metadata is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An https URL.
    Url(String),
    /// A file.
    File(PathBuf),
}

/// A federation as its member's operator sets it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called here.
    pub name: String,
    /// Where its metadata is found.
    pub source: Source,
    /// JWK set (RFC 7517) of the keys that sign it.
    pub anchor: PathBuf,
    /// Who has to have signed it; `None`: any key of the anchor will do.
    pub issuer: Option<String>,
    /// Where the copy lies that survives a restart.
    pub copy: PathBuf,
}

/// Why there is no new metadata.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The anchor is none.
    #[error("the anchor {} {source}", path.display())]
    Anchor {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// It cannot be fetched.
    #[error("it cannot be fetched: {0}")]
    Fetch(String),
    /// It is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// It is signed, and breaks the schema.
    #[error("it breaks the rules of the schema: {0}")]
    Invalid(#[from] Invalid),
    /// It is another federation's.
    #[error("it was issued by {issuer:?}, not by the one that is configured")]
    Issuer {
        /// Who signed it.
        issuer: String,
    },
    /// Newer metadata was believed before.
    #[error("it is of {}, and that of {} is known", moment(*.offered), moment(*.known))]
    Older {
        /// Seconds since 1970.
        offered: i64,
        /// Seconds since 1970.
        known: i64,
    },
}

/// What a look for newer metadata came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// It is as it was.
    Same,
    /// There is newer metadata, and it is believed.
    Taken,
}

/// A federation as this process knows it.
pub struct Federation {
    settings: Settings,
    http: reqwest::Client,
    members: Members,
    /// When the newest metadata was signed that was ever believed, in seconds since 1970.
    newest: i64,
    /// What tells the text that was looked at last, and its anchor, from others.
    seen: Option<[u8; 32]>,
    failures: u32,
}

impl Federation {
    /// Takes up what was known before, and a file at once. Fails for an anchor that cannot be used; `now` in µs since 1970.
    pub fn open(settings: Settings, now: i64) -> Result<Self, FederationError> {
        let anchor = read_anchor(&settings.anchor)?;
        let http = reqwest::Client::builder()
            .https_only(true)
            .redirect(Policy::limited(REDIRECTS))
            .connect_timeout(CONNECTING)
            .timeout(FETCHING)
            .build()
            .map_err(|error| FederationError::Fetch(chain(&error)))?;
        let members = Members::default();
        let mut federation = Federation { settings, http, members, newest: i64::MIN, seen: None, failures: 0 };
        if let Ok(copy) = std::fs::read(&federation.settings.copy)
            && let Ok(verified) = Verified::new(&copy, &anchor)
        {
            // What has expired names nobody, and still says what was the newest.
            federation.newest = verified.header.iat;
            let _ = federation.believe(verified, now);
        }
        if let Source::File(path) = federation.settings.source.clone()
            && let Ok(text) = read_file(&path)
        {
            // What is wrong with it is told by the first look.
            let _ = federation.take(&text, now);
        }
        Ok(federation)
    }

    /// Who is known. Clones see what is known later.
    pub fn members(&self) -> Members {
        self.members.clone()
    }

    /// What the federation is called here.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Looks for newer metadata; `now` in µs since 1970.
    pub async fn refresh(&mut self, now: i64) -> Result<Refreshed, FederationError> {
        let text = match &self.settings.source {
            Source::Url(url) => self.fetch(url).await,
            Source::File(path) => read_file(path),
        };
        let outcome = text.and_then(|text| self.take(&text, now));
        self.failures = if outcome.is_ok() { 0 } else { self.failures.saturating_add(1) };
        outcome
    }

    /// How long to wait before the next look; `now` in µs since 1970.
    pub fn pause(&self, now: i64) -> Duration {
        if let Source::File(_) = self.settings.source {
            return FILE_PERIOD;
        }
        if let Some(before) = self.failures.checked_sub(1) {
            return Duration::from_secs(RETRY.saturating_mul(1 << before.min(8)).min(RETRY_AT_MOST));
        }
        let Some(known) = self.members.known() else { return Duration::from_secs(RETRY) };
        let left = u64::try_from(known.header.exp.saturating_sub(now / SECOND)).unwrap_or_default();
        let period = known.metadata.cache_ttl.unwrap_or(USUAL_PERIOD).min(LONGEST_PERIOD);
        // In any case while there is time for another try.
        Duration::from_secs(period.min(left / 2).max(SHORTEST_PERIOD))
    }

    /// Believes a text if there is reason to; `now` in µs since 1970.
    pub fn take(&mut self, text: &[u8], now: i64) -> Result<Refreshed, FederationError> {
        let anchor = read_anchor(&self.settings.anchor)?;
        // Whoever takes a key out of the anchor believes nothing any more that it signed.
        if self.members.known().is_some_and(|known| !anchor.iter().any(|key| key.thumbprint == known.signed_by)) {
            self.members.set(None);
        }
        let mut hasher = Sha256::new_with_prefix(Sha256::digest(text));
        anchor.iter().for_each(|key| hasher.update(&key.thumbprint));
        let seen = hasher.finalize().into();
        if self.seen == Some(seen) && self.members.known().is_some_and(|known| now < known.header.exp * SECOND) {
            return Ok(Refreshed::Same);
        }
        let verified = Verified::new(text, &anchor)?;
        let was_known = self.members.known().is_some_and(|known| known.header == verified.header);
        self.believe(verified, now)?;
        self.seen = Some(seen);
        if !was_known && let Err(error) = keep(&self.settings.copy, text) {
            // Without the copy a restart knows nobody until the metadata can be had again.
            tracing::warn!(path = %self.settings.copy.display(), %error, "the copy of the metadata cannot be written");
        }
        Ok(Refreshed::Taken)
    }

    fn believe(&mut self, verified: Verified, now: i64) -> Result<(), FederationError> {
        if self.settings.issuer.as_ref().is_some_and(|issuer| *issuer != verified.header.iss) {
            return Err(FederationError::Issuer { issuer: verified.header.iss });
        }
        verified.check_time(now / SECOND)?;
        if verified.header.iat < self.newest {
            return Err(FederationError::Older { offered: verified.header.iat, known: self.newest });
        }
        let metadata = metadata::parse(&verified.payload)?;
        self.newest = verified.header.iat;
        let name = self.settings.name.clone();
        self.members.set(Some(Known::new(name, verified.header, verified.signed_by, metadata)));
        Ok(())
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>, FederationError> {
        let failed = |error: reqwest::Error| FederationError::Fetch(chain(&error.without_url()));
        let url = Url::parse(url).map_err(|error| FederationError::Fetch(error.to_string()))?;
        let answer = self.http.get(url).send().await.map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FederationError::Fetch(format!("the answer is {}", answer.status())));
        }
        let (mut text, mut chunks) = (Vec::new(), answer.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk.map_err(failed)?);
            if text.len() > SIZE {
                return Err(FederationError::Fetch(format!("it is larger than {SIZE} bytes")));
            }
        }
        Ok(text)
    }
}

/// Reads the keys of an anchor.
pub fn read_anchor(path: &Path) -> Result<Vec<PublicKey>, FederationError> {
    let text = read_file(path)?;
    key::read_set(&text).map_err(|source| FederationError::Anchor { path: path.to_owned(), source })
}

fn read_file(path: &Path) -> Result<Vec<u8>, FederationError> {
    std::fs::read(path).map_err(|source| FederationError::Unreadable { path: path.to_owned(), source })
}

/// Writes the copy in one step: half of one would be none.
fn keep(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

/// Seconds since 1970 for people.
pub(super) fn moment(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests;
