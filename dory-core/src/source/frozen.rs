//! The sources as they were at one moment, however they went on since.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::capture::{Captured, Changed, Contents, Entry};
use super::inode::{Look, Place};
use super::mounts::Mounts;
use super::scratch::Scratch;
use super::sparse::{SparseFile, read_at};
use crate::error::{Error, ErrorKind, Result};

/// Everything that was there when containers stood still.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(super) captured: Captured,
    /// What was kept aside of each file that may have changed.
    pub(super) kept: Vec<Kept>,
    pub(super) mounts: Mounts,
    pub(super) scratch: Arc<Scratch>,
}

/// What was kept aside of one file.
#[derive(Debug)]
pub(super) enum Kept {
    /// It could not be read.
    Lost,
    /// All of it, under this number.
    Clone(u64),
    /// Parts of it, in order.
    Stretches(Vec<Stretch>),
}

/// Where a part of a file is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) from: From,
}

/// Where bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// There are none but zeros.
    Hole,
    /// In the scratch folder, from this place on.
    Scratch(u64),
    /// Where they always were: they are what a pass has read, and known by their hashes.
    Live,
}

/// What a pass has read, for what its source no longer holds.
pub(crate) trait Memory: Send + Sync {
    /// Some bytes of the file at `path`, whose first part is the mount's key.
    ///
    /// # Errors
    /// What keeps it from reading them.
    fn recall(&self, path: &Path, offset: u64, length: usize) -> Result<Vec<u8>>;
}

impl Frozen {
    /// How many inodes there are, and how many bytes files hold.
    pub(crate) fn totals(&self) -> (u64, u64) {
        self.captured.totals()
    }

    /// Files that are new or changed since the snapshot that the first pass was compared with, lost ones left out.
    pub(crate) fn news(&self) -> u64 {
        let entries = self.captured.folders.iter().flatten();
        entries.filter(|entry| entry.is_news && !self.is_lost(entry)).count() as u64
    }

    /// Files that were not known to be what a pass has read, lost ones included.
    pub(crate) fn changed_files(&self) -> u64 {
        self.captured.changed.len() as u64
    }

    /// Every inode that was not lost, with its path, folders before what is in them.
    pub(crate) fn steps(self: &Arc<Self>) -> Steps {
        Steps { frozen: Arc::clone(self), levels: vec![(0, 0, PathBuf::new())] }
    }

    fn is_lost(&self, entry: &Entry) -> bool {
        matches!(entry.contents, Contents::Changed(at) if matches!(self.kept[at], Kept::Lost))
    }
}

/// A walk over a [`Frozen`].
pub(crate) struct Steps {
    frozen: Arc<Frozen>,
    /// Of each folder on the way: which, how far, and its path.
    levels: Vec<(usize, usize, PathBuf)>,
}

/// One inode of a [`Frozen`].
pub(crate) struct Step {
    frozen: Arc<Frozen>,
    folder: usize,
    at: usize,
    /// Its path: the first part is the mount's key.
    pub(crate) path: PathBuf,
}

impl Step {
    pub(crate) fn entry(&self) -> &Entry {
        &self.frozen.captured.folders[self.folder][self.at]
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let (folder, at, above) = self.levels.last_mut()?;
            let (folder, position) = (*folder, *at);
            let Some(entry) = self.frozen.captured.folders[folder].get(position) else {
                self.levels.pop();
                continue;
            };
            *at += 1;
            let path = above.join(&entry.name);
            if let Contents::Folder(Some(inside)) = entry.contents {
                self.levels.push((inside, 0, path.clone()));
            }
            if !self.frozen.is_lost(entry) {
                return Some(Step { frozen: Arc::clone(&self.frozen), folder, at: position, path });
            }
        }
    }
}

/// The contents that a file had, from start to end.
pub(crate) struct FrozenFile {
    frozen: Arc<Frozen>,
    memory: Arc<dyn Memory>,
    at: usize,
    position: u64,
    source: Source,
    /// The block that was verified last, and where it begins.
    block: (u64, Vec<u8>),
}

enum Source {
    Clone(SparseFile),
    /// Which stretch is being read, and the file as it is now, if it is there and was looked for.
    Stretches(usize, Live),
}

enum Live {
    NotAskedFor,
    Gone,
    Open(OwnedFd),
}

impl FrozenFile {
    /// Opens what was kept aside under this number.
    ///
    /// # Errors
    /// `Unavailable` if it is not there any more.
    pub(crate) fn open(frozen: &Arc<Frozen>, at: usize, memory: &Arc<dyn Memory>) -> Result<Self> {
        let source = match &frozen.kept[at] {
            Kept::Clone(number) => {
                let clone = frozen.scratch.open_clone(*number);
                let file = clone.map(File::into).map_err(|error| frozen.changed(at).failed(error))?;
                Source::Clone(SparseFile::new(file, frozen.changed(at).look.size, true))
            }
            Kept::Stretches(_) | Kept::Lost => Source::Stretches(0, Live::NotAskedFor),
        };
        let (frozen, memory) = (Arc::clone(frozen), Arc::clone(memory));
        Ok(Self { frozen, memory, at, position: 0, source, block: (0, Vec::new()) })
    }

