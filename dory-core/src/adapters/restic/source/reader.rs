//! A file's contents, with the holes read from the map instead of the disk.

use std::io::{self, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustic_core::{ReadSourceOpen, RusticResult};
use rustix::fs::{FileType, OFlags, SeekFrom, seek};
use rustix::io::{Errno, pread};

use super::Ledger;
use super::inode::{Look, Place};
use crate::domain::event::WarningKind;

/// `rustic_core` asks for 4 KiB at a time.
const BUFFER: usize = 256 << 10;

/// How to read one file, once it is its turn.
pub(in super::super) struct Opener {
    pub(super) place: Place,
    pub(super) seen: Look,
    /// Its path in the snapshot.
    pub(super) path: PathBuf,
    pub(super) ledger: Ledger,
}

impl ReadSourceOpen for Opener {
    type Reader = BufReader<FileReader>;

    fn open(self) -> RusticResult<Self::Reader> {
        let file = self.place.open(OFlags::empty()).map_err(|error| self.ledger.lose(&self.path, error))?;
        let opened = Look::at(&file).map_err(|error| self.ledger.lose(&self.path, error))?;
        if opened.file_type() != FileType::RegularFile {
            return Err(self.ledger.lose(&self.path, Errno::NOENT));
        }
        if !opened.same_inode(&self.seen) {
            self.ledger.warn(WarningKind::ChangedWhileRead, &self.path, "another file took its name");
        }
        let reader = FileReader {
            holes: opened.may_have_holes(),
            size: self.seen.size(),
            position: 0,
            data: Data::Unknown,
            looked_again: false,
            opened,
            file,
            path: self.path,
            ledger: self.ledger,
        };
        Ok(BufReader::with_capacity(BUFFER, reader))
    }
}

/// Reads a file up to the size it had when it was listed, and notices if it changes meanwhile.
pub(in super::super) struct FileReader {
    file: OwnedFd,
    opened: Look,
    size: u64,
    position: u64,
    holes: bool,
    data: Data,
    looked_again: bool,
    path: PathBuf,
    ledger: Ledger,
}

/// What is known of the data from the position on.
#[derive(Clone, Copy)]
enum Data {
    /// Nothing.
    Unknown,
    /// It lies between these; before it is a hole.
    Between(u64, u64),
}

impl FileReader {
    /// Where the next data lies.
    fn next_data(&self) -> (u64, u64) {
        if !self.holes {
            return (self.position, self.size);
        }
        let start = match seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(start) => start,
            // There is none.
            Err(Errno::NXIO) => self.size,
            Err(_) => return (self.position, self.size),
        };
        let end = seek(&self.file, SeekFrom::Hole(start)).unwrap_or(self.size);
        (start.min(self.size), end.min(self.size))
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let (start, end) = match self.data {
            Data::Between(start, end) if self.position < end => (start, end),
            _ => self.next_data(),
        };
        self.data = Data::Between(start, end);
        let stretch = |until: u64| usize::try_from(until - self.position).unwrap_or(usize::MAX).min(buffer.len());
        if self.position < start {
            let length = stretch(start);
            buffer[..length].fill(0);
            return Ok(length);
        }
        let length = stretch(end);
        loop {
            match pread(&self.file, &mut buffer[..length], self.position) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    fn notice_changes(&mut self) {
        if !std::mem::replace(&mut self.looked_again, true)
            && !Look::at(&self.file).is_ok_and(|now| now.same_contents(&self.opened))
        {
            self.ledger.warn(WarningKind::ChangedWhileRead, &self.path, "its size or its times changed");
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let count = self.read_some(buffer).map_err(|error| {
            // `rustic_core` leaves the file out; all that remains is to tell.
            drop(self.ledger.lose(&self.path, error));
            io::Error::from(error)
        })?;
        self.position += count as u64;
        if count == 0 || self.position == self.size {
            self.notice_changes();
        }
        Ok(count)
    }
}
