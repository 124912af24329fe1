//! The envelope around every document: a format version, so that old and new servers can share a store, and a counter,
//! so that no two states of a document have the same bytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// The newest format this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// A document of some type, as it stands in the store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<T> {
    /// The version of everything below.
    pub(super) format: u32,
    /// Goes up by one with each write.
    pub(super) counter: u64,
    /// The document itself.
    pub(super) body: T,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl<T: Serialize> Envelope<T> {
    pub(super) fn to_bytes(&self, key: &DocumentKey) -> Result<Bytes> {
        serde_json::to_vec_pretty(self).map(Bytes::from).map_err(|error| {
            Error::new(ErrorKind::Internal, "write document", key.as_str(), "it cannot be put into JSON")
                .with_source(error)
        })
    }
}

impl<T: DeserializeOwned> Envelope<T> {
    pub(super) fn from_bytes(key: &DocumentKey, bytes: &[u8]) -> Result<Self> {
        let damaged = |error: serde_json::Error| {
            Error::new(ErrorKind::Corrupt, "read document", key.as_str(), "it is damaged")
                .with_hint(format!("restore an older version of `{key}` in the store, or move it away; its backups' data is not touched"))
                .with_source(error)
        };
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            let reason = format!("it has format {format}, and this Dory knows formats up to {FORMAT}");
            return Err(Error::new(ErrorKind::Unsupported, "read document", key.as_str(), reason)
                .with_hint("update Dory on this host"));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}
