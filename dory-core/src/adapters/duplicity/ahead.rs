//! The option `staged`: volumes are copied in two passes, the second while containers stand still, and duplicity reads
//! the copy after they were started again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::names::SetTime;
use super::repository::DuplicityRepository;
use super::session::blocking;
use crate::domain::event::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, FreezeReport, MountFolder, SnapshotRequest, WarmReport};
use crate::source::{Capture, Captured, Changed, Ended, Manifest, Mirror, Mounts, Notes, Update};

/// The copy, and what it is a copy of.
#[derive(Debug)]
pub(super) struct Staged {
    request: SnapshotRequest,
    mounts: Mounts,
    manifest: Manifest,
    mirror: Mirror,
    /// Whether it was brought up to date while everything stood still.
    frozen: bool,
}

/// Ends the copying when nobody waits for it any more.
struct EndOnDrop(Arc<AtomicBool>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl EndOnDrop {
    fn new() -> (Self, Ended) {
        let ended = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&ended);
        (Self(ended), Arc::new(move || its.load(Ordering::Relaxed)))
    }
}

impl DuplicityRepository {
    fn check_staged(&self) -> Result<()> {
        if self.session.options.is_staged() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, "read ahead", "duplicity", "it reads everything in one pass")
            .with_hint("set the engine option `staged=true`"))
    }

    /// Copies what is there, or what changed since the pass before.
    pub(super) async fn copy_ahead(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        self.check_staged()?;
        let before = self.take_staged().filter(|before| before.is_of(request));
        let (request, events) = (request.clone(), events.clone());
        let (_guard, ended) = EndOnDrop::new();
        let (staged, report) = blocking(move || {
            let mounts = Mounts::new(&request)?.settled();
            let (manifest, mirror) = match before {
                Some(Staged { manifest, mirror, .. }) => (manifest, mirror),
                None => {
                    let missing = || Error::invalid("scratch folder", "", "none was named, and a copy needs one");
                    (Manifest::default(), Mirror::new(request.scratch.as_deref().ok_or_else(missing)?)?)
                }
            };
            let notes = Notes::silent();
            let captured = capture(&mounts, &manifest, &notes, &ended);
            mirror.check_room(bytes_of(&captured))?;
            let (manifest, _) = update(&mirror, &mounts, &captured, &notes, &ended, &events)?;
            let (files, bytes) = captured.totals();
            let left = capture(&mounts, &manifest, &notes, &ended);
            let files_left = left.changed().len() as u64;
            let report = WarmReport { files, bytes, stored_bytes: 0, files_left, bytes_left: bytes_of(&left) };
            mirror.check_room(report.bytes_left)?;
            Ok((Staged { request, mounts, manifest, mirror, frozen: false }, report))
        })
        .await?;
        self.put_staged(staged);
        Ok(report)
    }

    /// Copies what changed since the last pass.
    pub(super) async fn copy_changes(&self, events: &Events) -> Result<FreezeReport> {
        self.check_staged()?;
        let nothing = || Error::invalid("freeze", "", "no hot pass came before it in this repository");
        let staged = self.take_staged().ok_or_else(nothing)?;
        let (events, clock) = (events.clone(), Arc::clone(&self.session.settings.clock));
        let (_guard, ended) = EndOnDrop::new();
        let (staged, report, newest) = blocking(move || {
            let notes = Notes::new(events.clone());
            let captured = capture(&staged.mounts, &staged.manifest, &notes, &ended);
            let (manifest, done) = update(&staged.mirror, &staged.mounts, &captured, &notes, &ended, &events)?;
            let (copied_bytes, cloned_bytes) = done;
            let report = FreezeReport {
                files: captured.totals().0,
                files_changed: captured.changed().len() as u64,
                read_bytes: copied_bytes,
                copied_bytes,
                cloned_bytes,
            };
            let newest = captured.changed().iter().map(Changed::modified_second).max();
            Ok((Staged { manifest, frozen: true, ..staged }, report, newest))
        })
        .await?;
        // duplicity compares times in seconds and no sizes: what is written again in the second of its last change
        // would never be seen. Once this returns, containers start.
        let now = clock.now();
        if newest.is_some_and(|newest| newest >= now.as_second()) {
            self.session.wait_past(&SetTime::from_timestamp(now)).await?;
        }
        self.put_staged(staged);
        Ok(report)
    }

    /// Whose sources duplicity is to read: the copy's, where one was made while everything stood still.
    pub(super) fn sources_of(&self, request: &SnapshotRequest) -> Result<SnapshotRequest> {
        let staged = self.staged();
        let Some(staged) = staged.as_ref().filter(|staged| staged.frozen) else { return Ok(request.clone()) };
        if !staged.is_of(request) {
            return Err(Error::invalid("sources", "", "they are not those that were frozen"));
        }
        let copy = |source: &MountFolder| {
            let path: PathBuf = staged.mirror.folder(source.key.as_str());
            MountFolder { key: source.key.clone(), path }
        };
        Ok(SnapshotRequest { sources: request.sources.iter().map(copy).collect(), ..request.clone() })
    }
}

impl Staged {
    fn is_of(&self, request: &SnapshotRequest) -> bool {
        self.request.sources == request.sources && self.request.exclude == request.exclude
    }
}

fn capture(mounts: &Mounts, manifest: &Manifest, notes: &Notes, ended: &Ended) -> Captured {
    Capture { mounts, manifest, notes: notes.clone(), ended: Arc::clone(ended), only_counts: false }.take()
}

fn bytes_of(captured: &Captured) -> u64 {
    captured.changed().iter().map(Changed::size).sum()
}

/// Brings the copy up to date; gives what it holds now, and how many bytes were copied and cloned.
fn update(
    mirror: &Mirror,
    mounts: &Mounts,
    captured: &Captured,
    notes: &Notes,
    ended: &Ended,
    events: &Events,
) -> Result<(Manifest, (u64, u64))> {
    let (total, so_far) = (bytes_of(captured), AtomicU64::new(0));
    let told = |bytes: u64| {
        let bytes = so_far.fetch_add(bytes, Ordering::Relaxed) + bytes;
        events.progress(Progress { bytes, bytes_total: Some(total), ..Progress::default() });
    };
    let done = mirror.update(&Update { mounts, captured, notes, ended, told: &told })?;
    Ok((Manifest::of(captured, &done.lost), (done.copied, done.cloned)))
}
