//! What a mount is restored to, opened once; everything else is reached from there.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, openat, syncfs};
use rustix::io::Errno;

use super::{OPERATION, fatal};
use crate::error::{Error, ErrorKind, Result};

/// A mount's target.
pub(super) struct Root {
    name: String,
    kind: RootKind,
}

/// What a target is.
pub(super) enum RootKind {
    /// A folder, whose own metadata is restored too.
    Folder(OwnedFd),
    /// A file: mounted, it can be written to but not replaced.
    File(OwnedFd),
}

impl Root {
    /// Opens a target, and makes it if it is missing. Links on the way to it are followed, as whoever named it wants.
    pub(super) fn open(path: &Path, is_folder: bool) -> Result<Self> {
        let name = path.to_string_lossy().into_owned();
        let open = if is_folder { Self::open_folder } else { Self::open_file };
        let kind = open(path).map_err(|error| {
            fatal(error, &name).unwrap_or_else(|| {
                let (kind, reason) = match error {
                    Errno::NOTDIR => (ErrorKind::InvalidInput, "it is a file, and the snapshot holds a folder"),
                    Errno::ISDIR => (ErrorKind::InvalidInput, "it is a folder, and the snapshot holds a file"),
                    Errno::PERM | Errno::ACCESS => (ErrorKind::PermissionDenied, "the system refuses access"),
                    _ => (ErrorKind::InvalidInput, "it cannot be opened"),
                };
                Error::new(kind, OPERATION, &name, reason).with_source(std::io::Error::from(error))
            })
        })?;
        Ok(Self { name, kind })
    }

    fn open_folder(path: &Path) -> Result<RootKind, Errno> {
        if !path.exists() {
            fs::create_dir_all(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map(RootKind::Folder)
    }

    fn open_file(path: &Path) -> Result<RootKind, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).map(RootKind::File)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn kind(&self) -> &RootKind {
        &self.kind
    }

    /// Opens what lies below a folder, for reference only, one name at a time and no link followed.
    pub(super) fn reach(&self, below: &Path) -> Result<OwnedFd, Errno> {
        let RootKind::Folder(root) = &self.kind else {
            return Err(Errno::NOTDIR);
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut reached: Option<OwnedFd> = None;
        for part in below.components() {
            let Component::Normal(name) = part else {
                return Err(Errno::INVAL);
            };
            reached = Some(openat(reached.as_ref().unwrap_or(root), name, flags, Mode::empty())?);
        }
        reached.ok_or(Errno::INVAL)
    }

    /// Waits until all is on disk, and hears of what failed to get there.
    pub(super) fn flush(&self) -> Result<()> {
        let (RootKind::Folder(opened) | RootKind::File(opened)) = &self.kind;
        syncfs(opened).map_err(|error| {
            fatal(error, &self.name).unwrap_or_else(|| {
                Error::new(ErrorKind::Unavailable, OPERATION, &self.name, "not all of it reached the disk")
                    .with_source(std::io::Error::from(error))
            })
        })
    }
}
