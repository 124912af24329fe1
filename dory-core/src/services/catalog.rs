//! The catalog: typed documents over a [`CatalogStore`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::document::{Envelope, FORMAT};
use super::noise;
use super::own_backups::OwnBackups;
use super::seen::Seen;
use crate::domain::backup::Backup;
use crate::domain::fleet::Fleet;
use crate::domain::id::{BackupId, RunId, ServerName};
use crate::domain::inventory::Inventory;
use crate::domain::run::Run;
use crate::domain::server::ServerRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{CatalogStore, Clock, DocumentKey, DocumentStat, DocumentVersion};

/// How often a change is tried anew when somebody else changed the same document meanwhile.
const ATTEMPTS: u32 = 20;

/// The pause before the second attempt; it grows with each one.
const PAUSE: Duration = Duration::from_millis(20);

/// The catalog of one store.
#[derive(Debug)]
pub struct Catalog {
    pub(super) store: Arc<dyn CatalogStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seen: Seen<Backup>,
    pub(super) own: OwnBackups,
    servers_seen: Seen<ServerRecord>,
    inventories_seen: Seen<Inventory>,
}

/// A document as it was read or written last.
#[derive(Clone, Debug)]
pub(crate) struct FoundDocument<T> {
    /// The document itself.
    pub(crate) body: T,
    counter: u64,
    bytes: Bytes,
    version: DocumentVersion,
}

/// Every backup of a fleet.
#[derive(Debug, Default)]
pub struct BackupList {
    /// Those that can be read, sorted by server and name.
    pub backups: Vec<Arc<Backup>>,
    /// One error for each document that cannot; each names its document.
    pub damaged: Vec<Error>,
}

