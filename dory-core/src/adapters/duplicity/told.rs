//! What duplicity tells while it backs up, as Dory's events.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::log::{Level, Record};
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Progress, Warning, WarningKind};
use crate::ports::{Clock, EngineEvent, Events};

/// How long nothing is told at most.
const SILENCE: Duration = Duration::from_millis(500);

/// Does `work`, and while it goes on repeats what it last told of its progress: duplicity is silent for long, and there
/// is work before it starts and after it ends.
pub(super) async fn keep_telling<T>(
    events: &Events,
    clock: &dyn Clock,
    work: impl Future<Output = T>,
    last: &LastTold,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = clock.sleep(SILENCE) => events.progress(last.get()),
        }
    }
}

/// The progress that was told last.
#[derive(Clone, Default)]
pub(super) struct LastTold(Arc<Mutex<Progress>>);

impl LastTold {
    /// Passes on to `events`, and remembers progress.
    pub(super) fn listen(&self, events: &Events) -> Events {
        let (last, events) = (self.clone(), events.clone());
        Events::new(move |event| match event {
            EngineEvent::Progress(progress) => {
                *last.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
                events.progress(progress);
            }
            EngineEvent::Warning(warning) => events.warn(warning),
        })
    }

    fn get(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns a backup's records into events, and counts.
pub(super) struct Teller<'a> {
    pub(super) events: &'a Events,
    /// The folder of links that duplicity reads.
    pub(super) root: &'a Path,
    /// Paths of folders, which do not count as files.
    pub(super) folders: &'a HashSet<Vec<u8>>,
    pub(super) progress: Progress,
    /// Files that were new or changed.
    pub(super) files_changed: u64,
    /// The last moment at which duplicity may have read from a source.
    pub(super) last_read: Timestamp,
    /// The statistics at the end.
    pub(super) stored_in_volumes: u64,
    pub(super) errors: u64,
    /// Errors that were told, each with its path.
    pub(super) warned: u64,
    /// Mounts whose link was followed.
    pub(super) followed: HashSet<Vec<u8>>,
    /// A mount that duplicity took for the link that stands for it.
    pub(super) taken_for_link: Option<String>,
}

impl Teller<'_> {
    /// Takes what was told at `now`; breaks where duplicity does not read what it should.
    pub(super) fn hear(&mut self, record: &Record, now: Timestamp) -> ControlFlow<()> {
        self.hear_record(record, now);
        if self.taken_for_link.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn hear_record(&mut self, record: &Record, now: Timestamp) {
        match (record.level, record.code) {
            // So many bytes are read and in volumes.
            (Level::Info, 2) => {
                self.last_read = now;
                let bytes = record.words().first().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
                let most = self.progress.bytes_total.unwrap_or(u64::MAX);
                self.progress.bytes = self.progress.bytes.max(bytes.unwrap_or(0)).min(most);
                self.events.progress(self.progress);
            }
            // New, changed.
            (Level::Info, 4 | 5) => {
                self.last_read = now;
                let path = record.words().into_iter().next().unwrap_or_default();
                let mount = path.split(|byte| *byte == b'/').next().unwrap_or_default();
                if path != b"." {
                    if !self.followed.contains(mount) {
                        self.taken_for_link = Some(String::from_utf8_lossy(mount).into_owned());
                    }
                    self.files_changed += u64::from(!self.folders.contains(&path));
                    let most = self.progress.files_total.unwrap_or(u64::MAX);
                    self.progress.files = (self.progress.files + 1).min(most);
                    self.events.progress(self.progress);
                }
            }
            // The shim's own.
            (Level::Info, 900) => self.followed.extend(record.words()),
            (Level::Info, 15) => self.warn_of_name(record, |_| WarningKind::NotKept),
            (Level::Warning, 8..=10) => self.warn_of_error(record, unreadable_or_vanished),
            (Level::Warning, 12 | 13) => self.warn_of_error(record, |_| WarningKind::Unreadable),
            (Level::Warning, 1) => self.warn_of_text(record),
            (Level::Notice, 1) => self.take_statistics(&record.text),
            _ => {}
        }
    }

    fn warn_of_error(&mut self, record: &Record, kind: impl Fn(&Path) -> WarningKind) {
        self.warned += 1;
        self.warn_of_name(record, kind);
    }

    fn warn_of_name(&mut self, record: &Record, kind: impl Fn(&Path) -> WarningKind) {
        let name = record.words().into_iter().next().unwrap_or_default();
        self.warn(Path::new(OsStr::from_bytes(&name)), kind, &record.text);
    }

    /// Two warnings have their path in words for people only.
    fn warn_of_text(&mut self, record: &Record) {
        let path = record.text.strip_prefix("Error listing directory ");
        if let Some(path) = path.or_else(|| record.text.split_once(" getting delta for ").map(|(_, path)| path)) {
            self.warned += 1;
            self.warn(Path::new(path), unreadable_or_vanished, &record.text);
        }
    }

    fn warn(&mut self, name: &Path, kind: impl Fn(&Path) -> WarningKind, text: &str) {
        // Some names are absolute, others relative to the folder that is read.
        let path = name.strip_prefix(self.root).unwrap_or(name);
        let real = self.root.join(path);
        let detail = text.replace(&format!("{}/", self.root.display()), "");
        self.events.warn(Warning { kind: kind(&real), path: EntryPath::new(path), detail });
    }

    /// Warns of what duplicity counted as an error and never named: some data is missing, and nobody knows which.
    pub(super) fn warn_of_unnamed(&self) {
        let unnamed = self.errors.saturating_sub(self.warned);
        if unnamed > 0 {
            let detail = format!("duplicity counts {unnamed} errors more than it told of, and does not name them");
            self.events.warn(Warning { kind: WarningKind::Unreadable, path: EntryPath::default(), detail });
        }
    }

    fn take_statistics(&mut self, text: &str) {
        if !text.contains("[ Backup Statistics ]") {
            return;
        }
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.split(' ').next()?.parse::<u64>().ok()
        };
        self.stored_in_volumes = number("TotalDestinationSizeChange").unwrap_or(0);
        self.errors = number("Errors").unwrap_or(0);
    }
}

