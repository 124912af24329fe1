//! One inode as the fake engine keeps it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use dory_core::domain::entry_path::EntryPath;
use dory_core::ports::{FileEntry, FileKind};
use jiff::Timestamp;
use rustix::fs::{lgetxattr, llistxattr};

/// Names a file's contents: their SHA-256.
pub(super) type BlobId = [u8; 32];

/// The longest list of names, and the longest value, that Linux gives.
const ATTRIBUTE_MAX: usize = 64 << 10;

/// One inode under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    pub(super) attributes: BTreeMap<OsString, Vec<u8>>,
    /// The first of its names below the same mount, if this is another one.
    pub(super) same_as: Option<PathBuf>,
}

/// What an inode is, with what only such an inode has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    File { bytes: u64, blob: BlobId },
    Folder,
    Symlink(PathBuf),
    Fifo,
    Socket,
    Device { number: u64, block: bool },
}

impl Node {
    /// What `meta` tells; `content` and `attributes` must be read apart.
    pub(super) fn new(meta: &Metadata, content: Content, attributes: BTreeMap<OsString, Vec<u8>>) -> Self {
        Self {
            content,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            attributes,
            same_as: None,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        if let Content::File { bytes, .. } = self.content { bytes } else { 0 }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.content == Content::Folder
    }

    pub(super) fn blob(&self) -> Option<BlobId> {
        if let Content::File { blob, .. } = self.content { Some(blob) } else { None }
    }

    pub(super) fn to_entry(&self, path: &EntryPath) -> FileEntry {
        FileEntry {
            path: path.clone(),
            kind: match self.content {
                Content::File { .. } => FileKind::File,
                Content::Folder => FileKind::Folder,
                Content::Symlink(_) => FileKind::Symlink,
                Content::Fifo => FileKind::Fifo,
                Content::Socket => FileKind::Socket,
                Content::Device { .. } => FileKind::Device,
            },
            bytes: Some(self.bytes()),
            mode: Some(self.mode),
            owner: Some(self.owner),
            modified: i32::try_from(self.modified.1)
                .ok()
                .and_then(|nanoseconds| Timestamp::new(self.modified.0, nanoseconds).ok()),
            link_target: match &self.content {
                Content::Symlink(target) => Some(EntryPath::new(target)),
                _ => None,
            },
        }
    }
}

impl Content {
    /// The content of what is no regular file.
    pub(super) fn of_special(path: &Path, meta: &Metadata) -> io::Result<Self> {
        let kind = meta.file_type();
        Ok(if kind.is_dir() {
            Self::Folder
        } else if kind.is_symlink() {
            Self::Symlink(std::fs::read_link(path)?)
        } else if kind.is_fifo() {
            Self::Fifo
        } else if kind.is_socket() {
            Self::Socket
        } else {
            Self::Device { number: meta.rdev(), block: kind.is_block_device() }
        })
    }
}

/// The extended attributes of a path, links not followed; none where the file system keeps none.
pub(super) fn attributes_of(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; ATTRIBUTE_MAX];
    let length = llistxattr(path, &mut names[..]).unwrap_or(0);
    names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let mut value = vec![0; ATTRIBUTE_MAX];
            let length = lgetxattr(path, name, &mut value[..]).ok()?;
            value.truncate(length);
            Some((OsString::from_vec(name.to_vec()), value))
        })
        .collect()
}

/// `key`, and below it `rest`; the key alone where `rest` is empty.
pub(super) fn entry_path(key: &str, rest: &Path) -> EntryPath {
    if rest.as_os_str().as_bytes().is_empty() { EntryPath::new(key) } else { EntryPath::new(Path::new(key).join(rest)) }
}
