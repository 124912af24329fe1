//! Making a backup set.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::book::Book;
use super::command::{Invocation, RunFolder};
use super::exit::Phase;
use super::look::Look;
use super::names::{Part, SetTime, StoredName};
use super::repository::DuplicityRepository;
use super::scan::{Scan, scan};
use super::session::{Cache, Session, blocking};
use super::target::FilesAt;
use super::told::Teller;
use crate::domain::event::Progress;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, SnapshotReport, SnapshotRequest};

impl DuplicityRepository {
    /// Reads the sources into a new set, while the book gets a note on it.
    pub(super) async fn make_set(&self, request: &SnapshotRequest, events: &Events) -> Result<SnapshotReport> {
        let session = &*self.session;
        let _cache = session.cache.lock().await;
        let run = session.run_folder().await?;
        let root = run.join("root");
        let found = {
            let (root, request, cache) = (root.clone(), request.clone(), session.cache_folder());
            blocking(move || {
                forget_broken_off(&cache);
                scan(&root, &request)
            })
            .await?
        };
        if let Some(newest) = self.newest() {
            session.wait_past(&newest).await?;
        }
        let begun = SetTime::from_timestamp(session.settings.clock.now());
        let mut teller = Teller {
            events,
            root: &root,
            folders: &found.folders,
            progress: Progress {
                files_total: Some(found.entries),
                bytes_total: Some(found.bytes),
                ..Progress::default()
            },
            files_changed: 0,
            last_read: begun.to_timestamp(),
            stored_in_volumes: 0,
            errors: 0,
            warned: 0,
            followed: HashSet::new(),
            taken_for_link: None,
        };
        // Neither waits for the other: the stop window is as long as the slower one.
        let (made, noted) =
            tokio::join!(run_backup(session, &run, &root, &found, &mut teller), write_note(session, request, &begun));
        let time = made?;
        self.saw(&time);
        noted?;
        teller.warn_of_unnamed();
        let stored_bytes = {
            let (files, cache, time) = (session.target.files.clone(), session.cache_folder(), time.clone());
            let in_volumes = teller.stored_in_volumes;
            blocking(move || Ok(stored_bytes(&files, &cache, &time, in_volumes))).await?
        };
        // duplicity compares times in seconds and no sizes: what changes in the second of its reading would never be
        // seen again. Once this returns, containers start; so it returns in a later second.
        session.wait_past(&SetTime::from_timestamp(teller.last_read)).await?;
        events.progress(Progress { files: found.entries, bytes: found.bytes, ..teller.progress });
        Ok(SnapshotReport {
            snapshot: SnapshotId::parse(time.as_str())?,
            files: found.entries,
            bytes: found.bytes,
            stored_bytes,
            files_changed: teller.files_changed,
            mounts: found.mounts,
        })
    }
}

async fn run_backup(
    session: &Session,
    run: &RunFolder,
    root: &Path,
    found: &Scan,
    teller: &mut Teller<'_>,
) -> Result<SetTime> {
    let before = {
        let cache = session.cache_folder();
        blocking(move || Ok(newest_manifest(&cache))).await?
    };
    let mut invocation = session.invocation(run, "backup", Cache::Kept, Phase::Working);
    invocation.argument("-v5").option("--metadata-sync-mode", "partial");
    // A helper has another host name each time, and its folder of links another path.
    invocation.argument("--allow-source-mismatch");
    invocation.arguments.extend(session.options.backup_arguments());
    invocation.argument(root).argument(&session.target.url);
    show_root(&mut invocation, run, root, found).await?;
    let clock = &session.settings.clock;
    session.must_run(&invocation, "back up into", Phase::Working, |record| teller.hear(record, clock.now())).await?;
    if let Some(mount) = &teller.taken_for_link {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "back up mount",
            mount,
            "this duplicity's Python does not load what Dory gives it to read with",
        )
        .with_hint("use Dory's own image (scripts/image.sh builds it)"));
    }
    let cache = session.cache_folder();
    let after = blocking(move || Ok(newest_manifest(&cache))).await?;
    after.filter(|after| before.as_ref().is_none_or(|before| before < after)).ok_or_else(|| {
        Error::new(ErrorKind::Internal, "back up into", &session.location, "duplicity succeeded and left no backup set")
    })
}

