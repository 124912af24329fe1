//! One open repository.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::ahead::Staged;
use super::dumps::DumpFolder;
use super::exit::Phase;
use super::look::Look;
use super::names::SetTime;
use super::session::Session;
use super::told::{LastTold, keep_telling};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::{MountKey, SnapshotId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    DumpRequest, Events, FileEntry, FreezeReport, PruneReport, Repository, RepositoryStats, RestoreReport,
    RestoreRequest, Snapshot, SnapshotReport, SnapshotRequest, UndoRequest, VerifyDepth, VerifyReport, WarmReport,
};

/// One open repository: its key is proven.
#[derive(Debug)]
pub(super) struct DuplicityRepository {
    pub(super) session: Arc<Session>,
    /// The newest set that was ever seen here, finished or not.
    newest: Mutex<Option<SetTime>>,
    /// The copy that the option `staged` asks for.
    staged: Mutex<Option<Staged>>,
    /// The folder with the dumps that the next set is to hold.
    pub(super) dumps: Mutex<Option<DumpFolder>>,
}

impl DuplicityRepository {
    pub(super) fn new(session: Arc<Session>, look: &Look) -> Self {
        let repository = Self { session, newest: Mutex::new(None), staged: Mutex::new(None), dumps: Mutex::new(None) };
        repository.saw_all(look);
        repository
    }

    pub(super) fn staged(&self) -> MutexGuard<'_, Option<Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_staged(&self) -> Option<Staged> {
        self.staged().take()
    }

    pub(super) fn put_staged(&self, staged: Staged) {
        *self.staged() = Some(staged);
    }

    pub(super) fn newest(&self) -> Option<SetTime> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn saw(&self, time: &SetTime) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest < time) {
            *newest = Some(time.clone());
        }
    }

    fn saw_all(&self, look: &Look) {
        for set in look.collection.sets().chain(&look.collection.leftovers) {
            self.saw(&set.time);
        }
    }

    /// What is in the repository now.
    pub(super) async fn look(&self) -> Result<Look> {
        let look = Look::at(&self.session, Phase::Working).await?;
        self.saw_all(&look);
        Ok(look)
    }

    /// The set of this id, as it is in the repository now. duplicity itself takes any time for the nearest set before.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    pub(super) async fn find(&self, snapshot: &SnapshotId) -> Result<(SetTime, Look)> {
        let time = self.set_time(snapshot)?;
        let look = self.look().await?;
        if look.collection.holds(&time) { Ok((time, look)) } else { Err(self.no_such_set(time.as_str())) }
    }

    /// The time that an id spells.
    ///
    /// # Errors
    /// `NotFound` for what is no id of duplicity's.
    pub(super) fn set_time(&self, snapshot: &SnapshotId) -> Result<SetTime> {
        SetTime::parse(snapshot.as_str()).ok_or_else(|| self.no_such_set(snapshot.as_str()))
    }

    pub(super) fn no_such_set(&self, id: &str) -> Error {
        let reason = format!("repository `{}` has none of this id", self.session.location);
        Error::new(ErrorKind::NotFound, "find snapshot", id, reason)
    }
}

#[async_trait]
impl Repository for DuplicityRepository {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        self.copy_ahead(request, events).await
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        self.copy_changes(events).await
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        self.write_dump(request, content, events).await
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        let last = LastTold::default();
        let heard = last.listen(events);
        let request = self.with_dumps(self.sources_of(request)?);
        let made = self.make_set(&request, &heard);
        let report = keep_telling(events, &*self.session.settings.clock, made, &last).await?;
        drop((self.take_staged(), self.take_dumps()));
        Ok(report)
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let last = LastTold::default();
        let heard = last.listen(events);
        keep_telling(events, &*self.session.settings.clock, self.write_back(request, &heard), &last).await
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        self.check_chain(snapshot, mounts).await
    }

    /// All is fetched beside a target's contents before any of them is touched, so nothing is left to prove.
    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        self.find(&request.undo).await.map(drop)
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        let look = self.look().await?;
        let collection = &look.collection;
        let mut sets: Vec<_> = collection.sets().collect();
        sets.sort_by(|a, b| a.time.cmp(&b.time));
        let tell = |time: &SetTime| {
            let note = look.book.as_ref().and_then(|book| book.note(time, collection));
            let id = |time: &SetTime| SnapshotId::parse(time.as_str());
            Ok(Snapshot {
                id: id(time)?,
                taken_at: note.map_or_else(|| time.to_timestamp(), |note| note.taken_at),
                mounts: note.map(|note| note.mounts.clone()).unwrap_or_default(),
                tags: note.map(|note| note.tags.clone()).unwrap_or_default(),
                tied_to: collection.dependents(time).into_iter().map(id).collect::<Result<_>>()?,
            })
        };
        sets.into_iter().map(|set| tell(&set.time)).collect()
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        self.files_in(snapshot, folder, recursive).await
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        self.contents_of(snapshot, path, out).await
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.remove_sets(snapshots).await
    }

    async fn prune(&self) -> Result<PruneReport> {
        self.remove_leftovers().await
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        self.check(depth).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.count().await
    }
}
