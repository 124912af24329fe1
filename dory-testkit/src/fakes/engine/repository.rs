//! An open repository of the fake engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::Progress;
use dory_core::domain::id::{DumpName, MountKey, SnapshotId};
use dory_core::domain::restore_point::MountSize;
use dory_core::ports::{
    Capabilities, DumpRequest, Events, FileEntry, FreezeReport, PruneReport, Repository, RepositoryStats,
    RestoreReport, RestoreRequest, Snapshot, SnapshotReport, SnapshotRequest, UndoRequest, VerifyDepth, VerifyReport,
    WarmReport,
};
use dory_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::frozen::Passes;
use super::node::{BlobId, Node};
use super::reading::{Reader, patterns};
use super::vault::Kept;
use super::writing::Writer;
use super::{PORT, Shared, lock};
use crate::fakes::journal::Pending;

/// One opening of a repository.
pub(super) struct FakeRepository {
    pub(super) shared: Arc<Shared>,
    pub(super) place: String,
    /// What the journal calls it.
    name: String,
    capabilities: Capabilities,
    /// Held by calls under way: those that only read may overlap.
    turn: RwLock<()>,
    /// `None` where there are no hot and cold passes.
    pub(super) passes: Option<Mutex<Passes>>,
    /// The dumps that the next snapshot is to hold.
    pub(super) dumps: Mutex<BTreeMap<DumpName, Vec<u8>>>,
}

impl FakeRepository {
    pub(super) fn new(shared: Arc<Shared>, place: String, name: String, capabilities: Capabilities) -> Self {
        let (turn, passes) = (RwLock::new(()), Some(Mutex::default()));
        Self { shared, place, name, capabilities, turn, passes, dumps: Mutex::default() }
    }

    pub(super) fn without_freezing(self) -> Self {
        Self { passes: None, ..self }
    }

    fn begin(&self, method: &'static str, detail: impl Into<String>) -> Pending {
        self.shared.journal.begin(PORT, method, &self.name, detail)
    }

