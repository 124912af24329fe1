//! That a new snapshot relies on nothing that is not there, whoever removed it, and whenever.

use rustic_core::FileType;
use rustic_core::repofile::SnapshotId as Made;

use super::packs::{Broken, PackBook};
use super::prove::check_snapshot;
use super::repository::Session;
use crate::domain::id::SnapshotId;
use crate::error::{Error, ErrorKind, Result};

/// What was known of the packs when a backup began.
pub(super) struct Soundness {
    book: PackBook,
    broken: Broken,
}

impl Soundness {
    /// Looks which packs are there. The session sees an index without those that are not as they should be, so what they
    /// held is stored anew.
    pub(super) fn begin(session: &Session) -> Result<Self> {
        let mut book = PackBook::default();
        book.read(session)?;
        let broken = book.broken(session)?;
        if !broken.is_empty() {
            let packs = broken.len();
            tracing::warn!(packs, "packs are missing or cut short: `restic check` tells which points are hurt");
            book.hide(session, &broken)?;
        }
        Ok(Self { book, broken })
    }

    /// Looks again, and takes the new snapshot back if what it relies on is gone.
    ///
    /// # Errors
    /// `Conflict` in that case; the store's errors.
    pub(super) fn end(mut self, session: &Session, made: Made) -> Result<()> {
        self.book.read(session)?;
        let broken = self.book.broken(session)?;
        if broken.is_empty() {
            return Ok(());
        }
        self.book.hide(session, &broken)?;
        let snapshot = SnapshotId::parse(made.to_hex().as_str())?;
        match check_snapshot(session, &snapshot, &broken) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                session.backend.delete(FileType::Snapshot, &made)?;
                let reason = "somebody removed data that was there when the backup began, and that it relies on";
                return Err(Error::new(ErrorKind::Conflict, "back up to", session.backend.name(), reason)
                    .with_hint("run the backup again, which stores it anew; prune only with `dory delete` or restic")
                    .with_source(error));
            }
            Err(error) => return Err(error),
        }
        // Only what was stored anew by now has a second place.
        if self.broken.is_empty() { Ok(()) } else { self.book.lead_around(session, &broken) }
    }
}