/// Tells the shim which folder holds links to follow, and what below it to pass over.
async fn show_root(invocation: &mut Invocation, run: &RunFolder, root: &Path, found: &Scan) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let list = run.join("excluded");
    let paths: Vec<_> = found.excluded.iter().map(|path| path.as_os_str().as_bytes()).collect();
    let bytes = paths.join(&0);
    invocation.set("DORY_ROOT", root);
    invocation.set("DORY_EXCLUDED", &list);
    blocking(move || {
        let written = fs::File::create(&list).and_then(|mut file| file.write_all(&bytes));
        written.map_err(|error| {
            Error::new(ErrorKind::Internal, "write list", list.display().to_string(), "it cannot be written")
                .with_source(error)
        })
    })
    .await
}

/// Adds a note on the set that is being made to the book as it is stored now.
async fn write_note(session: &Session, request: &SnapshotRequest, begun: &SetTime) -> Result<()> {
    let look = Look::at(session, Phase::Working).await?;
    let book = look.book.unwrap_or_default().with(request, begun, &look.collection);
    write_book(session, &book, look.books.newest().map(|set| &set.time), Phase::Working).await
}

/// Stores `book` after the one from `newest`.
pub(super) async fn write_book(session: &Session, book: &Book, newest: Option<&SetTime>, phase: Phase) -> Result<()> {
    let run = session.run_folder().await?;
    let folder = run.join("book");
    let text = serde_json::to_vec(book).unwrap_or_default();
    let written = {
        let folder = folder.clone();
        blocking(move || {
            let written = fs::create_dir(&folder).and_then(|()| fs::write(folder.join(Book::FILE), text));
            written.map_err(|error| {
                Error::new(ErrorKind::Full, "write file", folder.display().to_string(), "it cannot be written")
                    .with_source(error)
            })
        })
    };
    written.await?;
    if let Some(newest) = newest {
        session.wait_past(newest).await?;
    }
    let mut invocation = session.invocation(&run, "full", Cache::Fresh, phase);
    invocation.option("--file-prefix", Book::PREFIX).argument("--no-print-statistics");
    invocation.argument("--allow-source-mismatch").argument(&folder).argument(&session.target.url);
    session.must_run(&invocation, "write notes into", phase, |_| std::ops::ControlFlow::Continue(())).await
}

/// Removes what a backup that broke off left in the cache. duplicity would go on where that one stopped, and the set
/// would hold files of both moments.
fn forget_broken_off(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains(".part") {
            // If it stays, duplicity resumes; nothing better can be done about that here.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn cached(cache: &Path) -> impl Iterator<Item = (StoredName, PathBuf)> {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((StoredName::parse("", entry.file_name().to_str()?)?, entry.path())))
}

fn newest_manifest(cache: &Path) -> Option<SetTime> {
    cached(cache).filter(|(name, _)| name.part == Part::Manifest).map(|(name, _)| name.end).max()
}

/// Bytes that the set at `time` takes in the store: exactly for a folder; elsewhere its volumes, and its metadata as
/// large as it is in the cache.
fn stored_bytes(files: &FilesAt, cache: &Path, time: &SetTime, in_volumes: u64) -> u64 {
    let sizes = |folder: &Path| -> u64 {
        let of_set = cached(folder).filter(|(name, _)| name.end == *time);
        of_set.filter_map(|(_, path)| Some(fs::metadata(path).ok()?.len())).sum()
    };
    match files {
        FilesAt::Folder(folder) => sizes(folder),
        FilesAt::Remote(_) => in_volumes + sizes(cache),
    }
}
