//! What the engine needs to know of its machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::Clock;

/// What the engine needs to know of its machine.
#[derive(Clone)]
pub struct DuplicitySettings {
    /// The duplicity program: a path, or a bare name to look for in [`DuplicitySettings::SEARCH_PATH`].
    pub program: PathBuf,
    /// The rclone program, likewise: for Google service accounts, and for sizes and deletions in any cloud.
    pub rclone: PathBuf,
    /// A private folder for duplicity's cache of the repository, its temporary files and its home. The cache holds
    /// file names and hashes in the clear. It needs room for three volumes (`volsize`, 200 MB each unless set).
    pub scratch: PathBuf,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl DuplicitySettings {
    /// Where programs are looked for, by this engine and by duplicity.
    pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    /// The programs by their usual names, with `scratch` as the private folder.
    #[must_use]
    pub fn new(scratch: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { program: "duplicity".into(), rclone: "rclone".into(), scratch: scratch.into(), clock }
    }

    /// The duplicity program's file.
    ///
    /// # Errors
    /// `Unsupported`, with what to do, where there is none.
    pub(super) fn find_program(&self) -> Result<PathBuf> {
        find(&self.program).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "run program",
                self.program.display().to_string(),
                "it is not on this machine, and the duplicity engine needs it",
            )
            .with_hint("use Dory's own image (scripts/image.sh builds it), or `dory.engine=restic`")
        })
    }

    /// The rclone program's file.
    ///
    /// # Errors
    /// `Unsupported`, with what to do, where there is none.
    pub(super) fn find_rclone(&self) -> Result<PathBuf> {
        find(&self.rclone).ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "run program",
                self.rclone.display().to_string(),
                "it is not on this machine, and the duplicity engine needs it for this store",
            )
            .with_hint("use Dory's own image (scripts/image.sh builds it), or install rclone")
        })
    }
}

fn find(program: &Path) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return is_program(program).then(|| program.to_path_buf());
    }
    let places = DuplicitySettings::SEARCH_PATH.split(':').map(|folder| Path::new(folder).join(program));
    places.into_iter().find(|path| is_program(path))
}

impl fmt::Debug for DuplicitySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DuplicitySettings")
            .field("program", &self.program)
            .field("rclone", &self.rclone)
            .field("scratch", &self.scratch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemClock;

    #[test]
    fn programs_are_found_by_name_or_path_or_missed_with_a_remedy() {
        let mut settings = DuplicitySettings::new("/nowhere", Arc::new(SystemClock::new()));
        settings.program = "sh".into();
        assert!(settings.find_program().unwrap().is_absolute());
        for missing in ["no-such-program", "/no/such/program", "/etc/passwd", "/etc"] {
            settings.program = missing.into();
            let error = settings.find_program().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(missing) && error.hint().unwrap().contains("image"), "{error}");
        }
    }
}
