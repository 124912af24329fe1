//! The repository over time: its snapshots, forgetting, pruning, checking, measuring.

use std::path::Path;

use rustic_core::repofile::SnapshotFile;
use rustic_core::{CheckOptions, CheckResults, FileType, Id, NoProgressBars, PruneOptions, ReadBackend, TreeId};

use super::lock::{Lock, Share};
use super::open::opened;
use super::repository::Session;
use super::source::ROOT;
use super::translate::{from_rustic, one_line};
use crate::domain::id::{MountKey, SnapshotId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{PruneReport, RepositoryStats, Snapshot, VerifyDepth, VerifyReport};

pub(super) fn list_snapshots(session: &Session) -> Result<Vec<Snapshot>> {
    let fail = |error: Box<rustic_core::RusticError>| {
        from_rustic(&error, ErrorKind::Corrupt, "list snapshots of", session.backend.name())
    };
    let repository = opened(&session.backend, &session.key, NoProgressBars {})?;
    let mut files = repository.get_all_snapshots().map_err(fail)?;
    files.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.id.cmp(&b.id)));
    files.iter().map(snapshot).collect()
}

fn snapshot(file: &SnapshotFile) -> Result<Snapshot> {
    let root = Path::new(ROOT);
    let key = |path: &String| {
        let key = Path::new(path).strip_prefix(root).ok()?.to_str()?;
        MountKey::parse(key).ok()
    };
    Ok(Snapshot {
        id: SnapshotId::parse(file.id.to_hex().as_str())?,
        taken_at: file.time.timestamp(),
        mounts: file.paths.iter().filter_map(key).collect(),
        tags: file.tags.iter().cloned().collect(),
        tied_to: Vec::new(),
    })
}

pub(super) fn forget(session: &Session, snapshots: &[SnapshotId]) -> Result<()> {
    let _lock = Lock::take(session, Share::Alone)?;
    for snapshot in snapshots {
        // What is no id of this format names nothing that could be there.
        if let Ok(id) = snapshot.as_str().parse::<Id>() {
            session.backend.delete(FileType::Snapshot, &id)?;
        }
    }
    Ok(())
}

/// Marks what nobody needs, and removes what was marked a day ago and nobody has needed since. Whoever backs up
/// meanwhile may rely on data that is being marked: the next prune sees it, and takes the mark away.
pub(super) fn prune(session: &Session) -> Result<PruneReport> {
    let _lock = Lock::take(session, Share::Alone)?;
    prune_beside_others(session)
}

/// Prunes as part of something that holds a lock already.
pub(super) fn prune_beside_others(session: &Session) -> Result<PruneReport> {
    let fail =
        |error: Box<rustic_core::RusticError>| from_rustic(&error, ErrorKind::Corrupt, "prune", session.backend.name());
    let options = PruneOptions::default();
    let repository = opened(&session.backend, &session.key, NoProgressBars {})?;
    let plan = repository.prune_plan(&options).map_err(fail)?;
    let sizes = plan.stats.size_sum();
    let marked = plan.stats.size_to_delete.keep + sizes.remove + sizes.repack + plan.stats.size_unref;
    let removed = plan.stats.size_to_delete.remove;
    repository.prune(&options, plan).map_err(fail)?;
    Ok(PruneReport { removed_bytes: removed, marked_bytes: marked })
}

pub(super) fn verify(session: &Session, depth: VerifyDepth) -> Result<VerifyReport> {
    let mut faults = Vec::new();
    match check(session, depth, &mut faults) {
        Ok(()) => {}
        // Damage that keeps the check from going on is what it was to find.
        Err(error) if error.kind() == ErrorKind::Corrupt => faults.push(one_line(describe(&error))),
        Err(error) => return Err(error),
    }
    Ok(VerifyReport { faults })
}

fn check(session: &Session, depth: VerifyDepth, faults: &mut Vec<String>) -> Result<()> {
    let fail = |error: Box<rustic_core::RusticError>| {
        from_rustic(&error, ErrorKind::Corrupt, "verify", session.backend.name())
    };
    let repository = opened(&session.backend, &session.key, NoProgressBars {})?;
    let trees = readable_trees(session, &repository, faults)?;
    let options = CheckOptions::default().read_data(depth == VerifyDepth::Data);
    let results = repository.check_with_trees(options, trees).map_err(fail)?;
    for (level, finding) in results.0 {
        let (text, details) = (one_line(&finding), format!("{finding:?}"));
        // Findings cannot be named, only shown. What is to be deleted is missed by nobody: restic's own prune takes
        // it at once.
        let of_no_use = details.contains("to_delete: true");
        if CheckResults(vec![(level, finding)]).is_ok().is_err() && !of_no_use {
            faults.push(text);
        }
    }
    Ok(())
}

/// The trees of the snapshots that can be read; each that cannot is a fault of its own, and hides no other.
fn readable_trees<S: rustic_core::Open>(
    session: &Session,
    repository: &rustic_core::Repository<S>,
    faults: &mut Vec<String>,
) -> Result<Vec<TreeId>> {
    let fail = |error: Box<rustic_core::RusticError>, subject: &str| {
        from_rustic(&error, ErrorKind::Corrupt, "read snapshot", subject)
    };
    let ids = session.backend.list(FileType::Snapshot).map_err(|error| fail(error, session.backend.name()))?;
    let mut trees = Vec::new();
    for id in ids {
        match repository.get_file::<SnapshotFile>(&id.into()).map_err(|error| fail(error, id.to_hex().as_str())) {
            Ok(file) => trees.push(file.tree),
            // Forgotten meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => faults.push(one_line(describe(&error))),
            Err(error) => return Err(error),
        }
    }
    Ok(trees)
}

fn describe(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ")
}

pub(super) fn stats(session: &Session) -> Result<RepositoryStats> {
    let sizes = session.backend.sizes()?;
    let snapshots = session.backend.list(FileType::Snapshot);
    let snapshots = snapshots
        .map_err(|error| from_rustic(&error, ErrorKind::Unavailable, "measure", session.backend.name()))?
        .len();
    Ok(RepositoryStats { stored_bytes: sizes.iter().sum(), objects: sizes.len() as u64, snapshots: snapshots as u64 })
}
