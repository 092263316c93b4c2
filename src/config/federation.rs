//! The keys of the school federation (RFC 9932): all of the first three, or none.

use std::path::PathBuf;

use super::{ClientCertificates, ConfigError};

/// A federation as an operator sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Federation {
    /// What it is called here.
    pub name: Option<String>,
    /// An https URL or a file.
    pub metadata: Option<String>,
    /// JWK set of the keys that sign the metadata.
    pub anchor: Option<PathBuf>,
    /// Who must have signed it.
    pub issuer: Option<String>,
    /// Where the metadata is kept over a restart.
    pub copy: Option<PathBuf>,
}

impl Federation {
    /// That it is whole, and that certificates of its members can be had.
    pub(super) fn check(&self, certificates: ClientCertificates) -> Result<(), ConfigError> {
        let given = [
            ("federation.name", self.name.is_some()),
            ("federation.metadata", self.metadata.is_some()),
            ("federation.anchor", self.anchor.is_some()),
        ];
        let is_set = given.iter().any(|(_, given)| *given) || self.issuer.is_some() || self.copy.is_some();
        if !is_set {
            return Ok(());
        }
        if let Some((name, _)) = given.iter().find(|(_, given)| !given) {
            return Err(ConfigError::new(format!(
                "{name} is missing. A federation needs federation.name, federation.metadata and federation.anchor."
            )));
        }
        if certificates == ClientCertificates::Off {
            return Err(ConfigError::new(
                "federation.metadata is set and client_certificates is off, so that no member could be told. Set it to \
                 optional, required or proxy.",
            ));
        }
        Ok(())
    }
}

/// Whether a text is where metadata may be fetched: over https, or else whoever is in between could hold it back unseen.
pub fn is_url(text: &str) -> bool {
    text.starts_with("https://")
}

/// Whether a text may be what a federation is called.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
