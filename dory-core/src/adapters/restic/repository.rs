//! An open repository: each call runs on a thread of its own, on the repository as it is then.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rustic_core::repofile::MasterKey;
use tokio::io::AsyncWrite;

use super::backend::{Location, StoreBackend};
use super::{backup, browse, keep, restore};
use crate::domain::entry_path::EntryPath;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    Events, FileEntry, PruneReport, Repository, RepositoryStats, RestoreReport, RestoreRequest, Snapshot,
    SnapshotReport, SnapshotRequest, VerifyDepth, VerifyReport,
};

/// A repository in restic's format whose key is known.
pub(super) struct ResticRepository {
    location: Location,
    key: MasterKey,
}

/// What one piece of work needs of a repository.
pub(super) struct Session {
    pub(super) backend: Arc<StoreBackend>,
    pub(super) key: MasterKey,
}

impl ResticRepository {
    pub(super) fn new(location: Location, key: MasterKey) -> Self {
        Self { location, key }
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
    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        let (request, events) = (request.clone(), events.clone());
        self.run("back up to", move |session| backup::run(session, &request, &events)).await
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let (request, events) = (request.clone(), events.clone());
        self.run("restore from", move |session| restore::run(session, &request, &events)).await
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
        self.run("verify", move |session| keep::verify(session, depth)).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.run("measure", keep::stats).await
    }
}
