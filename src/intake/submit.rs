//! A file comes in: whose it is, how it is written, when it was made. From here on it is a run.

use std::fs::File;
use std::io::{Read, Seek};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::scan::preview;
use super::{Intake, IntakeError};
use crate::directory::feeds::map::{Format, Map, Mode};
use crate::directory::feeds::{BODY, Begin, Begun, Feed};

/// A file and what is known of it.
pub struct Submission {
    /// The file.
    pub file: File,
    /// How it is written, where the map does not say.
    pub format: Format,
    /// Whether it is all of the source; without it as the map says.
    pub mode: Option<Mode>,
    /// When the source made it, µs since 1970; without it as a column says, else `otherwise`.
    pub extracted: Option<i64>,
    /// When it was made as far as one can tell from outside.
    pub otherwise: i64,
    /// Whether nothing of it is to be stored.
    pub simulate: bool,
    /// Whether it is carried out at once by whoever submits it; else it is kept with the run until its turn comes.
    pub at_once: bool,
}

impl Intake {
    /// The map of a feed, against the schemas as they are now.
    pub async fn map_of(&self, feed: &Feed) -> Result<Map, IntakeError> {
        let catalog = self.directory.catalog(self.ctx.tenant, self.ctx.now).await?;
        Map::read(feed.map(), catalog.registry()).map_err(IntakeError::Map)
    }

    /// Takes a file of a feed. Fails when it cannot be read at all, when it is older than what was applied, and while
    /// another file of the feed is carried out.
    pub async fn submit(&self, feed: &Feed, submission: &mut Submission) -> Result<Begun, IntakeError> {
        let map = self.map_of(feed).await?;
        let format = map.format.unwrap_or(submission.format);
        let shown = preview(&mut submission.file, format, &map)?;
        let told = shown.extracted.as_deref().filter(|_| submission.extracted.is_none());
        let told = told.map(|text| moment(&map, text)).transpose()?;
        let (digest, size) = digest(&mut submission.file)?;
        let begin = Begin {
            mode: submission.mode.unwrap_or(map.mode),
            simulated: submission.simulate,
            extracted: submission.extracted.or(told).unwrap_or(submission.otherwise),
            digest,
            size,
            format,
            at_once: submission.at_once,
        };
        let run = self.ctx.random.resource_id(self.ctx.now)?;
        // Whoever finds the run finds its file.
        if !submission.at_once {
            self.keep(run, &mut submission.file).await?;
        }
        let begun = self.directory.begin_run(&self.ctx, feed.id, run, begin).await;
        if !submission.at_once && !matches!(begun, Ok(Begun::New(_))) {
            self.directory.drop_run_items(&self.ctx, run, &[BODY]).await?;
        }
        Ok(begun?)
    }

    /// Keeps a file with its run.
    pub(super) async fn keep(&self, run: store::ResourceId, file: &mut File) -> Result<(), IntakeError> {
        file.rewind().map_err(super::ReadError::Io)?;
        Ok(self.directory.keep_body(&self.ctx, run, |piece| file.read(piece)).await?)
    }
}

fn digest(file: &mut File) -> Result<(String, u64), super::ReadError> {
    file.rewind()?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    let mut piece = vec![0; 1 << 16];
    loop {
        let length = file.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
        digest.update(read);
        size += read.len() as u64;
    }
    Ok((digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// When a column says that the file was made. What names no zone is taken as UTC.
fn moment(map: &Map, text: &str) -> Result<i64, IntakeError> {
    let form = map.extracted.as_ref().and_then(|extracted| extracted.format.as_deref());
    let civil = |moment: DateTime| moment.to_zoned(TimeZone::UTC).ok().map(|moment| moment.timestamp());
    let date = |date: Date| civil(date.to_datetime(jiff::civil::Time::midnight()));
    let moment = match form {
        Some(form) => Timestamp::strptime(form, text)
            .ok()
            .or_else(|| DateTime::strptime(form, text).ok().and_then(civil))
            .or_else(|| Date::strptime(form, text).ok().and_then(date)),
        None => text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(civil)),
    };
    let moment = moment.or_else(|| text.parse::<Date>().ok().and_then(date));
    let unfit =
        || super::ReadError::Unfit(format!("{text:?} does not say when the file was made. Give extracted a format."));
    Ok(moment.ok_or_else(unfit)?.as_microsecond())
}
