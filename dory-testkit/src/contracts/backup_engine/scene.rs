//! What the promises are played on: an engine, a repository, folders to read and to write.

use std::any::Any;
use std::fmt::{self, Debug};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::{Progress, Warning};
use dory_core::domain::id::{DumpName, MountKey, SnapshotId};
use dory_core::error::Result;
use dory_core::ports::{
    BackupEngine, DumpRequest, EngineEvent, Events, FileEntry, MountFolder, OpenMode, Repository, RepositorySpec,
    RestoreReport, RestoreRequest, SnapshotReport, SnapshotRequest,
};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::io::AsyncRead;

use crate::contracts::objects::{FolderObjects, StoreObjects, flip_a_byte};
use crate::fixtures::{Aspects, ReadOnlyMount, diff_trees, snapshot_tree};
use crate::live::or_skip;

/// An engine to try, and a place where no repository is yet.
#[derive(Debug)]
pub struct Subject {
    /// The engine.
    pub engine: Arc<dyn BackupEngine>,
    /// Where its repository may be made, and with which password.
    pub repository: RepositorySpec,
    /// What a restored tree has in common with its source.
    pub aspects: Aspects,
    damage: Option<Damage>,
    write_protection: Option<WriteProtection>,
    keep: Vec<Box<dyn Any + Send>>,
}

/// Lets nothing be written to the store until what it gives is dropped; `None` where this user may not do that.
struct WriteProtection(Box<dyn Fn() -> Option<Box<dyn Any + Send>> + Send + Sync>);

impl Debug for WriteProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteProtection")
    }
}

/// Flips one byte of what is stored for a repository.
struct Damage(Box<FlipByte>);

type FlipByte = dyn Fn(&RepositorySpec) -> BoxFuture<'static, ()> + Send + Sync;

impl Debug for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Damage")
    }
}

impl Subject {
    /// `engine`, with as much kept as its capabilities tell.
    #[must_use]
    pub fn new(engine: Arc<dyn BackupEngine>, repository: RepositorySpec) -> Self {
        let can = engine.capabilities();
        let aspects = Aspects {
            hard_links: can.keeps_hard_links,
            extended_attributes: can.keeps_extended_attributes,
            holes: can.keeps_holes,
            ..Aspects::ALL
        };
        let subject = Self { engine, repository, aspects, damage: None, write_protection: None, keep: Vec::new() };
        match subject.repository.store.url.as_folder() {
            Some(folder) => subject
                .stored_in(FolderObjects::new(&folder))
                .write_protected_by(move || Some(Box::new(ReadOnlyMount::over(&folder)?))),
            None => subject,
        }
    }

    /// Says how to reach the store's objects, so that a test can damage one. A folder's are reached as they are.
    #[must_use]
    pub fn stored_in(self, objects: impl StoreObjects + 'static) -> Self {
        let objects = Arc::new(objects);
        self.damaged_by(move |repository| {
            let (objects, folder) = (Arc::clone(&objects), repository.path.clone());
            Box::pin(async move { flip_a_byte(objects.as_ref(), &folder).await })
        })
    }

    /// Says how to flip a byte of a repository that is no objects.
    #[must_use]
    pub fn damaged_by(
        mut self,
        damage: impl Fn(&RepositorySpec) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.damage = Some(Damage(Box::new(damage)));
        self
    }

    /// Says how to let nothing be written to the store, until what `protect` gives is dropped.
    #[must_use]
    pub fn write_protected_by(
        mut self,
        protect: impl Fn() -> Option<Box<dyn Any + Send>> + Send + Sync + 'static,
    ) -> Self {
        self.write_protection = Some(WriteProtection(Box::new(protect)));
        self
    }

    /// Lets nothing be written to the store while what this gives lives; `None`, and the test is skipped, where the
    /// subject knows no way.
    pub(super) fn write_protect(&self) -> Option<Box<dyn Any + Send>> {
        let protection = self.write_protection.as_ref().and_then(|protection| protection.0());
        or_skip("a store that can be write-protected", protection)
    }

    /// Keeps something alive for as long as the test runs: a temporary folder, a server.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send) -> Self {
        self.keep.push(Box::new(thing));
        self
    }
}

/// An open repository, and a folder to play in.
pub(super) struct Scene {
    pub(super) subject: Subject,
    pub(super) repository: Arc<dyn Repository>,
    dir: TempDir,
    minute: AtomicI64,
    seen: Seen,
}

/// The events of the last call.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<EngineEvent>>>);

impl Scene {
    pub(super) async fn open(subject: Subject) -> Self {
        let repository = subject.engine.open(&subject.repository, OpenMode::CreateIfMissing).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        Self { subject, repository, dir, minute: AtomicI64::new(0), seen: Seen::default() }
    }

    /// Flips a byte of what is stored; `None`, and the test is skipped, where the subject knows no way.
    pub(super) async fn flip_a_byte(&self) -> Option<()> {
        let damage = or_skip("a store that can be damaged", self.subject.damage.as_ref())?;
        damage.0(&self.subject.repository).await;
        Some(())
    }

