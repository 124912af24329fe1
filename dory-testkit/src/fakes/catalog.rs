//! A catalog in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::ports::{CatalogStore, Clock, DocumentKey, DocumentStat, DocumentVersion, StoredDocument};
use dory_core::{Error, ErrorKind, Result};
use jiff::Timestamp;

use super::{FakeClock, FakeEngine, Journal};
use crate::contracts::objects::StoreObjects;

const PORT: &str = "catalog";

/// A [`CatalogStore`] in memory. Clones share one state, so several servers of a fleet can have one each.
///
/// Stricter than real stores: a document may not have the name of a folder, for a file system could not keep both.
#[derive(Clone, Debug)]
pub struct MemoryCatalog {
    documents: Arc<Mutex<Documents>>,
    clock: FakeClock,
    journal: Journal,
    /// The engines whose repositories are in the same store.
    engines: Arc<Mutex<Vec<FakeEngine>>>,
}

#[derive(Debug, Default)]
struct Documents {
    by_key: BTreeMap<DocumentKey, Stored>,
    /// Objects whose names no document can have.
    foreign: BTreeMap<String, Bytes>,
    /// Counts writes of any key, so that no version ever recurs.
    writes: u64,
}

#[derive(Debug)]
struct Stored {
    bytes: Bytes,
    version: u64,
    modified: Timestamp,
}

impl Stored {
    fn version(&self) -> DocumentVersion {
        DocumentVersion(self.version.to_string())
    }
}

impl MemoryCatalog {
    /// An empty catalog with a clock and a journal of its own.
    #[must_use]
    pub fn new() -> Self {
        let clock = FakeClock::new();
        Self::with(&clock, &Journal::new(&clock))
    }

    /// An empty catalog that dates documents by `clock` and writes its calls into `journal`.
    #[must_use]
    pub fn with(clock: &FakeClock, journal: &Journal) -> Self {
        Self { documents: Arc::default(), clock: clock.clone(), journal: journal.clone(), engines: Arc::default() }
    }

    /// Says that the repositories of `engine` are in the same store, so that
    /// [`delete_tree`](CatalogStore::delete_tree) removes those too.
    pub fn shares_its_store_with(&self, engine: &FakeEngine) {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner).push(engine.clone());
    }

    /// This catalog as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn CatalogStore> {
        Arc::new(self.clone())
    }

    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The keys of all documents, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.lock().by_key.keys().map(ToString::to_string).collect()
    }

    /// A document's text, without the journal noting it; `None` where there is none.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<String> {
        let key = DocumentKey::parse(key).expect("a valid key");
        self.lock().by_key.get(&key).map(|stored| String::from_utf8_lossy(&stored.bytes).into_owned())
    }

    /// Puts a document there whatever was there before, as another server or a vandal would.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        let key = DocumentKey::parse(key).expect("a valid key");
        let now = self.clock.now();
        self.lock().write(key, bytes.into(), now);
    }

    fn lock(&self) -> MutexGuard<'_, Documents> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A document may not stand where a folder stands, or the other way round.
    fn check_place(&self, documents: &Documents, key: &DocumentKey) -> Result<()> {
        let clash =
            documents.by_key.keys().find(|other| is_below(other.as_str(), key) || is_below(key.as_str(), other));
        let Some(other) = clash else { return Ok(()) };
        let reason = format!("`{other}` is there, and one of them would have to be a folder");
        self.journal.complain(format!("document `{key}` was created although {reason}"));
        Err(Error::new(ErrorKind::InvalidInput, "create document", key.as_str(), reason))
    }
}

impl Default for MemoryCatalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Documents {
    fn write(&mut self, key: DocumentKey, bytes: Bytes, modified: Timestamp) -> DocumentVersion {
        self.writes += 1;
        let stored = Stored { bytes, version: self.writes, modified };
        let version = stored.version();
        self.by_key.insert(key, stored);
        version
    }

