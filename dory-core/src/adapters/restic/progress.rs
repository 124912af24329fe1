//! How far a backup or restore is, told twice a second whatever the work itself does.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustic_core::{HiddenProgress, Progress as RusticBar, ProgressBars, ProgressType, RusticProgress};

use crate::domain::event::Progress;
use crate::ports::Events;

const INTERVAL: Duration = Duration::from_millis(500);
const UNKNOWN: u64 = u64::MAX;

/// What has been done of how much. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub(super) struct Tally(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    files: AtomicU64,
    bytes: AtomicU64,
    files_total: AtomicU64,
    bytes_total: AtomicU64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let unknown = || AtomicU64::new(UNKNOWN);
        Self(Arc::new(Counts {
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            files_total: unknown(),
            bytes_total: unknown(),
        }))
    }

    pub(super) fn add_file(&self) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_totals(&self, files: u64, bytes: u64) {
        self.0.files_total.store(files, Ordering::Relaxed);
        self.0.bytes_total.store(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Progress {
        let known = |count: &AtomicU64, done: u64| match count.load(Ordering::Relaxed) {
            UNKNOWN => None,
            // What grows while it is read is more than was counted before.
            total => Some(total.max(done)),
        };
        let files = self.0.files.load(Ordering::Relaxed);
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        Progress {
            files,
            files_total: known(&self.0.files_total, files),
            bytes,
            bytes_total: known(&self.0.bytes_total, bytes),
        }
    }

    /// Runs `work`, and tells how far it is while it runs. The last to be told is that all that was done is all.
    pub(super) fn told_to<T>(&self, events: &Events, work: impl FnOnce() -> T) -> T {
        let (done, wait) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                while wait.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    events.progress(self.read());
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    /// Tells that all that was done is all there was to do.
    pub(super) fn tell_end(&self, events: &Events) {
        let Progress { files, bytes, .. } = self.read();
        events.progress(Progress { files, files_total: Some(files), bytes, bytes_total: Some(bytes) });
    }
}

/// Counts the bytes that `rustic_core` has read; it has no other news that matters.
#[derive(Clone, Debug)]
pub(super) struct CountingBars(pub(super) Tally);

impl ProgressBars for CountingBars {
    fn progress(&self, progress_type: ProgressType, _prefix: &str) -> RusticBar {
        match progress_type {
            ProgressType::Bytes => RusticBar::new(CountingBar(self.0.clone())),
            ProgressType::Spinner | ProgressType::Counter => RusticBar::new(HiddenProgress),
        }
    }
}

#[derive(Debug)]
struct CountingBar(Tally);

impl RusticProgress for CountingBar {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, _bytes: u64) {}

    fn set_title(&self, _title: &str) {}

    fn inc(&self, bytes: u64) {
        self.0.add_bytes(bytes);
    }

    fn finish(&self) {}
}
