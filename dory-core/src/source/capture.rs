//! A look at everything at one moment, by several threads, with what changed since a manifest.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::fs::{FileType, OFlags};

use super::blocks::Blocks;
use super::folder::{Admission, names};
use super::inode::{Attributes, Look, Place};
use super::manifest::Manifest;
use super::mounts::Mounts;
use super::notes::{Ended, Notes};
use super::settled::Settled;

/// How a capture is made.
pub(crate) struct Capture<'a> {
    /// With the moment from which on times count as those of changes.
    pub(crate) mounts: &'a Mounts,
    /// What was read before.
    pub(crate) manifest: &'a Manifest,
    pub(crate) notes: Notes,
    pub(crate) ended: Ended,
    /// Whether only what changed is asked for: links' targets and attributes are left out.
    pub(crate) only_counts: bool,
}

/// Everything that was there.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    /// What is in each folder; the first holds the mounts.
    pub(super) folders: Vec<Vec<Entry>>,
    /// The files whose contents may have changed.
    pub(super) changed: Vec<Changed>,
}

/// One inode, with all that is kept of it but its contents.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) look: Look,
    /// Whether its times would tell of any change since, and tell it from what was there before.
    pub(crate) settled: bool,
    /// Where it leads, if it is a symbolic link.
    pub(crate) link: Option<PathBuf>,
    pub(crate) attributes: Attributes,
    pub(crate) contents: Contents,
    /// Whether it is new or changed since the snapshot that the first pass compared it with.
    pub(crate) is_news: bool,
}

/// What is inside an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// What is in a folder, as an index; nothing for one that could not be read.
    Folder(Option<usize>),
    /// What a pass has read.
    Unchanged,
    /// Something else, as an index.
    Changed(usize),
    /// Nothing: it is no file and no folder.
    Nothing,
}

/// A file whose contents may be others than a pass has read.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Its path; the first part is the mount's key.
    pub(super) path: PathBuf,
    /// Which mount it is in.
    pub(super) mount: usize,
    pub(super) below: PathBuf,
    pub(super) look: Look,
    /// What a pass has read of it.
    pub(super) known: Option<Arc<Blocks>>,
}

/// A folder to look into.
struct Task {
    slot: usize,
    place: Place,
    mount: usize,
    root: Arc<Look>,
    path: PathBuf,
    below: PathBuf,
}

#[derive(Default)]
struct State {
    captured: Captured,
    waiting: Vec<Task>,
    busy: usize,
}

/// What one folder held. Indices of `changed` and `folders` are its own.
#[derive(Default)]
struct Inside {
    entries: Vec<Entry>,
    changed: Vec<Changed>,
    /// Which entries are folders to look into.
    folders: Vec<(usize, Task)>,
}

