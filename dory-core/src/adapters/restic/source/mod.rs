//! What a backup reads: the mounts' folders, as nodes under `/backup/<key>` wherever they really are.
//!
//! `rustic_core` only logs what it cannot read; here each such path becomes a warning.

mod frozen;
mod ledger;
mod node;
mod reader;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};

use self::node::node;
use self::reader::Opener;
use super::go_mode;
use crate::source::{Ended, Found, Manifest, Mounts, Walk};

pub(super) use self::frozen::FrozenSource;
pub(super) use self::ledger::Ledger;

/// The folder of a snapshot that holds the mounts.
pub(super) const ROOT: &str = "/backup";

/// The sources of one backup, as they are while they are read.
pub(super) struct VolumeSource {
    mounts: Mounts,
    ledger: Ledger,
    ended: Ended,
    record: Option<Record>,
}

/// Where a pass writes down what it reads, and what the pass before it wrote down.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) manifest: Arc<Manifest>,
    pub(super) before: Option<Arc<Manifest>>,
}

impl VolumeSource {
    pub(super) fn new(mounts: Mounts, ledger: Ledger, ended: Ended) -> Self {
        Self { mounts, ledger, ended, record: None }
    }

    /// Writes down what is read.
    pub(super) fn recording(self, record: Record) -> Self {
        Self { record: Some(record), ..self }
    }
}

impl ReadSource for VolumeSource {
    type Open = Opener;
    type Iter = Entries;

    /// Counts what there is, beside the work itself. What cannot be counted is told when it cannot be read.
    fn size(&self) -> RusticResult<Option<u64>> {
        let (mut files, mut bytes) = (0, 0);
        let walk = Walk::new(&self.mounts, Ledger::silent().notes().clone(), Arc::clone(&self.ended));
        for found in walk.only_counting() {
            files += 1;
            bytes += if found.look.is_file() { found.look.size } else { 0 };
        }
        self.ledger.set_totals(files, bytes);
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let walk = Walk::new(&self.mounts, self.ledger.notes().clone(), Arc::clone(&self.ended));
        Entries { top: Some(top()), walk, ledger: self.ledger.clone(), record: self.record.clone() }
    }
}

/// A walk, as nodes of the format.
pub(super) struct Entries {
    /// The folder that holds the mounts, until it was given.
    top: Option<Node>,
    walk: Walk,
    ledger: Ledger,
    record: Option<Record>,
}

impl Entries {
    fn entry(&self, found: Found) -> ReadSourceEntry<Opener> {
        self.ledger.count();
        let node = node(&found.name, &found.look, found.settled, found.link.as_deref(), &found.attributes);
        if let Some(record) = &self.record {
            record.manifest.note(&found, record.before.as_deref());
        }
        let path = Path::new(ROOT).join(&found.path);
        let open = found.look.is_file().then(|| Opener {
            place: found.place,
            seen: found.look,
            path: found.path,
            ledger: self.ledger.clone(),
            manifest: self.record.as_ref().map(|record| Arc::clone(&record.manifest)),
        });
        ReadSourceEntry { path, node, open }
    }
}

impl Iterator for Entries {
    type Item = RusticResult<ReadSourceEntry<Opener>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(node) = self.top.take() {
            return Some(Ok(ReadSourceEntry { path: PathBuf::from(ROOT), node, open: None }));
        }
        let found = self.walk.next()?;
        Some(Ok(self.entry(found)))
    }
}

/// The folder that holds the mounts: always the same, so that a backup without changes adds nothing for it.
pub(super) fn top() -> Node {
    let time = Some(Timestamp::UNIX_EPOCH);
    let mode = Some(go_mode::to_go(0o040_755));
    let owner = Some(0);
    let meta = Metadata { mode, mtime: time, atime: time, ctime: time, uid: owner, gid: owner, ..Metadata::default() };
    Node::new_node(Path::new(ROOT).file_name().unwrap_or_default(), NodeType::Dir, meta)
}

/// A mount's path in snapshots.
pub(super) fn mount_path(key: &str) -> PathBuf {
    Path::new(ROOT).join(key)
}
