//! What is in a folder, and what of it belongs to a backup.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::exclude::Excludes;
use super::inode::{Look, Place};
use super::notes::Notes;
use crate::domain::event::WarningKind;

/// The names in a folder, in the order of their bytes.
pub(crate) fn names(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What belongs to a backup of one mount.
pub(super) struct Admission<'a> {
    pub(super) excludes: &'a Excludes,
    pub(super) notes: &'a Notes,
    /// What the mount itself looks like.
    pub(super) root: &'a Look,
}

impl Admission<'_> {
    /// What a name looks like, and whether what is below it belongs too; `None` if it does not belong itself, which
    /// is told where it might surprise.
    pub(super) fn admit(&self, place: &Place, path: &Path, below: &Path) -> Option<(Look, bool)> {
        let look = place.look().map_err(|error| self.notes.warn_unread(path, error)).ok()?;
        let is_folder = look.file_type() == FileType::Directory;
        if self.excludes.cover(below, is_folder) {
            return None;
        }
        if look.is_mounted_over(self.root) {
            let detail = "a mount of its own, which is not read: mount it into the container by itself to have it backed \
                          up, or leave it out with `dory.exclude`";
            self.notes.warn(WarningKind::OtherMount, path, detail);
            // What is mounted has no business here, but the folder it hides does.
            return is_folder.then_some((look, false));
        }
        Some((look, true))
    }
}
