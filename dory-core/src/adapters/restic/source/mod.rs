//! What a backup reads: the mounts' folders, as nodes under `/backup/<key>` wherever they really are.
//!
//! `rustic_core` only logs what it cannot read; here each such path becomes a [`Warning`]. Folders are walked by their
//! file descriptors, so that nobody who swaps a folder for a link can lead the walk elsewhere.

mod exclude;
mod inode;
mod reader;
#[cfg(test)]
mod tests;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustic_core::{ErrorKind as RusticKind, ReadSource, RusticError, RusticResult};
use rustix::io::Errno;

use self::exclude::Excludes;
use self::inode::Place;
use self::reader::Opener;
use self::walk::Walk;
use super::progress::Tally;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::error::{Error, Result};
use crate::ports::{Events, SnapshotRequest};

/// The folder of a snapshot that holds the mounts.
pub(super) const ROOT: &str = "/backup";

/// The sources of one backup.
pub(super) struct VolumeSource {
    mounts: Vec<Mount>,
    excludes: Arc<Excludes>,
    ledger: Ledger,
    ended: Ended,
}

/// Tells whether going on is of no use, so that a walk stops.
pub(super) type Ended = Arc<dyn Fn() -> bool + Send + Sync>;

/// One of the sources, proven to be there.
#[derive(Clone)]
struct Mount {
    key: String,
    place: Place,
}

impl VolumeSource {
    /// Checks that the sources are there and the patterns make sense.
    pub(super) fn new(request: &SnapshotRequest, ledger: Ledger, ended: Ended) -> Result<Self> {
        let excludes = Arc::new(Excludes::new(&request.exclude)?);
        let mut mounts = Vec::with_capacity(request.sources.len());
        for source in &request.sources {
            let place = Place::of_source(&source.path).map_err(|error| missing_source(&source.path, error))?;
            mounts.push(Mount { key: source.key.to_string(), place });
        }
        // The format wants names in order.
        mounts.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(twice) = mounts.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(Error::invalid("source", &twice[0].key, "each mount may be named once"));
        }
        Ok(Self { mounts, excludes, ledger, ended })
    }

    fn walk(&self, ledger: Ledger) -> Walk {
        Walk::new(self.mounts.clone(), Arc::clone(&self.excludes), ledger, Arc::clone(&self.ended))
    }
}

fn missing_source(path: &Path, error: Errno) -> Error {
    let reason = match error {
        Errno::NOENT | Errno::NOTDIR => "it is not there",
        _ => "it cannot be opened",
    };
    Error::invalid("source", path.to_string_lossy(), reason).with_source(std::io::Error::from(error))
}

impl ReadSource for VolumeSource {
    type Open = Opener;
    type Iter = Walk;

    /// Counts what there is, beside the work itself. What cannot be counted is told when it cannot be read.
    fn size(&self) -> RusticResult<Option<u64>> {
        let (mut files, mut bytes) = (0, 0);
        for entry in self.walk(Ledger::silent()).only_counting().flatten() {
            files += 1;
            bytes += entry.node.meta.size;
        }
        self.ledger.tally.set_totals(files, bytes);
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        self.walk(self.ledger.clone())
    }
}

/// Where a walk writes down what it met. Cheap to clone; clones write into one.
#[derive(Clone)]
pub(super) struct Ledger {
    tally: Tally,
    events: Events,
    lost: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
}

impl Ledger {
    pub(super) fn new(tally: Tally, events: Events) -> Self {
        Self { tally, events, lost: Arc::default(), seen: Arc::default() }
    }

    fn silent() -> Self {
        Self::new(Tally::new(), Events::ignored())
    }

    /// Inodes that are in the snapshot.
    pub(super) fn kept(&self) -> u64 {
        self.seen.load(Ordering::Relaxed).saturating_sub(self.lost.load(Ordering::Relaxed))
    }

    fn count(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.tally.add_file();
    }

    fn warn(&self, kind: WarningKind, path: &Path, detail: impl Into<String>) {
        let path = EntryPath::new(path.strip_prefix(ROOT).unwrap_or(path));
        self.events.warn(Warning { kind, path, detail: detail.into() });
    }

    /// What was not there, or could not be opened or read.
    fn warn_unread(&self, path: &Path, error: Errno) {
        let kind = match error {
            Errno::NOENT | Errno::NOTDIR => WarningKind::Vanished,
            _ => WarningKind::Unreadable,
        };
        self.warn(kind, path, std::io::Error::from(error).to_string());
    }

    /// Like [`Self::warn_unread`], for what had been counted already. The error only makes `rustic_core` leave it out.
    fn lose(&self, path: &Path, error: Errno) -> Box<RusticError> {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.warn_unread(path, error);
        RusticError::new(RusticKind::InputOutput, "a file was left out, and has been warned of")
    }
}

/// A mount's path in snapshots.
pub(super) fn mount_path(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}
