//! Documents as files of one folder: the blocking half of the folder's catalog.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{Timespec, Timestamps, futimens};
use sha2::{Digest, Sha256};

use super::folder_lock::FolderLock;
use crate::ports::{DocumentKey, DocumentStat, DocumentVersion, StoredDocument};

const LOCK: &str = ".catalog-lock";
/// Where a document is written before it takes its place. One name is enough, for only the lock's holder writes; what
/// a crash leaves there is removed by the next holder, and no key can name it.
const DRAFT: &str = ".catalog-draft";

/// A folder of documents.
#[derive(Clone, Debug)]
pub(super) struct FolderFiles {
    root: PathBuf,
}

/// Why a file could not be what a document needs, with the path it is about.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("it is already there")]
    Exists,
    #[error("it was changed in the meantime")]
    Changed,
    #[error("the store's folder is gone")]
    NoRoot,
}

type Result<T> = std::result::Result<T, FileError>;

trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| FileError::Io { path: path.to_owned(), source })
    }
}

impl FolderFiles {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Needs no lock: a document takes its place whole.
    pub(super) fn read(&self, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        let path = self.path(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return self.still_there().map(|()| None),
            Err(error) => return Err(error).at(&path),
        };
        let metadata = file.metadata().at(&path)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).at(&path)?;
        let version = version(&metadata, &bytes);
        Ok(Some(StoredDocument { bytes: bytes.into(), version }))
    }

    pub(super) fn create(&self, key: &DocumentKey, bytes: &[u8], now: Timestamp) -> Result<DocumentVersion> {
        let lock = self.lock()?;
        let path = self.path(key);
        self.make_parents(&path)?;
        let (draft, version) = self.draft(&lock, bytes, now)?;
        // A link refuses to take a place that is taken, even by somebody who does not know of the lock.
        let linked = match fs::hard_link(&draft, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(FileError::Exists),
            outcome => outcome.at(&path),
        };
        fs::remove_file(&draft).at(&draft)?;
        linked?;
        sync_parent(&path)?;
        Ok(version)
    }

    pub(super) fn replace(
        &self,
        key: &DocumentKey,
        bytes: &[u8],
        expected: &DocumentVersion,
        now: Timestamp,
    ) -> Result<DocumentVersion> {
        let lock = self.lock()?;
        let path = self.path(key);
        if self.read(key)?.map(|found| found.version).as_ref() != Some(expected) {
            return Err(FileError::Changed);
        }
        let (draft, version) = self.draft(&lock, bytes, now)?;
        fs::rename(&draft, &path).at(&path)?;
        sync_parent(&path)?;
        Ok(version)
    }

    pub(super) fn delete(&self, key: &DocumentKey) -> Result<()> {
        let _lock = self.lock()?;
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => sync_parent(&path),
            Err(error) if is_absence(&error) => Ok(()),
            Err(error) => Err(error).at(&path),
        }
    }

    /// Needs no lock: nobody else has any business in a folder that is being deleted.
    pub(super) fn delete_tree(&self, folder: &DocumentKey) -> Result<u64> {
        let path = self.path(folder);
        match fs::symlink_metadata(&path) {
            Err(error) if is_absence(&error) => return self.still_there().map(|()| 0),
            // A document of that name is not below itself.
            Ok(metadata) if metadata.is_file() => return Ok(0),
            metadata => metadata.at(&path)?,
        };
        let count = count_files(&path)?;
        fs::remove_dir_all(&path).at(&path)?;
        Ok(count)
    }

    /// The documents below `folder`, in no order.
    pub(super) fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>> {
        let mut stats = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            let path = self.path(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_absence(&error) => {
                    self.still_there()?;
                    continue;
                }
                Err(error) => return Err(error).at(&path),
            };
            for entry in entries {
                let entry = entry.at(&path)?;
                let Some(key) = key_of(&folder, &entry.file_name()) else { continue };
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(key),
                    Ok(metadata) if metadata.is_file() => stats.extend(stat(key, &metadata)),
                    Ok(_) => {}
                    // Deleted since the folder was read.
                    Err(error) if is_absence(&error) => {}
                    Err(error) => return Err(error).at(&entry.path()),
                }
            }
        }
        Ok(stats)
    }

    fn path(&self, key: &DocumentKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn lock(&self) -> Result<FolderLock> {
        let path = self.root.join(LOCK);
        match FolderLock::take(&path) {
            Err(error) if is_absence(&error) => Err(FileError::NoRoot),
            outcome => outcome.at(&path),
        }
    }

    /// That a document is missing is an ordinary answer only while the store itself is there.
    fn still_there(&self) -> Result<()> {
        match fs::metadata(&self.root) {
            Err(error) if is_absence(&error) => Err(FileError::NoRoot),
            _ => Ok(()),
        }
    }

    /// Writes and flushes the bytes under the draft's name, stamped as no other write is.
    fn draft(&self, lock: &FolderLock, bytes: &[u8], now: Timestamp) -> Result<(PathBuf, DocumentVersion)> {
        let path = self.root.join(DRAFT);
        let written = self.write_draft(&path, lock, bytes, now);
        if written.is_err() {
            // On a full disk the draft must not keep what little there is. The failure to report is the first one.
            let _ = fs::remove_file(&path);
        }
        Ok((path, written?))
    }

    fn write_draft(&self, path: &Path, lock: &FolderLock, bytes: &[u8], now: Timestamp) -> Result<DocumentVersion> {
        match fs::remove_file(path) {
            Err(error) if !is_absence(&error) => return Err(error).at(path),
            _ => {}
        }
        let stamp = lock.stamp(now).at(&self.root.join(LOCK))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at(path)?;
        file.write_all(bytes).at(path)?;
        set_modified(&file, stamp).at(path)?;
        file.sync_all().at(path)?;
        Ok(version(&file.metadata().at(path)?, bytes))
    }

    /// Makes the folders above `path`, each flushed into its parent.
    fn make_parents(&self, path: &Path) -> Result<()> {
        let parents = path.ancestors().skip(1).take_while(|parent| *parent != self.root);
        let missing: Vec<_> = parents.take_while(|parent| !parent.exists()).collect();
        for parent in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(parent) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).at(parent),
                _ => sync_parent(parent)?,
            }
        }
        Ok(())
    }
}