    fn alone(&self, method: &str) -> Result<RwLockWriteGuard<'_, ()>> {
        self.turn.try_write().map_err(|_| self.overlap(method))
    }

    fn among_readers(&self, method: &str) -> Result<RwLockReadGuard<'_, ()>> {
        self.turn.try_read().map_err(|_| self.overlap(method))
    }

    fn overlap(&self, method: &str) -> Error {
        self.shared.journal.complain(format!("`{method}` of repository `{}` overlaps another call", self.name));
        Error::new(ErrorKind::Internal, "use repository", &self.name, format!("`{method}` overlaps another call"))
    }

    fn check_keys(&self, request: &SnapshotRequest) -> Result<()> {
        let sources = &request.sources;
        if sources.is_empty() && lock(&self.dumps).is_empty() {
            return Err(Error::invalid("sources", "", "there is nothing to read"));
        }
        let twice = (1..sources.len()).find(|at| sources[..*at].iter().any(|other| other.key == sources[*at].key));
        match twice {
            None => Ok(()),
            Some(at) => Err(Error::invalid("sources", sources[at].key.as_str(), "two sources have this key")),
        }
    }

    fn snapshot(&self, id: &SnapshotId) -> Result<Kept> {
        self.shared.with_vault(&self.place, |vault| vault.find(id).cloned())
    }

    /// Reads sources, each file's contents into `keep`.
    pub(super) async fn read_nodes(
        &self,
        request: &SnapshotRequest,
        events: &Events,
        keep: &(dyn Fn(Vec<u8>) -> Result<BlobId> + Send + Sync),
    ) -> Result<(BTreeMap<EntryPath, Node>, Progress)> {
        self.check_keys(request)?;
        let mut reader = Reader {
            exclude: patterns(&request.exclude)?,
            events,
            hook: self.shared.read_hook(),
            capabilities: self.capabilities,
            keep,
            nodes: BTreeMap::new(),
            progress: Progress::default(),
        };
        for source in &request.sources {
            reader.read(source).await?;
        }
        Ok((reader.nodes, reader.progress))
    }

    async fn read_sources(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        self.shared.check_writable(&self.place)?;
        let stored = AtomicU64::new(0);
        let (nodes, progress) = match self.take_frozen(request)? {
            Some(frozen) => {
                for contents in frozen.contents.into_values() {
                    stored.fetch_add(self.keep(contents)?.1, Ordering::Relaxed);
                }
                events.progress(frozen.progress);
                (frozen.nodes, frozen.progress)
            }
            None => {
                let keep = |contents| {
                    let (blob, added) = self.keep(contents)?;
                    stored.fetch_add(added, Ordering::Relaxed);
                    Ok(blob)
                };
                self.read_nodes(request, events, &keep).await?
            }
        };
        let mounts = request.sources.iter().map(|source| size_of(&source.key, &nodes)).collect();
        let dumps = self.dump_nodes(&stored)?;
        let (mut nodes, mut progress) = (nodes, progress);
        progress.files += dumps.len() as u64;
        progress.bytes += dumps.values().map(Node::bytes).sum::<u64>();
        nodes.extend(dumps);
        self.shared.with_vault(&self.place, |vault| {
            // A parent that is gone is no reason to fail: everything then counts as new.
            let parent = request.parent.as_ref().and_then(|id| vault.find(id).ok());
            let changed = |path: &EntryPath, node: &Node| {
                let before = parent.and_then(|parent| parent.nodes.get(path));
                node.blob().is_some() && before.and_then(Node::blob) != node.blob()
            };
            let files_changed = nodes.iter().filter(|(path, node)| changed(path, node)).count() as u64;
            lock(&self.dumps).clear();
            Ok(SnapshotReport {
                snapshot: vault.add(request, nodes),
                files: progress.files,
                bytes: progress.bytes,
                stored_bytes: stored.load(Ordering::Relaxed),
                files_changed,
                mounts,
            })
        })
    }

    pub(super) fn keep(&self, contents: Vec<u8>) -> Result<(BlobId, u64)> {
        self.shared.with_vault(&self.place, |vault| Ok(vault.keep(contents)))
    }

    async fn write_targets(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let snapshot = self.snapshot(&request.snapshot)?;
        for target in &request.targets {
            snapshot.node(&EntryPath::new(target.key.as_str()))?;
        }
        let contents = |path: &Path, node: &Node| {
            let path = EntryPath::new(path);
            let blob = node.blob().unwrap_or_default();
            self.shared.with_vault(&self.place, |vault| vault.contents(&blob, &path))
        };
        let mut writer = Writer {
            events,
            capabilities: self.capabilities,
            delete_extra: request.delete_extra,
            keep: patterns(&request.keep)?,
            contents: &contents,
            progress: Progress::default(),
            report: RestoreReport::default(),
        };
        for target in &request.targets {
            let below: BTreeMap<PathBuf, Node> = snapshot
                .nodes
                .iter()
                .filter_map(|(path, node)| {
                    let rest = path.as_path().strip_prefix(target.key.as_str()).ok()?;
                    Some((rest.to_path_buf(), node.clone()))
                })
                .collect();
            writer.write(target, &below).await?;
        }
        Ok(writer.report)
    }

    fn contents(&self, snapshot: &SnapshotId, path: &EntryPath) -> Result<Bytes> {
        let snapshot = self.snapshot(snapshot)?;
        let no_file = || Error::new(ErrorKind::InvalidInput, "read file", path.to_string(), "it is no regular file");
        if *path == EntryPath::default() {
            return Err(no_file());
        }
        let blob = snapshot.node(path)?.blob().ok_or_else(no_file)?;
        self.shared.with_vault(&self.place, |vault| vault.contents(&blob, path))
    }
}

impl std::fmt::Debug for FakeRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeRepository").field("place", &self.place).finish_non_exhaustive()
    }
}

