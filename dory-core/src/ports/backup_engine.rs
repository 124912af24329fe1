//! What keeps data: reads folders into snapshots of a repository and writes them back.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Progress, Warning};
use crate::domain::id::{DumpName, MountKey, SnapshotId};
use crate::domain::policy::EngineKind;
use crate::domain::restore_point::MountSize;
use crate::domain::secret::Secret;
use crate::domain::store_url::StoreAccess;
use crate::error::Result;

/// A kind of repository. It knows folders and stores, and nothing of containers.
#[async_trait]
pub trait BackupEngine: Debug + Send + Sync + 'static {
    /// Which engine this is.
    fn kind(&self) -> EngineKind;

    /// What it can and cannot do.
    fn capabilities(&self) -> Capabilities;

    /// Refuses options that this engine does not know or must not take; touches nothing.
    ///
    /// # Errors
    /// `InvalidInput`, naming the option and what is allowed.
    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()>;

    /// Whether a repository with these options has hot and cold passes: [`Repository::warm`] and
    /// [`Repository::freeze`].
    fn freezes(&self, options: &BTreeMap<String, String>) -> bool;

    /// Opens a repository, and proves that it can be reached and that the key fits.
    ///
    /// With [`OpenMode::CreateIfMissing`] a missing one is made first; two callers who do that at once both end up with
    /// the same repository, or one gets `Conflict`. It also proves that the repository can be written to, for whoever
    /// opens it so is about to.
    ///
    /// # Errors
    /// `NotFound` without a repository there, for [`OpenMode::Existing`]; `WrongKey`; `PermissionDenied`; `Full`;
    /// `Unavailable`; `Corrupt`; `Unsupported` where what the engine needs is not on this machine.
    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>>;
}

