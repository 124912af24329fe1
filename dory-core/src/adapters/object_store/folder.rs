//! The catalog in a folder of this host.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::Mutex;

use super::folder_files::{FileError, FolderFiles};
use super::network_folder::network_file_system;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{CatalogStore, Clock, DocumentKey, DocumentStat, DocumentVersion, StoredDocument};

/// Documents as files, with a lock for compare-and-swap.
///
/// Every process on the host may share the folder; other hosts may not, since locks do not reach them. What a write
/// returned survives a power cut. Versions are the moments of writing, which grow whatever the clock does.
#[derive(Debug)]
pub struct FolderCatalogStore {
    files: FolderFiles,
    clock: Arc<dyn Clock>,
    /// Lets this process's writers queue here instead of each polling the lock on a thread of its own.
    turn: Arc<Mutex<()>>,
}

impl FolderCatalogStore {
    /// Opens the catalog in `folder`, which must be there.
    ///
    /// # Errors
    /// `NotFound` if it is not; `Unsupported` on a network file system; `PermissionDenied`.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>) -> Result<Self> {
        let files = FolderFiles::new(folder);
        let root = files.root();
        let network = network_file_system(root).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                translate(root, "open store", "", FileError::NoRoot)
            }
            _ => translate(root, "open store", "", FileError::Io { path: root.to_owned(), source }),
        })?;
        if let Some(kind) = network {
            return Err(refuse_network(root, &kind));
        }
        Ok(Self { files, clock, turn: Arc::default() })
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: &DocumentKey,
        work: impl FnOnce(&FolderFiles) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T> {
        let files = self.files.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&files)).await;
        match outcome {
            Ok(outcome) => outcome.map_err(|error| translate(self.files.root(), operation, subject.as_str(), error)),
            Err(error) => {
                Err(Error::new(ErrorKind::Internal, operation, subject.as_str(), "the work was cut off")
                    .with_source(error))
            }
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: &'static str,
        subject: &DocumentKey,
        work: impl FnOnce(&FolderFiles) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T> {
        // The turn goes with the work: a caller who stops waiting must not let the next one in before its end.
        let turn = Arc::clone(&self.turn).lock_owned().await;
        self.read(operation, subject, move |files| {
            let outcome = work(files);
            drop(turn);
            outcome
        })
        .await
    }
}

#[async_trait]
impl CatalogStore for FolderCatalogStore {
    fn location(&self) -> String {
        format!("file://{}", self.files.root().display())
    }

    async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        let wanted = key.clone();
        self.read("read document", key, move |files| files.read(&wanted)).await
    }

    async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion> {
        let (wanted, now) = (key.clone(), self.clock.now());
        self.write("create document", key, move |files| files.create(&wanted, &bytes, now)).await
    }

    async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion) -> Result<DocumentVersion> {
        let (wanted, expected, now) = (key.clone(), expected.clone(), self.clock.now());
        self.write("replace document", key, move |files| files.replace(&wanted, &bytes, &expected, now)).await
    }

    async fn delete(&self, key: &DocumentKey) -> Result<()> {
        let wanted = key.clone();
        self.write("delete document", key, move |files| files.delete(&wanted)).await
    }

    async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>> {
        let wanted = folder.clone();
        let mut stats = self.read("list documents in", folder, move |files| files.list(&wanted)).await?;
        stats.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(stats)
    }

    async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64> {
        let wanted = folder.clone();
        self.write("delete everything in", folder, move |files| files.delete_tree(&wanted)).await
    }
}

/// Why a folder that other hosts write to cannot be a store.
pub(super) fn refuse_network(root: &Path, kind: &str) -> Error {
    let reason = format!("it lies on a network file system ({kind}), where locks do not hold between hosts");
    Error::new(ErrorKind::Unsupported, "use folder", root.display().to_string(), reason)
        .with_hint("set DORY_STORE to a bucket, or to a folder on a disk of this host")
}

/// From a file's failure to the crate's error. `subject` is the document; the store where there is none.
pub(super) fn translate(root: &Path, operation: &str, subject: &str, error: FileError) -> Error {
    let store = format!("file://{}", root.display());
    let subject = if subject.is_empty() { store.clone() } else { subject.to_owned() };
    match error {
        FileError::Exists => Error::new(ErrorKind::AlreadyExists, operation, subject, error),
        FileError::Changed => Error::new(ErrorKind::Conflict, operation, subject, error),
        FileError::NoRoot => {
            Error::new(ErrorKind::NotFound, operation, store, "the folder does not exist").with_hint("run `dory init`")
        }
        FileError::Io { path, source } => {
            let (kind, reason) = meaning(&source);
            let error = Error::new(kind, operation, subject, format!("`{}`: {reason}", path.display()));
            let error = match kind {
                ErrorKind::Full => error.with_hint("free space in the store, or choose another with DORY_STORE"),
                ErrorKind::PermissionDenied => {
                    error.with_hint(format!("make `{store}` writable for this user, or choose another with DORY_STORE"))
                }
                _ => error,
            };
            error.with_source(source)
        }
    }
}

fn meaning(error: &io::Error) -> (ErrorKind, &'static str) {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC) => (ErrorKind::Full, "no space left"),
        Some(Errno::DQUOT) => (ErrorKind::Full, "the disk quota is used up"),
        Some(Errno::ROFS) => (ErrorKind::PermissionDenied, "the file system is read-only"),
        Some(Errno::ACCESS | Errno::PERM) => (ErrorKind::PermissionDenied, "permission denied"),
        Some(Errno::NOTDIR) => (ErrorKind::InvalidInput, "a document is in the place of a folder"),
        Some(Errno::EXIST) => (ErrorKind::InvalidInput, "something else is in its place"),
        Some(Errno::ISDIR) => (ErrorKind::InvalidInput, "a folder is in the place of a document"),
        Some(Errno::IO) => (ErrorKind::Unavailable, "the disk failed"),
        Some(Errno::MFILE | Errno::NFILE) => (ErrorKind::Unavailable, "too many files are open"),
        _ if error.kind() == io::ErrorKind::TimedOut => (ErrorKind::Unavailable, "another process keeps it locked"),
        _ => (ErrorKind::Internal, "an unexpected failure"),
    }
}
