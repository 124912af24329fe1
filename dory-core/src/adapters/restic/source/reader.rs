//! A file's contents, as they are while they are read.

use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::{ReadSourceOpen, RusticResult};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Ledger;
use crate::domain::event::WarningKind;
use crate::source::{BlockHasher, Look, Manifest, Place, SparseFile};

/// `rustic_core` asks for 4 KiB at a time.
pub(super) const BUFFER: usize = 256 << 10;

/// How to read one file, once it is its turn.
pub(in super::super) struct Opener {
    pub(super) place: Place,
    pub(super) seen: Look,
    /// Its path: the first part is the mount's key.
    pub(super) path: PathBuf,
    pub(super) ledger: Ledger,
    /// Where it is written down what was read.
    pub(super) manifest: Option<Arc<Manifest>>,
}

impl Opener {
    fn lose(&self, error: Errno) -> Box<rustic_core::RusticError> {
        if let Some(manifest) = &self.manifest {
            manifest.lose(&self.path);
        }
        self.ledger.lose(&self.path, error)
    }
}

impl ReadSourceOpen for Opener {
    type Reader = BufReader<FileReader>;

    fn open(self) -> RusticResult<Self::Reader> {
        let file = self.place.open(OFlags::empty()).map_err(|error| self.lose(error))?;
        let opened = Look::at(&file).map_err(|error| self.lose(error))?;
        if !opened.is_file() {
            return Err(self.lose(Errno::NOENT));
        }
        if !opened.same_inode(&self.seen) {
            self.ledger.notes().warn(WarningKind::ChangedWhileRead, &self.path, "another file took its name");
        }
        let hasher = self.manifest.as_ref().map(|manifest| manifest.begin_reading(&self.path, self.seen.size));
        let file = SparseFile::new(file, self.seen.size, opened.may_have_holes());
        let reader = FileReader { file, opened, looked_again: false, hasher, opener: self };
        Ok(BufReader::with_capacity(BUFFER, reader))
    }
}

/// Reads a file up to the size it had when it was listed, and notices if it changes meanwhile.
pub(in super::super) struct FileReader {
    file: SparseFile,
    opened: Look,
    looked_again: bool,
    /// Until all was read.
    hasher: Option<BlockHasher>,
    opener: Opener,
}

impl FileReader {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.looked_again, true)
            && !Look::at(self.file.file()).is_ok_and(|now| now.same_contents(&self.opened))
        {
            let notes = self.opener.ledger.notes();
            notes.warn(WarningKind::ChangedWhileRead, &self.opener.path, "its size or its times changed");
        }
        if let (Some(hasher), Some(manifest)) = (self.hasher.take(), &self.opener.manifest) {
            manifest.keep_blocks(&self.opener.path, hasher.finish());
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.file.is_at_end() || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read(buffer).map_err(|error| {
            self.hasher = None;
            // `rustic_core` leaves the file out; all that remains is to tell.
            drop(self.opener.lose(error));
            io::Error::from(error)
        })?;
        if let Some(hasher) = &mut self.hasher {
            hasher.feed(&buffer[..count]);
        }
        if count == 0 || self.file.is_at_end() {
            self.end();
        }
        Ok(count)
    }
}
