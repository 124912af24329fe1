//! The hot pass: what is being written is read into the repository, and no snapshot comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use rustic_core::Id;
use rustic_core::repofile::SnapshotFile;
use rustix::fs::OFlags;

use super::backend::StoreBackend;
use super::backup::{Reading, archive, index_files, summary};
use super::lock::{Lock, Share};
use super::progress::Tally;
use super::repository::Session;
use super::soundness::Soundness;
use super::source::{Ledger, Record, VolumeSource};
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, SnapshotRequest, WarmReport};
use crate::source::{
    Capture, Captured, Changed, Frozen, Look, Manifest, Moment, Mounts, Notes, Scratch, SparseFile, probe_clones,
};

/// How recently a file must have been written to be worth knowing block by block although nothing changed in it since
/// the last backup: it may well be written again before the freeze.
const LIVELY_SECONDS: i64 = 24 * 3600;

/// From which size on a file is worth that, in bytes; smaller ones are copied as fast.
const LARGE: u64 = 1 << 20;

/// How much is read for that in one pass, in bytes.
const LIVELY_LIMIT: u64 = 16 << 30;

/// How much more than what is expected is reserved in the scratch folder, in bytes.
const SLACK: u64 = 256 << 20;

/// What a hot pass leaves for the cold one.
pub(super) struct Warmed {
    request: SnapshotRequest,
    /// What it read, as a snapshot that is in no store.
    snapshot: SnapshotFile,
    held: Bytes,
    pub(super) mounts: Mounts,
    pub(super) manifest: Arc<Manifest>,
    pub(super) scratch: Arc<Scratch>,
    /// Of which mounts files can be cloned into the scratch folder.
    pub(super) clones: Vec<bool>,
    /// Every index file that was there before, between or after the passes.
    index_files: BTreeSet<Id>,
    stored_bytes: u64,
    pub(super) frozen: Option<Arc<Frozen>>,
}

/// What a freeze leaves for the snapshot.
pub(super) struct FrozenPoint {
    request: SnapshotRequest,
    pub(super) snapshot: SnapshotFile,
    held: Bytes,
    pub(super) index_files: BTreeSet<Id>,
    pub(super) stored_bytes: u64,
    pub(super) frozen: Arc<Frozen>,
}

/// One more pass over `request.sources`, after those that `warmed` tells of.
pub(super) fn run(
    session: &Session,
    request: &SnapshotRequest,
    events: &Events,
    warmed: &mut Option<Warmed>,
) -> Result<WarmReport> {
    let before = warmed.take().filter(|before| same_sources(&before.request, request));
    let _lock = Lock::take(session, Share::WithOthers)?;
    let mut known_index = index_files(session)?;
    // What is not there is stored anew, and the snapshot that follows is looked through once more.
    Soundness::begin(session)?;
    let (mut parent, mut stored_bytes) = (request.parent.clone(), 0);
    let scratch = match &before {
        Some(before) => {
            parent = Some(before.serve(&session.backend)?);
            known_index.extend(&before.index_files);
            stored_bytes = before.stored_bytes;
            Arc::clone(&before.scratch)
        }
        None => {
            let missing = || Error::invalid("scratch folder", "", "none was named, and a freeze needs one");
            Arc::new(Scratch::new(request.scratch.as_deref().ok_or_else(missing)?)?)
        }
    };
    let mounts = Mounts::new(request)?.settled();
    let manifest = Arc::new(Manifest::default());
    let record =
        Record { manifest: Arc::clone(&manifest), before: before.as_ref().map(|before| Arc::clone(&before.manifest)) };

    let tally = Tally::new();
    let ledger = Ledger::counting(tally.clone());
    let source = VolumeSource::new(mounts.clone(), ledger.clone(), session.ended()).recording(record);
    session.backend.hold_snapshots();
    let snapshot = tally.told_to(events, || {
        let snapshot =
            archive(session, &tally, &Reading { request, parents: parent.as_slice(), has_dumps: false }, &source)?;
        read_lively(session, &mounts, &manifest);
        Ok::<_, Error>(snapshot)
    })?;
    tally.tell_end(events);
    let id = *snapshot.id;
    let held = session.backend.held_snapshot(&id).ok_or_else(|| lost_snapshot(&snapshot))?;
    known_index.extend(index_files(session)?);

    let capture = Capture {
        mounts: &mounts,
        manifest: &manifest,
        notes: Notes::silent(),
        ended: session.ended(),
        only_counts: true,
    };
    let left = capture.take();
    let clones = probe_clones(&mounts, &scratch, &left);
    scratch.reserve(left.room_to_reserve(&clones))?;
    let report = WarmReport {
        files: ledger.kept(),
        bytes: summary(&snapshot)?.total_bytes_processed,
        stored_bytes: session.backend.written(),
        files_left: left.changed().len() as u64,
        bytes_left: left.bytes_to_read(&clones),
    };
    *warmed = Some(Warmed {
        request: request.clone(),
        snapshot,
        held,
        mounts,
        manifest,
        scratch,
        clones,
        index_files: known_index,
        stored_bytes: stored_bytes + session.backend.written(),
        frozen: None,
    });
    Ok(report)
}

