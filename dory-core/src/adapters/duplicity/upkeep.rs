//! Forgetting sets, removing leftovers, counting.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::book::Book;
use super::collection::{BackupSet, Collection};
use super::names::{SetTime, StoredName};
use super::repository::DuplicityRepository;
use super::shelf::StoredFile;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{PruneReport, RepositoryStats};

/// Leftovers younger than this may be a backup that another machine is at work on.
const GRACE: Duration = Duration::from_hours(48);

/// Books kept besides the newest, for whoever is reading one.
const BOOKS_KEPT: usize = 2;

impl DuplicityRepository {
    /// Deletes whole sets with all their files. A set can go only with those after it in its chain.
    pub(super) async fn remove_sets(&self, snapshots: &[SnapshotId]) -> Result<()> {
        let asked: BTreeSet<_> = snapshots.iter().filter_map(|id| SetTime::parse(id.as_str())).collect();
        let look = self.look().await?;
        let collection = &look.collection;
        for time in asked.iter().filter(|time| collection.holds(time)) {
            let stranded: Vec<_> =
                collection.dependents(time).into_iter().filter(|time| !asked.contains(*time)).collect();
            if !stranded.is_empty() {
                let names: Vec<_> = stranded.iter().map(|time| format!("`{time}`")).collect();
                let reason = format!("in a chain of duplicity's, {} cannot be restored without it", names.join(", "));
                return Err(Error::new(ErrorKind::Unsupported, "forget snapshot", time.as_str(), reason)
                    .with_hint("forget them together, or wait until all of the chain may go"));
            }
        }
        // The newest first, so that wherever this is cut short, what is left is whole.
        let mut sets: Vec<_> = collection.sets().filter(|set| asked.contains(&set.time)).collect();
        sets.sort_by(|a, b| b.time.cmp(&a.time));
        let names = sets.into_iter().flat_map(files_in_order).collect();
        let _cache = self.session.cache.lock().await;
        self.session.delete_files(names).await
    }

    /// Deletes what belongs to no set that can be restored, once it is old enough, and old books.
    pub(super) async fn remove_leftovers(&self) -> Result<PruneReport> {
        let files = self.session.stored_files().await?;
        let sizes: HashMap<_, _> = files.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
        let names = || files.iter().map(|file| file.name.as_str());
        let collection = Collection::from_names("", names());
        let books = Collection::from_names(Book::PREFIX, names());
        let now = self.session.settings.clock.now();
        let is_old = |set: &&BackupSet| set.time.to_timestamp() + GRACE < now;
        let (old, young): (Vec<_>, Vec<_>) =
            collection.leftovers.iter().chain(&books.leftovers).partition(|set| is_old(set));
        let mut done: Vec<_> = books.sets().collect();
        done.sort_by(|a, b| b.time.cmp(&a.time));
        let gone: Vec<_> =
            old.into_iter().chain(done.into_iter().skip(1 + BOOKS_KEPT)).flat_map(files_in_order).collect();
        let bytes = |names: &[String]| names.iter().filter_map(|name| sizes.get(name.as_str())).sum();
        let report = PruneReport {
            removed_bytes: bytes(&gone),
            marked_bytes: young.into_iter().map(|set| bytes(&set.files.names)).sum(),
        };
        let _cache = self.session.cache.lock().await;
        self.session.delete_files(gone).await?;
        Ok(report)
    }

    pub(super) async fn count(&self) -> Result<RepositoryStats> {
        let files = self.session.stored_files().await?;
        let is_ours = |file: &&StoredFile| {
            [Book::PREFIX, ""].iter().any(|prefix| StoredName::parse(prefix, &file.name).is_some())
        };
        let ours: Vec<_> = files.iter().filter(is_ours).collect();
        let collection = Collection::from_names("", ours.iter().map(|file| file.name.as_str()));
        Ok(RepositoryStats {
            stored_bytes: ours.iter().map(|file| file.bytes).sum(),
            objects: ours.len() as u64,
            snapshots: collection.sets().count() as u64,
        })
    }
}

/// A set's files in the order in which they are to go: without its manifest, it is no set any more.
fn files_in_order(set: &BackupSet) -> Vec<String> {
    let manifests = set.files.manifests.iter();
    let others = set.files.names.iter().filter(|name| !set.files.manifests.contains(name));
    manifests.chain(others).cloned().collect()
}