/// duplicity does not say which; by now the path tells.
fn unreadable_or_vanished(path: &Path) -> WarningKind {
    if fs::symlink_metadata(path).is_ok() { WarningKind::Unreadable } else { WarningKind::Vanished }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is warned of after these records.
    fn told(records: &[(Level, u32, &str)]) -> Vec<Warning> {
        let warnings = Arc::<Mutex<Vec<Warning>>>::default();
        let seen = Arc::clone(&warnings);
        let events = Events::new(move |event| {
            if let EngineEvent::Warning(warning) = event {
                seen.lock().unwrap().push(warning);
            }
        });
        let folders = HashSet::new();
        let mut teller = Teller {
            events: &events,
            root: Path::new("/nowhere"),
            folders: &folders,
            progress: Progress::default(),
            files_changed: 0,
            last_read: Timestamp::UNIX_EPOCH,
            stored_in_volumes: 0,
            errors: 0,
            warned: 0,
            followed: HashSet::new(),
            taken_for_link: None,
        };
        for (level, code, text) in records {
            let arguments = String::new();
            let record = Record { level: *level, code: *code, arguments, text: (*text).to_owned() };
            assert_eq!(teller.hear(&record, Timestamp::UNIX_EPOCH), ControlFlow::Continue(()));
        }
        teller.warn_of_unnamed();
        drop(events);
        let warnings = warnings.lock().unwrap();
        warnings.clone()
    }

    const STATISTICS: &str = "--------------[ Backup Statistics ]--------------\nErrors 2\n";

    #[test]
    fn errors_that_are_counted_and_not_named_are_a_loss() {
        let skipped = (Level::Info, 15, "Skipping socket data/s");
        let named = (Level::Warning, 1, "Error listing directory /nowhere/data/a");
        let warnings = told(&[skipped, named, (Level::Notice, 1, STATISTICS)]);
        let kinds: Vec<_> = warnings.iter().map(|warning| warning.kind).collect();
        assert_eq!(kinds, [WarningKind::NotKept, WarningKind::Vanished, WarningKind::Unreadable], "{warnings:?}");
        assert!(warnings[2].detail.contains("1 errors"), "{warnings:?}");
    }

    #[test]
    fn errors_that_were_all_named_are_told_once() {
        let named = (Level::Warning, 1, "Error listing directory /nowhere/data/a");
        assert_eq!(told(&[named, named, (Level::Notice, 1, STATISTICS)]).len(), 2);
    }
}
