//! Keeping aside what changed, at the speed of memory: clones where the file system can, changed blocks elsewhere.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::capture::{Captured, Changed, threads};
use super::frozen::{From, Frozen, Kept, Stretch};
use super::inode::{Look, Place};
use super::mounts::{Mount, Mounts};
use super::notes::{Ended, Notes};
use super::scratch::Scratch;
use super::sparse::{next_data, read_at};
use crate::domain::event::WarningKind;
use crate::error::{Error, ErrorKind, Result};

/// How much of a file one thread does at a time, in bytes.
const RANGE: u64 = 32 << 20;

/// How much is read at once, in bytes: it stays in the processor's own memory until it is hashed and copied.
const GULP: u64 = 256 << 10;

/// From which size on a clone is less work than a copy, in bytes.
const WORTH_A_CLONE: u64 = 256 << 10;

/// How what changed is kept aside.
pub(crate) struct ColdCopy<'a> {
    pub(crate) mounts: &'a Mounts,
    pub(crate) scratch: &'a Arc<Scratch>,
    /// Of which mounts files can be cloned into the scratch folder.
    pub(crate) clones: &'a [bool],
    pub(crate) notes: &'a Notes,
    pub(crate) ended: Ended,
    /// Told how many bytes more were read or cloned.
    pub(crate) told: &'a (dyn Fn(u64) + Sync),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copied {
    /// Bytes that were read.
    pub(crate) read: u64,
    /// Bytes that were written aside.
    pub(crate) copied: u64,
    /// Bytes of files that were cloned.
    pub(crate) cloned: u64,
}

/// A part of a file that is to be kept aside.
struct Range {
    file: usize,
    start: u64,
    end: u64,
}

#[derive(Default)]
struct Totals {
    read: AtomicU64,
    copied: AtomicU64,
    cloned: AtomicU64,
}

impl ColdCopy<'_> {
    /// Keeps aside all that may have changed. A file that cannot be read is told and lost, and the rest goes on.
    ///
    /// # Errors
    /// `Full`; `Cancelled`.
    pub(crate) fn run(&self, captured: Captured) -> Result<(Frozen, Copied)> {
        let files: Vec<_> = captured.changed.iter().map(|_| Mutex::new(Kept::Stretches(Vec::new()))).collect();
        let ranges = self.ranges(&captured.changed);
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (failure, totals) = (Mutex::new(None), Totals::default());
        thread::scope(|scope| {
            for _ in 0..threads().min(ranges.len()) {
                scope.spawn(|| {
                    let mut buffer = Vec::new();
                    while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if failed.load(Ordering::Relaxed) || (self.ended)() {
                            break;
                        }
                        let changed = &captured.changed[range.file];
                        if let Err(error) = self.keep(changed, range, &files[range.file], &mut buffer, &totals) {
                            failed.store(true, Ordering::Relaxed);
                            lock(&failure).get_or_insert(error);
                        }
                    }
                });
            }
        });
        if let Some(error) = lock(&failure).take() {
            return Err(error);
        }
        if (self.ended)() {
            return Err(Error::new(ErrorKind::Cancelled, "keep changes aside", "", "nobody waits for it any more"));
        }
        let mut kept: Vec<_> =
            files.into_iter().map(|file| file.into_inner().unwrap_or_else(PoisonError::into_inner)).collect();
        for kept in &mut kept {
            if let Kept::Stretches(stretches) = kept {
                stretches.sort_by_key(|stretch| stretch.start);
            }
        }
        let copied = Copied {
            read: totals.read.into_inner(),
            copied: totals.copied.into_inner(),
            cloned: totals.cloned.into_inner(),
        };
        let scratch = Arc::clone(self.scratch);
        Ok((Frozen { captured, kept, mounts: self.mounts.clone(), scratch }, copied))
    }

    /// The work, in parts that are about as large. What may be cloned is one part whatever its size.
    fn ranges(&self, changed: &[Changed]) -> Vec<Range> {
        let mut ranges = Vec::new();
        for (file, changed) in changed.iter().enumerate() {
            let size = changed.look.size;
            let step = match &changed.known {
                _ if self.clones[changed.mount] => size.max(1),
                Some(blocks) => RANGE.next_multiple_of(blocks.size()),
                None => RANGE,
            };
            let mut start: u64 = 0;
            loop {
                let end = size.min(start.saturating_add(step));
                ranges.push(Range { file, start, end });
                start = end;
                if start >= size {
                    break;
                }
            }
        }
        // The largest files first, so that no thread is left alone with one at the end.
        ranges.sort_by_key(|range| std::cmp::Reverse(range.end - range.start));
        ranges
    }

    fn keep(
        &self,
        changed: &Changed,
        range: &Range,
        kept: &Mutex<Kept>,
        buffer: &mut Vec<u8>,
        totals: &Totals,
    ) -> Result<()> {
        let opened = self.open(changed);
        let (place, file, look) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.lose(changed, kept, error);
                return Ok(());
            }
        };
        let whole = range.end - range.start == changed.look.size;
        if self.clones[changed.mount]
            && whole
            && changed.look.size >= WORTH_A_CLONE
            && let Some(number) = self.scratch.keep_clone(&file)
        {
            *lock(kept) = Kept::Clone(number);
            totals.cloned.fetch_add(changed.look.size, Ordering::Relaxed);
            (self.told)(changed.look.size);
        } else {
            let mut part = Part { copy: self, changed, file: &file, stretches: Vec::new(), totals };
            match part.read(range, look.may_have_holes(), buffer) {
                Ok(()) => {
                    if let Kept::Stretches(stretches) = &mut *lock(kept) {
                        stretches.append(&mut part.stretches);
                    }
                }
                Err(Trouble::Reading(error)) => self.lose(changed, kept, error),
                Err(Trouble::Keeping(error)) => return Err(error),
            }
        }
        let now = Look::at(&file);
        if !now.is_ok_and(|now| now.same_contents(&changed.look))
            || !place.look().is_ok_and(|now| now.same_inode(&look))
        {
            self.notes.warn(
                WarningKind::ChangedWhileRead,
                &changed.path,
                "somebody wrote to it although all stood still",
            );
        }
        Ok(())
    }

    fn open(&self, changed: &Changed) -> Result<(Place, OwnedFd, Look), Errno> {
        let place = self.mounts.all[changed.mount].place.descend(&changed.below)?;
        let file = place.open(OFlags::empty())?;
        let look = Look::at(&file)?;
        if !look.is_file() {
            return Err(Errno::NOENT);
        }
        Ok((place, file, look))
    }

    fn lose(&self, changed: &Changed, kept: &Mutex<Kept>, error: Errno) {
        let before = std::mem::replace(&mut *lock(kept), Kept::Lost);
        if !matches!(before, Kept::Lost) {
            self.notes.warn_unread(&changed.path, error);
        }
    }
}

