//! Reading folders into a snapshot.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rustic_core::repofile::{SnapshotFile, SnapshotSummary};
use rustic_core::{BackupOptions, FileType, Id, ParentOptions, ReadBackend, ReadSource, SnapshotOptions};

use super::dumps::Dump;
use super::freeze::HotMemory;
use super::graft::graft;
use super::keep;
use super::lock::{Lock, Share};
use super::measured::Measured;
use super::open::indexed_for_writing;
use super::progress::{CountingBars, Tally};
use super::repository::Session;
use super::soundness::Soundness;
use super::source::{FrozenSource, Ledger, ROOT, VolumeSource, mount_path};
use super::translate::from_rustic;
use super::warm::FrozenPoint;
use super::with_dumps::WithDumps;
use crate::domain::dump::FOLDER;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, SnapshotReport, SnapshotRequest};
use crate::source::Mounts;

const OPERATION: &str = "back up to";

/// What restic shows as the program that made a snapshot.
const PROGRAM: &str = concat!("dory ", env!("CARGO_PKG_VERSION"));

/// Makes the snapshot of what is there now.
pub(super) fn run(
    session: &Session,
    request: &SnapshotRequest,
    events: &Events,
    dumps: &[Dump],
) -> Result<SnapshotReport> {
    let tally = Tally::new();
    let ledger = Ledger::new(tally.clone(), events.clone());
    let source = Measured::new(VolumeSource::new(Mounts::new(request)?, ledger.clone(), session.ended()));
    let source = WithDumps::new(source, dumps, &session.backend);
    let _lock = Lock::take(session, Share::WithOthers)?;
    let mut index_before = index_files(session)?;
    let grafted = grafted(session, request, dumps, &mut index_before)?;
    let sound = Soundness::begin(session)?;
    let mut parents: Vec<_> = request.parent.iter().filter(|parent| can_be_read(session, parent)).cloned().collect();
    parents.extend(grafted);
    let reading = Reading { request, parents: &parents, has_dumps: !dumps.is_empty() };
    let snapshot = tally.told_to(events, || archive(session, &tally, &reading, &source))?;
    keep_from_pruning(session, &index_before)?;
    sound.end(session, snapshot.id)?;
    tally.tell_end(events);
    let summary = summary(&snapshot)?;
    Ok(SnapshotReport {
        snapshot: SnapshotId::parse(snapshot.id.to_hex().as_str())?,
        files: ledger.kept() + source.inodes(),
        bytes: summary.total_bytes_processed,
        stored_bytes: session.backend.written() + stored_before(dumps),
        files_changed: summary.files_new + summary.files_changed,
        mounts: source.source.sizes(),
    })
}

/// Makes the snapshot of what was frozen, with what the hot pass read as the one it is compared with.
pub(super) fn run_frozen(
    session: &Session,
    request: &SnapshotRequest,
    events: &Events,
    frozen: &FrozenPoint,
    dumps: &[Dump],
) -> Result<SnapshotReport> {
    frozen.check(request)?;
    let tally = Tally::new();
    let ledger = Ledger::new(tally.clone(), events.clone());
    let _lock = Lock::take(session, Share::WithOthers)?;
    let mut index_before = frozen.index_files.clone();
    let grafted = grafted(session, request, dumps, &mut index_before)?;
    let sound = Soundness::begin(session)?;
    let parents: Vec<_> = std::iter::once(frozen.serve(&session.backend)?).chain(grafted).collect();
    let source = Measured::new(FrozenSource {
        frozen: Arc::clone(&frozen.frozen),
        memory: Arc::new(HotMemory::new(session, frozen.snapshot.clone())),
        ledger: ledger.clone(),
        backend: Arc::clone(&session.backend),
    });
    let source = WithDumps::new(source, dumps, &session.backend);
    let reading = Reading { request, parents: &parents, has_dumps: !dumps.is_empty() };
    let snapshot = tally.told_to(events, || archive(session, &tally, &reading, &source))?;
    keep_from_pruning(session, &index_before)?;
    sound.end(session, snapshot.id)?;
    tally.tell_end(events);
    Ok(SnapshotReport {
        snapshot: SnapshotId::parse(snapshot.id.to_hex().as_str())?,
        files: ledger.kept() + source.inodes(),
        bytes: summary(&snapshot)?.total_bytes_processed,
        stored_bytes: frozen.stored_bytes + session.backend.written() + stored_before(dumps),
        files_changed: frozen.frozen.news() + dumps.len() as u64,
        mounts: source.source.sizes(),
    })
}