impl Catalog {
    /// The catalog in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn CatalogStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            seen: Seen::default(),
            own: OwnBackups::default(),
            servers_seen: Seen::default(),
            inventories_seen: Seen::default(),
        }
    }

    /// The store's URL, for messages.
    #[must_use]
    pub fn location(&self) -> String {
        self.store.location()
    }

    /// What the fleet's servers agree on; `None` where `dory init` did not run yet.
    ///
    /// Every key hangs on that one small document. Where it is gone, it is put back from its copy.
    ///
    /// # Errors
    /// The store's; `Corrupt`, also where it is gone with its copy although there are backups; `Unsupported` for a newer format.
    pub async fn fleet(&self) -> Result<Option<Fleet>> {
        if let Some((envelope, _)) = self.read::<Fleet>(&fleet_key()?).await? {
            return Ok(Some(envelope.body));
        }
        if let Some((copy, _)) = self.read::<Fleet>(&fleet_copy_key()?).await? {
            return match self.create(&fleet_key()?, &copy.body).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    Ok(self.read::<Fleet>(&fleet_key()?).await?.map(|(envelope, _)| envelope.body))
                }
                put_back => {
                    tracing::warn!(store = self.location(), "dory.json was gone, and was put back from its copy");
                    put_back.map(|()| Some(copy.body))
                }
            };
        }
        if self.store.list(&DocumentKey::parse("backups")?).await?.is_empty() {
            return Ok(None);
        }
        let reason = "it is gone, but there are backups, which nobody can read without it";
        Err(Error::new(ErrorKind::Corrupt, "read document", "dory.json", reason).with_hint(
            "bring it back from an older version or a copy of the store, or make it anew with the recovery sheet: \
             `dory init --fleet <fleet>`",
        ))
    }

    /// Founds the fleet, and keeps a copy of its document.
    ///
    /// # Errors
    /// `AlreadyExists` if it is there; the store's.
    pub async fn create_fleet(&self, fleet: &Fleet) -> Result<()> {
        self.create(&fleet_key()?, fleet).await?;
        self.keep_fleet_copy(fleet).await
    }

    /// Keeps a copy of the fleet's document where there is none, for whoever founded it may not have come so far.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_fleet_copy(&self, fleet: &Fleet) -> Result<()> {
        match self.create(&fleet_copy_key()?, fleet).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            kept => kept,
        }
    }

    /// All backups of all servers. Documents that did not change since the last call are not read again.
    ///
    /// # Errors
    /// The store's. A damaged document is no error of the whole: see [`BackupList::damaged`].
    pub async fn backups(&self) -> Result<BackupList> {
        let refreshed = self.seen.refresh(&self.store, "backups").await?;
        let mut backups: Vec<_> = refreshed.found.into_iter().map(|(_, backup)| backup).collect();
        backups.sort_by(|a, b| (&a.server, &a.name, &a.id).cmp(&(&b.server, &b.name, &b.id)));
        Ok(BackupList { backups, damaged: refreshed.damaged })
    }

    /// One backup, as it is now.
    ///
    /// # Errors
    /// `NotFound`; the store's; `Corrupt`.
    pub async fn backup(&self, id: &BackupId) -> Result<Backup> {
        let read = self.read::<Backup>(&backup_key(id)?).await?;
        read.map(|(envelope, _)| envelope.body).ok_or_else(|| no_such_backup(id))
    }

    /// Adds a backup.
    ///
    /// # Errors
    /// `AlreadyExists`; the store's.
    pub async fn create_backup(&self, backup: &Backup) -> Result<()> {
        let key = backup_key(&backup.id)?;
        let created = self.create(&key, backup).await;
        self.changed_here(&key);
        created
    }

    /// Changes a backup, however many others change it at the same time, and gives the result.
    ///
    /// `change` is called again on the newest state each time somebody else was faster.
    ///
    /// # Errors
    /// `NotFound`; what `change` returns, and then nothing was written; `Conflict` after many attempts; the store's.
    pub async fn update_backup(
        &self,
        id: &BackupId,
        mut change: impl FnMut(&mut Backup) -> Result<()> + Send,
    ) -> Result<Backup> {
        let key = backup_key(id)?;
        for attempt in 0..ATTEMPTS {
            let stored = self.store.get(&key).await?.ok_or_else(|| no_such_backup(id))?;
            let mut envelope = Envelope::<Backup>::from_bytes(&key, &stored.bytes)?;
            change(&mut envelope.body)?;
            envelope.counter += 1;
            envelope.format = FORMAT;
            let replaced = self.store.replace(&key, envelope.to_bytes_over(&key, &stored.bytes)?, &stored.version).await;
            self.changed_here(&key);
            match replaced {
                Ok(_) => return Ok(envelope.body),
                Err(error) if error.kind() == ErrorKind::Conflict => self.clock.sleep(PAUSE * (attempt + 1)).await,
                Err(error) => return Err(error),
            }
        }
        let reason = "others kept changing it at the same time";
        Err(Error::new(ErrorKind::Conflict, "change backup", id.as_str(), reason))
    }

    /// Removes a backup's record. Its data is somebody else's business, and must be gone before.
    ///
    /// # Errors
    /// The store's.
    pub async fn delete_backup(&self, id: &BackupId) -> Result<()> {
        let key = backup_key(id)?;
        let deleted = self.store.delete(&key).await;
        self.changed_here(&key);
        deleted
    }

    /// Removes everything below a folder of the store that holds data, and tells how many objects that were.
    ///
    /// # Errors
    /// The store's; some objects may then be gone and others not.
    pub async fn delete_data(&self, folder: &DocumentKey) -> Result<u64> {
        self.store.delete_tree(folder).await
    }

    /// Keeps a run that is over.
    ///
    /// # Errors
    /// `AlreadyExists`; the store's.
    pub async fn record_run(&self, run: &Run) -> Result<()> {
        self.create(&run_key(&run.server, run.id)?, run).await
    }

    /// How a run of `server` went; `None` where it goes on, or broke off.
    ///
    /// # Errors
    /// The store's; `Corrupt`.
    pub async fn run(&self, server: &ServerName, run: RunId) -> Result<Option<Run>> {
        Ok(self.read::<Run>(&run_key(server, run)?).await?.map(|(envelope, _)| envelope.body))
    }

    /// Proves that the store can be written to: creates a document that nothing lists, and removes it.
    ///
    /// # Errors
    /// The store's.
    pub async fn prove_writable(&self) -> Result<()> {
        let now = self.clock.now();
        let key = DocumentKey::parse(format!("probe-{}.json", RunId::new(now, noise()?)))?;
        self.create(&key, &"written by `dory doctor`, and can be deleted").await?;
        self.store.delete(&key).await
    }

    /// A document by its key, with what it takes to replace it.
    ///
    /// # Errors
    /// The store's; `Corrupt`; `Unsupported` for a newer format.
    pub(crate) async fn find_document<T: DeserializeOwned>(
        &self,
        key: &DocumentKey,
    ) -> Result<Option<FoundDocument<T>>> {
        let Some(stored) = self.store.get(key).await? else { return Ok(None) };
        let envelope = Envelope::<T>::from_bytes(key, &stored.bytes)?;
        Ok(Some(FoundDocument {
            body: envelope.body,
            counter: envelope.counter,
            bytes: stored.bytes,
            version: stored.version,
        }))
    }

    /// Writes a document where there is none.
    ///
    /// # Errors
    /// `AlreadyExists`; the store's.
    pub(crate) async fn create_document<T: Serialize>(&self, key: &DocumentKey, body: T) -> Result<FoundDocument<T>> {
        let envelope = Envelope { format: FORMAT, counter: 1, body };
        let bytes = envelope.to_bytes(key)?;
        let version = self.store.create(key, bytes.clone()).await?;
        Ok(FoundDocument { body: envelope.body, counter: 1, bytes, version })
    }

    /// Writes `body` in place of what was `found`.
    ///
    /// # Errors
    /// `Conflict` if it has changed since; the store's.
    pub(crate) async fn replace_document<T: Serialize + DeserializeOwned>(
        &self,
        key: &DocumentKey,
        found: &FoundDocument<T>,
        body: T,
    ) -> Result<FoundDocument<T>> {
        let envelope = Envelope { format: FORMAT, counter: found.counter + 1, body };
        let bytes = envelope.to_bytes_over(key, &found.bytes)?;
        let version = self.store.replace(key, bytes.clone(), &found.version).await?;
        Ok(FoundDocument { body: envelope.body, counter: envelope.counter, bytes, version })
    }

    /// What is in a folder of the store, without reading any of it.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn list_documents(&self, folder: &str) -> Result<Vec<DocumentStat>> {
        self.store.list(&DocumentKey::parse(folder)?).await
    }

    /// Removes a document; one that is not there is no error.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn delete_document(&self, key: &DocumentKey) -> Result<()> {
        self.store.delete(key).await
    }

    /// One server of the fleet; `None` if it never showed itself.
    ///
    /// # Errors
    /// The store's; `Corrupt`.
    pub async fn server(&self, name: &ServerName) -> Result<Option<ServerRecord>> {
        let key = DocumentKey::parse(format!("servers/{name}.json"))?;
        Ok(self.find_document::<ServerRecord>(&key).await?.map(|found| found.body))
    }

    /// Every server of the fleet, by name. Documents that did not change since the last call are not read again.
    ///
    /// # Errors
    /// The store's. A damaged document is no error of the whole: it is logged.
    pub async fn servers(&self) -> Result<Vec<ServerRecord>> {
        let refreshed = self.servers_seen.refresh(&self.store, "servers").await?;
        for error in refreshed.damaged {
            tracing::warn!(%error, "a server's document cannot be read");
        }
        Ok(refreshed.found.into_iter().map(|(_, server)| server.as_ref().clone()).collect())
    }

    /// What each server has, by name, as far as the servers wrote it down.
    ///
    /// # Errors
    /// The store's. A damaged document is no error of the whole: it is logged.
    pub async fn inventories(&self) -> Result<Vec<Arc<Inventory>>> {
        let refreshed = self.inventories_seen.refresh(&self.store, "inventory").await?;
        for error in refreshed.damaged {
            tracing::warn!(%error, "a server's inventory cannot be read");
        }
        Ok(refreshed.found.into_iter().map(|(_, inventory)| inventory).collect())
    }

    /// What a server has; `None` as long as it wrote nothing down.
    ///
    /// # Errors
    /// The store's; `Corrupt`.
    pub async fn inventory(&self, server: &ServerName) -> Result<Option<Inventory>> {
        Ok(self.find_document(&inventory_key(server)?).await?.map(|found| found.body))
    }

    async fn read<T: DeserializeOwned>(&self, key: &DocumentKey) -> Result<Option<(Envelope<T>, DocumentVersion)>> {
        let Some(stored) = self.store.get(key).await? else { return Ok(None) };
        Ok(Some((Envelope::from_bytes(key, &stored.bytes)?, stored.version)))
    }

    async fn create<T: Serialize + Sync>(&self, key: &DocumentKey, body: &T) -> Result<()> {
        let bytes = Envelope { format: FORMAT, counter: 1, body }.to_bytes(key)?;
        self.store.create(key, bytes).await.map(drop)
    }
}

fn fleet_key() -> Result<DocumentKey> {
    DocumentKey::parse("dory.json")
}

fn fleet_copy_key() -> Result<DocumentKey> {
    DocumentKey::parse("copies/dory.json")
}

fn backup_key(id: &BackupId) -> Result<DocumentKey> {
    DocumentKey::parse(format!("backups/{id}.json"))
}

fn run_key(server: &ServerName, run: RunId) -> Result<DocumentKey> {
    DocumentKey::parse(format!("runs/{server}/{run}.json"))
}

pub(super) fn inventory_key(server: &ServerName) -> Result<DocumentKey> {
    DocumentKey::parse(format!("inventory/{server}.json"))
}

fn no_such_backup(id: &BackupId) -> Error {
    Error::new(ErrorKind::NotFound, "find backup", id.as_str(), "the catalog has no such backup")
        .with_hint("run `dory list` to see all backups")
}
