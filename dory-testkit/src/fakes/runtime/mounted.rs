//! Dory's agent inside the fake's helpers: engines that see the helper's mounts and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dory_core::agent::guard::{self, GuardOptions, Reach};
use dory_core::agent::{self, AgentOptions};
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::guard::GuardEnd;
use dory_core::domain::id::{MountKey, RunId, SnapshotId};
use dory_core::domain::policy::EngineKind;
use dory_core::domain::store_url::StoreUrl;
use dory_core::ports::{
    BackupEngine, Capabilities, Clock, ContainerRuntime, DumpRequest, Events, FileEntry, FreezeReport, HelperNetwork,
    HelperRole, MountFolder, OpenMode, PruneReport, Repository, RepositorySpec, RepositoryStats, RestoreReport,
    RestoreRequest, Snapshot, SnapshotReport, SnapshotRequest, UndoRequest, VerifyDepth, VerifyReport, WarmReport,
};
use dory_core::{Error, ErrorKind, Result};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::helper::{HelperIo, HelperProgram, HelperView};

/// The engine that a guardian's socket leads to; `None` once the test dropped it.
pub(super) type Socket = Arc<dyn Fn() -> Option<Arc<dyn ContainerRuntime>> + Send + Sync>;

/// What `/dory` does in a helper: `agent` with `engines`, or `guard` over `socket`.
pub(super) fn dory_program(
    engines: Vec<Arc<dyn BackupEngine>>,
    clock: Arc<dyn Clock>,
    socket: Socket,
) -> HelperProgram {
    Arc::new(move |io, view| match view.arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["agent"] => run_agent(io, view, engines.clone(), Arc::clone(&clock)).boxed(),
        ["guard", run] if view.role == HelperRole::Guardian => {
            let run = RunId::parse(run).expect("Dory's own id of a run");
            run_guard(io, run, view.own_folder, Arc::clone(&clock), Arc::clone(&socket)).boxed()
        }
        other => {
            let failure = format!("error: unrecognized arguments {other:?}");
            async move { fail(io.stderr, &failure).await }.boxed()
        }
    })
}

async fn run_agent(io: HelperIo, view: HelperView, engines: Vec<Arc<dyn BackupEngine>>, clock: Arc<dyn Clock>) -> i32 {
    let mounted = |engine| Arc::new(MountedEngine { engine, view: view.clone() }) as Arc<dyn BackupEngine>;
    let engines = engines.into_iter().map(mounted).collect();
    let options = AgentOptions { engines, clock, root: PathBuf::from("/") };
    match agent::serve(io.stdin, io.stdout, options).await {
        Ok(()) => 0,
        Err(error) => fail(io.stderr, &error.to_string()).await,
    }
}

async fn run_guard(io: HelperIo, run: RunId, folder: PathBuf, clock: Arc<dyn Clock>, socket: Socket) -> i32 {
    let reach: Reach = Arc::new(move || {
        let gone = || Error::new(ErrorKind::Unavailable, "reach the container engine", "fake", "the test dropped it");
        std::future::ready(socket().ok_or_else(gone)).boxed()
    });
    match guard::serve(io.stdin, io.stdout, GuardOptions { run, reach, clock, folder }).await {
        Ok(end) => end.code().into(),
        Err(error) => {
            fail(io.stderr, &error.to_string()).await;
            GuardEnd::UNFINISHED.into()
        }
    }
}

async fn fail(mut stderr: Box<dyn AsyncWrite + Send + Unpin>, failure: &str) -> i32 {
    // Nobody may be listening any more.
    let _ = stderr.write_all(failure.as_bytes()).await;
    1
}

/// An engine inside a helper: paths are the helper's, and read-only mounts cannot be written.
#[derive(Debug)]
struct MountedEngine {
    engine: Arc<dyn BackupEngine>,
    view: HelperView,
}

impl MountedEngine {
    /// The store as this process reaches it, if the helper reaches it at all.
    fn map_store(&self, spec: &RepositorySpec) -> Result<RepositorySpec> {
        let mut spec = spec.clone();
        let url = &spec.store.url;
        match url.as_folder() {
            Some(folder) => {
                let reason = "no mount of the helper holds the store's folder";
                let real = self.view.real_path(&folder).ok_or_else(|| unreachable_store(url, reason))?;
                spec.store.url = StoreUrl::folder(&real)?;
            }
            None if self.view.network == HelperNetwork::None => {
                return Err(unreachable_store(url, "the helper has no network"));
            }
            None => {}
        }
        Ok(spec)
    }
}

fn unreachable_store(url: &StoreUrl, reason: &str) -> Error {
    Error::new(ErrorKind::Unavailable, "reach the store", url.to_string(), reason)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupEngine for MountedEngine {
    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.engine.capabilities()
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        self.engine.check_options(options)
    }

    fn freezes(&self, options: &BTreeMap<String, String>) -> bool {
        self.engine.freezes(options)
    }

    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        let repository = self.engine.open(&self.map_store(spec)?, mode).await?;
        Ok(Arc::new(MountedRepository { repository, view: self.view.clone() }))
    }
}

#[derive(Debug)]
struct MountedRepository {
    repository: Arc<dyn Repository>,
    view: HelperView,
}

impl MountedRepository {
    fn map(&self, folders: &[MountFolder]) -> Result<Vec<MountFolder>> {
        let map = |folder: &MountFolder| {
            let path = self.view.real_path(&folder.path).ok_or_else(|| no_mount(&folder.path))?;
            Ok(MountFolder { key: folder.key.clone(), path })
        };
        folders.iter().map(map).collect()
    }

    fn map_request(&self, request: &SnapshotRequest) -> Result<SnapshotRequest> {
        let scratch = self.map_scratch(request.scratch.as_deref())?;
        Ok(SnapshotRequest { sources: self.map(&request.sources)?, scratch, ..request.clone() })
    }

    fn map_scratch(&self, scratch: Option<&Path>) -> Result<Option<PathBuf>> {
        match scratch {
            Some(scratch) if !self.view.may_write(scratch) => {
                let path = scratch.display().to_string();
                Err(Error::new(ErrorKind::PermissionDenied, "write to", path, "the helper may only read it"))
            }
            scratch => Ok(scratch.and_then(|scratch| self.view.real_path(scratch))),
        }
    }
}

fn no_mount(path: &Path) -> Error {
    Error::invalid("mount folder", path.display().to_string(), "no mount of the helper holds it")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Repository for MountedRepository {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        self.repository.warm(&self.map_request(request)?, events).await
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        self.repository.freeze(events).await
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        let scratch = self.map_scratch(request.scratch.as_deref())?;
        self.repository.take_dump(&DumpRequest { scratch, ..request.clone() }, content, events).await
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        self.repository.backup(&self.map_request(request)?, events).await
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        if let Some(folder) = request.targets.iter().find(|folder| !self.view.may_write(&folder.path)) {
            let path = folder.path.display().to_string();
            return Err(Error::new(ErrorKind::PermissionDenied, "write to", path, "the helper may only read it"));
        }
        let request = RestoreRequest { targets: self.map(&request.targets)?, ..request.clone() };
        self.repository.restore(&request, events).await
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        self.repository.check_restorable(snapshot, mounts).await
    }

    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        self.repository.prove_undo(request).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        self.repository.list_snapshots().await
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        self.repository.list_files(snapshot, folder, recursive).await
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        self.repository.read_file(snapshot, path, out).await
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.repository.forget(snapshots).await
    }

    async fn prune(&self) -> Result<PruneReport> {
        self.repository.prune().await
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        self.repository.verify(depth).await
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        self.repository.stats().await
    }
}
