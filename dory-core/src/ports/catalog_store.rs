//! Where documents live: small JSON files with compare-and-swap.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::error::{Error, Result};

/// Keeps the catalog's documents. All servers of a fleet share one.
///
/// # What every implementation promises
/// - **Atomic**: a reader sees a whole document, old or new, never a mixture; a failed write changes nothing, or all.
/// - **Compare-and-swap**: of several `create` of one key, or several `replace` from one version, exactly one succeeds.
/// - **Read after write**: once a write returned, every later read and list on any host sees it.
/// - **Versions never recur** for a key, even when the same bytes are written again. Callers help by putting a counter
///   into every document, since some stores derive the version from the content.
/// - **Cancellation**: a write whose future was dropped may or may not have happened; read to find out.
/// - **Lost answers**: a write that happened is not reported as refused, unless another writer has built on it already.
///   So whoever meets a conflict reads again and looks for its own entry; entries need names of their own.
///
/// # Where they may differ
/// [`DocumentStat::modified`] is the store's clock, which may not be ours, and in steps of a second or less.
/// Implementations retry what is transient by themselves, for at most about a minute.
#[async_trait]
pub trait CatalogStore: Debug + Send + Sync + 'static {
    /// The store's URL, for messages. No secrets in it.
    fn location(&self) -> String;

    /// The document at `key` with its version; `None` where there is none.
    ///
    /// # Errors
    /// `NotFound` only for the store as a whole (no such bucket); `PermissionDenied`; `Unavailable`.
    async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>>;

    /// Writes a document where there is none yet.
    ///
    /// # Errors
    /// `AlreadyExists` where there is one, which is left as it is; `Full`; `PermissionDenied`; `Unavailable`.
    async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion>;

    /// Writes a document in place of the one whose version is `expected`.
    ///
    /// # Errors
    /// `Conflict` where the document has another version or is gone; it is left as it is. `Full`; `PermissionDenied`;
    /// `Unavailable`.
    async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion) -> Result<DocumentVersion>;

    /// Removes a document; one that is not there is no error.
    ///
    /// # Errors
    /// `PermissionDenied`; `Unavailable`.
    async fn delete(&self, key: &DocumentKey) -> Result<()>;

    /// The documents directly in `folder` and below it, sorted by key; none where there is no such folder.
    ///
    /// It reads no document: one request per thousand documents, where the store counts requests.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>>;

    /// Removes everything below `folder`, documents or not, and tells how many objects that were. It is how the data
    /// of a deleted backup goes; a call that failed half-way can be made again.
    ///
    /// # Errors
    /// `PermissionDenied`; `Unavailable`; some objects may then be gone and others not.
    async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64>;
}

/// A document's name below the store's root: `backups/shop-db-1.json`. Also a folder of them: `backups`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey(String);

impl DocumentKey {
    /// Checks and wraps `text`: parts of letters, digits, `-`, `_` and `.`, none starting with a dot, separated by `/`.
    ///
    /// # Errors
    /// `InvalidInput` for anything else.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let fits = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if text.split('/').all(fits) {
            Ok(Self(text))
        } else {
            Err(Error::invalid("document key", text, "letters, digits, `-`, `_`, `.` and single `/` are allowed"))
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells one state of a document from every other; only its store can read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DocumentVersion(pub String);

/// A document as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its version, for [`CatalogStore::replace`].
    pub version: DocumentVersion,
}

/// A document as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentStat {
    /// Its key.
    pub key: DocumentKey,
    /// Changes whenever the document does; compare it only with that of another listing.
    pub etag: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}
