//! Removing what a target holds and should not, without leaving the target.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;

/// Removes an inode, and if it is a folder all below it; counts what went. Nothing mounted below is entered: then the
/// folder it is mounted on stays, and that is an error.
pub(super) fn remove(folder: &OwnedFd, name: &OsStr, device: u64, count: &mut u64) -> Result<(), Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => {
            *count += 1;
            Ok(())
        }
        Err(Errno::NOENT) => Ok(()),
        // Linux says the one of folders, POSIX the other.
        Err(Errno::ISDIR | Errno::PERM) if is_folder(folder, name)? => remove_folder(folder, name, device, count),
        Err(error) => Err(error),
    }
}

fn is_folder(folder: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

fn remove_folder(above: &OwnedFd, name: &OsStr, device: u64, count: &mut u64) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above, name, flags, Mode::empty())?;
    if rustix::fs::fstat(&folder)?.st_dev != device {
        return Err(Errno::BUSY);
    }
    let mut first_failure = None;
    for name in names(&folder)? {
        if let Err(error) = remove(&folder, &name, device, count) {
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
