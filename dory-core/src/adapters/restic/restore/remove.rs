//! Removing what a target holds and should not, without leaving the target.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, StatxAttributes, StatxFlags, openat, statat, statx, unlinkat};
use rustix::io::Errno;

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

fn is_folder(folder: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn remove_folder(above: &OwnedFd, name: &OsStr, count: &mut u64) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    if is_mounted_on(above, &folder)? {
        return Err(Errno::BUSY);
    }
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

/// The names in a folder.
pub(super) fn names(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
    }
    Ok(names)
}
