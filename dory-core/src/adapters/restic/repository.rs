//! An open repository: each call runs on a thread of its own, on the repository as it is then.

use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rustic_core::repofile::MasterKey;
use tokio::io::{AsyncRead, AsyncWrite};

use super::backend::{Location, StoreBackend};
use super::dumps::Dump;
use super::warm::Warmed;
use super::{backup, browse, dumps, freeze, keep, prove, restore, warm};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::{MountKey, SnapshotId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    DumpRequest, Events, FileEntry, FreezeReport, PruneReport, Repository, RepositoryStats, RestoreReport,
    RestoreRequest, Snapshot, SnapshotReport, SnapshotRequest, UndoRequest, VerifyDepth, VerifyReport, WarmReport,
};
use crate::source::Ended;

/// A repository in restic's format whose key is known.
pub(super) struct ResticRepository {
    location: Location,
    key: MasterKey,
    /// What the last hot pass left for the cold one, and that for the snapshot.
    warmed: Arc<Mutex<Option<Warmed>>>,
    /// The dumps that the next snapshot is to hold.
    dumps: Arc<Mutex<Vec<Dump>>>,
}

/// What one piece of work needs of a repository.
pub(super) struct Session {
    pub(super) backend: Arc<StoreBackend>,
    pub(super) key: MasterKey,
}

impl Session {
    /// Tells whether nobody waits for this work any more, or a write failed.
    pub(super) fn ended(&self) -> Ended {
        let backend = Arc::clone(&self.backend);
        Arc::new(move || backend.has_ended())
    }
}

impl ResticRepository {
    pub(super) fn new(location: Location, key: MasterKey) -> Self {
        Self { location, key, warmed: Arc::default(), dumps: Arc::default() }
    }

    /// Runs `work` aside. If nobody waits for it any more, its next use of the store fails, and so it ends.
    async fn run<T: Send + 'static>(
        &self,
        operation: &str,
        work: impl FnOnce(&Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _guard = CancelOnDrop(Arc::clone(&cancelled));
        let backend = Arc::new(StoreBackend::new(self.location.clone(), cancelled));
        let session = Session { backend, key: self.key.clone() };
        run_blocking(operation, &self.location.name, move || work(&session)).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work` on a thread that may block.
pub(super) async fn run_blocking<T: Send + 'static>(
    operation: &str,
    subject: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, operation, subject, "the work broke off").with_source(error))
    })
}

impl Debug for ResticRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResticRepository").field("location", &self.location.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Repository for ResticRepository {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        let (request, events, warmed) = (request.clone(), events.clone(), Arc::clone(&self.warmed));
        self.run("read ahead into", move |session| warm::run(session, &request, &events, &mut lock(&warmed))).await
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        let (events, warmed) = (events.clone(), Arc::clone(&self.warmed));
        self.run("freeze for", move |session| freeze::run(session, &events, &mut lock(&warmed))).await
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        let (name, events, taken) = (request.name.clone(), events.clone(), Arc::clone(&self.dumps));
        let (sender, receiver) = dumps::pieces();
        let work = self.run("take a dump into", move |session| {
            let (dump, length) = dumps::take(session, &name, receiver, &events)?;
            let mut taken = lock(&taken);
            taken.retain(|other| other.name() != dump.name());
            taken.push(dump);
            Ok(length)
        });
        let (length, ()) = tokio::join!(work, dumps::pass_on(content, sender));
        length
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        let (request, events, warmed) = (request.clone(), events.clone(), Arc::clone(&self.warmed));
        let dumps = Arc::clone(&self.dumps);
        self.run("back up to", move |session| {
            let (warmed, dumps) = (&mut *lock(&warmed), &mut *lock(&dumps));
            let report = match warmed.as_ref().and_then(Warmed::frozen) {
                Some(frozen) => {
                    let report = backup::run_frozen(session, &request, &events, &frozen, dumps)?;
                    *warmed = None;
                    report
                }
                None => backup::run(session, &request, &events, dumps)?,
            };
            dumps.clear();
            Ok(report)
        })
        .await
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let (request, events) = (request.clone(), events.clone());
        self.run("restore from", move |session| restore::run(session, &request, &events)).await
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        let (snapshot, mounts) = (snapshot.clone(), mounts.to_vec());
        self.location.trees.forget();
        self.run("check", move |session| prove::check_restorable(session, &snapshot, &mounts)).await
    }

    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        let request = request.clone();
        self.run("read from", move |session| prove::prove_undo(session, &request)).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        self.run("list snapshots of", keep::list_snapshots).await
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        let (snapshot, folder) = (snapshot.clone(), folder.clone());
        self.run("list files of", move |session| browse::list_files(session, &snapshot, &folder, recursive)).await
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        let (snapshot, path) = (snapshot.clone(), path.clone());
        let (sender, receiver) = browse::pieces();
        let work = self.run("read from", move |session| browse::read_file(session, &snapshot, &path, &sender));
        let (read, written) = tokio::join!(work, browse::write_out(receiver, out));
        // Where writing failed, reading failed because of it.
        let length = written?;
        read.map(|()| length)
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        let snapshots = snapshots.to_vec();
        self.run("forget snapshots of", move |session| keep::forget(session, &snapshots)).await
    }

    async fn prune(&self) -> Result<PruneReport> {
        self.run("prune", keep::prune).await
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        self.location.trees.forget();
        self.run("verify", move |session| keep::verify(session, depth)).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.run("measure", keep::stats).await
    }
}
