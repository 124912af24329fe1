//! Holding a document that is a lease: taking it, keeping it, giving it back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::lease::{Lease, LeaseWatch};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, DocumentKey};
use crate::services::{Catalog, FoundDocument};

/// A document with a lease in it.
pub(super) trait Leased: Clone + Serialize + DeserializeOwned + Send + Sync {
    fn lease(&self) -> &Lease;
    fn set_lease(&mut self, lease: Lease);
}

/// A lease that this process holds, as far as it knows.
#[derive(Debug)]
pub(super) struct Held<T> {
    key: DocumentKey,
    found: FoundDocument<T>,
}

/// What came of reaching for a lease.
#[derive(Debug)]
pub(super) enum Reached<T> {
    /// It is ours.
    Ours(Held<T>),
    /// Somebody else holds it.
    Theirs(T),
}

impl<T: Leased> Held<T> {
    /// Reaches for the lease once: takes it where there is none, where it was given back, or where `watch` saw it stand
    /// still for its whole term. `ours` makes the document out of the lease that it is to hold.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn reach(
        catalog: &Catalog,
        clock: &dyn Clock,
        key: &DocumentKey,
        watch: &mut LeaseWatch,
        ours: impl FnOnce(Option<&Lease>) -> T + Send,
    ) -> Result<Reached<T>> {
        let taken = match catalog.find_document::<T>(key).await? {
            None => catalog.create_document(key, ours(None)).await,
            Some(found) if watch.may_take_over(found.body.lease(), clock.monotonic()) => {
                let body = ours(Some(found.body.lease()));
                catalog.replace_document(key, &found, body).await
            }
            Some(found) => return Ok(Reached::Theirs(found.body)),
        };
        match taken {
            Ok(found) => Ok(Reached::Ours(Self { key: key.clone(), found })),
            // Somebody was faster.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {
                match catalog.find_document::<T>(key).await? {
                    Some(found) => Ok(Reached::Theirs(found.body)),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The document, as it was written last.
    pub(super) fn document(&self) -> &T {
        &self.found.body
    }

    /// Shows that the holder lives, with `change` in the document.
    ///
    /// # Errors
    /// `Conflict` if somebody else holds it by now; the store's, and then nobody knows yet.
    pub(super) async fn beat(&mut self, catalog: &Catalog, change: impl FnOnce(&mut T) + Send) -> Result<()> {
        let mut body = self.found.body.clone();
        body.set_lease(self.found.body.lease().beaten());
        change(&mut body);
        self.write(catalog, body).await
    }

    /// Gives it back.
    ///
    /// # Errors
    /// As for [`beat`](Self::beat).
    pub(super) async fn release(mut self, catalog: &Catalog) -> Result<()> {
        let mut body = self.found.body.clone();
        body.set_lease(Lease { released: true, ..self.found.body.lease().beaten() });
        self.write(catalog, body).await
    }

    async fn write(&mut self, catalog: &Catalog, body: T) -> Result<()> {
        match catalog.replace_document(&self.key, &self.found, body).await {
            Ok(found) => {
                self.found = found;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let now = catalog.find_document::<T>(&self.key).await?;
                match now {
                    // An earlier write of ours happened although it seemed to fail.
                    Some(found) if found.body.lease().holder == self.found.body.lease().holder => {
                        self.found = found;
                        Ok(())
                    }
                    _ => Err(Error::new(
                        ErrorKind::Conflict,
                        "keep lease",
                        self.key.as_str(),
                        "somebody else took it over",
                    )
                    .with_source(error)),
                }
            }
            Err(error) => Err(error),
        }
    }
}
