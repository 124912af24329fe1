//! What a backup met, counted and told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustic_core::{ErrorKind as RusticKind, RusticError};
use rustix::io::Errno;

use super::super::progress::Tally;
use crate::ports::Events;
use crate::source::Notes;

/// Where a walk writes down what it met. Cheap to clone; clones write into one.
#[derive(Clone)]
pub(in super::super) struct Ledger {
    tally: Tally,
    notes: Notes,
    lost: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
}

impl Ledger {
    pub(in super::super) fn new(tally: Tally, events: Events) -> Self {
        Self { tally, notes: Notes::new(events), lost: Arc::default(), seen: Arc::default() }
    }

    /// One that counts, and tells no warnings: what falls short will be told by whoever looks again.
    pub(in super::super) fn counting(tally: Tally) -> Self {
        Self { tally, notes: Notes::silent(), lost: Arc::default(), seen: Arc::default() }
    }

    pub(super) fn silent() -> Self {
        Self::counting(Tally::new())
    }

    /// Inodes that are in the snapshot.
    pub(in super::super) fn kept(&self) -> u64 {
        self.seen.load(Ordering::Relaxed).saturating_sub(self.lost.load(Ordering::Relaxed))
    }

    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    pub(super) fn set_totals(&self, files: u64, bytes: u64) {
        self.tally.set_totals(files, bytes);
    }

    pub(super) fn count(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.tally.add_file();
    }

    /// Tells of what had been counted already and could not be read. The error only makes `rustic_core` leave it out.
    pub(super) fn lose(&self, path: &Path, error: Errno) -> Box<RusticError> {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.notes.warn_unread(path, error);
        RusticError::new(RusticKind::InputOutput, "a file was left out, and has been warned of")
    }
}
