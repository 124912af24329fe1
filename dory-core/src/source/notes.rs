//! What fell short while folders were read, path by path.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::ports::Events;

/// Tells whether going on is of no use, so that a walk stops.
pub(crate) type Ended = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where warnings go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notes(Events);

impl Notes {
    pub(crate) fn new(events: Events) -> Self {
        Self(events)
    }

    /// For a look around that is followed by another, which tells.
    pub(crate) fn silent() -> Self {
        Self(Events::ignored())
    }

    /// Tells of a path, whose first part is the mount's key.
    pub(crate) fn warn(&self, kind: WarningKind, path: &Path, detail: impl Into<String>) {
        self.0.warn(Warning { kind, path: EntryPath::new(path), detail: detail.into() });
    }

    /// What was not there, or could not be opened or read.
    pub(crate) fn warn_unread(&self, path: &Path, error: Errno) {
        let kind = match error {
            Errno::NOENT | Errno::NOTDIR => WarningKind::Vanished,
            _ => WarningKind::Unreadable,
        };
        self.warn(kind, path, std::io::Error::from(error).to_string());
    }

    /// Attributes that could not be read.
    pub(crate) fn warn_without_attributes(&self, path: &Path, error: Errno) {
        self.warn(WarningKind::NotKept, path, format!("its extended attributes: {}", std::io::Error::from(error)));
    }
}
