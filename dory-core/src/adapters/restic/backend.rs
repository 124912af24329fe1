//! An object store as `rustic_core` wants to see it: restic's standard layout below one folder of the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};
use tokio::runtime::Handle;

use super::translate::{from_store, into_rustic};
use super::trees::Trees;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};

/// One repository's folder in a store.
#[derive(Clone)]
pub(super) struct Location {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The repository's folder, as the store's client sees it.
    pub(super) root: Path,
    /// The same for people.
    pub(super) name: String,
    pub(super) runtime: Handle,
    /// The packs that were written here since it was opened.
    pub(super) written: Arc<Mutex<HashSet<Id>>>,
    /// What was read of its folders.
    pub(super) trees: Arc<Trees>,
}

/// A [`Location`] as one piece of work uses it, from any thread that is not the runtime's.
///
/// Once a write failed, no index and no snapshot is written any more: `rustic_core` passes over some failures of its
/// workers, and would go on to record a snapshot whose data is not there.
pub(super) struct StoreBackend {
    pub(super) at: Location,
    cancelled: Arc<AtomicBool>,
    failure: Mutex<Option<ErrorRecord>>,
    written: AtomicU64,
    keys_written: Mutex<Vec<Id>>,
    only_key: Option<Id>,
    preloaded: Mutex<Vec<Preloaded>>,
    /// Snapshots that are not in the store.
    held: Mutex<BTreeMap<Id, Bytes>>,
    /// Whether new snapshots are held instead of being stored.
    holds: AtomicBool,
    /// Index files that were read already, or are to be seen otherwise than they are stored.
    index_ahead: Mutex<HashMap<Id, Bytes>>,
}

/// A stretch of a pack that was fetched ahead.
struct Preloaded {
    pack: Id,
    offset: u32,
    bytes: Bytes,
}

impl StoreBackend {
    pub(super) fn new(at: Location, cancelled: Arc<AtomicBool>) -> Self {
        Self {
            at,
            cancelled,
            failure: Mutex::default(),
            written: AtomicU64::new(0),
            keys_written: Mutex::default(),
            only_key: None,
            preloaded: Mutex::default(),
            held: Mutex::default(),
            holds: AtomicBool::new(false),
            index_ahead: Mutex::default(),
        }
    }

    /// From now on holds new snapshots in memory instead of storing them.
    pub(super) fn hold_snapshots(&self) {
        self.holds.store(true, Ordering::Relaxed);
    }

    /// Serves a snapshot that an earlier session held as if it were in the store.
    pub(super) fn serve_snapshot(&self, id: Id, contents: Bytes) {
        lock(&self.held).insert(id, contents);
    }

    /// A snapshot that is held.
    pub(super) fn held_snapshot(&self, id: &Id) -> Option<Bytes> {
        lock(&self.held).get(id).cloned()
    }

    /// Writes nothing from now on, because of this.
    pub(super) fn give_up(&self, error: &Error) {
        lock(&self.failure).get_or_insert_with(|| error.to_record());
    }

    /// The same repository as if it had this key alone.
    pub(super) fn with_only_key(&self, key: Id) -> Self {
        Self { only_key: Some(key), ..Self::new(self.at.clone(), Arc::clone(&self.cancelled)) }
    }

    /// The same repository for work that goes on although nobody waits any more.
    pub(super) fn for_others(&self) -> Self {
        Self::new(self.at.clone(), Arc::default())
    }

    /// Lets an index file be read as `content` from now on.
    pub(super) fn show_index(&self, id: Id, content: Bytes) {
        lock(&self.index_ahead).insert(id, content);
    }

    /// Reads an index file, which need not be fetched again.
    pub(super) fn read_index(&self, id: &Id) -> Result<Bytes> {
        if let Some(content) = lock(&self.index_ahead).get(id) {
            return Ok(content.clone());
        }
        let content = self.get(FileType::Index, id)?;
        self.show_index(*id, content.clone());
        Ok(content)
    }

    /// Lets every index file be read as it is stored.
    pub(super) fn forget_index(&self) {
        lock(&self.index_ahead).clear();
    }

    /// The packs that were written since the repository was opened.
    pub(super) fn packs_written(&self) -> HashSet<Id> {
        lock(&self.at.written).clone()
    }

    /// What to call the repository in errors.
    pub(super) fn name(&self) -> &str {
        &self.at.name
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether going on is of no use: somebody gave up, or a write failed.
    pub(super) fn has_ended(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || lock(&self.failure).is_some()
    }

    /// The first write that failed.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.failure).clone().map(Error::from)
    }

