//! Writing a snapshot's folders back, so that each becomes equal to what it was.
//!
//! One thread plans: it walks the snapshot, compares with what is there already, and fetches contents ahead, a window
//! at a time (`plan`). The other writes, in the same order (`write`). What is in memory is bounded by the windows and
//! by the largest folder, not by the whole.
//!
//! Every path is walked by file descriptors, one name at a time, and no link is followed: whatever a target holds,
//! nothing outside of it is touched.

mod contents;
mod existing;
mod metadata;
mod plan;
mod remove;
mod replace;
mod root;
mod write;

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use rustic_core::repofile::Node;
use rustix::io::Errno;

use self::plan::{Planner, Window};
use self::root::Root;
use self::write::TreeWriter;
use super::browse::Browser;
use super::lock::Lock;
use super::progress::Tally;
use super::repository::Session;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Events, RestoreReport, RestoreRequest};
use crate::source::Excludes;

const OPERATION: &str = "restore to";

pub(super) fn run(session: &Session, request: &RestoreRequest, events: &Events) -> Result<RestoreReport> {
    let keep = Excludes::new(&request.keep)?;
    let delete_but = request.delete_extra.then_some(&keep);
    let _lock = Lock::take_if_allowed(session)?;
    let browser = Browser::open(session, &request.snapshot)?;
    // All is found before anything is written.
    let mut mounts = Vec::with_capacity(request.targets.len());
    for target in &request.targets {
        if let Some(node) = browser.find(Path::new(target.key.as_str()))? {
            mounts.push((target, node));
        }
    }
    let mut roots = Vec::with_capacity(mounts.len());
    for (target, node) in mounts {
        roots.push((target.key.as_str(), Root::open(&target.path, node.is_dir())?, node));
    }
    let tally = Tally::new();
    if let Some((files, bytes)) = browser.totals(roots.len()) {
        tally.set_totals(files, bytes);
    }
    let mut report = RestoreReport::default();
    tally.told_to(events, || {
        roots.into_iter().try_for_each(|(key, root, node)| {
            let ledger = Ledger { events, tally: &tally, mount: Path::new(key) };
            restore_mount(session, &browser, delete_but, (&root, node), &ledger, &mut report)
        })
    })?;
    tally.tell_end(events);
    Ok(report)
}

fn restore_mount(
    session: &Session,
    browser: &Browser,
    delete_but: Option<&Excludes>,
    (root, node): (&Root, Node),
    ledger: &Ledger<'_>,
    report: &mut RestoreReport,
) -> Result<()> {
    // A window that is planned waits until the one before it is written.
    let (sender, windows) = mpsc::sync_channel::<Window>(0);
    thread::scope(|scope| {
        let planner = scope.spawn(move || Planner::new(session, browser, root, sender).run(node));
        let mut writer = TreeWriter::new(root, delete_but, ledger, report);
        let written = windows.iter().try_for_each(|window| {
            if session.backend.has_ended() {
                let reason = "nobody waits for it any more";
                return Err(Error::new(ErrorKind::Cancelled, OPERATION, root.name(), reason));
            }
            writer.write(window)
        });
        drop(windows);
        let planned = planner
            .join()
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, OPERATION, root.name(), "the planning broke off")));
        written.and(planned)
    })?;
    root.flush()
}

/// Where a restore writes down what it met in one mount.
struct Ledger<'a> {
    events: &'a Events,
    tally: &'a Tally,
    mount: &'a Path,
}

impl Ledger<'_> {
    /// Warns of a path below the mount.
    fn warn(&self, kind: WarningKind, below: &Path, detail: impl Into<String>) {
        let path = if below.as_os_str().is_empty() { self.mount.to_path_buf() } else { self.mount.join(below) };
        self.events.warn(Warning { kind, path: EntryPath::new(path), detail: detail.into() });
    }
}

/// A failure that the rest of the restore would meet too, as an error; any other is its path's own.
fn fatal(error: Errno, target: &str) -> Option<Error> {
    let (kind, reason) = match error {
        Errno::NOSPC | Errno::DQUOT => (ErrorKind::Full, "there is no space left"),
        Errno::ROFS => (ErrorKind::PermissionDenied, "the file system is read-only"),
        Errno::IO => (ErrorKind::Unavailable, "the disk fails"),
        _ => return None,
    };
    Some(Error::new(kind, OPERATION, target, reason).with_source(std::io::Error::from(error)))
}

/// The system's words for a failure.
fn words(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}
