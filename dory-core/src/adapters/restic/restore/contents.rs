//! Writing a file's contents so that what was a hole becomes one again.

use std::os::fd::OwnedFd;

use rustix::fs::ftruncate;
use rustix::io::{Errno, pwrite};

use crate::adapters::restic::fetch::all_zeros;

/// What file systems allocate at once. Zeros that fill such a block are left out.
const BLOCK: u64 = 4096;

/// A file being written from its start to its end.
pub(super) struct ContentWriter {
    file: OwnedFd,
    position: u64,
    /// The end of what was written; beyond it are only zeros.
    written_to: u64,
}

impl ContentWriter {
    /// Writes to an empty file.
    pub(super) fn new(file: OwnedFd) -> Self {
        Self { file, position: 0, written_to: 0 }
    }

    /// Bytes so far, zeros included.
    pub(super) fn length(&self) -> u64 {
        self.position
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Zeros come next.
    pub(super) fn zeros(&mut self, length: u64) {
        self.position += length;
    }

    /// These bytes come next.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let start = self.position;
        for (from, to) in data_runs(start, bytes) {
            write_all(&self.file, &bytes[from..to], start + from as u64)?;
            self.written_to = start + to as u64;
        }
        self.position = start + bytes.len() as u64;
        Ok(())
    }

    /// The file has its whole length from now on.
    pub(super) fn finish(&self) -> Result<(), Errno> {
        if self.written_to < self.position { ftruncate(&self.file, self.position) } else { Ok(()) }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The stretches of `bytes`, which lie at `start` of a file, that are not blocks of zeros. Blocks are counted from the
/// file's start, so that a hole stays one however it was cut into pieces.
fn data_runs(start: u64, bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let left = usize::try_from(BLOCK - (start + from as u64) % BLOCK).unwrap_or(usize::MAX);
        let to = bytes.len().min(from.saturating_add(left));
        if !all_zeros(&bytes[from..to]) {
            match runs.last_mut() {
                Some(run) if run.1 == from => run.1 = to,
                _ => runs.push((from, to)),
            }
        }
        from = to;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_of_zeros_are_left_out() {
        let mut bytes = vec![0; 5 * 4096];
        bytes[4096] = 1;
        bytes[3 * 4096 + 7] = 1;
        assert_eq!(data_runs(0, &bytes), [(4096, 8192), (12288, 16384)]);
        assert_eq!(data_runs(4096 * 9, &bytes), [(4096, 8192), (12288, 16384)]);
        assert_eq!(data_runs(96, &bytes), [(4000, 8096), (12192, 16288)]);
    }

    #[test]
    fn a_hole_takes_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut writer = ContentWriter::new(File::create(&path).unwrap().into());
        writer.write(b"start").unwrap();
        writer.zeros(10 << 20);
        writer.write(&vec![0; 1 << 20]).unwrap();
        writer.finish().unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.len(), (11 << 20) + 5);
        assert!(meta.blocks() * 512 < 64 << 10, "{} blocks", meta.blocks());
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_the_file_is_the_same(
            pieces in proptest::collection::vec((0_usize..20_000, any::<bool>()), 0..12),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let mut writer = ContentWriter::new(File::create(&path).unwrap().into());
            let mut expected = Vec::new();
            for (length, data) in pieces {
                let piece = vec![u8::from(data); length];
                writer.write(&piece).unwrap();
                expected.extend(piece);
            }
            writer.finish().unwrap();
            prop_assert_eq!(writer.length(), expected.len() as u64);
            prop_assert_eq!(fs::read(&path).unwrap(), expected);
        }
    }
}