fn size_of(key: &MountKey, nodes: &BTreeMap<EntryPath, Node>) -> MountSize {
    let own = |path: &EntryPath| path.as_path().starts_with(key.as_str());
    let own = nodes.iter().filter(|(path, _)| own(path));
    let mount = EntryPath::new(key.as_str());
    let (mut files, mut bytes) = (0, 0);
    for (path, node) in own {
        files += u64::from(*path != mount);
        bytes += node.bytes();
    }
    MountSize { key: key.clone(), files, bytes }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Repository for FakeRepository {
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        let call = self.begin("warm", "");
        let _turn = match self.alone("warm") {
            Ok(turn) => turn,
            Err(error) => return call.end(Err(error)),
        };
        call.end(self.read_ahead(request, events).await)
    }

    async fn freeze(&self, events: &Events) -> Result<FreezeReport> {
        let call = self.begin("freeze", "");
        let _turn = match self.alone("freeze") {
            Ok(turn) => turn,
            Err(error) => return call.end(Err(error)),
        };
        call.end(self.keep_aside(events).await)
    }

    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64> {
        let call = self.begin("take_dump", request.name.as_str());
        let _turn = match self.alone("take_dump") {
            Ok(turn) => turn,
            Err(error) => return call.end(Err(error)),
        };
        call.end(self.keep_dump(request, content, events).await)
    }

    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        let keys: Vec<_> = request.sources.iter().map(|source| source.key.as_str()).collect();
        let call = self.begin("backup", format!("({})", keys.join(", ")));
        let _turn = match self.alone("backup") {
            Ok(turn) => turn,
            Err(error) => return call.end(Err(error)),
        };
        call.end(self.read_sources(request, events).await)
    }

    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
        let keys: Vec<_> = request.targets.iter().map(|target| target.key.as_str()).collect();
        let call = self.begin("restore", format!("({})", keys.join(", ")));
        let _turn = match self.among_readers("restore") {
            Ok(turn) => turn,
            Err(error) => return call.end(Err(error)),
        };
        call.end(self.write_targets(request, events).await)
    }

    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        let keys: Vec<_> = mounts.iter().map(MountKey::as_str).collect();
        let call = self.begin("check_restorable", format!("({})", keys.join(", ")));
        let check = |_| self.shared.with_vault(&self.place, |vault| vault.check_restorable(snapshot, mounts));
        call.end(self.among_readers("check_restorable").and_then(check))
    }

    async fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        let keys: Vec<_> = request.mounts.iter().map(|mount| mount.key.as_str()).collect();
        let call = self.begin("prove_undo", format!("({})", keys.join(", ")));
        let prove = |_| self.shared.with_vault(&self.place, |vault| vault.prove_undo(request));
        call.end(self.among_readers("prove_undo").and_then(prove))
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>> {
        let call = self.begin("list_snapshots", "");
        let read = |_| self.shared.with_vault(&self.place, |vault| Ok(vault.list()));
        call.end(self.among_readers("list_snapshots").and_then(read))
    }

    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        let call = self.begin("list_files", folder.to_string());
        let read = |_| self.snapshot(snapshot)?.list(folder, recursive);
        call.end(self.among_readers("list_files").and_then(read))
    }

    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64> {
        let call = self.begin("read_file", path.to_string());
        let contents = match self.among_readers("read_file").and_then(|_| self.contents(snapshot, path)) {
            Ok(contents) => contents,
            Err(error) => return call.end(Err(error)),
        };
        let written = async {
            out.write_all(&contents).await?;
            out.flush().await
        };
        let refused = |error| {
            Error::new(ErrorKind::Unavailable, "pass a file on", path.to_string(), "its receiver refused it")
                .with_source(error)
        };
        call.end(written.await.map(|()| contents.len() as u64).map_err(refused))
    }

    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        let call = self.begin("forget", format!("({} snapshots)", snapshots.len()));
        let forget = |_| self.shared.with_vault(&self.place, |vault| vault.forget(snapshots));
        call.end(self.alone("forget").and_then(forget))
    }

    async fn prune(&self) -> Result<PruneReport> {
        let call = self.begin("prune", "");
        let prune = |_| self.shared.with_vault(&self.place, super::vault::Vault::prune);
        call.end(self.alone("prune").and_then(prune))
    }

    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport> {
        let call = self.begin("verify", format!("{depth:?}").to_lowercase());
        let verify = |_| self.shared.with_vault(&self.place, |vault| Ok(vault.verify(depth)));
        call.end(self.among_readers("verify").and_then(verify))
    }

    async fn stats(&self) -> Result<RepositoryStats> {
        let call = self.begin("stats", "");
        let count = |_| self.shared.with_vault(&self.place, |vault| Ok(vault.stats()));
        call.end(self.among_readers("stats").and_then(count))
    }
}
