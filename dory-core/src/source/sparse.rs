//! A file read from start to end, with the holes told by the map instead of the disk.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, pread};

/// Where the next data at or after `position` lies, as the start and the end of a stretch before `size`; `size` twice
/// where there is none.
pub(super) fn next_data(file: &OwnedFd, position: u64, size: u64) -> (u64, u64) {
    let start = match seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        // There is none.
        Err(Errno::NXIO) => size,
        Err(_) => return (position, size),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    (start.min(size), end.min(size))
}

/// Reads at a place, until the buffer is full or the file ends.
pub(super) fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file being read, as far as the size it was said to have.
pub(crate) struct SparseFile {
    file: OwnedFd,
    size: u64,
    position: u64,
    holes: bool,
    /// The data that lies ahead, from its start to its end; before it is a hole.
    data: Option<(u64, u64)>,
}

impl SparseFile {
    /// Nothing beyond `size` is read; `holes` tells whether there may be some.
    pub(crate) fn new(file: OwnedFd, size: u64, holes: bool) -> Self {
        Self { file, size, position: 0, holes, data: None }
    }

    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Whether all was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.position >= self.size
    }

    /// Reads on; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        if self.is_at_end() || buffer.is_empty() {
            return Ok(0);
        }
        let (start, end) = match self.data {
            Some((start, end)) if self.position < end => (start, end),
            _ if self.holes => next_data(&self.file, self.position, self.size),
            _ => (self.position, self.size),
        };
        self.data = Some((start, end));
        let stretch = |until: u64| usize::try_from(until - self.position).unwrap_or(usize::MAX).min(buffer.len());
        let count = if self.position < start {
            let length = stretch(start);
            buffer[..length].fill(0);
            length
        } else {
            let length = stretch(end);
            loop {
                match pread(&self.file, &mut buffer[..length], self.position) {
                    Err(Errno::INTR) => {}
                    result => break result?,
                }
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}