    fn read_stretch(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let frozen = Arc::clone(&self.frozen);
        let (Kept::Stretches(stretches), Source::Stretches(current, live)) = (&frozen.kept[self.at], &mut self.source)
        else {
            return Ok(0);
        };
        while stretches.get(*current).is_some_and(|stretch| stretch.end <= self.position) {
            *current += 1;
        }
        let Some(stretch) = stretches.get(*current) else { return Ok(0) };
        let left = usize::try_from(stretch.end - self.position).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let buffer = &mut buffer[..length];
        let changed = frozen.changed(self.at);
        match stretch.from {
            From::Hole => buffer.fill(0),
            From::Scratch(at) => frozen
                .scratch
                .read_at(buffer, at + (self.position - stretch.start))
                .map_err(|error| changed.failed(error))?,
            From::Live => {
                let block_size = changed.known.as_ref().map_or(u64::MAX, |known| known.size());
                let begin = self.position - self.position % block_size;
                if self.block.0 != begin || self.block.1.is_empty() {
                    self.block = (begin, frozen.verified(self.at, begin, live, self.memory.as_ref())?);
                }
                let skip = usize::try_from(self.position - begin).unwrap_or(usize::MAX);
                let there = self.block.1.get(skip..).unwrap_or_default();
                let length = there.len().min(buffer.len());
                buffer[..length].copy_from_slice(&there[..length]);
                return Ok(length);
            }
        }
        Ok(length)
    }
}

impl Frozen {
    fn changed(&self, at: usize) -> &Changed {
        &self.captured.changed[at]
    }

    /// The block that begins at `begin`, as a pass has read it: from the live file as long as it is what it was, from
    /// the pass's own memory otherwise.
    fn verified(&self, at: usize, begin: u64, live: &mut Live, memory: &dyn Memory) -> Result<Vec<u8>> {
        let changed = self.changed(at);
        let Some(known) = &changed.known else {
            return Err(changed.failed("nothing is known of it"));
        };
        let length = usize::try_from(known.size().min(changed.look.size - begin)).unwrap_or(usize::MAX);
        if matches!(live, Live::NotAskedFor) {
            *live = self.open_live(changed).map_or(Live::Gone, Live::Open);
        }
        if let Live::Open(file) = live {
            let mut bytes = vec![0; length];
            let filled = read_at(file, &mut bytes, begin).unwrap_or(0);
            if known.match_at(begin, &bytes[..filled]) {
                return Ok(bytes);
            }
        }
        let bytes = memory.recall(&changed.path, begin, length)?;
        if known.match_at(begin, &bytes) { Ok(bytes) } else { Err(changed.failed("what was read before is not there")) }
    }

    fn open_live(&self, changed: &Changed) -> Option<OwnedFd> {
        let file = self.place(changed).and_then(|place| place.open(OFlags::empty())).ok()?;
        Look::at(&file).is_ok_and(|look| look.is_file()).then_some(file)
    }

    fn place(&self, changed: &Changed) -> std::result::Result<Place, rustix::io::Errno> {
        self.mounts.all[changed.mount].place.descend(&changed.below)
    }
}

impl Changed {
    fn failed(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let path = self.path.display().to_string();
        Error::new(ErrorKind::Unavailable, "read what was kept aside of", path, "it cannot be read").with_source(cause)
    }
}

impl Read for FrozenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::Clone(clone) => clone.read(buffer).map_err(io::Error::from)?,
            Source::Stretches(..) if buffer.is_empty() => 0,
            Source::Stretches(..) => self.read_stretch(buffer).map_err(io::Error::other)?,
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// A file that is what a pass has read, read once more.
pub(crate) struct UnchangedFile {
    file: SparseFile,
    look: Look,
    path: PathBuf,
}

impl UnchangedFile {
    /// Opens what is at a step, if it still is what it was.
    ///
    /// # Errors
    /// `Unavailable` if it is not.
    pub(crate) fn open(step: &Step) -> Result<Self> {
        let (look, path) = (step.entry().look.clone(), step.path.clone());
        let place = step.frozen.mounts.find(&path).ok_or_else(|| went_on(&path, "it is not there".into()))?;
        let file = place.open(OFlags::empty()).map_err(|error| went_on(&path, error.into()))?;
        let file = Self { file: SparseFile::new(file, look.size, look.may_have_holes()), look, path };
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        let now = Look::at(self.file.file()).map_err(|error| went_on(&self.path, error.into()))?;
        if now.same_inode(&self.look) && now.same_contents(&self.look) {
            Ok(())
        } else {
            Err(went_on(&self.path, "it changed since".into()))
        }
    }
}

impl Read for UnchangedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer).map_err(io::Error::from)?;
        if count == 0 || self.file.is_at_end() {
            self.check().map_err(io::Error::other)?;
        }
        Ok(count)
    }
}

fn went_on(path: &Path, cause: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let reason = "what the store held of it is gone, and so is what it was";
    Error::new(ErrorKind::Unavailable, "read again", path.display().to_string(), reason)
        .with_source(cause)
        .with_hint("back up again, and prune at another time")
}

impl fmt::Debug for Mounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|mount| &mount.key)).finish()
    }
}
