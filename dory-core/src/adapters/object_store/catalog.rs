//! The catalog in a bucket: compare-and-swap by the store's own preconditions.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};

use super::failure::Place;
use super::wire::Doubt;
use crate::domain::store_url::{StoreAccess, StoreScheme};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{CatalogStore, Clock, DocumentKey, DocumentStat, DocumentVersion, StoredDocument};

/// The longest an operation takes before its caller is told so.
const DEADLINE: Duration = Duration::from_secs(75);
/// How often an operation is started over. The client itself repeats requests that failed whole; this is for answers
/// that broke off in the middle and for what only looks like a refusal.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// How many objects of a tree are deleted in one operation.
const TREE_PART: usize = 1000;

/// Documents as objects.
///
/// On Google Cloud Storage a version is the object's generation; on S3 and Azure it is the ETag, which S3 derives from
/// the content: there, the same bytes written again have the same version.
#[derive(Debug)]
pub struct ObjectCatalogStore {
    objects: Arc<dyn ObjectStore>,
    place: Place,
    swap_on: SwapOn,
    clock: Arc<dyn Clock>,
}

/// What a store's conditional writes compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SwapOn {
    Generation,
    Etag,
}

impl ObjectCatalogStore {
    /// Keeps documents with `objects`, which is rooted at the URL of `access`.
    #[must_use]
    pub fn new(access: &StoreAccess, objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        let swap_on = match access.url.scheme {
            StoreScheme::Gs => SwapOn::Generation,
            StoreScheme::S3 | StoreScheme::Az | StoreScheme::File => SwapOn::Etag,
        };
        Self { objects, place: Place::of(access), swap_on, clock }
    }

    /// Makes attempts until one succeeds or fails for good; `repeatable` says whether another may follow.
    async fn persist<T, F>(
        &self,
        operation: &str,
        subject: &str,
        attempt: impl Fn() -> F + Send + Sync,
        repeatable: impl Fn() -> bool + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = object_store::Result<T>> + Send,
    {
        let attempts = async {
            let mut made = 1;
            loop {
                let error = match attempt().await {
                    Ok(value) => return Ok(value),
                    Err(error) => self.place.failure(operation, subject, &error),
                };
                if made == ATTEMPTS || error.kind() != ErrorKind::Unavailable || !repeatable() {
                    return Err(error);
                }
                self.clock.sleep(PAUSE * made).await;
                made += 1;
            }
        };
        tokio::select! {
            outcome = attempts => outcome,
            () = self.clock.sleep(DEADLINE) => {
                let reason = format!("no answer within {} seconds", DEADLINE.as_secs());
                Err(Error::new(ErrorKind::TimedOut, operation, subject, reason))
            }
        }
    }

    async fn read(&self, operation: &str, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        let path = Path::from(key.as_str());
        let read = || async {
            let found = self.objects.get(&path).await?;
            let version = (found.meta.e_tag.clone(), found.meta.version.clone());
            Ok((found.bytes().await?, version))
        };
        match self.persist(operation, key.as_str(), read, || true).await {
            Ok((bytes, (e_tag, generation))) => {
                let version = self.version(e_tag, generation).ok_or_else(|| self.versionless(operation, key))?;
                Ok(Some(StoredDocument { bytes, version }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && error.subject() == key.as_str() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(
        &self,
        operation: &str,
        key: &DocumentKey,
        bytes: Bytes,
        write: Write<'_>,
    ) -> Result<DocumentVersion> {
        // One for all attempts: an early one that was given up may still arrive during a late one.
        let doubt = Doubt::default();
        let path = Path::from(key.as_str());
        let options = PutOptions { mode: self.mode(write), extensions: doubt.as_extensions(), ..PutOptions::default() };
        let put = || async {
            let put = self.objects.put_opts(&path, bytes.clone().into(), options.clone()).await;
            put.map_err(|error| write.refusal(error))
        };
        let mut made = 1;
        loop {
            let error = match self.persist(operation, key.as_str(), put, || !doubt.raised()).await {
                Ok(put) => {
                    let version = self.version(put.e_tag, put.version);
                    return version.ok_or_else(|| self.versionless(operation, key));
                }
                Err(error) => error,
            };
            if !doubt.raised() && error.kind() != ErrorKind::TimedOut {
                return Err(error);
            }
            let repeatable = made < ATTEMPTS && error.kind() == ErrorKind::Unavailable;
            match self.settle(operation, key, &bytes, write, error).await? {
                Settled::Written(version) => return Ok(version),
                Settled::Untouched(_) if repeatable => self.clock.sleep(PAUSE * made).await,
                Settled::Untouched(error) => return Err(error),
            }
            made += 1;
        }
    }

    /// Finds out whether a write happened whose answer was lost.
    ///
    /// A refusal may be about our own first attempt, so it is believed only once the document was seen to be
    /// somebody else's.
    async fn settle(
        &self,
        operation: &str,
        key: &DocumentKey,
        bytes: &Bytes,
        write: Write<'_>,
        error: Error,
    ) -> Result<Settled> {
        let refused = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists);
        let current = match self.read(operation, key).await {
            Ok(current) => current,
            Err(unread) => return Err(if refused { unread } else { error }),
        };
        match (current, write) {
            (Some(found), _) if found.bytes == bytes && !write.replaces(&found.version) => {
                Ok(Settled::Written(found.version))
            }
            (None, Write::Create) => Ok(Settled::Untouched(error)),
            (Some(found), Write::Replace(expected)) if found.version == *expected => Ok(Settled::Untouched(error)),
            _ if refused => Err(error),
            (_, Write::Create) => {
                let reason = "it is already there";
                Err(Error::new(ErrorKind::AlreadyExists, operation, key.as_str(), reason).with_source(error))
            }
            (_, Write::Replace(_)) => {
                let reason = "it was changed in the meantime";
                Err(Error::new(ErrorKind::Conflict, operation, key.as_str(), reason).with_source(error))
            }
        }
    }

    fn mode(&self, write: Write<'_>) -> PutMode {
        match (write, self.swap_on) {
            (Write::Create, _) => PutMode::Create,
            (Write::Replace(DocumentVersion(version)), SwapOn::Generation) => {
                PutMode::Update(UpdateVersion { e_tag: None, version: Some(version.clone()) })
            }
            (Write::Replace(DocumentVersion(version)), SwapOn::Etag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(version.clone()), version: None })
            }
        }
    }

    fn version(&self, e_tag: Option<String>, generation: Option<String>) -> Option<DocumentVersion> {
        match self.swap_on {
            SwapOn::Generation => generation,
            SwapOn::Etag => e_tag,
        }
        .map(DocumentVersion)
    }

    fn versionless(&self, operation: &str, key: &DocumentKey) -> Error {
        let reason = format!("`{}` gives objects no version, so it cannot hold a catalog", self.place.url);
        Error::new(ErrorKind::Unsupported, operation, key.as_str(), reason)
    }
}

/// Which of the two conditional writes.
#[derive(Clone, Copy, Debug)]
enum Write<'a> {
    Create,
    Replace(&'a DocumentVersion),
}

/// What became of a write whose answer was lost; that somebody else's document is there now is an error.
enum Settled {
    Written(DocumentVersion),
    /// It did not happen, so far as can be seen; with what went wrong.
    Untouched(Error),
}

impl Write<'_> {
    /// The same refusal in one word: stores differ in what they answer to a write whose condition does not hold.
    fn refusal(self, error: object_store::Error) -> object_store::Error {
        use object_store::Error as E;
        match (self, error) {
            (Self::Create, E::Precondition { path, source }) => E::AlreadyExists { path, source },
            (Self::Replace(_), E::AlreadyExists { path, source } | E::NotFound { path, source }) => {
                E::Precondition { path, source }
            }
            (_, error) => error,
        }
    }

    fn replaces(self, version: &DocumentVersion) -> bool {
        matches!(self, Self::Replace(expected) if expected == version)
    }
}

#[async_trait]
impl CatalogStore for ObjectCatalogStore {
    fn location(&self) -> String {
        self.place.url.to_string()
    }

    async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        self.read("read document", key).await
    }

    async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion> {
        self.write("create document", key, bytes, Write::Create).await
    }

    async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion) -> Result<DocumentVersion> {
        self.write("replace document", key, bytes, Write::Replace(expected)).await
    }