enum Trouble {
    Reading(Errno),
    Keeping(Error),
}

/// One part of a file while it is kept aside.
struct Part<'a> {
    copy: &'a ColdCopy<'a>,
    changed: &'a Changed,
    file: &'a OwnedFd,
    stretches: Vec<Stretch>,
    totals: &'a Totals,
}

impl Part<'_> {
    fn read(&mut self, range: &Range, holes: bool, buffer: &mut Vec<u8>) -> Result<(), Trouble> {
        let block = self.changed.known.as_ref().map_or(GULP, |blocks| blocks.size());
        let gulp = GULP.next_multiple_of(block);
        let mut position = range.start;
        while position < range.end {
            if (self.copy.ended)() {
                return Ok(());
            }
            if holes {
                let (data, _) = next_data(self.file, position, range.end);
                // Blocks that are a hole as a whole need not be read to know what is in them.
                let empty_until = if data == range.end { data } else { data - data % block };
                if empty_until > position {
                    self.add(position, empty_until, From::Hole);
                    position = empty_until;
                    continue;
                }
            }
            let length = gulp.min(range.end - position);
            buffer.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
            let filled = read_at(self.file, buffer, position).map_err(Trouble::Reading)?;
            self.totals.read.fetch_add(filled as u64, Ordering::Relaxed);
            self.keep(position, &buffer[..filled], usize::try_from(block).unwrap_or(usize::MAX))
                .map_err(Trouble::Keeping)?;
            (self.copy.told)(filled as u64);
            if (filled as u64) < length {
                // It shrank under our eyes, which is told.
                return Ok(());
            }
            position += length;
        }
        Ok(())
    }

    /// Keeps what of these bytes is not known.
    fn keep(&mut self, at: u64, bytes: &[u8], block: usize) -> Result<()> {
        let Some(known) = &self.changed.known else {
            return self.append(at, bytes);
        };
        let (mut offset, mut fresh) = (0, 0);
        for piece in bytes.chunks(block) {
            if known.match_at(at + offset as u64, piece) {
                self.append(at + fresh as u64, &bytes[fresh..offset])?;
                fresh = offset + piece.len();
                self.add(at + offset as u64, at + fresh as u64, From::Live);
            }
            offset += piece.len();
        }
        self.append(at + fresh as u64, &bytes[fresh..])
    }

    fn append(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if !bytes.is_empty() {
            let kept = self.copy.scratch.append(bytes)?;
            self.totals.copied.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.add(at, at + bytes.len() as u64, From::Scratch(kept));
        }
        Ok(())
    }

    fn add(&mut self, start: u64, end: u64, from: From) {
        match self.stretches.last_mut() {
            Some(last) if last.end == start && (last.from, from) == (From::Live, From::Live) => last.end = end,
            _ => self.stretches.push(Stretch { start, end, from }),
        }
    }
}

/// Of which mounts files can be cloned into `scratch`: tried on a file that changed, where there is one.
pub(crate) fn probe_clones(mounts: &Mounts, scratch: &Scratch, captured: &Captured) -> Vec<bool> {
    let probe = |(at, mount): (usize, &Mount)| {
        let example = captured.changed.iter().find(|changed| changed.mount == at && changed.look.size > 0);
        let Some(changed) = example else {
            return mount.place.look().is_ok_and(|look| scratch.clones_its_own(look.device));
        };
        let place = mount.place.descend(&changed.below);
        place.and_then(|place| place.open(OFlags::empty())).is_ok_and(|file| scratch.can_clone(&file))
    };
    mounts.all.iter().enumerate().map(probe).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
