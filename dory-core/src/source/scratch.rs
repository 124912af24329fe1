//! Where what changed is kept aside while containers stand still.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs, ioctl_ficlone};
use rustix::io::Errno;

use super::inode::Look;
use crate::error::{Error, ErrorKind, Result};

const OPERATION: &str = "keep changes aside in";

/// What is left to others of the file system's free space, in bytes.
const LEFT_TO_OTHERS: u64 = 64 << 20;

/// A folder of our own. What is put into it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    pieces: File,
    used: AtomicU64,
    reserved: AtomicU64,
    clones: AtomicU64,
}

impl Scratch {
    /// Takes a folder into use that is there and that nobody else uses.
    ///
    /// # Errors
    /// `InvalidInput` if it is not there; `PermissionDenied`; `Full`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let pieces = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.join("pieces"))
            .map_err(|error| failed(folder, &error))?;
        let none = || AtomicU64::new(0);
        Ok(Self { folder: folder.to_path_buf(), pieces, used: none(), reserved: none(), clones: none() })
    }

    /// Makes sure of room for this many bytes, while there is time to complain.
    ///
    /// # Errors
    /// `Full`, with the numbers.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        if bytes <= self.reserved.load(Ordering::Relaxed) {
            return Ok(());
        }
        let free = fstatvfs(&self.pieces).map_err(|error| failed(&self.folder, &error.into()))?;
        let free = free.f_bavail.saturating_mul(free.f_frsize) + self.reserved.load(Ordering::Relaxed);
        if free < bytes.saturating_add(LEFT_TO_OTHERS) {
            return Err(self.no_room(bytes, free));
        }
        match fallocate(&self.pieces, FallocateFlags::KEEP_SIZE, 0, bytes) {
            // Where nothing can be reserved, there is room now, at least.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(Errno::NOSPC | Errno::DQUOT) => return Err(self.no_room(bytes, free)),
            Err(error) => return Err(failed(&self.folder, &error.into())),
        }
        self.reserved.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn no_room(&self, bytes: u64, free: u64) -> Error {
        let needed = bytes.saturating_add(LEFT_TO_OTHERS).div_ceil(1 << 20);
        let reason =
            format!("{needed} MiB are needed there for as long as the backup runs, and {} are free", free >> 20);
        Error::new(ErrorKind::Full, OPERATION, self.folder.display().to_string(), reason).with_hint(
            "free space on the file system of Docker's data, or back up while less is being written; nothing was stopped",
        )
    }

    /// Keeps bytes, and tells where.
    pub(super) fn append(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.used.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.pieces.write_all_at(bytes, at).map_err(|error| failed(&self.folder, &error))?;
        Ok(at)
    }

    /// Reads what was kept at a place.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
        self.pieces.read_exact_at(buffer, at)
    }

    /// Keeps all of a file without copying it, and tells its number; `None` where that cannot be done.
    pub(super) fn keep_clone(&self, file: &OwnedFd) -> Option<u64> {
        let number = self.clones.fetch_add(1, Ordering::Relaxed);
        let path = self.clone_path(number);
        let clone = File::options().read(true).write(true).create_new(true).open(&path).ok()?;
        match ioctl_ficlone(&clone, file) {
            Ok(()) => Some(number),
            Err(_) => {
                // It is empty, and goes with the folder at the latest.
                let _ = fs::remove_file(path);
                None
            }
        }
    }

    /// Opens what [`keep_clone`](Self::keep_clone) kept.
    pub(super) fn open_clone(&self, number: u64) -> std::io::Result<File> {
        File::open(self.clone_path(number))
    }

    /// Whether files like this one can be kept without being copied.
    pub(super) fn can_clone(&self, file: &OwnedFd) -> bool {
        self.keep_clone(file).is_some_and(|number| fs::remove_file(self.clone_path(number)).is_ok())
    }

    /// Whether files of this device can be kept without being copied, as far as a file of our own tells.
    pub(super) fn clones_its_own(&self, device: u64) -> bool {
        let path = self.folder.join("probe");
        let clones = fs::write(&path, [1; 4096]).and_then(|()| File::open(&path)).is_ok_and(|file| {
            let file = OwnedFd::from(file);
            Look::at(&file).is_ok_and(|look| look.device == device) && self.can_clone(&file)
        });
        let _ = fs::remove_file(path);
        clones
    }

    fn clone_path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("clone-{number}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever made the folder removes what is left.
        let _ = fs::remove_file(self.folder.join("pieces"));
        for number in 0..self.clones.load(Ordering::Relaxed) {
            let _ = fs::remove_file(self.clone_path(number));
        }
    }
}

fn failed(folder: &Path, error: &std::io::Error) -> Error {
    let (kind, reason) = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Full, "there is no space left for what changed")
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::PermissionDenied, "the system refuses access")
        }
        std::io::ErrorKind::NotFound => (ErrorKind::InvalidInput, "it is not there"),
        _ => (ErrorKind::Unavailable, "the system refuses"),
    };
    let error = Error::new(kind, OPERATION, folder.display().to_string(), reason).with_source(error.to_string());
    match kind {
        ErrorKind::Full => error.with_hint("free space on the file system of Docker's data"),
        _ => error,
    }
}
