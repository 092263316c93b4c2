//! By what means a change was made: credential, address and request.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::Error;
use crate::record::resource_id;
use crate::statement::Value;

/// By what a change was made, beside its actor. Personal data may lie in it, so it is content of the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// The credential that was shown.
    pub credential: Option<Uuid>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// The request's id.
    pub request: Option<Arc<str>>,
}

impl By {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == By::default()
    }

    /// In columns of the table, in their order.
    pub(crate) fn columns(&self) -> [Value; 3] {
        [
            self.credential.map(|credential| credential.as_bytes().to_vec()).into(),
            self.address.map(|address| address.to_string()).into(),
            self.request.as_deref().map(str::to_owned).into(),
        ]
    }

    /// Out of columns of the table.
    pub(crate) fn read(
        credential: Option<Vec<u8>>,
        address: Option<String>,
        request: Option<String>,
    ) -> Result<Self, Error> {
        let no_address = |_| Error::Corrupt("an address of a change is none".into());
        Ok(By {
            credential: credential.map(|bytes| resource_id(&bytes)).transpose()?.map(|id| id.0),
            address: address.map(|address| address.parse()).transpose().map_err(no_address)?,
            request: request.map(Arc::from),
        })
    }

    /// What is committed to.
    pub(crate) fn text(&self) -> String {
        let credential = self.credential.map(|credential| credential.to_string()).unwrap_or_default();
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        format!("{credential} {address} {}", self.request.as_deref().unwrap_or_default())
    }
}
