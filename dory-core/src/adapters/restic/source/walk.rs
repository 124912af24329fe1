//! The walk over the sources: every inode once, in the order that the format wants.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{ReadSourceEntry, RusticResult};
use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;

use super::exclude::Excludes;
use super::inode::{Look, Place};
use super::reader::Opener;
use super::{Ended, Ledger, Mount, ROOT, mount_path};
use crate::adapters::restic::go_mode;
use crate::domain::event::WarningKind;

/// Gives each inode's node, folders before what is in them, names in the order of their bytes.
pub(in super::super) struct Walk {
    excludes: Arc<Excludes>,
    ledger: Ledger,
    ended: Ended,
    mounts: vec::IntoIter<Mount>,
    /// The folder that holds the mounts, until it was given.
    top: Option<Node>,
    /// What the mount being walked looked like.
    root: Option<Look>,
    levels: Vec<Level>,
    only_counts: bool,
}

/// A folder being walked.
struct Level {
    folder: Arc<OwnedFd>,
    names: vec::IntoIter<OsString>,
    /// Its path in the snapshot.
    path: PathBuf,
    /// Its path below its mount.
    below: PathBuf,
}

type Entry = ReadSourceEntry<Opener>;

impl Walk {
    pub(super) fn new(mounts: Vec<Mount>, excludes: Arc<Excludes>, ledger: Ledger, ended: Ended) -> Self {
        // Always the same, so that a backup without changes adds nothing for it.
        let time = Some(Timestamp::UNIX_EPOCH);
        let mode = Some(go_mode::to_go(0o040_755));
        let owner = Some(0);
        let meta =
            Metadata { mode, mtime: time, atime: time, ctime: time, uid: owner, gid: owner, ..Metadata::default() };
        let name = Path::new(ROOT).file_name().unwrap_or_default();
        let top = Some(Node::new_node(name, NodeType::Dir, meta));
        Self {
            excludes,
            ledger,
            ended,
            mounts: mounts.into_iter(),
            top,
            root: None,
            levels: Vec::new(),
            only_counts: false,
        }
    }

    /// Leaves out what only the snapshot needs.
    pub(super) fn only_counting(self) -> Self {
        Self { only_counts: true, ..self }
    }

    fn enter_mount(&mut self, mount: &Mount) -> Option<Entry> {
        let path = mount_path(&mount.key);
        match mount.place.look() {
            Ok(look) => {
                self.root = Some(look.clone());
                self.entry(&mount.place, &look, OsStr::new(&mount.key), path, PathBuf::new())
            }
            Err(error) => {
                self.ledger.warn_unread(&path, error);
                None
            }
        }
    }

    fn enter_name(&mut self, place: &Place, path: PathBuf, below: PathBuf) -> Option<Entry> {
        let look = match place.look() {
            Ok(look) => look,
            Err(error) => {
                self.ledger.warn_unread(&path, error);
                return None;
            }
        };
        if self.excludes.cover(&below, look.file_type() == FileType::Directory) {
            return None;
        }
        if self.root.as_ref().is_some_and(|root| look.is_mounted_over(root)) {
            self.ledger.warn(WarningKind::NotKept, &path, "something else is mounted here, which is not a part of it");
            if look.file_type() != FileType::Directory {
                return None;
            }
            // What is mounted has no business here, but the folder it hides does.
            let name = place.name().to_os_string();
            return self.node(place, &look, &name, &path).map(|node| Entry { path, node, open: None });
        }
        let name = place.name().to_os_string();
        self.entry(place, &look, &name, path, below)
    }

    fn entry(&mut self, place: &Place, look: &Look, name: &OsStr, path: PathBuf, below: PathBuf) -> Option<Entry> {
        let node = self.node(place, look, name, &path)?;
        let mut open = None;
        match look.file_type() {
            FileType::Directory => self.descend(place, &path, below),
            FileType::RegularFile => {
                let (path, ledger) = (path.clone(), self.ledger.clone());
                open = Some(Opener { place: place.clone(), seen: look.clone(), path, ledger });
            }
            _ => {}
        }
        Some(Entry { path, node, open })
    }

    fn node(&self, place: &Place, look: &Look, name: &OsStr, path: &Path) -> Option<Node> {
        let mut node = match place.node(name, look) {
            Ok(node) => node,
            Err(error) => {
                self.ledger.warn_unread(path, error);
                return None;
            }
        };
        if !self.only_counts
            && let Err(error) = place.add_attributes(&mut node)
        {
            let detail = format!("its extended attributes: {}", std::io::Error::from(error));
            self.ledger.warn(WarningKind::NotKept, path, detail);
        }
        self.ledger.count();
        Some(node)
    }

    /// A folder that cannot be read is kept as an empty one.
    fn descend(&mut self, place: &Place, path: &Path, below: PathBuf) {
        match place.open(OFlags::DIRECTORY).and_then(|folder| names(&folder).map(|names| (folder, names))) {
            Ok((folder, names)) => {
                let (folder, names) = (Arc::new(folder), names.into_iter());
                self.levels.push(Level { folder, names, path: path.to_path_buf(), below });
            }
            Err(error) => self.ledger.warn_unread(path, error),
        }
    }
}

/// The names in a folder, in the order of their bytes.
fn names(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

impl Iterator for Walk {
    type Item = RusticResult<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if (self.ended)() {
            return None;
        }
        if let Some(node) = self.top.take() {
            return Some(Ok(Entry { path: PathBuf::from(ROOT), node, open: None }));
        }
        loop {
            let entry = if let Some(level) = self.levels.last_mut() {
                let Some(name) = level.names.next() else {
                    self.levels.pop();
                    continue;
                };
                let (path, below) = (level.path.join(&name), level.below.join(&name));
                let place = Place::new(Arc::clone(&level.folder), name);
                self.enter_name(&place, path, below)
            } else {
                let mount = self.mounts.next()?;
                self.enter_mount(&mount)
            };
            if let Some(entry) = entry {
                return Some(Ok(entry));
            }
        }
    }
}
