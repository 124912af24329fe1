//! Putting a restored tree in the place of what a folder holds, without following any link.
//!
//! duplicity writes through links that it finds in its way, so it never writes into a target: it restores into a new
//! folder inside the target, and from there everything is renamed into place. Until then the target is as it was.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::Gitignore;
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, fchmod, fchown, fstat, futimens, open,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};

/// How the names of folders start that a restore stages in.
pub(super) const STAGE_PREFIX: &[u8] = b".dory-restore-";

/// A folder inside a target that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Stage(PathBuf);

impl Stage {
    /// Makes one in `target`, and removes those that restores which were killed left there. It blocks.
    pub(super) fn new(target: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        for entry in fs::read_dir(target)? {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(STAGE_PREFIX) && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let mut noise = [0; 6];
        getrandom::fill(&mut noise).map_err(|error| io::Error::other(error.to_string()))?;
        let name = [STAGE_PREFIX, data_encoding::HEXLOWER.encode(&noise).as_bytes()].concat();
        let path = target.join(OsStr::from_bytes(&name));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where the tree is to be restored; nothing is there yet.
    pub(super) fn tree(&self) -> PathBuf {
        self.0.join("tree")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A restore that comes later tries again.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What became of a folder.
#[derive(Debug, Default)]
pub(super) struct Swapped {
    /// Inodes that are there now because the snapshot holds them.
    pub(super) files: u64,
    /// Bytes of regular files among them.
    pub(super) bytes: u64,
    /// Inodes that are gone because it does not.
    pub(super) removed: u64,
    pub(super) warnings: Vec<Warning>,
}

/// Moves what is in the stage's tree into the folder `target`, and gives `target` the tree's own metadata. With
/// `delete_but`, what the tree does not hold goes, unless these patterns cover it. `key` is the first part of paths in warnings. It blocks.
///
/// # Errors
/// Only where nothing was done yet; what fails later is a warning.
pub(super) fn swap(stage: Stage, target: &Path, key: &Path, delete_but: Option<&Gitignore>) -> io::Result<Swapped> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let from = open(stage.tree(), folder, Mode::empty())?;
    // The target itself may be reached by way of a link: that is the caller's.
    let to = open(target, folder.difference(OFlags::NOFOLLOW), Mode::empty())?;
    let meta = fstat(&from)?;
    let mut swap = Swap { done: Swapped::default(), delete_but };
    count(&stage.tree(), &mut swap.done);
    swap.merge(from.as_fd(), to.as_fd(), key, Path::new(""));
    // Before the target gets its times, for its going changes them.
    drop(stage);
    swap.adopt(to.as_fd(), &meta, key);
    Ok(swap.done)
}

/// Writes the file `tree` into the file `target`, which keeps its inode: a mounted file cannot be replaced. It blocks.
pub(super) fn overwrite(tree: &Path, target: &Path, key: &Path) -> io::Result<Swapped> {
    let mut from = File::open(tree)?;
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::TRUNC | OFlags::CLOEXEC;
    let mut to = File::from(open(target, flags, Mode::empty())?);
    let bytes = io::copy(&mut from, &mut to)?;
    let meta = fstat(&from)?;
    let mut swap = Swap { done: Swapped { files: 1, bytes, ..Swapped::default() }, delete_but: None };
    swap.adopt(to.as_fd(), &meta, key);
    Ok(swap.done)
}

struct Swap<'a> {
    done: Swapped,
    delete_but: Option<&'a Gitignore>,
}

impl Swap<'_> {
    /// `path` is for warnings, `below` without the mount's key.
    fn merge(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path, below: &Path) {
        let (new, old) = match (names(from), names(to)) {
            (Ok(new), Ok(old)) => (new, old),
            (Err(error), _) | (_, Err(error)) => return self.warn(WarningKind::NotRestored, path, error),
        };
        if let Some(keep) = self.delete_but {
            for name in old.difference(&new).filter(|name| !name.to_bytes().starts_with(STAGE_PREFIX)) {
                if let Err(error) = self.remove_unless(keep, to, name, &below.join(os(name))) {
                    self.warn(WarningKind::NotRestored, &path.join(os(name)), error);
                }
            }
        }
        for name in &new {
            if let Err(error) = self.place(from, to, name, path, below) {
                self.warn(WarningKind::NotRestored, &path.join(os(name)), error);
            }
        }
    }

    fn place(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        below: &Path,
    ) -> rustix::io::Result<()> {
        let new = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(old) if is_folder(&old) && is_folder(&new) => {
                let (inner_from, inner_to) = (open_folder(from, name)?, open_folder(to, name)?);
                let path = path.join(os(name));
                self.merge(inner_from.as_fd(), inner_to.as_fd(), &path, &below.join(os(name)));
                self.adopt(inner_to.as_fd(), &new, &path);
                return Ok(());
            }
            Ok(old) if is_folder(&old) => {
                let before = self.done.removed;
                self.remove(to, name)?;
                // The folder itself is replaced rather than removed.
                self.done.removed = before.max(self.done.removed - 1);
            }
            // A folder takes the place of nothing but a folder.
            Ok(_) if is_folder(&new) => unlinkat(to, name, AtFlags::empty())?,
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
        renameat(from, name, to, name)
    }

    fn remove(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
        if is_folder(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?) {
            let inner = open_folder(folder, name)?;
            for name in &names(inner.as_fd())? {
                self.remove(inner.as_fd(), name)?;
            }
            unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        } else {
            unlinkat(folder, name, AtFlags::empty())?;
        }
        self.done.removed += 1;
        Ok(())
    }

    /// As [`Self::remove`], but for what `keep` covers, and the folders it is in. Tells whether nothing is left.
    fn remove_unless(
        &mut self,
        keep: &Gitignore,
        folder: BorrowedFd<'_>,
        name: &CStr,
        below: &Path,
    ) -> rustix::io::Result<bool> {
        let is_folder = is_folder(&statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?);
        if keep.matched(below, is_folder).is_ignore() {
            return Ok(false);
        }
        if is_folder {
            let inner = open_folder(folder, name)?;
            let mut all = true;
            for name in &names(inner.as_fd())? {
                all &= self.remove_unless(keep, inner.as_fd(), name, &below.join(os(name)))?;
            }
            if !all {
                return Ok(false);
            }
        }
        self.remove(folder, name).map(|()| true)
    }

    /// Gives an inode the owner, mode and times of another.
    fn adopt(&mut self, inode: BorrowedFd<'_>, meta: &Stat, path: &Path) {
        let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps {
            last_access: time(meta.st_atime, meta.st_atime_nsec.cast_signed()),
            last_modification: time(meta.st_mtime, meta.st_mtime_nsec.cast_signed()),
        };
        let owner = fchown(inode, Some(Uid::from_raw(meta.st_uid)), Some(Gid::from_raw(meta.st_gid)));
        // A change of owner clears setuid and setgid, so the mode comes after it.
        let mode = fchmod(inode, Mode::from_raw_mode(meta.st_mode));
        for result in [owner, mode, futimens(inode, &times)] {
            if let Err(error) = result {
                return self.warn(WarningKind::MetadataNotRestored, path, error);
            }
        }
    }

    fn warn(&mut self, kind: WarningKind, path: &Path, error: Errno) {
        self.done.warnings.push(Warning {
            kind,
            path: EntryPath::new(path),
            detail: io::Error::from(error).to_string(),
        });
    }
}

/// The names in a folder: all of them at once, since a folder that changes while it is read may repeat or skip some.
fn names(folder: BorrowedFd<'_>) -> rustix::io::Result<BTreeSet<CString>> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.insert(name);
        }
    }
    Ok(names)
}