    fn remove_below(&mut self, folder: &DocumentKey) -> u64 {
        let before = self.by_key.len() + self.foreign.len();
        self.by_key.retain(|key, _| !is_below(key.as_str(), folder));
        self.foreign.retain(|name, _| !is_below(name, folder));
        (before - self.by_key.len() - self.foreign.len()) as u64
    }
}

#[async_trait]
impl StoreObjects for MemoryCatalog {
    async fn names(&self, folder: &str) -> Vec<String> {
        let documents = self.lock();
        let names =
            documents.by_key.keys().map(DocumentKey::as_str).chain(documents.foreign.keys().map(String::as_str));
        let mut names: Vec<_> = names.filter(|name| Path::new(name).starts_with(folder)).map(str::to_owned).collect();
        names.sort();
        names
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        let documents = self.lock();
        let document = DocumentKey::parse(name).ok().and_then(|key| Some(&documents.by_key.get(&key)?.bytes));
        document.or_else(|| documents.foreign.get(name)).expect("an object of that name").to_vec()
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) {
        match DocumentKey::parse(name) {
            Ok(_) => self.put(name, bytes),
            Err(_) => drop(self.lock().foreign.insert(name.to_owned(), bytes.into())),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CatalogStore for MemoryCatalog {
    fn location(&self) -> String {
        "memory://test".to_owned()
    }

    async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        let call = self.journal.begin(PORT, "get", key.as_str(), "");
        let found = self
            .lock()
            .by_key
            .get(key)
            .map(|stored| StoredDocument { bytes: stored.bytes.clone(), version: stored.version() });
        call.end(Ok(found))
    }

    async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion> {
        let call = self.journal.begin(PORT, "create", key.as_str(), "");
        let mut documents = self.lock();
        if documents.by_key.contains_key(key) {
            let taken = "a document is there already";
            return call.end(Err(Error::new(ErrorKind::AlreadyExists, "create document", key.as_str(), taken)));
        }
        if let Err(error) = self.check_place(&documents, key) {
            return call.end(Err(error));
        }
        call.end(Ok(documents.write(key.clone(), bytes, self.clock.now())))
    }

    async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion) -> Result<DocumentVersion> {
        let call = self.journal.begin(PORT, "replace", key.as_str(), "");
        let mut documents = self.lock();
        let conflict = match documents.by_key.get(key) {
            None => Some("it is gone"),
            Some(stored) if stored.version() != *expected => Some("somebody changed it meanwhile"),
            Some(_) => None,
        };
        if let Some(reason) = conflict {
            return call.end(Err(Error::new(ErrorKind::Conflict, "replace document", key.as_str(), reason)));
        }
        call.end(Ok(documents.write(key.clone(), bytes, self.clock.now())))
    }

    async fn delete(&self, key: &DocumentKey) -> Result<()> {
        let call = self.journal.begin(PORT, "delete", key.as_str(), "");
        self.lock().by_key.remove(key);
        call.end(Ok(()))
    }

    async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>> {
        let call = self.journal.begin(PORT, "list", folder.as_str(), "");
        let documents = self.lock();
        let stats = documents.by_key.iter().filter(|(key, _)| is_below(key.as_str(), folder)).map(|(key, stored)| {
            DocumentStat {
                key: key.clone(),
                etag: stored.version.to_string(),
                bytes: stored.bytes.len() as u64,
                modified: stored.modified,
            }
        });
        call.end(Ok(stats.collect()))
    }

    async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64> {
        let call = self.journal.begin(PORT, "delete_tree", folder.as_str(), "");
        let objects = self.lock().remove_below(folder);
        let engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        let data: u64 = engines.iter().map(|engine| engine.delete_below(folder.as_str())).sum();
        call.end(Ok(objects + data))
    }
}

fn is_below(name: &str, folder: &DocumentKey) -> bool {
    name.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
}