    async fn delete(&self, key: &DocumentKey) -> Result<()> {
        let path = Path::from(key.as_str());
        match self.persist("delete document", key.as_str(), || self.objects.delete(&path), || true).await {
            Err(error) if error.kind() == ErrorKind::NotFound && error.subject() == key.as_str() => Ok(()),
            outcome => outcome,
        }
    }

    async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>> {
        let path = Path::from(folder.as_str());
        let list = || self.objects.list(Some(&path)).try_collect::<Vec<_>>();
        let found = self.persist("list documents in", folder.as_str(), list, || true).await?;
        let mut stats: Vec<_> = found.into_iter().filter_map(stat).collect();
        stats.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(stats)
    }

    async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64> {
        // Part by part, each with the time that one operation has: a large tree takes as long as it takes.
        let path = Path::from(folder.as_str());
        let mut total = 0;
        loop {
            let delete = || async {
                let found = self.objects.list(Some(&path)).take(TREE_PART).map_ok(|meta| meta.location).boxed();
                self.objects.delete_stream(found).try_fold(0, |count, _| async move { Ok(count + 1) }).await
            };
            let count: u64 = self.persist("delete everything in", folder.as_str(), delete, || true).await?;
            if count == 0 {
                return Ok(total);
            }
            total += count;
        }
    }
}

/// What a listing says of one object; `None` for objects that are no documents.
fn stat(meta: ObjectMeta) -> Option<DocumentStat> {
    let key = DocumentKey::parse(meta.location.to_string()).ok()?;
    let written = meta.last_modified;
    let nanoseconds = i32::try_from(written.timestamp_subsec_nanos()).ok()?;
    let modified = Timestamp::new(written.timestamp(), nanoseconds).ok()?;
    // The time tells apart two states with the same bytes, where the ETag is made of them.
    let etag = format!("{}@{modified}", meta.e_tag.unwrap_or_default());
    Some(DocumentStat { key, etag, bytes: meta.size, modified })
}