fn open_folder(folder: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

fn os(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

/// Counts what a tree holds, the folder itself included.
fn count(tree: &Path, into: &mut Swapped) {
    into.files += 1;
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            into.files += 1;
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file() {
                into.bytes += meta.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_stage_that_was_left_behind_goes_with_the_next() {
        let target = tempfile::tempdir().unwrap();
        fs::create_dir_all(target.path().join(".dory-restore-old/tree")).unwrap();
        let stage = Stage::new(target.path()).unwrap();
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 1);
        drop(stage);
        assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0);
    }

    #[test]
    fn extra_things_go_only_if_asked_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, target) = (dir.path().join("outside"), dir.path().join("target"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        fs::create_dir_all(&target).unwrap();
        symlink(&outside, target.join("folder")).unwrap();
        symlink(&outside, target.join("extra")).unwrap();
        let all = Gitignore::empty();
        for delete_extra in [false, true] {
            let stage = Stage::new(&target).unwrap();
            fs::create_dir_all(stage.tree().join("folder")).unwrap();
            fs::write(stage.tree().join("folder/file"), "12345").unwrap();
            fs::set_permissions(stage.tree(), fs::Permissions::from_mode(0o751)).unwrap();
            let swapped = swap(stage, &target, Path::new("data"), delete_extra.then_some(&all)).unwrap();
            assert_eq!((swapped.files, swapped.bytes, swapped.removed), (3, 5, u64::from(delete_extra)));
            assert!(swapped.warnings.is_empty(), "{swapped:?}");
            assert_eq!(fs::read_to_string(target.join("folder/file")).unwrap(), "12345");
            assert_eq!(target.join("extra").symlink_metadata().is_ok(), !delete_extra);
        }
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o751);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }
}
