//! The walk over the sources: every inode once, folders before what is in them.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use rustix::fs::{FileType, OFlags};

use super::Excludes;
use super::folder::{Admission, names};
use super::inode::{Attributes, Look, Place};
use super::mounts::{Mount, Mounts};
use super::notes::{Ended, Notes};
use super::settled::Settled;

/// Gives each inode, folders before what is in them, names in the order of their bytes.
pub(crate) struct Walk {
    excludes: Arc<Excludes>,
    notes: Notes,
    ended: Ended,
    mounts: vec::IntoIter<Mount>,
    /// What the mount being walked looked like, and which of its times can be believed.
    root: Option<(Look, Settled)>,
    levels: Vec<Level>,
    only_counts: bool,
}

/// One inode of a walk.
pub(crate) struct Found {
    /// Its path: the first part is the mount's key.
    pub(crate) path: PathBuf,
    /// The last part of it.
    pub(crate) name: OsString,
    pub(crate) place: Place,
    pub(crate) look: Look,
    /// Whether its times would tell of any change since.
    pub(crate) settled: bool,
    /// Where it leads, if it is a symbolic link.
    pub(crate) link: Option<PathBuf>,
    pub(crate) attributes: Attributes,
}

/// A folder being walked.
struct Level {
    folder: Arc<OwnedFd>,
    names: vec::IntoIter<OsString>,
    /// Its path, the mount's key included.
    path: PathBuf,
    /// Its path below its mount.
    below: PathBuf,
}

impl Walk {
    pub(crate) fn new(mounts: &Mounts, notes: Notes, ended: Ended) -> Self {
        Self {
            excludes: Arc::clone(&mounts.excludes),
            notes,
            ended,
            mounts: mounts.all.clone().into_iter(),
            root: None,
            levels: Vec::new(),
            only_counts: false,
        }
    }

    /// Leaves out what counting does not need: links' targets and attributes.
    pub(crate) fn only_counting(self) -> Self {
        Self { only_counts: true, ..self }
    }

    fn enter_mount(&mut self, mount: &Mount) -> Option<Found> {
        let path = PathBuf::from(&mount.key);
        match mount.place.look() {
            Ok(look) => {
                self.root = Some((look.clone(), mount.settled));
                self.entry(mount.place.clone(), look, OsStr::new(&mount.key), path, PathBuf::new(), true)
            }
            Err(error) => {
                self.notes.warn_unread(&path, error);
                None
            }
        }
    }

    fn enter_name(&mut self, place: Place, path: PathBuf, below: PathBuf) -> Option<Found> {
        let (root, _) = self.root.as_ref()?;
        let admission = Admission { excludes: &self.excludes, notes: &self.notes, root };
        let (look, deeper) = admission.admit(&place, &path, &below)?;
        let name = place.name().to_os_string();
        self.entry(place, look, &name, path, below, deeper)
    }

    fn entry(
        &mut self,
        place: Place,
        look: Look,
        name: &OsStr,
        path: PathBuf,
        below: PathBuf,
        deeper: bool,
    ) -> Option<Found> {
        let (link, attributes) = self.details(&place, &look, &path)?;
        if deeper && look.file_type() == FileType::Directory {
            self.descend(&place, &path, below);
        }
        let settled = self.root.as_ref().is_some_and(|(_, settled)| settled.covers(&look));
        Some(Found { path, name: name.to_os_string(), place, look, settled, link, attributes })
    }

    fn details(&self, place: &Place, look: &Look, path: &Path) -> Option<(Option<PathBuf>, Attributes)> {
        if self.only_counts {
            return Some((None, Vec::new()));
        }
        let link = match look.file_type() {
            FileType::Symlink => match place.link_target() {
                Ok(target) => Some(target),
                Err(error) => {
                    self.notes.warn_unread(path, error);
                    return None;
                }
            },
            _ => None,
        };
        let attributes = place.attributes().unwrap_or_else(|error| {
            self.notes.warn_without_attributes(path, error);
            Vec::new()
        });
        Some((link, attributes))
    }

    /// A folder that cannot be read is kept as an empty one.
    fn descend(&mut self, place: &Place, path: &Path, below: PathBuf) {
        match place.open(OFlags::DIRECTORY).and_then(|folder| names(&folder).map(|names| (folder, names))) {
            Ok((folder, names)) => {
                let (folder, names) = (Arc::new(folder), names.into_iter());
                self.levels.push(Level { folder, names, path: path.to_path_buf(), below });
            }
            Err(error) => self.notes.warn_unread(path, error),
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Self::Item> {
        if (self.ended)() {
            return None;
        }
        loop {
            let found = if let Some(level) = self.levels.last_mut() {
                let Some(name) = level.names.next() else {
                    self.levels.pop();
                    continue;
                };
                let (path, below) = (level.path.join(&name), level.below.join(&name));
                let place = Place::new(Arc::clone(&level.folder), name);
                self.enter_name(place, path, below)
            } else {
                let mount = self.mounts.next()?;
                self.enter_mount(&mount)
            };
            if found.is_some() {
                return found;
            }
        }
    }
}