/// Whether it says that there is nothing of that name. A document in a folder's place counts: keys below it are unused.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn set_modified(file: &File, stamp: Timestamp) -> io::Result<()> {
    let stamp = Timespec { tv_sec: stamp.as_second(), tv_nsec: stamp.subsec_nanosecond().into() };
    Ok(futimens(file, &Timestamps { last_access: stamp, last_modification: stamp })?)
}

/// The moment makes it unique; the digest keeps it honest where a hand edited the file or its times.
fn version(metadata: &Metadata, bytes: &[u8]) -> DocumentVersion {
    let digest = Sha256::digest(bytes);
    let short = data_encoding::HEXLOWER.encode(&digest[..8]);
    DocumentVersion(format!("{}.{:09}-{short}", metadata.mtime(), metadata.mtime_nsec()))
}

fn key_of(folder: &DocumentKey, name: &std::ffi::OsStr) -> Option<DocumentKey> {
    DocumentKey::parse(format!("{folder}/{}", name.to_str()?)).ok()
}

fn stat(key: DocumentKey, metadata: &Metadata) -> Option<DocumentStat> {
    let nanoseconds = i32::try_from(metadata.mtime_nsec()).ok()?;
    let modified = Timestamp::new(metadata.mtime(), nanoseconds).ok()?;
    let etag = format!("{:x}-{}-{modified}", metadata.ino(), metadata.len());
    Some(DocumentStat { key, etag, bytes: metadata.len(), modified })
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    File::open(parent).and_then(|folder| folder.sync_all()).at(parent)
}

fn count_files(folder: &Path) -> Result<u64> {
    let mut count = 0;
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        let is_folder = entry.file_type().at(&entry.path())?.is_dir();
        count += if is_folder { count_files(&entry.path())? } else { 1 };
    }
    Ok(count)
}
