//! Documents that were read before: what did not change is not read again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use serde::de::DeserializeOwned;

use super::document::Envelope;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{CatalogStore, DocumentKey, DocumentStat};

/// How many documents are read at once: a new reader of a large fleet has thousands to read.
const READS: usize = 16;

/// What was read last of one kind of document, by key, with the etag it was listed with.
#[derive(Debug)]
pub(super) struct Seen<T>(Mutex<BTreeMap<DocumentKey, (String, Arc<T>)>>);

/// Documents as they are now.
#[derive(Debug)]
pub(super) struct Refreshed<T> {
    /// Those that can be read, with how they were listed.
    pub(super) found: Vec<(DocumentStat, Arc<T>)>,
    /// One error for each that cannot.
    pub(super) damaged: Vec<Error>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Seen<T> {
    /// All documents of `folder`: one listing, and a read of each that changed.
    ///
    /// # Errors
    /// The store's, and then nothing of the listing is kept.
    pub(super) async fn refresh(&self, store: &Arc<dyn CatalogStore>, folder: &str) -> Result<Refreshed<T>> {
        let listed = store.list(&DocumentKey::parse(folder)?).await?;
        let refreshed = self.read(store, listed).await?;
        *self.lock() = refreshed.found.iter().map(kept).collect();
        Ok(refreshed)
    }

    /// The documents that were listed, which are some of a folder's; those that changed are read, and kept beside the others.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read_and_keep(
        &self,
        store: &Arc<dyn CatalogStore>,
        listed: Vec<DocumentStat>,
    ) -> Result<Refreshed<T>> {
        let refreshed = self.read(store, listed).await?;
        self.lock().extend(refreshed.found.iter().map(kept));
        Ok(refreshed)
    }

    /// The documents that were listed; those that changed are read, several at once. Nothing is kept.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn read(&self, store: &Arc<dyn CatalogStore>, listed: Vec<DocumentStat>) -> Result<Refreshed<T>> {
        let known: Vec<_> = listed.into_iter().map(|stat| (self.known(&stat), stat)).collect();
        let store = Arc::clone(store);
        let mut reads = stream::iter(known)
            .map(move |(known, stat)| {
                let store = Arc::clone(&store);
                async move {
                    let document = match known {
                        Some(document) => Ok(Some(document)),
                        None => read_one(store.as_ref(), &stat.key).await,
                    };
                    (stat, document)
                }
            })
            .buffered(READS);
        let mut refreshed = Refreshed { found: Vec::new(), damaged: Vec::new() };
        while let Some((stat, document)) = reads.next().await {
            match document {
                Ok(Some(document)) => refreshed.found.push((stat, document)),
                // It went between the listing and the read.
                Ok(None) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                    refreshed.damaged.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(refreshed)
    }

    /// What was read of a document as it was listed.
    pub(super) fn known(&self, stat: &DocumentStat) -> Option<Arc<T>> {
        let seen = self.lock();
        seen.get(&stat.key).filter(|(etag, _)| *etag == stat.etag).map(|(_, document)| Arc::clone(document))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentKey, (String, Arc<T>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept<T>((stat, document): &(DocumentStat, Arc<T>)) -> (DocumentKey, (String, Arc<T>)) {
    (stat.key.clone(), (stat.etag.clone(), Arc::clone(document)))
}

async fn read_one<T: DeserializeOwned>(store: &dyn CatalogStore, key: &DocumentKey) -> Result<Option<Arc<T>>> {
    let Some(stored) = store.get(key).await? else { return Ok(None) };
    Envelope::<T>::from_bytes(key, &stored.bytes).map(|envelope| Some(Arc::new(envelope.body)))
}
