//! One inode: where it is, and what the system says of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp, lgetxattr,
    lgetxattr_query, llistxattr, llistxattr_query, makedev, openat, readlinkat, statx,
};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// Names and values of extended attributes, access lists among them, in the order of the names.
pub(crate) type Attributes = Vec<(String, Vec<u8>)>;

/// A name in an open folder: it stays the same inode's whatever is renamed above it.
#[derive(Clone)]
pub(crate) struct Place {
    folder: Arc<OwnedFd>,
    name: OsString,
}

impl Place {
    /// The place of a source: links on the way to it are followed, as whoever named it wants.
    pub(crate) fn of_source(path: &Path) -> Result<Self, Errno> {
        let real = fs::canonicalize(path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let (folder, name) = match (real.parent(), real.file_name()) {
            (Some(parent), Some(name)) => (parent.to_path_buf(), name.to_os_string()),
            _ => (real.clone(), OsString::from(".")),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, &folder, flags, Mode::empty())?;
        let place = Self { folder: Arc::new(folder), name };
        place.look()?;
        Ok(place)
    }

    /// What is at `below` in it, no link followed on the way; itself, if that is empty.
    pub(crate) fn descend(&self, below: &Path) -> Result<Self, Errno> {
        let mut place = self.clone();
        for name in below {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = openat(&place.folder, &place.name, flags, Mode::empty())?;
            place = Self { folder: Arc::new(folder), name: name.to_os_string() };
        }
        Ok(place)
    }

    /// A name in a folder.
    pub(crate) fn new(folder: Arc<OwnedFd>, name: OsString) -> Self {
        Self { folder, name }
    }

    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// What the system says of it.
    pub(crate) fn look(&self) -> Result<Look, Errno> {
        statx(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(Look::from)
    }

    /// Opens it for reading, and leaves its access time alone where the system lets us.
    pub(crate) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match openat(&self.folder, &self.name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only its owner and root may ask for that.
            Err(Errno::PERM) => openat(&self.folder, &self.name, flags, Mode::empty()),
            result => result,
        }
    }

    /// Where it leads, if it is a symbolic link.
    pub(crate) fn link_target(&self) -> Result<PathBuf, Errno> {
        let target = readlinkat(&self.folder, &self.name, Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Its extended attributes.
    pub(crate) fn attributes(&self) -> Result<Attributes, Errno> {
        // The calls that take a descriptor and a name are too new to rely on; this names the same.
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())).join(&self.name);
        let names = match sized(|| llistxattr_query(&path), |buffer| llistxattr(&path, buffer)) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            names => names?,
        };
        let mut attributes = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            match sized(|| lgetxattr_query(&path, name), |buffer| lgetxattr(&path, name, buffer)) {
                Ok(value) => attributes.push((String::from_utf8_lossy(name).into_owned(), value)),
                // Gone since, or listed although we may not see it.
                Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error),
            }
        }
        attributes.sort();
        Ok(attributes)
    }
}

/// Asks for a size, then for the bytes; again if they grew between the two.
fn sized(
    size: impl Fn() -> Result<usize, Errno>,
    fill: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<u8>, Errno> {
    loop {
        let mut buffer = vec![0; size()?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        match fill(&mut buffer) {
            Err(Errno::RANGE) => {}
            result => {
                buffer.truncate(result?);
                return Ok(buffer);
            }
        }
    }
}

/// What the system said of an inode at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// Its type and permissions, as `st_mode` has them.
    pub(crate) mode: u32,
    /// How many names it has.
    pub(crate) links: u32,
    /// Owner and group.
    pub(crate) owner: (u32, u32),
    pub(crate) inode: u64,
    /// The device that holds it.
    pub(crate) device: u64,
    /// The device that it is.
    pub(crate) special: u64,
    /// Bytes of contents.
    pub(crate) size: u64,
    pub(crate) accessed: Moment,
    /// When its contents changed.
    pub(crate) modified: Moment,
    /// When anything about it changed. Nobody can set it but by setting the clock.
    pub(crate) changed: Moment,
    sparse: bool,
    /// Whether something is mounted here, where the system tells.
    mounted: Option<bool>,
}

/// A time as file systems keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Moment {
    /// Now, by the clock that file systems stamp with.
    pub(crate) fn now() -> Self {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        Self { seconds: now.tv_sec, nanoseconds: u32::try_from(now.tv_nsec).unwrap_or(0) }
    }

    fn of(time: StatxTimestamp) -> Self {
        Self { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
    }
}

impl From<Statx> for Look {
    fn from(statx: Statx) -> Self {
        let told = statx.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        Self {
            mode: statx.stx_mode.into(),
            links: statx.stx_nlink,
            owner: (statx.stx_uid, statx.stx_gid),
            inode: statx.stx_ino,
            device: makedev(statx.stx_dev_major, statx.stx_dev_minor),
            special: makedev(statx.stx_rdev_major, statx.stx_rdev_minor),
            size: statx.stx_size,
            accessed: Moment::of(statx.stx_atime),
            modified: Moment::of(statx.stx_mtime),
            changed: Moment::of(statx.stx_ctime),
            sparse: statx.stx_blocks.saturating_mul(512) < statx.stx_size,
            mounted: told.then(|| statx.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        }
    }
}

impl Look {
    /// What the system says of an open file.
    pub(crate) fn at(file: &OwnedFd) -> Result<Self, Errno> {
        statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self::from)
    }

    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(crate) fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    /// Whether some of it may be holes.
    pub(crate) fn may_have_holes(&self) -> bool {
        self.sparse
    }

    pub(crate) fn same_inode(&self, other: &Self) -> bool {
        (self.inode, self.device) == (other.inode, other.device)
    }

    /// Whether nothing tells of a change of its contents between the two.
    pub(crate) fn same_contents(&self, other: &Self) -> bool {
        (self.size, self.modified, self.changed) == (other.size, other.modified, other.changed)
    }

    /// Whether something else is mounted over it than what holds `root`.
    pub(crate) fn is_mounted_over(&self, root: &Self) -> bool {
        self.mounted.unwrap_or(self.device != root.device)
    }
}
