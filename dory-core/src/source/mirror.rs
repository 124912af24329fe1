//! A copy of the sources, made with everything running and brought up to date while everything stands still: for
//! engines that can only read folders.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, fstatvfs, ioctl_ficlone, mknodat, utimensat,
};

use super::capture::{Captured, Changed, Contents, Entry};
use super::inode::{Look, Moment};
use super::mounts::Mounts;
use super::notes::{Ended, Notes};
use super::sparse::{next_data, read_at};
use crate::domain::event::WarningKind;
use crate::error::{Error, ErrorKind, Result};

const OPERATION: &str = "copy volumes to";

/// What is left to others of the file system's free space, in bytes.
const LEFT_TO_OTHERS: u64 = 64 << 20;

/// How much is copied at once, in bytes.
const GULP: usize = 1 << 20;

/// A folder that is to hold what the sources hold: owners, modes, times and contents. It keeps neither extended
/// attributes nor which names are one file.
#[derive(Debug)]
pub(crate) struct Mirror(PathBuf);

/// What bringing a mirror up to date took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirrored {
    /// Bytes of files that were copied.
    pub(crate) copied: u64,
    /// Bytes of files that were cloned.
    pub(crate) cloned: u64,
    /// Which of the changed files could not be read.
    pub(crate) lost: Vec<usize>,
}

/// One update of a mirror.
pub(crate) struct Update<'a> {
    pub(crate) mounts: &'a Mounts,
    pub(crate) captured: &'a Captured,
    pub(crate) notes: &'a Notes,
    pub(crate) ended: &'a Ended,
    /// Told how many bytes more were copied or cloned.
    pub(crate) told: &'a dyn Fn(u64),
}