impl Capture<'_> {
    /// Looks at everything.
    pub(crate) fn take(self) -> Captured {
        let mut top = Inside::default();
        for (at, mount) in self.mounts.all.iter().enumerate() {
            let path = PathBuf::from(&mount.key);
            match mount.place.look() {
                Ok(look) => {
                    let task = Task {
                        slot: 0,
                        place: mount.place.clone(),
                        mount: at,
                        root: Arc::new(look.clone()),
                        path,
                        below: PathBuf::new(),
                    };
                    self.add(&mut top, OsStr::new(&mount.key), task, look, true);
                }
                Err(error) => self.notes.warn_unread(&path, error),
            }
        }
        let mut state = State::default();
        state.captured.folders.push(Vec::new());
        state.settle(0, top);
        let (state, wake) = (Mutex::new(state), Condvar::new());
        thread::scope(|scope| {
            for _ in 0..threads() {
                scope.spawn(|| self.work(&state, &wake));
            }
        });
        state.into_inner().unwrap_or_else(PoisonError::into_inner).captured
    }

    fn work(&self, state: &Mutex<State>, wake: &Condvar) {
        let mut held = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(task) = held.waiting.pop() {
                held.busy += 1;
                drop(held);
                let slot = task.slot;
                let inside = self.look_into(&task);
                held = state.lock().unwrap_or_else(PoisonError::into_inner);
                held.busy -= 1;
                held.settle(slot, inside);
                wake.notify_all();
            } else if held.busy == 0 || (self.ended)() {
                return;
            } else {
                held = wake.wait(held).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// A folder that cannot be read is kept as an empty one.
    fn look_into(&self, task: &Task) -> Inside {
        let mut inside = Inside::default();
        let opened = task.place.open(OFlags::DIRECTORY);
        let (folder, names) = match opened.and_then(|folder| names(&folder).map(|names| (folder, names))) {
            Ok((folder, names)) => (Arc::new(folder), names),
            Err(error) => {
                self.notes.warn_unread(&task.path, error);
                return inside;
            }
        };
        let admission = Admission { excludes: &self.mounts.excludes, notes: &self.notes, root: &task.root };
        for name in names {
            if (self.ended)() {
                break;
            }
            let place = Place::new(Arc::clone(&folder), name.clone());
            let (path, below) = (task.path.join(&name), task.below.join(&name));
            if let Some((look, deeper)) = admission.admit(&place, &path, &below) {
                let root = Arc::clone(&task.root);
                self.add(
                    &mut inside,
                    &name,
                    Task { slot: 0, place, mount: task.mount, root, path, below },
                    look,
                    deeper,
                );
            }
        }
        inside
    }

    fn add(&self, inside: &mut Inside, name: &OsStr, task: Task, look: Look, deeper: bool) {
        let settled: Settled = self.mounts.all[task.mount].settled;
        let seen = self.manifest.seen(&task.path);
        let same = seen.as_ref().is_some_and(|seen| seen.look.same_inode(&look) && seen.look.same_contents(&look));
        let unchanged = same && settled.covers(&look);
        let link = match look.file_type() {
            FileType::Symlink if !self.only_counts => match task.place.link_target() {
                Ok(target) => Some(target),
                Err(error) => return self.notes.warn_unread(&task.path, error),
            },
            _ => None,
        };
        let (known, was_read, was_lost, attributes) = match seen {
            Some(seen) => (seen.blocks, seen.was_read, seen.was_lost, Some(seen.attributes)),
            None => (None, true, true, None),
        };
        let attributes = attributes.filter(|_| unchanged).or_else(|| self.attributes(&task)).unwrap_or_default();
        let mut is_news = false;
        let contents = match look.file_type() {
            FileType::Directory => {
                if deeper {
                    inside.folders.push((inside.entries.len(), task));
                }
                Contents::Folder(None)
            }
            FileType::RegularFile if unchanged && !was_lost => {
                is_news = was_read;
                Contents::Unchanged
            }
            FileType::RegularFile => {
                is_news = true;
                let Task { path, mount, below, .. } = task;
                inside.changed.push(Changed { path, mount, below, look: look.clone(), known });
                Contents::Changed(inside.changed.len() - 1)
            }
            _ => Contents::Nothing,
        };
        // What looks like before although it may be another must not be taken for it.
        let settled = settled.covers(&look) && (unchanged || !same);
        inside.entries.push(Entry { name: name.to_os_string(), look, settled, link, attributes, contents, is_news });
    }

    fn attributes(&self, task: &Task) -> Option<Attributes> {
        if self.only_counts {
            return None;
        }
        task.place.attributes().map_err(|error| self.notes.warn_without_attributes(&task.path, error)).ok()
    }
}

impl State {
    /// Takes over what was in the folder of this slot.
    fn settle(&mut self, slot: usize, inside: Inside) {
        let Inside { mut entries, changed, folders } = inside;
        let first = self.captured.changed.len();
        for entry in &mut entries {
            if let Contents::Changed(at) = &mut entry.contents {
                *at += first;
            }
        }
        self.captured.changed.extend(changed);
        for (at, task) in folders {
            let slot = self.captured.folders.len();
            self.captured.folders.push(Vec::new());
            entries[at].contents = Contents::Folder(Some(slot));
            self.waiting.push(Task { slot, ..task });
        }
        self.captured.folders[slot] = entries;
    }
}

impl Captured {
    /// How many inodes there are, and how many bytes files hold.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let entries = || self.folders.iter().flatten();
        (entries().count() as u64, entries().filter(|entry| entry.look.is_file()).map(|entry| entry.look.size).sum())
    }

    /// The files whose contents may have changed.
    pub(crate) fn changed(&self) -> &[Changed] {
        &self.changed
    }
}

impl Changed {
    /// Which mount it is in.
    pub(crate) fn mount(&self) -> usize {
        self.mount
    }

    /// Bytes of contents.
    pub(crate) fn size(&self) -> u64 {
        self.look.size
    }

    /// The second in which its contents changed, since 1970.
    pub(crate) fn modified_second(&self) -> i64 {
        self.look.modified.seconds
    }

    /// Whether it is known what a pass has read of it, so that only what changed needs to be kept.
    pub(crate) fn is_known(&self) -> bool {
        self.known.is_some()
    }
}

/// How many threads look and copy: there is more to wait for than to compute, up to a point.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}
