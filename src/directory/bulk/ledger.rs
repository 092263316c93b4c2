//! Where it is written down what became of the operations of a deferred request, each in the transaction of the operation
//! itself, so that whoever carries on after an interruption does none twice. What is written is sealed: it may repeat
//! what a client sent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use store::Random;
use uuid::Uuid;

use super::table::{Slot, Table};
use crate::directory::Error;
use crate::directory::deferred::Host;
use crate::directory::envelope::Envelope;

/// The book of one deferred request.
pub(in crate::directory) struct Ledger {
    pub(in crate::directory) request: Uuid,
    pub(in crate::directory) envelope: Envelope,
    pub(in crate::directory) random: Random,
    pub(in crate::directory) host: Arc<dyn Host>,
    /// Whether what fails for a reason that may pass is tried again.
    pub(in crate::directory) patient: bool,
    /// The operations that were decided already, by index.
    pub(in crate::directory) known: Vec<(usize, Noted)>,
}

/// What became of an operation, as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::directory) struct Noted {
    what: What,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tolerances: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Done(Option<String>),
    Failed { status: u16, keyword: Option<String>, detail: String },
    Skipped,
}

impl Noted {
    /// What the table says of an operation; `None` when it is not decided or may be decided otherwise another time.
    pub(super) fn of(table: &Table, index: usize, ledger: &Ledger) -> Option<Self> {
        let what = match table.slot(index)? {
            Slot::Waiting => return None,
            Slot::Skipped => What::Skipped,
            Slot::Failed(error) if error.may_pass() => return None,
            Slot::Failed(error) => {
                let scim::Error { status, scim_type, detail } = ledger.host.told(error);
                What::Failed { status, keyword: scim_type.map(|keyword| keyword.as_str().to_owned()), detail }
            }
            Slot::Done { etag, .. } => What::Done(etag),
        };
        Some(Noted { what, tolerances: table.used(index).iter().map(str::to_owned).collect() })
    }

    /// Puts it back into the table.
    pub(super) fn put(self, table: &Table, index: usize) {
        table.put(
            index,
            match self.what {
                What::Done(etag) => Slot::Done { etag, changes: Vec::new() },
                What::Skipped => Slot::Skipped,
                What::Failed { status, keyword, detail } => {
                    let scim_type = keyword.as_deref().and_then(scim::ScimType::parse);
                    Slot::Failed(Error::Scim(scim::Error { status, scim_type, detail }))
                }
            },
        );
    }

    /// The tolerances that the operation used.
    pub(in crate::directory) fn tolerances(&self) -> &[String] {
        &self.tolerances
    }
}

impl Ledger {
    /// What is stored for an operation.
    pub(super) fn seal(&self, noted: &Noted) -> Result<Vec<u8>, store::Error> {
        let text = serde_json::to_vec(noted).map_err(|error| store::Error::Corrupt(error.to_string()))?;
        self.envelope.seal(&text, &self.random)
    }

    /// What was stored for an operation.
    pub(in crate::directory) fn open(&self, stored: &[u8]) -> Result<Noted, store::Error> {
        read_sealed(&self.envelope, stored)
    }
}

/// Opens a sealed JSON text.
pub(in crate::directory) fn read_sealed<T: serde::de::DeserializeOwned>(
    envelope: &Envelope,
    stored: &[u8],
) -> Result<T, store::Error> {
    let broken = || store::Error::Corrupt("what was sealed for a deferred request cannot be opened".into());
    serde_json::from_slice(&envelope.open(stored).ok_or_else(broken)?).map_err(|_| broken())
}

/// The place of an operation, as the store counts.
pub(super) fn place(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