    /// A folder of this name; it is made if it is missing.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A path that nothing is at.
    pub(super) fn nowhere(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A request that reads `sources`, one minute after the one before.
    pub(super) fn request(&self, sources: &[(&str, &Path)]) -> SnapshotRequest {
        let minute = self.minute.fetch_add(1, Ordering::Relaxed);
        SnapshotRequest {
            sources: mounts(sources),
            exclude: Vec::new(),
            taken_at: Timestamp::UNIX_EPOCH + SignedDuration::from_mins(29_000_000 + minute),
            host: "host-1".to_owned(),
            tags: vec!["point-1".to_owned()],
            parent: None,
            scratch: None,
        }
    }

    pub(super) async fn try_backup(&self, request: &SnapshotRequest) -> Result<SnapshotReport> {
        self.repository.backup(request, &self.events()).await
    }

    /// Reads `sources` into a snapshot.
    pub(super) async fn backup(&self, sources: &[(&str, &Path)]) -> SnapshotReport {
        self.try_backup(&self.request(sources)).await.unwrap()
    }

    /// Reads `sources` into a snapshot, with `parent` to compare with.
    pub(super) async fn backup_on(&self, parent: &SnapshotReport, sources: &[(&str, &Path)]) -> SnapshotReport {
        let mut request = self.request(sources);
        request.parent = Some(parent.snapshot.clone());
        self.try_backup(&request).await.unwrap()
    }

    /// Takes a dump.
    pub(super) async fn try_dump(&self, name: &str, content: &mut (dyn AsyncRead + Send + Unpin)) -> Result<u64> {
        let request = DumpRequest { name: DumpName::parse(name).unwrap(), scratch: Some(self.folder("scratch")) };
        self.repository.take_dump(&request, content, &self.events()).await
    }

    pub(super) async fn try_restore(
        &self,
        snapshot: &SnapshotId,
        targets: &[(&str, &Path)],
        delete_extra: bool,
    ) -> Result<RestoreReport> {
        let (snapshot, targets, keep) = (snapshot.clone(), mounts(targets), Vec::new());
        self.repository.restore(&RestoreRequest { snapshot, targets, delete_extra, keep }, &self.events()).await
    }

    /// Makes `targets` equal to what the snapshot holds, but for what these patterns cover.
    pub(super) async fn restore_but(&self, from: &SnapshotReport, targets: &[(&str, &Path)], keep: &[&str]) {
        let keep = keep.iter().map(|pattern| (*pattern).to_owned()).collect();
        let (snapshot, targets) = (from.snapshot.clone(), mounts(targets));
        let request = RestoreRequest { snapshot, targets, delete_extra: true, keep };
        self.repository.restore(&request, &self.events()).await.unwrap();
    }

    /// Proves that the snapshot's folders of these names can be restored.
    pub(super) async fn check_restorable(&self, from: &SnapshotReport, mounts: &[&str]) -> Result<()> {
        let mounts: Vec<_> = mounts.iter().map(|key| MountKey::parse(*key).unwrap()).collect();
        self.repository.check_restorable(&from.snapshot, &mounts).await
    }

    /// Makes `targets` equal to what the snapshot holds.
    pub(super) async fn restore(&self, from: &SnapshotReport, targets: &[(&str, &Path)]) -> RestoreReport {
        self.try_restore(&from.snapshot, targets, true).await.unwrap()
    }

    pub(super) async fn list(&self, from: &SnapshotReport, folder: &str, recursive: bool) -> Vec<FileEntry> {
        self.repository.list_files(&from.snapshot, &EntryPath::new(folder), recursive).await.unwrap()
    }

    pub(super) async fn read(&self, from: &SnapshotReport, path: &EntryPath) -> Vec<u8> {
        let mut out = Vec::new();
        let length = self.repository.read_file(&from.snapshot, path, &mut out).await.unwrap();
        assert_eq!(length, out.len() as u64, "the length told for {path:?}");
        out
    }

    /// Fails if the folder `after` is not what the folder `before` is, in all that the engine keeps.
    pub(super) fn assert_same(&self, before: &Path, after: &Path) {
        let differences = diff_trees(&snapshot_tree(before), &snapshot_tree(after), self.subject.aspects);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    /// The warnings of the last call.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let told = |event: &EngineEvent| match event {
            EngineEvent::Warning(warning) => Some(warning.clone()),
            EngineEvent::Progress(_) => None,
        };
        self.seen.0.lock().unwrap().iter().filter_map(told).collect()
    }

    /// The progress of the last call.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let told = |event: &EngineEvent| match event {
            EngineEvent::Progress(progress) => Some(*progress),
            EngineEvent::Warning(_) => None,
        };
        self.seen.0.lock().unwrap().iter().filter_map(told).collect()
    }

    pub(super) fn events(&self) -> Events {
        self.seen.0.lock().unwrap().clear();
        let seen = self.seen.clone();
        Events::new(move |event| seen.0.lock().unwrap().push(event))
    }
}

/// Folders by their keys.
pub(super) fn mounts(folders: &[(&str, &Path)]) -> Vec<MountFolder> {
    let mount =
        |(key, path): &(&str, &Path)| MountFolder { key: MountKey::parse(*key).unwrap(), path: path.to_path_buf() };
    folders.iter().map(mount).collect()
}

/// Writes a file anew, and moves its time on by more than the coarsest clock's step.
pub(super) fn rewrite(path: &Path, contents: &[u8]) {
    let before = fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    fs::write(path, contents).unwrap();
    let later = before + Duration::from_secs(10);
    fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
}

/// The paths of entries, as text.
pub(super) fn paths(entries: &[FileEntry]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.to_string()).collect()
}
