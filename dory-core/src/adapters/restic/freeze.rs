//! The cold pass: keeps the sources as they are, without the store; and what it takes to make a snapshot of them later.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::repofile::{MasterKey, SnapshotFile};
use rustic_core::{IndexedFullStatus, Repository, RusticError};

use super::backend::StoreBackend;
use super::open::indexed;
use super::progress::Tally;
use super::repository::Session;
use super::source::ROOT;
use super::translate::from_rustic;
use super::warm::Warmed;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, FreezeReport};
use crate::source::{Capture, ColdCopy, Memory, Notes};

/// Keeps the sources of the last hot pass as they are now.
pub(super) fn run(session: &Session, events: &Events, warmed: &mut Option<Warmed>) -> Result<FreezeReport> {
    let warmed =
        warmed.as_mut().ok_or_else(|| Error::invalid("freeze", "", "no hot pass came before it in this repository"))?;
    warmed.frozen = None;
    let notes = Notes::new(events.clone());
    let tally = Tally::new();
    let (frozen, copied) = tally.told_to(events, || {
        let capture = Capture {
            mounts: &warmed.mounts,
            manifest: &warmed.manifest,
            notes: notes.clone(),
            ended: session.ended(),
            only_counts: false,
        };
        let captured = capture.take();
        let left = captured.changed();
        tally.set_totals(left.len() as u64, left.iter().map(crate::source::Changed::size).sum());
        let copy = ColdCopy {
            mounts: &warmed.mounts,
            scratch: &warmed.scratch,
            clones: &warmed.clones,
            notes: &notes,
            ended: session.ended(),
            told: &|bytes| tally.add_bytes(bytes),
        };
        copy.run(captured)
    })?;
    tally.tell_end(events);
    let report = FreezeReport {
        files: frozen.totals().0,
        files_changed: frozen.changed_files(),
        read_bytes: copied.read,
        copied_bytes: copied.copied,
        cloned_bytes: copied.cloned,
    };
    warmed.frozen = Some(Arc::new(frozen));
    Ok(report)
}

/// What the hot pass read, as the repository holds it. It is opened when it is first needed: when a file went on after
/// the freeze in a block that had not changed before it.
pub(super) struct HotMemory {
    backend: Arc<StoreBackend>,
    key: MasterKey,
    snapshot: SnapshotFile,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    repository: Repository<IndexedFullStatus>,
    /// The file that was read last.
    file: Option<(PathBuf, rustic_core::vfs::OpenFile)>,
}

impl HotMemory {
    pub(super) fn new(session: &Session, snapshot: SnapshotFile) -> Self {
        let (backend, key) = (Arc::clone(&session.backend), session.key.clone());
        Self { backend, key, snapshot, opened: Mutex::default() }
    }
}

impl Memory for HotMemory {
    fn recall(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>> {
        let subject = path.display().to_string();
        let fail = |error: Box<RusticError>| from_rustic(&error, ErrorKind::Corrupt, "read again", &subject);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &mut *opened {
            Some(opened) => opened,
            empty => {
                let repository = indexed(&self.backend, &self.key)?;
                empty.insert(Opened { repository, file: None })
            }
        };
        if opened.file.as_ref().is_none_or(|(open, _)| open != path) {
            let inside = Path::new(ROOT).join(path);
            let node = opened.repository.node_from_path(self.snapshot.tree, &inside).map_err(fail)?;
            let file = opened.repository.open_file(&node).map_err(fail)?;
            opened.file = Some((path.to_path_buf(), file));
        }
        let Some((_, file)) = &opened.file else { return Ok(Vec::new()) };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = opened.repository.read_file_at(file, offset, length).map_err(fail)?;
        Ok(bytes.to_vec())
    }
}
