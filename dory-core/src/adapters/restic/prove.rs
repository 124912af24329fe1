//! Proving that snapshots can be restored, before anything is overwritten.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustic_core::repofile::Node;
use rustic_core::{DataId, TreeId};

use super::browse::Browser;
use super::fetch::{Fetcher, WINDOW};
use super::lock::Lock;
use super::packs::{Broken, PackBook};
use super::repository::Session;
use crate::domain::entry_path::EntryPath;
use crate::domain::id::{MountKey, SnapshotId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::UndoRequest;

const OPERATION: &str = "restore from";

/// Proves by names and sizes that these folders of a snapshot can be restored.
pub(super) fn check_restorable(session: &Session, snapshot: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
    let _lock = Lock::take_if_allowed(session)?;
    let mut book = PackBook::default();
    book.read(session)?;
    let broken = book.broken(session)?;
    if !broken.is_empty() {
        book.hide(session, &broken)?;
    }
    let browser = Browser::open(session, snapshot)?;
    let mut nodes = Vec::with_capacity(mounts.len());
    for mount in mounts {
        nodes.extend(browser.find(Path::new(mount.as_str()))?.map(|node| (PathBuf::from(mount.as_str()), node)));
    }
    if broken.is_empty() { Ok(()) } else { check_nodes(session, &browser, nodes, &broken) }
}

/// Proves that a snapshot relies on no pack that is not as it should be. The session sees none of those.
pub(super) fn check_snapshot(session: &Session, snapshot: &SnapshotId, broken: &Broken) -> Result<()> {
    let browser = Browser::open(session, snapshot)?;
    let nodes = browser.mounts()?.into_iter().map(|node| (PathBuf::from(node.name().into_owned()), node)).collect();
    check_nodes(session, &browser, nodes, broken)
}

fn check_nodes(session: &Session, browser: &Browser, mut waiting: Vec<(PathBuf, Node)>, broken: &Broken) -> Result<()> {
    let missed = |path: &Path| {
        let packs = broken.iter().next().map(|(pack, what)| format!("pack {}: {what}", pack.to_hex().as_str()));
        let reason = format!("what it needs is not all there, of `{}` for one", EntryPath::new(path));
        Error::new(ErrorKind::Corrupt, OPERATION, session.backend.name(), reason)
            .with_source(packs.unwrap_or_default())
            .with_hint("restore another point; a new backup stores what is missing of the present data anew")
    };
    let mut seen = HashSet::new();
    while let Some((path, node)) = waiting.pop() {
        let lost = node.content.iter().flatten().any(|id| browser.repository.get_index_entry(id).is_err());
        if lost {
            return Err(missed(&path));
        }
        if let Some(tree) = node.subtree.filter(|tree| seen.insert(*tree)) {
            let children = browser.children(tree).map_err(|error| match error.kind() {
                ErrorKind::Corrupt => missed(&path),
                _ => error,
            })?;
            waiting.extend(children.into_iter().map(|child| (path.join(child.name()), child)));
        }
    }
    Ok(())
}

/// Reads what a restore would destroy, what the snapshot of it shares with older ones, and what that restore does not
/// read itself before it destroys it.
pub(super) fn prove_undo(session: &Session, request: &UndoRequest) -> Result<()> {
    let undo = Browser::open(session, &request.undo)?;
    let overwriting = match &request.overwriting {
        Some(snapshot) => undo.mounts_of(session, snapshot)?,
        None => Vec::new(),
    };
    let mut gathering = Gathering {
        undo: &undo,
        // What was written just now is whole: the store said so.
        written: session.backend.packs_written(),
        seen: HashSet::new(),
        paths: Vec::new(),
        wanted: Vec::new(),
    };
    for mount in &request.mounts {
        let node = undo.find(Path::new(mount.key.as_str()))?;
        let other = overwriting.iter().find(|node| *node.name() == *mount.overwritten_by.as_str()).cloned();
        if let Some(node) = node {
            gathering.gather(PathBuf::from(mount.key.as_str()), node, other)?;
        }
    }
    let Gathering { paths, wanted, .. } = gathering;
    read(session, &undo, &wanted, &paths)
}

/// Contents that must be read, each with the first path that needs it.
struct Gathering<'a> {
    undo: &'a Browser,
    written: HashSet<rustic_core::Id>,
    seen: HashSet<DataId>,
    paths: Vec<PathBuf>,
    wanted: Vec<(DataId, usize)>,
}

impl Gathering<'_> {
    fn gather(&mut self, path: PathBuf, node: Node, other: Option<Node>) -> Result<()> {
        let mut waiting = vec![(path, node, other)];
        while let Some((path, node, other)) = waiting.pop() {
            if let Some(tree) = node.subtree {
                let there = other.and_then(|other| other.subtree);
                if there != Some(tree) {
                    let mut others = self.by_name(there)?;
                    for child in self.undo.children(tree)? {
                        let other = others.remove(&*child.name());
                        waiting.push((path.join(child.name()), child, other));
                    }
                }
                continue;
            }
            let shared: HashSet<_> = other.and_then(|other| other.content).unwrap_or_default().into_iter().collect();
            self.want(&path, node.content.unwrap_or_default(), &shared)?;
        }
        Ok(())
    }

    fn by_name(&self, tree: Option<TreeId>) -> Result<HashMap<std::ffi::OsString, Node>> {
        let nodes = tree.map_or_else(|| Ok(Vec::new()), |tree| self.undo.children(tree))?;
        Ok(nodes.into_iter().map(|node| (node.name().into_owned(), node)).collect())
    }

    /// A restore reads all of a file's new contents before it touches the old one.
    fn want(&mut self, path: &Path, content: Vec<DataId>, shared: &HashSet<DataId>) -> Result<()> {
        for id in content {
            if shared.contains(&id) || !self.seen.insert(id) {
                continue;
            }
            let entry =
                self.undo.repository.get_index_entry(&id).map_err(|_| lost(path, "nothing tells where it is"))?;
            if !self.written.contains(&*entry.pack) {
                if self.paths.last().is_none_or(|last| last != path) {
                    self.paths.push(path.to_path_buf());
                }
                self.wanted.push((id, self.paths.len() - 1));
            }
        }
        Ok(())
    }
}

/// Reads contents and lets them go, a window at a time.
fn read(session: &Session, browser: &Browser, wanted: &[(DataId, usize)], paths: &[PathBuf]) -> Result<()> {
    let mut fetcher = Fetcher::new(&session.backend, &browser.repository);
    let mut rest = wanted;
    while !rest.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        while count < rest.len() && (count == 0 || bytes < WINDOW) {
            bytes += fetcher.length(&rest[count].0)?;
            count += 1;
        }
        let (window, after) = rest.split_at(count);
        let pieces = fetcher.fetch(window.iter().map(|(id, _)| *id))?;
        for (id, path) in window {
            if let Some(Err(error)) = pieces.get(id) {
                let path = paths.get(*path).map(PathBuf::as_path).unwrap_or(Path::new(""));
                return Err(lost(path, &Error::from(error.clone()).to_string()));
            }
        }
        rest = after;
    }
    Ok(())
}

fn lost(path: &Path, reason: &str) -> Error {
    let path = EntryPath::new(path).to_string();
    Error::new(ErrorKind::Corrupt, "prove that what is there now can be had again", path, reason)
}
