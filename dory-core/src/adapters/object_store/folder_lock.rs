//! One writer at a time in a folder, across threads, processes and containers of one host.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The longest wait for other writers. Each holds the lock for a few flushes; one that was suspended holds it for good.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// The stamp as text: as wide as any, so that a shorter one never leaves digits of a longer one behind.
const STAMP_WIDTH: usize = 20;

/// The right to write; dropping it, or the death of the process, gives it back.
///
/// The lock's file also holds the last stamp given out, so that stamps grow whatever the clock does.
#[derive(Debug)]
pub(super) struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Waits for the right to write.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut waited = Duration::ZERO;
        let mut pause = FIRST_PAUSE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if waited < PATIENCE => {
                    thread::sleep(pause);
                    waited += pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "another process keeps the folder locked"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A moment that no earlier holder was given: now, or just after the last one where the clock stands or went back.
    pub(super) fn stamp(&self, now: Timestamp) -> io::Result<Timestamp> {
        let last = self.last()?;
        let now = i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX);
        let stamp = now.max(last.saturating_add(1));
        self.file.write_all_at(format!("{stamp:0STAMP_WIDTH$}").as_bytes(), 0)?;
        Timestamp::from_nanosecond(i128::from(stamp)).map_err(io::Error::other)
    }

    fn last(&self) -> io::Result<i64> {
        let mut digits = [0; STAMP_WIDTH];
        match self.file.read_exact_at(&mut digits, 0) {
            // What is no number was torn by a power cut, long before now.
            Ok(()) => Ok(std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_while_the_clock_stands_and_when_it_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let noon = Timestamp::from_second(1_700_000_000).unwrap();
        let mut last = FolderLock::take(&path).unwrap().stamp(noon).unwrap();
        assert_eq!(last, noon);
        for now in [noon, noon, Timestamp::UNIX_EPOCH] {
            let next = FolderLock::take(&path).unwrap().stamp(now).unwrap();
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn the_second_taker_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = FolderLock::take(&path).unwrap();
        let second = OpenOptions::new().read(true).open(&path).unwrap();
        assert_eq!(flock(&second, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
        drop(first);
        assert_eq!(flock(&second, FlockOperation::NonBlockingLockExclusive), Ok(()));
    }
}