/// One open repository. Calls may not overlap, except that reads may overlap reads.
///
/// Dropping the future of a call abandons it: work may go on in the background for a while, but the repository stays
/// readable, and points that were there before stay whole. To end the work at once, end the process it runs in.
#[async_trait]
pub trait Repository: Debug + Send + Sync + 'static {
    /// The hot pass: reads `request.sources` into the repository while they are being written to, so that little is left
    /// to do once they stand still. No snapshot comes of it, not even if the process is killed; what it stored and no
    /// later snapshot needs goes with the next [`prune`](Self::prune).
    ///
    /// It may be repeated with the same sources: each pass shortens what the next has to do. Room for a
    /// [`freeze`](Self::freeze) is reserved in `request.scratch`. What cannot be read is not told: the freeze tells it.
    ///
    /// # Errors
    /// As for [`backup`](Self::backup); `Full` where the scratch folder has no room for what a freeze may have to keep;
    /// `Unsupported` if the engine does not [freeze](BackupEngine::freezes).
    async fn warm(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport>;

    /// The cold pass: keeps the sources of the last [`warm`](Self::warm) as they are now, without the store, so that
    /// they may change as soon as it returns. What it keeps is lost with the process.
    ///
    /// Times do not tell every change: what may have changed unnoticed is compared. A path that cannot be read,
    /// vanishes, or changes meanwhile is a [`Warning`] and the rest goes on.
    ///
    /// # Errors
    /// `InvalidInput` without a hot pass before; `Full` for the scratch folder.
    async fn freeze(&self, events: &Events) -> Result<FreezeReport>;

    /// Reads `content` to its end and keeps it as a file that the next [`backup`](Self::backup) of this very handle holds as
    /// `dumps/<name>`, beside the mounts, whether it [freezes](Self::freeze) or not; a later one of the same name takes its
    /// place. Tells its length.
    ///
    /// Memory stays bounded, and whoever writes faster than can be stored is held back. A stream that gives an error has
    /// not ended well: nothing of it will be in any snapshot. So it is with what no `backup` follows.
    ///
    /// # Errors
    /// `Cancelled` where `content` gave an error, with that as the source; `Full` for the scratch folder; as for
    /// [`backup`](Self::backup).
    async fn take_dump(
        &self,
        request: &DumpRequest,
        content: &mut (dyn AsyncRead + Send + Unpin),
        events: &Events,
    ) -> Result<u64>;

    /// Reads `request.sources` into a new snapshot, together with the [dumps](Self::take_dump) that were taken. After a
    /// [`freeze`](Self::freeze) it holds exactly what they were at that moment, whatever happened to them since, and what
    /// was frozen is let go.
    ///
    /// A path that cannot be read, vanishes, or changes meanwhile is a [`Warning`] and the rest goes on; the snapshot
    /// exists once this returns `Ok`, and not before.
    ///
    /// # Errors
    /// `Unavailable`, `Full`, `PermissionDenied` for the store; `InvalidInput` for a source that is not there, or for
    /// other sources than those that were frozen.
    async fn backup(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport>;

    /// Writes a snapshot's folders to `request.targets`, each made equal to what the snapshot holds: owners, modes,
    /// times, links, holes and extended attributes, the folder's own included, as far as the engine keeps them.
    ///
    /// What cannot be set is a [`Warning`] and the rest goes on; where a file's contents cannot be had, what has its
    /// name stays as it was. No link inside a target leads a write outside it.
    ///
    /// # Errors
    /// `NotFound` for the snapshot or a folder in it; `Full`; `Corrupt`; the store's errors. The targets then hold a
    /// mixture.
    async fn restore(&self, request: &RestoreRequest, events: &Events) -> Result<RestoreReport>;

    /// Proves, as far as names and sizes of what is stored do, that these folders of a snapshot can be restored; writes
    /// nothing but what keeps others from removing it.
    ///
    /// # Errors
    /// `Corrupt` where something is missing or cut short, and what needs it; `Conflict` where somebody else has the
    /// repository for themselves; `NotFound` for the snapshot or a folder in it; the store's errors.
    async fn check_restorable(&self, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()>;

    /// Proves that what restoring `request.overwriting` would destroy can be had again from `request.undo`, by reading
    /// what nothing else proves: contents that `undo` shares with older snapshots, and not with `overwriting`.
    ///
    /// An engine that puts nothing in place before it has everything may find nothing to prove.
    ///
    /// # Errors
    /// `Corrupt`, with the first path whose contents cannot be had; `NotFound`; the store's errors.
    async fn prove_undo(&self, request: &UndoRequest) -> Result<()>;

    /// The snapshots, oldest first.
    ///
    /// # Errors
    /// The store's errors; `Corrupt`.
    async fn list_snapshots(&self) -> Result<Vec<Snapshot>>;

    /// What is in `folder` of a snapshot, in the order of their paths; with `recursive`, everything below it. A
    /// `folder` that is no folder is listed as itself; the empty path lists the mounts.
    ///
    /// # Errors
    /// `NotFound` for the snapshot or the path; the store's errors; `Corrupt`.
    async fn list_files(&self, snapshot: &SnapshotId, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>>;

    /// Writes the contents of one file to `out` and tells their length.
    ///
    /// # Errors
    /// `NotFound` for the snapshot or path; `InvalidInput` if it is no regular file; what `out` gives.
    async fn read_file(
        &self,
        snapshot: &SnapshotId,
        path: &EntryPath,
        out: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<u64>;

    /// Removes snapshots; those that are not there are no error. Their data goes at the next [`prune`](Self::prune),
    /// if no other snapshot needs it.
    ///
    /// # Errors
    /// `Unsupported` where the engine cannot remove these without others, which are then named; the store's errors.
    async fn forget(&self, snapshots: &[SnapshotId]) -> Result<()>;

    /// Removes data that no snapshot needs, in a way that a concurrent backup survives.
    ///
    /// # Errors
    /// The store's errors; `Corrupt`, and then nothing was removed.
    async fn prune(&self) -> Result<PruneReport>;

    /// Checks that snapshots can be restored.
    ///
    /// # Errors
    /// Those that keep it from checking; what it finds is in the report.
    async fn verify(&self, depth: VerifyDepth) -> Result<VerifyReport>;

    /// How much the repository holds.
    ///
    /// # Errors
    /// The store's errors.
    async fn stats(&self) -> Result<RepositoryStats>;
}

/// What an engine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It needs no program beside Dory, so a repository can be read wherever Dory runs, with no helper.
    pub self_contained: bool,
    /// Any snapshot can go alone; otherwise only whole chains.
    pub forgets_single_snapshots: bool,
    /// Files with several names come back as one file.
    pub keeps_hard_links: bool,
    /// Extended attributes and access lists come back; those named `trusted.*` only where the process may see them.
    pub keeps_extended_attributes: bool,
    /// Holes in files come back as holes.
    pub keeps_holes: bool,
}

/// Whether [`BackupEngine::open`] may make a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpenMode {
    /// It must be there.
    Existing,
    /// It is made if it is missing.
    CreateIfMissing,
}

/// Which repository, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySpec {
    /// The store, as the machine on which the engine runs reaches it.
    pub store: StoreAccess,
    /// The repository's folder below the store's root: `data/<backup-id>/<engine>`.
    pub path: String,
    /// Its password; `None` for a repository without encryption.
    pub password: Option<Secret>,
    /// The engine's own options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A folder on this machine, and its name in snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountFolder {
    /// Its name: a snapshot holds it as `/backup/<key>`.
    pub key: MountKey,
    /// Where it is on this machine: a folder, or for a bind mount of one file, that file.
    pub path: PathBuf,
}

/// What to call a dump, and where it may be kept until it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRequest {
    /// Its file name.
    pub name: DumpName,
    /// A folder on this machine that nobody else uses, for engines that can only read folders.
    #[serde(default)]
    pub scratch: Option<PathBuf>,
}

/// What to read into a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRequest {
    /// What to read.
    pub sources: Vec<MountFolder>,
    /// Patterns of paths to leave out, relative to each source, in gitignore's syntax.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The moment the data is from, as the snapshot should tell.
    pub taken_at: Timestamp,
    /// The server's name, for the snapshot's own record.
    pub host: String,
    /// Further words for the snapshot's own record: the point's id, the container's name.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A snapshot to compare with, so that unchanged files need not be read again.
    #[serde(default)]
    pub parent: Option<SnapshotId>,
    /// A folder on this machine that nobody else uses, for what a [freeze](Repository::freeze) keeps aside. Where it is
    /// on the file system of a source that can clone files, nothing needs to be copied.
    #[serde(default)]
    pub scratch: Option<PathBuf>,
}

