//! What sources send as files: read row by row, compared with what they said before, and carried out through the
//! directory. `read` knows formats, `scan` goes through a file once and says what is new, changed or missing, `gather`
//! goes through it again and puts the rows of a resource together, `guard` says what is too much at once, and
//! [`carry`](Intake::carry) is the way of a run from the first row to its report. Never writes anything itself, and never
//! holds a whole file in memory: of each key it keeps some forty bytes.

mod carry;
mod gather;
mod guard;
pub mod read;
pub mod report;
mod scan;
mod submit;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value};

use crate::directory::{Ctx, Directory, Error, feeds::map::Fault};
use read::ReadError;

pub use scan::{Preview, preview};
pub use submit::Submission;

/// Who is told how far a run has come: the stage, how much is done, of how much.
pub type Watch = Arc<dyn Fn(&'static str, u64, u64) + Send + Sync>;

/// µs since 1970, asked for when something begins or ends.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What carrying out feeds needs.
#[derive(Clone)]
pub struct Intake {
    /// The authority.
    pub directory: Directory,
    /// On whose behalf runs are written down; feeds are carried out as their clients.
    pub ctx: Ctx,
    /// The time.
    pub clock: Clock,
    /// Who is told how far it has come.
    pub watch: Watch,
}

/// Why a file was not taken, or a run not carried out.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The directory would not.
    #[error(transparent)]
    Directory(#[from] Error),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The map does not fit the tenant's schemas any more.
    #[error("the map of the feed is wrong: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))]
    Map(Vec<Fault>),
}

impl From<store::Error> for IntakeError {
    fn from(error: store::Error) -> Self {
        IntakeError::Directory(error.into())
    }
}

/// Something of a file that was refused, or should be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reject {
    /// The line, or the row of a sheet.
    pub row: u64,
    /// The resource type it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The source's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why, as a sentence.
    pub reason: String,
    /// The columns that the map reads, without secrets.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub raw: Object<String, Value>,
}

impl Reject {
    /// Its place in a list of the run: the same when the same file is read once more.
    pub(crate) fn place(&self, part: usize) -> i64 {
        let part = i64::try_from(part).unwrap_or_default().min(15);
        i64::try_from(self.row).unwrap_or(i64::MAX / 16).saturating_mul(16).saturating_add(part)
    }
}