impl Captured {
    /// Bytes of what changed and cannot be cloned.
    fn bytes_to_read(&self, clones: &[bool]) -> u64 {
        self.changed().iter().filter(|changed| !clones[changed.mount()]).map(Changed::size).sum()
    }

    /// How much room a freeze may take: twice what it would take now, and some more. Of a file that is known block by
    /// block, a quarter is expected to change; and never more than all there is.
    fn room_to_reserve(&self, clones: &[bool]) -> u64 {
        let (_, all) = self.totals();
        let expected: u64 = self
            .changed()
            .iter()
            .filter(|changed| !clones[changed.mount()])
            .map(|changed| if changed.is_known() { changed.size() / 4 } else { changed.size() })
            .sum();
        expected.saturating_mul(2).saturating_add(SLACK).min(all + all / 4 + LARGE)
    }
}

impl Warmed {
    /// What was frozen, if it was.
    pub(super) fn frozen(&self) -> Option<FrozenPoint> {
        Some(FrozenPoint {
            request: self.request.clone(),
            snapshot: self.snapshot.clone(),
            held: self.held.clone(),
            index_files: self.index_files.clone(),
            stored_bytes: self.stored_bytes,
            frozen: Arc::clone(self.frozen.as_ref()?),
        })
    }

    fn serve(&self, backend: &StoreBackend) -> Result<SnapshotId> {
        serve(backend, &self.snapshot, &self.held)
    }
}

impl FrozenPoint {
    /// Checks that a snapshot is asked for of what was frozen.
    pub(super) fn check(&self, request: &SnapshotRequest) -> Result<()> {
        if same_sources(&self.request, request) {
            return Ok(());
        }
        Err(Error::invalid("sources", "", "they are not those that were frozen"))
    }

    /// Lets `backend` serve what the hot pass read as a snapshot.
    pub(super) fn serve(&self, backend: &StoreBackend) -> Result<SnapshotId> {
        serve(backend, &self.snapshot, &self.held)
    }
}

fn serve(backend: &StoreBackend, snapshot: &SnapshotFile, held: &Bytes) -> Result<SnapshotId> {
    backend.serve_snapshot(*snapshot.id, held.clone());
    SnapshotId::parse(snapshot.id.to_hex().as_str())
}

fn same_sources(a: &SnapshotRequest, b: &SnapshotRequest) -> bool {
    a.sources == b.sources && a.exclude == b.exclude
}

fn lost_snapshot(snapshot: &SnapshotFile) -> Error {
    Error::new(ErrorKind::Internal, "read ahead", snapshot.id.to_hex().as_str(), "what was read is nowhere")
}

/// Reads large files that are written to now and then, of which no pass has read anything, to know their blocks.
fn read_lively(session: &Session, mounts: &Mounts, manifest: &Manifest) {
    let ended = session.ended();
    let since = Moment::now();
    let since = Moment { seconds: since.seconds - LIVELY_SECONDS, ..since };
    let mut left = LIVELY_LIMIT;
    for (path, look) in manifest.unread_since(since, LARGE) {
        if ended() || look.size > left {
            return;
        }
        left -= look.size;
        let Some(file) = mounts.find(&path).and_then(|place| place.open(OFlags::empty()).ok()) else { continue };
        let mut hasher = manifest.hasher(look.size);
        let mut file = SparseFile::new(file, look.size, look.may_have_holes());
        let mut buffer = vec![0; 1 << 20];
        while let Ok(count @ 1..) = file.read(&mut buffer) {
            hasher.feed(&buffer[..count]);
        }
        // What changed meanwhile is not what the store holds.
        if Look::at(file.file()).is_ok_and(|now| now.same_inode(&look) && now.same_contents(&look)) {
            manifest.keep_blocks(&path, hasher.finish());
        }
    }
}