impl Mirror {
    /// An empty one in `folder`, which is there and which nobody else uses.
    ///
    /// # Errors
    /// `InvalidInput` if it is not there; `PermissionDenied`; `Full`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let mirror = Self(folder.join("copy"));
        match fs::remove_dir_all(&mirror.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(mirror.failed(&error)),
            _ => {}
        }
        fs::create_dir(&mirror.0).map_err(|error| mirror.failed(&error))?;
        Ok(mirror)
    }

    /// Where the copy of the mount `key` is.
    pub(crate) fn folder(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }

    /// Makes sure of room for `bytes`, while there is time to complain.
    ///
    /// # Errors
    /// `Full`, with the numbers.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        let free = File::open(&self.0).and_then(|folder| Ok(fstatvfs(folder)?)).map_err(|error| self.failed(&error))?;
        let free = free.f_bavail.saturating_mul(free.f_frsize);
        if free >= bytes.saturating_add(LEFT_TO_OTHERS) {
            return Ok(());
        }
        let needed = bytes.saturating_add(LEFT_TO_OTHERS).div_ceil(1 << 20);
        let reason = format!("{needed} MiB are needed there for a copy, and {} are free", free >> 20);
        Err(Error::new(ErrorKind::Full, OPERATION, self.0.display().to_string(), reason)
            .with_hint("free space on the file system of Docker's data, or leave the engine option `staged` out"))
    }

    /// Makes the mirror equal to what was captured. A file that cannot be read is told and lost.
    ///
    /// # Errors
    /// `Full`; `Cancelled`; what keeps it from writing.
    pub(crate) fn update(&self, update: &Update<'_>) -> Result<Mirrored> {
        let mut done = Mirrored::default();
        self.update_folder(update, 0, &self.0, &mut done)?;
        Ok(done)
    }

    fn update_folder(&self, update: &Update<'_>, at: usize, folder: &Path, done: &mut Mirrored) -> Result<()> {
        let entries = &update.captured.folders[at];
        let there = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for old in there.map_err(|error| self.failed(&error))? {
            if entries.binary_search_by(|entry| entry.name.cmp(&old.file_name())).is_err() {
                remove(&old.path()).map_err(|error| self.failed(&error))?;
            }
        }
        for entry in entries {
            if (update.ended)() {
                return Err(Error::new(ErrorKind::Cancelled, OPERATION, "", "nobody waits for it any more"));
            }
            let path = folder.join(&entry.name);
            match entry.contents {
                Contents::Unchanged => continue,
                Contents::Changed(at) => {
                    if !self.copy(update, at, &path, done)? {
                        continue;
                    }
                }
                Contents::Folder(inside) => {
                    if !fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
                        remove(&path).and_then(|()| fs::create_dir(&path)).map_err(|error| self.failed(&error))?;
                    }
                    if let Some(inside) = inside {
                        self.update_folder(update, inside, &path, done)?;
                    }
                }
                Contents::Nothing => {
                    remove(&path).and_then(|()| make(&path, entry)).map_err(|error| self.failed(&error))?;
                }
            }
            dress(&path, entry).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Copies a file; tells whether it could be read.
    fn copy(&self, update: &Update<'_>, at: usize, path: &Path, done: &mut Mirrored) -> Result<bool> {
        let changed = &update.captured.changed[at];
        remove(path).map_err(|error| self.failed(&error))?;
        let place = update.mounts.all[changed.mount].place.descend(&changed.below);
        let opened = place.and_then(|place| place.open(OFlags::empty()));
        let source = match opened {
            Ok(source) if Look::at(&source).is_ok_and(|look| look.is_file()) => source,
            opened => {
                update.notes.warn_unread(&changed.path, opened.err().unwrap_or(rustix::io::Errno::NOENT));
                done.lost.push(at);
                return Ok(false);
            }
        };
        let copy = File::create_new(path).map_err(|error| self.failed(&error))?;
        if ioctl_ficlone(&copy, &source).is_ok() {
            done.cloned += changed.size();
        } else if !self.copy_contents(update, changed, &source, &copy, done)? {
            drop(copy);
            remove(path).map_err(|error| self.failed(&error))?;
            done.lost.push(at);
            return Ok(false);
        }
        (update.told)(changed.size());
        if !Look::at(&source).is_ok_and(|now| now.same_inode(&changed.look) && now.same_contents(&changed.look)) {
            update.notes.warn(WarningKind::ChangedWhileRead, &changed.path, "its size or its times changed");
        }
        Ok(true)
    }

    fn copy_contents(
        &self,
        update: &Update<'_>,
        changed: &Changed,
        source: &std::os::fd::OwnedFd,
        copy: &File,
        done: &mut Mirrored,
    ) -> Result<bool> {
        copy.set_len(changed.size()).map_err(|error| self.failed(&error))?;
        let (mut buffer, mut position) = (vec![0; GULP], 0);
        while position < changed.size() && !(update.ended)() {
            let (start, end) = next_data(source, position, changed.size());
            position = start;
            while position < end {
                let length = usize::try_from(end - position).unwrap_or(GULP).min(GULP);
                match read_at(source, &mut buffer[..length], position) {
                    Ok(0) => return Ok(true),
                    Ok(count) => {
                        copy.write_all_at(&buffer[..count], position).map_err(|error| self.failed(&error))?;
                        done.copied += count as u64;
                        position += count as u64;
                    }
                    Err(error) => {
                        update.notes.warn_unread(&changed.path, error);
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    fn failed(&self, error: &io::Error) -> Error {
        let (kind, reason) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Full, "there is no space left"),
            io::ErrorKind::NotFound => (ErrorKind::InvalidInput, "it is not there"),
            _ => (ErrorKind::PermissionDenied, "the system refuses"),
        };
        Error::new(kind, OPERATION, self.0.display().to_string(), reason).with_source(error.to_string())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Makes what is neither a file nor a folder.
fn make(path: &Path, entry: &Entry) -> io::Result<()> {
    match entry.look.file_type() {
        FileType::Symlink => symlink(entry.link.as_deref().unwrap_or(Path::new("")), path),
        kind => Ok(mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), entry.look.special)?),
    }
}

/// Gives it its owner, its mode and its times.
fn dress(path: &Path, entry: &Entry) -> io::Result<()> {
    let Look { owner, mode, modified, accessed, .. } = entry.look;
    lchown(path, Some(owner.0), Some(owner.1))?;
    if entry.look.file_type() != FileType::Symlink {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    let time = |time: Moment| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    let times = Timestamps { last_access: time(accessed), last_modification: time(modified) };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
