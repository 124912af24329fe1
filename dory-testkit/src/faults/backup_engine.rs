//! A backup engine that fails when a test says so, its repositories included: they share its plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dory_core::Result;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::domain::policy::EngineKind;
use dory_core::ports::{
    BackupEngine, Capabilities, DumpRequest, Events, FileEntry, FreezeReport, OpenMode, PruneReport, Repository,
    RepositorySpec, RepositoryStats, RestoreReport, RestoreRequest, Snapshot, SnapshotReport, SnapshotRequest,
    UndoRequest, VerifyDepth, VerifyReport, WarmReport,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::plan::Outcome;
use super::{Faulty, FaultyPort};

impl FaultyPort for dyn BackupEngine {
    const METHODS: &'static [&'static str] = &[
        "check_options",
        "open",
        "warm",
        "freeze",
        "take_dump",
        "backup",
        "restore",
        "check_restorable",
        "prove_undo",
        "list_snapshots",
        "list_files",
        "read_file",
        "forget",
        "prune",
        "verify",
        "stats",
    ];
}

impl Faulty<dyn BackupEngine> {
    /// This engine as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn BackupEngine> {
        Arc::new(self.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupEngine for Faulty<dyn BackupEngine> {
    fn kind(&self) -> EngineKind {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        match self.plan.enter_now("check_options") {
            None => self.inner.check_options(options),
            Some(Outcome::Fail(fault) | Outcome::LoseAnswer(fault)) => Err(fault.into_error()),
            Some(Outcome::After(act)) => {
                let checked = self.inner.check_options(options);
                act();
                checked
            }
        }
    }

    fn freezes(&self, options: &BTreeMap<String, String>) -> bool {
        self.inner.freezes(options)
    }

    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        let repository = self.run("open", || self.inner.open(spec, mode)).await?;
        Ok(Arc::new(Faulty::sharing(repository, &self.plan)))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Repository for Faulty<dyn Repository> {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        self.run("warm", || self.inner.warm(request, events)).await
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        self.run("freeze", || self.inner.freeze(events)).await
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        self.run("take_dump", || self.inner.take_dump(request, content, events)).await
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        self.run("backup", || self.inner.backup(request, events)).await
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        self.run("restore", || self.inner.restore(request, events)).await
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        self.run("check_restorable", || self.inner.check_restorable(snapshot, mounts)).await
    }

    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        self.run("prove_undo", || self.inner.prove_undo(request)).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        self.run("list_snapshots", || self.inner.list_snapshots()).await
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        self.run("list_files", || self.inner.list_files(snapshot, folder, recursive)).await
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        self.run("read_file", || self.inner.read_file(snapshot, path, out)).await
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.run("forget", || self.inner.forget(snapshots)).await
    }

    async fn prune(&self) -> Result<PruneReport> {
        self.run("prune", || self.inner.prune()).await
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        self.run("verify", || self.inner.verify(depth)).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.run("stats", || self.inner.stats()).await
    }
}
