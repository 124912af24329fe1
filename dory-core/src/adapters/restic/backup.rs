//! Reading folders into a snapshot.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{
    BackupOptions, FileType, Id, IndexedIdsStatus, ParentOptions, ReadBackend, Repository, SnapshotOptions,
};

use super::keep;
use super::open::indexed_for_writing;
use super::progress::{CountingBars, Tally};
use super::repository::Session;
use super::source::{Ledger, ROOT, VolumeSource, mount_path};
use super::translate::from_rustic;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, SnapshotReport, SnapshotRequest};

const OPERATION: &str = "back up to";

/// What restic shows as the program that made a snapshot.
const PROGRAM: &str = concat!("dory ", env!("CARGO_PKG_VERSION"));

pub(super) fn run(session: &Session, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
    let tally = Tally::new();
    let ledger = Ledger::new(tally.clone(), events.clone());
    let backend = Arc::clone(&session.backend);
    let source = VolumeSource::new(request, ledger.clone(), Arc::new(move || backend.has_ended()))?;
    let index_before = index_files(session)?;
    // What an index tells is from when it was read: a repository that has written is opened anew for the next time.
    let repository = indexed_for_writing(&session.backend, &session.key, &CountingBars(tally.clone()))?;
    let snapshot = tally.told_to(events, || archive(session, &repository, request, &source))?;
    if !index_before.is_subset(&index_files(session)?) {
        // Somebody pruned meanwhile, and may have marked data for removal that this snapshot relies on, of which they
        // did not know yet. Whoever prunes next takes such marks away; until then it could not be read.
        keep::prune(session)?;
    }
    tally.tell_end(events);
    report(&snapshot, ledger.kept(), session.backend.written())
}

/// The index as it is stored: files are added by whoever backs up, and replaced by whoever prunes.
fn index_files(session: &Session) -> Result<BTreeSet<Id>> {
    let files = session.backend.list(FileType::Index);
    let files =
        files.map_err(|error| from_rustic(&error, ErrorKind::Unavailable, OPERATION, session.backend.name()))?;
    Ok(files.into_iter().collect())
}

fn archive(
    session: &Session,
    repository: &Repository<IndexedIdsStatus>,
    request: &SnapshotRequest,
    source: &VolumeSource,
) -> Result<SnapshotFile> {
    let fail = |error: Box<rustic_core::RusticError>| {
        // Whatever came of it, the first write that failed is the reason.
        let name = session.backend.name();
        session.backend.failure().unwrap_or_else(|| from_rustic(&error, ErrorKind::Internal, OPERATION, name))
    };
    let options = BackupOptions::default().parent_opts(parent(request));
    let snapshot = description(request).map_err(fail)?;
    let mut paths: Vec<_> = request.sources.iter().map(|source| mount_path(source.key.as_str())).collect();
    if paths.is_empty() {
        paths.push(PathBuf::from(ROOT));
    }
    repository.archive(&options, source, snapshot, &paths).map_err(fail)
}

/// Only a parent that was named is compared with: of files, names, sizes, times and the time of the last change of
/// anything about them are.
fn parent(request: &SnapshotRequest) -> ParentOptions {
    let options = ParentOptions::default();
    match request.parent.as_ref().filter(|parent| parent.as_str().parse::<Id>().is_ok()) {
        Some(parent) => options.parents(vec![parent.to_string()]),
        None => options.force(true),
    }
}

fn description(request: &SnapshotRequest) -> rustic_core::RusticResult<SnapshotFile> {
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

fn report(snapshot: &SnapshotFile, files: u64, stored_bytes: u64) -> Result<SnapshotReport> {
    let summary = snapshot.summary.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Internal, OPERATION, snapshot.id.to_hex().as_str(), "the snapshot has no summary")
    })?;
    Ok(SnapshotReport {
        snapshot: SnapshotId::parse(snapshot.id.to_hex().as_str())?,
        files,
        bytes: summary.total_bytes_processed,
        stored_bytes,
        files_changed: summary.files_new + summary.files_changed,
    })
}
