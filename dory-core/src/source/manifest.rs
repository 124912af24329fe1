//! What was read with everything running, by which a look at everything standing still tells what changed.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocks::{BlockHasher, Blocks};
use super::capture::{Captured, Contents};
use super::inode::{Attributes, Look, Moment};
use super::walk::Found;

/// Every inode of one pass, with the hashes of the blocks of what was read. It is written from several threads.
#[derive(Default)]
pub(crate) struct Manifest {
    folders: Mutex<HashMap<PathBuf, Folder>>,
    /// How many hashes of blocks are kept.
    hashes: AtomicU64,
}

/// Names in the order of their bytes, as walks give them.
type Folder = Vec<(OsString, Seen)>;

/// One inode as the pass saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) look: Look,
    pub(crate) attributes: Attributes,
    /// The hashes of what was read of it, if it was ever read whole.
    pub(crate) blocks: Option<Arc<Blocks>>,
    /// Whether it was read in this pass or one before it, for it was not in the snapshot it was compared with.
    pub(crate) was_read: bool,
    /// Whether the pass could not keep it.
    pub(crate) was_lost: bool,
}

impl Manifest {
    /// Takes down what a walk found. What was read of it in a pass before, as `before` tells, still counts.
    pub(crate) fn note(&self, found: &Found, before: Option<&Self>) {
        let known = before
            .and_then(|before| before.seen(&found.path))
            .filter(|seen| seen.look.same_inode(&found.look) && seen.look.same_contents(&found.look) && !seen.was_lost);
        let (blocks, was_read): (Option<Arc<Blocks>>, bool) =
            known.map_or((None, false), |seen| (seen.blocks, seen.was_read));
        self.hashes.fetch_add(blocks.as_ref().map_or(0, |blocks| blocks.count()), Ordering::Relaxed);
        let attributes = found.attributes.clone();
        let seen = Seen { look: found.look.clone(), attributes, blocks, was_read, was_lost: false };
        let folder = found.path.parent().unwrap_or(Path::new("")).to_path_buf();
        self.lock().entry(folder).or_default().push((found.name.clone(), seen));
    }

    /// What a look at everything saw, of which everything was read but the changed files in `lost`.
    pub(crate) fn of(captured: &Captured, lost: &[usize]) -> Self {
        let manifest = Self::default();
        let mut waiting = vec![(0, PathBuf::new())];
        while let Some((folder, path)) = waiting.pop() {
            let mut seen = Folder::new();
            for entry in &captured.folders[folder] {
                if let Contents::Folder(Some(inside)) = entry.contents {
                    waiting.push((inside, path.join(&entry.name)));
                }
                let was_lost = matches!(entry.contents, Contents::Changed(at) if lost.contains(&at));
                let (look, attributes) = (entry.look.clone(), entry.attributes.clone());
                seen.push((entry.name.clone(), Seen { look, attributes, blocks: None, was_read: true, was_lost }));
            }
            manifest.lock().insert(path, seen);
        }
        manifest
    }

    /// A file of this size is about to be read: whatever was known of its contents was of other ones.
    pub(crate) fn begin_reading(&self, path: &Path, size: u64) -> BlockHasher {
        self.change(path, |seen| {
            seen.blocks = None;
            seen.was_read = true;
        });
        self.hasher(size)
    }

    /// For the blocks of one more file.
    pub(crate) fn hasher(&self, size: u64) -> BlockHasher {
        BlockHasher::new(size, self.hashes.load(Ordering::Relaxed))
    }

    /// All of a file was read, and this is what it was.
    pub(crate) fn keep_blocks(&self, path: &Path, blocks: Blocks) {
        self.hashes.fetch_add(blocks.count(), Ordering::Relaxed);
        self.change(path, |seen| seen.blocks = Some(Arc::new(blocks)));
    }

    /// A file could not be read to its end.
    pub(crate) fn lose(&self, path: &Path) {
        self.change(path, |seen| seen.was_lost = true);
    }

    /// What is known of a path.
    pub(crate) fn seen(&self, path: &Path) -> Option<Seen> {
        let (folder, name) = split(path)?;
        let folders = self.lock();
        let folder = folders.get(folder)?;
        let at = find(folder, name)?;
        Some(folder[at].1.clone())
    }

    /// Files of at least `size` bytes that were written since, of whose contents nothing is known: newest first.
    pub(crate) fn unread_since(&self, since: Moment, size: u64) -> Vec<(PathBuf, Look)> {
        let folders = self.lock();
        let fits = |seen: &Seen| {
            seen.look.is_file() && seen.look.size >= size && seen.look.modified >= since && seen.blocks.is_none()
        };
        let mut files: Vec<_> = folders
            .iter()
            .flat_map(|(folder, names)| names.iter().map(move |(name, seen)| (folder, name, seen)))
            .filter(|(_, _, seen)| fits(seen))
            .map(|(folder, name, seen)| (folder.join(name), seen.look.clone()))
            .collect();
        files.sort_by_key(|(_, look)| Reverse(look.modified));
        files
    }

    fn change(&self, path: &Path, change: impl FnOnce(&mut Seen)) {
        let mut folders = self.lock();
        if let Some((folder, name)) = split(path)
            && let Some(folder) = folders.get_mut(folder)
            && let Some(at) = find(folder, name)
        {
            change(&mut folder[at].1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest").finish_non_exhaustive()
    }
}

fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

fn find(folder: &Folder, name: &OsStr) -> Option<usize> {
    folder.binary_search_by(|(other, _)| other.as_os_str().cmp(name)).ok()
}
