//! What a guardian remembers when it, its engine or its host is started again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// How far a guarded run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Containers may have been stopped.
    Armed,
    /// The data is half restored.
    Writing,
    /// Everything is as it was before.
    Disarmed,
}

/// A small file that is whole, old or new, whenever the power goes.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
}

/// The file's name.
const NAME: &str = "guardian-stage";

impl Memory {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What was kept last; `None` if nothing ever was. What cannot be read counts as the worst that it may have been.
    pub(super) fn recall(&self) -> Option<Stage> {
        match fs::read(self.folder.join(NAME)).as_deref() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Ok(b"armed") => Some(Stage::Armed),
            Ok(b"disarmed") => Some(Stage::Disarmed),
            _ => Some(Stage::Writing),
        }
    }

    /// Keeps `stage`, on disk once this has returned.
    ///
    /// # Errors
    /// `Full`, or `Unavailable`, if it cannot be written.
    pub(super) fn keep(&self, stage: Stage) -> Result<()> {
        let word: &[u8] = match stage {
            Stage::Armed => b"armed",
            Stage::Writing => b"writing",
            Stage::Disarmed => b"disarmed",
        };
        self.write(word).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, "keep the guardian's stage", "", "its file cannot be written").with_source(error)
        })
    }

    fn write(&self, word: &[u8]) -> io::Result<()> {
        let (place, new) = (self.folder.join(NAME), self.folder.join(format!("{NAME}.new")));
        let mut file = File::create(&new)?;
        file.write_all(word)?;
        file.sync_all()?;
        fs::rename(&new, &place)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_last_is_recalled() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::in_folder(folder.path());
        assert_eq!(memory.recall(), None);
        for stage in [Stage::Armed, Stage::Writing, Stage::Armed, Stage::Disarmed] {
            memory.keep(stage).unwrap();
            assert_eq!(Memory::in_folder(folder.path()).recall(), Some(stage));
        }
    }

    #[test]
    fn what_is_damaged_may_have_been_the_worst() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "").unwrap();
        assert_eq!(Memory::in_folder(folder.path()).recall(), Some(Stage::Writing));
    }

    #[test]
    fn a_stage_that_cannot_be_kept_is_an_error() {
        let memory = Memory::in_folder(Path::new("/nonexistent"));
        assert_eq!(memory.keep(Stage::Writing).unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
