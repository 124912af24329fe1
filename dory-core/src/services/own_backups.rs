//! A server's own backups, without asking the store each time and without reading what belongs to others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Catalog;
use crate::domain::backup::Backup;
use crate::domain::id::ServerName;
use crate::error::Result;
use crate::ports::{DocumentKey, DocumentStat};

/// For how long a server goes by what it listed last. What others change rings its bell.
pub(super) const LISTED_FOR: Duration = Duration::from_secs(15 * 60);

/// What a server knows of its own backups.
#[derive(Debug, Default)]
pub(super) struct OwnBackups(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<DocumentKey, Entry>,
    /// When they were listed, by the monotonic clock; `None` once somebody may have changed them.
    listed_at: Option<Duration>,
    /// Whether one that belonged to another server may be this one's by now.
    anew: bool,
    /// Counts what makes a listing worthless that was begun before.
    changes: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    etag: String,
    server: ServerName,
    /// The backup, where it is the server's own: a fleet's are too many to keep.
    backup: Option<Arc<Backup>>,
}

impl Catalog {
    /// The backups of `server`, as they were at most `age` ago. What this process changed since is in them, and so is
    /// everything as of the last [`look_anew`](Self::look_anew). Documents that cannot be read are left out.
    ///
    /// Backups of other servers are read once, and then only after `look_anew`: which they belong to hardly ever changes.
    ///
    /// # Errors
    /// The store's.
    pub async fn backups_of(&self, server: &ServerName, age: Duration) -> Result<Vec<Arc<Backup>>> {
        let now = self.clock.monotonic();
        let (changes, anew) = {
            let known = self.own.lock();
            if known.listed_at.is_some_and(|at| now.saturating_sub(at) < age) {
                return Ok(known.of(server));
            }
            (known.changes, known.anew)
        };
        let listed = self.store.list(&DocumentKey::parse("backups")?).await?;
        let mut documents = BTreeMap::new();
        let mut changed = Vec::new();
        {
            let known = self.own.lock();
            for stat in listed {
                match known.documents.get(&stat.key) {
                    Some(entry) if entry.is_good_for(&stat, server, anew) => {
                        documents.insert(stat.key.clone(), entry.clone().sharing(self.seen.known(&stat)));
                    }
                    _ => changed.push(stat),
                }
            }
        }
        for (DocumentStat { key, etag, .. }, backup) in self.seen.read(&self.store, changed).await?.found {
            let owner = backup.server.clone();
            let backup = (owner == *server).then_some(backup);
            documents.insert(key, Entry { etag, server: owner, backup });
        }
        let mut known = self.own.lock();
        known.documents = documents;
        if known.changes == changes {
            known.listed_at = Some(now);
            known.anew = false;
        }
        Ok(known.of(server))
    }

    /// Says that others may have changed anything: the next look asks the store.
    pub fn look_anew(&self) {
        let mut known = self.own.lock();
        known.changes += 1;
        known.listed_at = None;
        known.anew = true;
    }

    /// Says that this process changed a document.
    pub(super) fn changed_here(&self, key: &DocumentKey) {
        let mut known = self.own.lock();
        known.changes += 1;
        known.listed_at = None;
        known.documents.remove(key);
    }
}

impl OwnBackups {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(&self, server: &ServerName) -> Vec<Arc<Backup>> {
        let theirs = self.documents.values().filter(|entry| entry.server == *server);
        let mut own: Vec<_> = theirs.filter_map(|entry| entry.backup.clone()).collect();
        own.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        own
    }
}

impl Entry {
    fn is_good_for(&self, stat: &DocumentStat, server: &ServerName, anew: bool) -> bool {
        if self.server == *server {
            self.backup.is_some() && self.etag == stat.etag
        } else {
            !anew || self.etag == stat.etag
        }
    }

    /// The same, holding what somebody else holds too: a document is kept once.
    fn sharing(mut self, other: Option<Arc<Backup>>) -> Self {
        if self.backup.is_some()
            && let Some(other) = other
        {
            self.backup = Some(other);
        }
        self
    }
}