/// What a hot pass did, and what it left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmReport {
    /// Files, folders and other inodes it saw.
    pub files: u64,
    /// Bytes of file contents in them.
    pub bytes: u64,
    /// Bytes it added to the store.
    pub stored_bytes: u64,
    /// Files that a cold pass would have to look into now.
    pub files_left: u64,
    /// Bytes of file contents that a cold pass would have to read now.
    pub bytes_left: u64,
}

/// What a cold pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeReport {
    /// Files, folders and other inodes that were there.
    pub files: u64,
    /// Files whose contents were not known to be what a hot pass had read.
    pub files_changed: u64,
    /// Bytes of file contents it read.
    pub read_bytes: u64,
    /// Bytes it copied aside.
    pub copied_bytes: u64,
    /// Bytes of files it cloned, which takes no copying.
    pub cloned_bytes: u64,
}

/// A snapshot that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// Its id.
    pub snapshot: SnapshotId,
    /// Files, folders and other inodes in it.
    pub files: u64,
    /// Bytes of file contents in it.
    pub bytes: u64,
    /// Bytes it added to the store.
    pub stored_bytes: u64,
    /// Files that were new or changed.
    pub files_changed: u64,
    /// How much each mount holds, where the engine tells that.
    #[serde(default)]
    pub mounts: Vec<MountSize>,
}

/// What to restore where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// From which snapshot.
    pub snapshot: SnapshotId,
    /// Which of its folders go where.
    pub targets: Vec<MountFolder>,
    /// Remove what the snapshot does not hold.
    pub delete_extra: bool,
    /// Patterns of paths that stay all the same, as in [`SnapshotRequest::exclude`]: what was left out of the snapshot
    /// is not in it, and was there.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// What must be sure before a restore overwrites it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRequest {
    /// The snapshot of what is there now.
    pub undo: SnapshotId,
    /// The snapshot that is about to be restored, where the same repository holds it.
    #[serde(default)]
    pub overwriting: Option<SnapshotId>,
    /// Folder by folder, what overwrites what.
    pub mounts: Vec<UndoMount>,
}

/// One folder of an [`UndoRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoMount {
    /// Its name in the snapshot of what is there now.
    pub key: MountKey,
    /// The name of what overwrites it, in the snapshot that is about to be restored.
    pub overwritten_by: MountKey,
}

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Files, folders and other inodes written or found to be right.
    pub files: u64,
    /// Bytes of file contents written.
    pub bytes: u64,
    /// Files, folders and other inodes removed because the snapshot does not hold them.
    pub removed: u64,
}

/// A snapshot as its repository lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The moment it tells.
    pub taken_at: Timestamp,
    /// The folders in it, that of the dumps included.
    pub mounts: Vec<MountKey>,
    /// Words of its own record.
    pub tags: Vec<String>,
    /// The snapshots that can only go together with it, itself not counted.
    pub tied_to: Vec<SnapshotId>,
}

/// One file, folder or other inode in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path; the first part is the mount's key.
    pub path: EntryPath,
    /// What it is.
    pub kind: FileKind,
    /// Bytes of contents, where the engine tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Permission bits, where the engine tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Owner and group, where the engine tells them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// When its contents last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// Where a symbolic link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_target: Option<EntryPath>,
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

/// What a prune removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReport {
    /// Bytes that are gone from the store.
    pub removed_bytes: u64,
    /// Bytes that a later prune will remove, once no concurrent backup can still need them.
    pub marked_bytes: u64,
}

/// How deep [`Repository::verify`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyDepth {
    /// That all that is needed is there, by names and sizes.
    Structure,
    /// That every stored byte is what it should be.
    Data,
}

/// What [`Repository::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// One line a fault; none means all is well.
    pub faults: Vec<String>,
}

/// How much a repository holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryStats {
    /// Bytes in the store.
    pub stored_bytes: u64,
    /// Objects in the store.
    pub objects: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// What an engine tells while it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EngineEvent {
    /// How far it is: cumulative, at least each second while there is something to do.
    Progress(Progress),
    /// A path that fell short.
    Warning(Warning),
}

/// Where an engine sends its events. Cheap to clone, called from any thread; it must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(EngineEvent) + Send + Sync>);

impl Events {
    /// Calls `sink` with each event.
    pub fn new(sink: impl Fn(EngineEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every event.
    #[must_use]
    pub fn ignored() -> Self {
        Self::new(|_| ())
    }

    /// Tells progress.
    pub fn progress(&self, progress: Progress) {
        (self.0)(EngineEvent::Progress(progress));
    }

    /// Tells a warning.
    pub fn warn(&self, warning: Warning) {
        (self.0)(EngineEvent::Warning(warning));
    }
}

impl Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