    /// The keys that were written.
    pub(super) fn keys_written(&self) -> Vec<Id> {
        lock(&self.keys_written).clone()
    }

    /// Whether there is a repository.
    pub(super) fn has_config(&self) -> Result<bool> {
        match self.size(FileType::Config, &Id::default()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Proves that the repository can be written to, at the price of two requests.
    ///
    /// The probe lies among the locks, which whoever may use a repository may write and delete; its name is none of the
    /// format's, so restic passes it over. It is the same each time, so that where nothing can be deleted just one stays.
    pub(super) fn prove_writable(&self) -> Result<()> {
        let path = self.at.root.clone().join("locks").join("dory-probe");
        let put = self.at.store.put(&path, PutPayload::from_static(b"this may be deleted\n"));
        self.ask("write to repository", self.name(), put)?;
        if let Err(error) = self.ask("delete", path.as_ref(), self.at.store.delete(&path)) {
            tracing::debug!(%error, "a probe stays in the store");
        }
        Ok(())
    }

    /// Everything there is: sizes in bytes.
    pub(super) fn sizes(&self) -> Result<Vec<u64>> {
        let list = self.at.store.list(Some(&self.at.root));
        self.ask("list", &self.at.name, list.map_ok(|object| object.size).try_collect())
    }

    /// Removes an object; one that is gone is no error.
    pub(super) fn delete(&self, kind: FileType, id: &Id) -> Result<()> {
        let path = self.path(kind, id);
        match self.ask("delete", path.as_ref(), self.at.store.delete(&path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Fetches stretches of packs, which [`ReadBackend::read_partial`] then serves until they are dropped.
    pub(super) fn preload(&self, pack: Id, range: Range<u32>) -> Result<()> {
        let bytes = self.get_range(FileType::Pack, &pack, range.start, range.end - range.start)?;
        lock(&self.preloaded).push(Preloaded { pack, offset: range.start, bytes });
        Ok(())
    }

    /// Drops what was fetched ahead from this place on.
    pub(super) fn unload(&self, pack: Id, offset: u32) {
        lock(&self.preloaded).retain(|stretch| stretch.pack != pack || stretch.offset != offset);
    }

    fn preloaded(&self, pack: &Id, offset: u32, length: u32) -> Option<Bytes> {
        lock(&self.preloaded).iter().find_map(|stretch| {
            let start = offset.checked_sub(stretch.offset).filter(|_| stretch.pack == *pack)? as usize;
            let end = start.checked_add(length as usize)?;
            (end <= stretch.bytes.len()).then(|| stretch.bytes.slice(start..end))
        })
    }

    fn path(&self, kind: FileType, id: &Id) -> Path {
        let root = self.at.root.clone();
        let hex = id.to_hex();
        match kind {
            FileType::Config => root.join(kind.dirname()),
            FileType::Pack => root.join(kind.dirname()).join(&hex.as_str()[..2]).join(hex.as_str()),
            _ => root.join(kind.dirname()).join(hex.as_str()),
        }
    }

    fn size(&self, kind: FileType, id: &Id) -> Result<u64> {
        let path = self.path(kind, id);
        self.ask("look for", path.as_ref(), self.at.store.head(&path)).map(|object| object.size)
    }

    fn get(&self, kind: FileType, id: &Id) -> Result<Bytes> {
        let path = self.path(kind, id);
        let contents = async { self.at.store.get(&path).await?.bytes().await };
        self.ask("read", path.as_ref(), contents).map_err(|error| match (error.kind(), kind) {
            // Whoever prunes replaces index files by others.
            (ErrorKind::NotFound, FileType::Index) => {
                Error::new(ErrorKind::Conflict, "read", path.as_ref(), "it was replaced meanwhile").with_source(error)
            }
            _ => error,
        })
    }

    fn get_range(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes> {
        match self.get_up_to(kind, id, offset, length)? {
            bytes if bytes.len() == length as usize => Ok(bytes),
            bytes => {
                let reason = format!("it ends {} bytes early", (length as usize).saturating_sub(bytes.len()));
                Err(Error::new(ErrorKind::Corrupt, "read", self.path(kind, id).as_ref(), reason))
            }
        }
    }

    /// The bytes from `offset` on, `length` of them where there are as many.
    fn get_up_to(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> Result<Bytes> {
        let path = self.path(kind, id);
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        let corrupt = |reason: String| Error::new(ErrorKind::Corrupt, "read", path.as_ref(), reason);
        match self.ask("read", path.as_ref(), self.at.store.get_range(&path, range.clone())) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(corrupt("snapshots need it, and it is missing".to_owned()).with_source(error))
            }
            // A range beyond the end is an error like any other to some stores.
            Err(error) if error.kind() == ErrorKind::Unavailable => match self.size(kind, id) {
                Ok(size) if u64::from(offset) < size && size < range.end => {
                    let rest = self.at.store.get_range(&path, range.start..size);
                    self.ask("read", path.as_ref(), rest)
                }
                Ok(size) if size < range.end => Err(corrupt(format!("it is {size} bytes long, {} needed", range.end))),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Writes an object, unless a write failed before.
    pub(super) fn put(&self, kind: FileType, id: &Id, content: &PutPayload) -> Result<()> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let path = self.path(kind, id);
        let size = content.content_length() as u64;
        let result = if kind == FileType::Config {
            self.create(&path, content)
        } else {
            self.ask("write", path.as_ref(), self.at.store.put(&path, content.clone())).map(drop)
        };
        match &result {
            Ok(()) => {
                self.written.fetch_add(size, Ordering::Relaxed);
                match kind {
                    FileType::Key => lock(&self.keys_written).push(*id),
                    FileType::Pack => drop(lock(&self.at.written).insert(*id)),
                    _ => {}
                }
            }
            Err(error) => {
                lock(&self.failure).get_or_insert_with(|| error.to_record());
            }
        }
        result
    }

    /// Writes what nobody may overwrite. It may have been written although the answer says otherwise, or got lost.
    fn create(&self, path: &Path, content: &PutPayload) -> Result<()> {
        let put = self.at.store.put_opts(path, content.clone(), PutMode::Create.into());
        let Err(error) = self.ask("create", path.as_ref(), put) else {
            return Ok(());
        };
        match self.get(FileType::Config, &Id::default()) {
            Ok(there) if there == Bytes::from(content.clone()) => Ok(()),
            _ => Err(error),
        }
    }

    /// Asks the store, unless nobody waits for the answer any more. Its client is patient by itself, and tries again
    /// what passing faults spoil, broken off bodies included.
    pub(super) fn ask<T>(
        &self,
        operation: &str,
        subject: &str,
        question: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, operation, subject, "nobody waits for it any more"));
        }
        self.at.runtime.block_on(question).map_err(|error| from_store(&error, operation, subject))
    }
}

impl ReadBackend for StoreBackend {
    fn location(&self) -> String {
        self.at.name.clone()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if let (FileType::Key, Some(key)) = (kind, self.only_key) {
            return Ok(vec![(key, 0)]);
        }
        if kind == FileType::Config {
            return match self.size(kind, &Id::default()) {
                Ok(size) => Ok(vec![(Id::default(), u32::try_from(size).unwrap_or(u32::MAX))]),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(into_rustic(error)),
            };
        }
        let folder = self.at.root.clone().join(kind.dirname());
        let list = self.at.store.list(Some(&folder));
        let objects: Vec<_> = self.ask("list", folder.as_ref(), list.try_collect()).map_err(into_rustic)?;
        // What is not named as the format names things is not the format's: half an upload, somebody's notes.
        let known = objects.iter().filter_map(|object| {
            let id = object.location.filename()?.parse().ok()?;
            Some((id, u32::try_from(object.size).unwrap_or(u32::MAX)))
        });
        Ok(known.collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        if let (FileType::Snapshot, Some(held)) = (kind, self.held_snapshot(id)) {
            return Ok(held);
        }
        if kind == FileType::Index
            && let Some(content) = lock(&self.index_ahead).get(id)
        {
            return Ok(content.clone());
        }
        self.get(kind, id).map_err(into_rustic)
    }

    fn read_partial(&self, kind: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        if kind == FileType::Pack
            && let Some(bytes) = self.preloaded(id, offset, length)
        {
            return Ok(bytes);
        }
        // That is how `rustic_core` marks folders.
        if cacheable {
            let fetch = |offset, length| self.get_up_to(kind, id, offset, length);
            if let Some(bytes) = self.at.trees.read(*id, offset, length, fetch).map_err(into_rustic)? {
                return Ok(bytes);
            }
        }
        self.get_range(kind, id, offset, length).map_err(into_rustic)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.path(kind, id).to_string()
    }
}

impl WriteBackend for StoreBackend {
    fn write_bytes(&self, kind: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        let content: PutPayload = content.into_vec().into_iter().collect();
        if kind == FileType::Snapshot && self.holds.load(Ordering::Relaxed) {
            if let Some(failure) = self.failure() {
                return Err(into_rustic(failure));
            }
            lock(&self.held).insert(*id, Bytes::from(content));
            return Ok(());
        }
        self.put(kind, id, &content).map_err(into_rustic)
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        self.delete(kind, id).map_err(into_rustic)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