/// What the dumps are compared with, where there are any; what index they rely on goes into `index_before`.
fn grafted(
    session: &Session,
    request: &SnapshotRequest,
    dumps: &[Dump],
    index_before: &mut BTreeSet<Id>,
) -> Result<Option<SnapshotId>> {
    if dumps.is_empty() {
        return Ok(None);
    }
    index_before.extend(dumps.iter().flat_map(|dump| &dump.index_files));
    graft(session, request, dumps).map(Some)
}

fn stored_before(dumps: &[Dump]) -> u64 {
    dumps.iter().map(|dump| dump.stored_bytes).sum()
}

/// Whether a snapshot can be compared with: of several, one that is gone would take the others with it.
fn can_be_read(session: &Session, snapshot: &SnapshotId) -> bool {
    let id = snapshot.as_str().parse::<Id>();
    id.is_ok_and(|id| session.backend.read_full(FileType::Snapshot, &id).is_ok())
}

/// The index as it is stored: files are added by whoever backs up, and replaced by whoever prunes.
pub(super) fn index_files(session: &Session) -> Result<BTreeSet<Id>> {
    let files = session.backend.list(FileType::Index);
    let files =
        files.map_err(|error| from_rustic(&error, ErrorKind::Unavailable, OPERATION, session.backend.name()))?;
    Ok(files.into_iter().collect())
}

/// If somebody pruned meanwhile, they may have marked data for removal that the new snapshot relies on, of which they
/// did not know yet. Whoever prunes next takes such marks away; until then it could not be read.
fn keep_from_pruning(session: &Session, index_before: &BTreeSet<Id>) -> Result<()> {
    if index_before.is_subset(&index_files(session)?) {
        return Ok(());
    }
    keep::prune_beside_others(session).map(drop)
}

/// What a snapshot is of.
pub(super) struct Reading<'a> {
    pub(super) request: &'a SnapshotRequest,
    /// What is compared with, in the order in which it counts.
    pub(super) parents: &'a [SnapshotId],
    pub(super) has_dumps: bool,
}

/// Reads a source into the repository.
///
/// What an index tells is from when it was read: a repository that has written is opened anew for the next time.
pub(super) fn archive<R>(session: &Session, tally: &Tally, reading: &Reading<'_>, source: &R) -> Result<SnapshotFile>
where
    R: ReadSource + 'static,
    R::Open: Send,
    R::Iter: Send,
{
    let Reading { request, parents, has_dumps } = *reading;
    let repository = indexed_for_writing(&session.backend, &session.key, &CountingBars(tally.clone()))?;
    session.backend.forget_index();
    let fail = |error: Box<rustic_core::RusticError>| {
        // Whatever came of it, the first write that failed is the reason.
        let name = session.backend.name();
        session.backend.failure().unwrap_or_else(|| from_rustic(&error, ErrorKind::Internal, OPERATION, name))
    };
    let options = BackupOptions::default().parent_opts(compared_with(parents));
    let snapshot = description(request).map_err(fail)?;
    let mut paths: Vec<_> = request.sources.iter().map(|source| mount_path(source.key.as_str())).collect();
    if has_dumps {
        paths.push(mount_path(FOLDER));
    }
    if paths.is_empty() {
        paths.push(PathBuf::from(ROOT));
    }
    repository.archive(&options, source, snapshot, &paths).map_err(fail)
}

/// Only parents that were named are compared with: of files, names, sizes, times and the time of the last change of
/// anything about them are.
fn compared_with(parents: &[SnapshotId]) -> ParentOptions {
    let ids = parents.iter().filter(|parent| parent.as_str().parse::<Id>().is_ok());
    let ids: Vec<_> = ids.map(SnapshotId::to_string).collect();
    let options = ParentOptions::default();
    if ids.is_empty() { options.force(true) } else { options.parents(ids) }
}

pub(super) fn description(request: &SnapshotRequest) -> rustic_core::RusticResult<SnapshotFile> {
    let options = SnapshotOptions::default()
        .host(request.host.clone())
        .command("dory".to_owned())
        .time(request.taken_at.to_zoned(TimeZone::UTC));
    let mut snapshot = options.to_snapshot()?;
    snapshot.program_version = PROGRAM.to_owned();
    for tag in &request.tags {
        snapshot.tags.add(tag.clone());
    }
    Ok(snapshot)
}

pub(super) fn summary(snapshot: &SnapshotFile) -> Result<&SnapshotSummary> {
    snapshot.summary.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Internal, OPERATION, snapshot.id.to_hex().as_str(), "the snapshot has no summary")
    })
}
