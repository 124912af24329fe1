//! Removing what a target holds and should not, without leaving the target.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxAttributes, StatxFlags, openat, statat, statx, unlinkat};
use rustix::io::Errno;

use crate::source::{Excludes, names};

/// Removes an inode, and if it is a folder all below it; counts what went. Nothing mounted below is entered: then the
/// folder it is mounted on stays, and that is an error.
pub(super) fn remove(folder: &OwnedFd, name: &OsStr, count: &mut u64) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => {
            *count += 1;
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        // Linux says the one of folders, POSIX the other.
        Err(Errno::ISDIR | Errno::PERM) if is_folder(folder, name)? => remove_folder(folder, name, count),
        Err(error) => Err(error),
    }
}

/// As [`remove`], but for what `keep` covers, and the folders it is in; `below` is the path in the mount. Tells whether
/// nothing is left.
pub(super) fn remove_unless(keep: &Excludes, folder: &OwnedFd, below: &Path, count: &mut u64) -> Result<bool, Errno> {
    let name = below.file_name().ok_or(Errno::INVAL)?;
    let is_folder = match is_folder(folder, name) {
        Err(Errno::NOENT) => return Ok(true),
        is_folder => is_folder?,
    };
    if keep.cover(below, is_folder) {
        return Ok(false);
    }
    if !is_folder {
        return remove(folder, name, count).map(|()| true);
    }
    let inner = open_part(folder, name)?;
    let (mut all, mut first_failure) = (true, None);
    for name in names(&inner)? {
        match remove_unless(keep, &inner, &below.join(name), count) {
            Ok(gone) => all &= gone,
            Err(error) => drop(first_failure.get_or_insert(error)),
        }
    }
    match first_failure {
        Some(error) => Err(error),
        None if all => unlinkat(folder, name, AtFlags::REMOVEDIR).map(|()| {
            *count += 1;
            true
        }),
        None => Ok(false),
    }
}

fn is_folder(folder: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn remove_folder(above: &OwnedFd, name: &OsStr, count: &mut u64) -> Result<(), Errno> {
    let folder = open_part(above, name)?;
    let mut first_failure = None;
    for name in names(&folder)? {
        if let Err(error) = remove(&folder, &name, count) {
            first_failure.get_or_insert(error);
        }
    }
    drop(folder);
    if let Some(error) = first_failure {
        return Err(error);
    }
    unlinkat(above, name, AtFlags::REMOVEDIR)?;
    *count += 1;
    Ok(())
}

/// Opens a folder that is a part of the one above it.
fn open_part(above: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    if is_mounted_on(above, &folder)? { Err(Errno::BUSY) } else { Ok(folder) }
}

/// Whether `folder` is not a part of the folder above it, but mounted there.
pub(super) fn is_mounted_on(above: &OwnedFd, folder: &OwnedFd) -> Result<bool, Errno> {
    let look = |folder| statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
    let inner = look(folder)?;
    if inner.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(inner.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let outer = look(above)?;
    Ok((inner.stx_dev_major, inner.stx_dev_minor) != (outer.stx_dev_major, outer.stx_dev_minor))
}
