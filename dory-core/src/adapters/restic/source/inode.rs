//! One inode: where it is, what the system says of it, and the node that a snapshot keeps of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp, lgetxattr,
    lgetxattr_query, llistxattr, llistxattr_query, makedev, openat, readlinkat, statx,
};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::super::go_mode;

/// How old a file's last change must be for the next backup to trust that its times would have told of another.
/// File systems stamp with a clock of some milliseconds' grain; those of other hosts have a clock of their own.
const SETTLED_AFTER_SECONDS: i64 = 1;

/// A name in an open folder: it stays the same inode's whatever is renamed above it.
#[derive(Clone)]
pub(super) struct Place {
    folder: Arc<OwnedFd>,
    name: OsString,
}

impl Place {
    /// The place of a source: links on the way to it are followed, as whoever named it wants.
    pub(super) fn of_source(path: &Path) -> Result<Self, Errno> {
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

    /// A name in a folder.
    pub(super) fn new(folder: Arc<OwnedFd>, name: OsString) -> Self {
        Self { folder, name }
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// What the system says of it.
    pub(super) fn look(&self) -> Result<Look, Errno> {
        statx(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(Look)
    }

    /// Opens it for reading, and leaves its access time alone where the system lets us.
    pub(super) fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match openat(&self.folder, &self.name, flags | OFlags::NOATIME, Mode::empty()) {
            // Only its owner and root may ask for that.
            Err(Errno::PERM) => openat(&self.folder, &self.name, flags, Mode::empty()),
            result => result,
        }
    }

    /// The node of it, without its extended attributes.
    pub(super) fn node(&self, name: &OsStr, look: &Look) -> Result<Node, Errno> {
        let node_type = match look.file_type() {
            FileType::Directory => NodeType::Dir,
            FileType::Symlink => {
                let target = readlinkat(&self.folder, &self.name, Vec::new())?;
                NodeType::from_link(Path::new(OsStr::from_bytes(target.as_bytes())))
            }
            FileType::BlockDevice => NodeType::Dev { device: look.device() },
            FileType::CharacterDevice => NodeType::Chardev { device: look.device() },
            FileType::Fifo => NodeType::Fifo,
            FileType::Socket => NodeType::Socket,
            FileType::RegularFile | FileType::Unknown => NodeType::File,
        };
        Ok(Node::new_node(name, node_type, look.metadata()))
    }

    /// Adds its extended attributes to its node.
    pub(super) fn add_attributes(&self, node: &mut Node) -> Result<(), Errno> {
        for (name, value) in self.attributes()? {
            // The type cannot be named, only read.
            let attribute = serde_json::json!({ "name": name, "value": data_encoding::BASE64.encode(&value) });
            node.meta.extended_attributes.extend(serde_json::from_value(attribute).ok());
        }
        Ok(())
    }

    /// Extended attributes, access lists among them, in the order of their names.
    fn attributes(&self) -> Result<Vec<(String, Vec<u8>)>, Errno> {
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
#[derive(Clone)]
pub(super) struct Look(Statx);

impl Look {
    /// What the system says of an open file.
    pub(super) fn at(file: &OwnedFd) -> Result<Self, Errno> {
        statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self)
    }

    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.0.stx_mode.into())
    }

    pub(super) fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// Whether some of it may be holes.
    pub(super) fn may_have_holes(&self) -> bool {
        self.0.stx_blocks.saturating_mul(512) < self.0.stx_size
    }

    pub(super) fn same_inode(&self, other: &Self) -> bool {
        self.0.stx_ino == other.0.stx_ino && self.on() == other.on()
    }

    /// Whether its contents may have changed between the two.
    pub(super) fn same_contents(&self, other: &Self) -> bool {
        self.size() == other.size()
            && same_time(&self.0.stx_mtime, &other.0.stx_mtime)
            && same_time(&self.0.stx_ctime, &other.0.stx_ctime)
    }

    /// Whether something else is mounted over it than what holds `root`.
    pub(super) fn is_mounted_over(&self, root: &Self) -> bool {
        if self.0.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            return self.0.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        }
        self.on() != root.on()
    }

    fn on(&self) -> u64 {
        makedev(self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    fn device(&self) -> u64 {
        makedev(self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    fn metadata(&self) -> Metadata {
        let is_folder = self.file_type() == FileType::Directory;
        let shared = self.0.stx_nlink > 1 && !is_folder;
        Metadata {
            mode: Some(go_mode::to_go(self.0.stx_mode.into())),
            mtime: timestamp(&self.0.stx_mtime),
            atime: timestamp(&self.0.stx_atime),
            ctime: self.settled_ctime(clock_gettime(ClockId::RealtimeCoarse)),
            uid: Some(self.0.stx_uid),
            gid: Some(self.0.stx_gid),
            inode: self.0.stx_ino,
            device_id: if shared { self.on() } else { 0 },
            size: if self.file_type() == FileType::RegularFile { self.size() } else { 0 },
            links: if is_folder { 0 } else { self.0.stx_nlink.into() },
            ..Metadata::default()
        }
    }

    /// The time of the last change of anything about it, by which the next backup knows it unchanged.
    ///
    /// What changed a moment ago can change again without its time moving on. For such a file the moment it was looked
    /// at is recorded, mirrored to before 1970: no file has such a time, and no two backups record the same, so that
    /// the next backup reads the file again.
    fn settled_ctime(&self, now: Timespec) -> Option<Timestamp> {
        if self.0.stx_ctime.tv_sec + SETTLED_AFTER_SECONDS >= now.tv_sec {
            Timestamp::new(-now.tv_sec, -i32::try_from(now.tv_nsec).ok()?).ok()
        } else {
            timestamp(&self.0.stx_ctime)
        }
    }
}

fn same_time(a: &StatxTimestamp, b: &StatxTimestamp) -> bool {
    (a.tv_sec, a.tv_nsec) == (b.tv_sec, b.tv_nsec)
}

fn timestamp(time: &StatxTimestamp) -> Option<Timestamp> {
    Timestamp::new(time.tv_sec, i32::try_from(time.tv_nsec).ok()?).ok()
}
