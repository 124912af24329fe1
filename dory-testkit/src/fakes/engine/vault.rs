//! What one repository holds, and the rules of forgetting, pruning and checking.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use dory_core::domain::dump;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::id::{MountKey, SnapshotId};
use dory_core::domain::secret::Secret;
use dory_core::ports::{
    FileEntry, PruneReport, RepositorySpec, RepositoryStats, Snapshot, SnapshotRequest, UndoMount, UndoRequest,
    VerifyDepth, VerifyReport,
};
use dory_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::node::{BlobId, Node};

/// One repository.
pub(super) struct Vault {
    /// Its folder below the store's root.
    pub(super) path: String,
    password: Option<Secret>,
    snapshots: Vec<Kept>,
    blobs: BTreeMap<BlobId, Bytes>,
    chain_length: usize,
    made: usize,
}

/// One snapshot in full.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) id: SnapshotId,
    pub(super) mounts: Vec<MountKey>,
    pub(super) nodes: BTreeMap<EntryPath, Node>,
    taken_at: Timestamp,
    tags: Vec<String>,
    /// Which chain it is part of.
    chain: usize,
}

impl Vault {
    /// An empty repository; `chain_length` of 0 lets every snapshot go alone.
    pub(super) fn new(spec: &RepositorySpec, chain_length: usize) -> Self {
        Self {
            path: spec.path.clone(),
            password: spec.password.clone(),
            snapshots: Vec::new(),
            blobs: BTreeMap::new(),
            chain_length,
            made: 0,
        }
    }

    pub(super) fn opens_with(&self, password: Option<&Secret>) -> bool {
        self.password.as_ref() == password
    }

    /// Keeps a file's contents; tells their name, and how many bytes that added.
    pub(super) fn keep(&mut self, contents: Vec<u8>) -> (BlobId, u64) {
        let id = blob_of(&contents);
        let bytes = contents.len() as u64;
        if self.blobs.contains_key(&id) {
            return (id, 0);
        }
        self.blobs.insert(id, contents.into());
        (id, bytes)
    }

    /// Whether these contents are kept already.
    pub(super) fn keeps(&self, blob: &BlobId) -> bool {
        self.blobs.contains_key(blob)
    }

    /// A file's contents, checked.
    pub(super) fn contents(&self, blob: &BlobId, subject: &EntryPath) -> Result<Bytes> {
        let corrupt =
            |reason: &str| Error::new(ErrorKind::Corrupt, "read from repository", subject.to_string(), reason);
        let contents = self.blobs.get(blob).ok_or_else(|| corrupt("its contents are missing"))?;
        if Sha256::digest(contents)[..] == blob[..] {
            Ok(contents.clone())
        } else {
            Err(corrupt("its contents changed"))
        }
    }

    pub(super) fn add(&mut self, request: &SnapshotRequest, nodes: BTreeMap<EntryPath, Node>) -> SnapshotId {
        let chain = self.made.checked_div(self.chain_length).unwrap_or(self.made);
        self.made += 1;
        let digest = Sha256::digest(format!("{} {} {}", self.made, request.taken_at, request.tags.join(" ")));
        let id = SnapshotId::parse(HEXLOWER.encode(&digest)).expect("hex digits");
        let mut mounts: Vec<_> = request.sources.iter().map(|source| source.key.clone()).collect();
        if nodes.contains_key(&EntryPath::new(dump::FOLDER)) {
            mounts.push(dump::folder_key());
        }
        let (taken_at, tags) = (request.taken_at, request.tags.clone());
        self.snapshots.push(Kept { id: id.clone(), mounts, nodes, taken_at, tags, chain });
        self.snapshots.sort_by_key(|snapshot| snapshot.taken_at);
        id
    }

    pub(super) fn find(&self, id: &SnapshotId) -> Result<&Kept> {
        let found = self.snapshots.iter().find(|snapshot| snapshot.id == *id);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "find snapshot", id.as_str(), "no such snapshot"))
    }

    pub(super) fn list(&self) -> Vec<Snapshot> {
        let describe = |kept: &Kept| Snapshot {
            id: kept.id.clone(),
            taken_at: kept.taken_at,
            mounts: kept.mounts.clone(),
            tags: kept.tags.clone(),
            tied_to: self.tied_to(kept),
        };
        self.snapshots.iter().map(describe).collect()
    }

    fn tied_to(&self, kept: &Kept) -> Vec<SnapshotId> {
        let others = self.snapshots.iter().filter(|other| other.id != kept.id && other.chain == kept.chain);
        others.map(|other| other.id.clone()).collect()
    }

    pub(super) fn forget(&mut self, ids: &[SnapshotId]) -> Result<()> {
        for kept in self.snapshots.iter().filter(|kept| ids.contains(&kept.id)) {
            let missing: Vec<_> = self.tied_to(kept).into_iter().filter(|id| !ids.contains(id)).collect();
            if !missing.is_empty() {
                let names: Vec<_> = missing.iter().map(|id| format!("`{id}`")).collect();
                let reason = format!("it can only go together with {}", names.join(", "));
                return Err(Error::new(ErrorKind::Unsupported, "forget snapshot", kept.id.as_str(), reason));
            }
        }
        self.snapshots.retain(|kept| !ids.contains(&kept.id));
        Ok(())
    }

    pub(super) fn prune(&mut self) -> Result<PruneReport> {
        let report = self.verify(VerifyDepth::Structure);
        if let Some(fault) = report.faults.first() {
            return Err(Error::new(ErrorKind::Corrupt, "prune repository", "", fault));
        }
        let needed: BTreeSet<_> = self.needed().map(|(_, blob)| blob).collect();
        let mut removed_bytes = 0;
        self.blobs.retain(|id, contents| {
            let keep = needed.contains(id);
            removed_bytes += if keep { 0 } else { contents.len() as u64 };
            keep
        });
        Ok(PruneReport { removed_bytes, marked_bytes: 0 })
    }

    pub(super) fn verify(&self, depth: VerifyDepth) -> VerifyReport {
        let fault = |(path, blob): (&EntryPath, BlobId)| match depth {
            VerifyDepth::Structure if self.blobs.contains_key(&blob) => None,
            VerifyDepth::Structure => Some(format!("`{path}`: its contents are missing")),
            VerifyDepth::Data => self.contents(&blob, path).err().map(|error| error.to_string()),
        };
        VerifyReport { faults: self.needed().filter_map(fault).collect() }
    }

    fn needed(&self) -> impl Iterator<Item = (&EntryPath, BlobId)> {
        let nodes = self.snapshots.iter().flat_map(|snapshot| &snapshot.nodes);
        nodes.filter_map(|(path, node)| Some((path, node.blob()?)))
    }

    pub(super) fn check_restorable(&self, id: &SnapshotId, mounts: &[MountKey]) -> Result<()> {
        let kept = self.find(id)?;
        for mount in mounts {
            kept.node(&EntryPath::new(mount.as_str()))?;
        }
        let wanted = |path: &&EntryPath| mounts.iter().any(|mount| path.as_path().starts_with(mount.as_str()));
        let lost = kept.nodes.iter().filter(|(path, _)| wanted(path)).find_map(|(path, node)| {
            let blob = node.blob()?;
            (!self.blobs.contains_key(&blob)).then_some(path)
        });
        lost.map_or(Ok(()), |path| {
            Err(Error::new(ErrorKind::Corrupt, "restore from repository", path.to_string(), "its contents are missing"))
        })
    }

    /// Reads what `overwriting` does not hold at the same path.
    pub(super) fn prove_undo(&self, request: &UndoRequest) -> Result<()> {
        let undo = self.find(&request.undo)?;
        let overwriting = request.overwriting.as_ref().map(|id| self.find(id)).transpose()?;
        for (path, node) in &undo.nodes {
            let same = |mount: &UndoMount| {
                let rest = path.as_path().strip_prefix(mount.key.as_str()).ok()?;
                let there =
                    overwriting?.nodes.get(&EntryPath::new(Path::new(mount.overwritten_by.as_str()).join(rest)));
                Some(there.and_then(Node::blob) == node.blob())
            };
            if let Some(blob) = node.blob()
                && !request.mounts.iter().any(|mount| same(mount) == Some(true))
            {
                self.contents(&blob, path)?;
            }
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> RepositoryStats {
        RepositoryStats {
            stored_bytes: self.blobs.values().map(|contents| contents.len() as u64).sum(),
            objects: (self.blobs.len() + self.snapshots.len()) as u64,
            snapshots: self.snapshots.len() as u64,
        }
    }

    pub(super) fn damage(&mut self) {
        let largest = self.blobs.values_mut().max_by_key(|contents| contents.len()).expect("something to damage");
        let mut contents = largest.to_vec();
        let middle = contents.len() / 2;
        contents[middle] ^= 1;
        *largest = contents.into();
    }

    pub(super) fn lose(&mut self) {
        let largest = self.blobs.iter().max_by_key(|(_, contents)| contents.len()).map(|(id, _)| *id);
        self.blobs.remove(&largest.expect("something to lose"));
    }
}

/// The name of a file's contents.
pub(super) fn blob_of(contents: &[u8]) -> BlobId {
    Sha256::digest(contents).into()
}

impl Kept {
    /// The inode at `path`.
    pub(super) fn node(&self, path: &EntryPath) -> Result<&Node> {
        let missing =
            || Error::new(ErrorKind::NotFound, "find path", path.to_string(), "the snapshot does not hold it");
        self.nodes.get(path).ok_or_else(missing)
    }

    pub(super) fn list(&self, folder: &EntryPath, recursive: bool) -> Result<Vec<FileEntry>> {
        let top = *folder == EntryPath::default();
        if !top && !self.node(folder)?.is_folder() {
            return Ok(vec![self.node(folder)?.to_entry(folder)]);
        }
        let inside = |path: &Path| {
            let rest = if top { Some(path) } else { path.strip_prefix(folder.as_path()).ok() };
            rest.map_or(0, |rest| rest.components().filter(|part| matches!(part, Component::Normal(_))).count())
        };
        let wanted = |path: &EntryPath| match inside(path.as_path()) {
            0 => false,
            1 => true,
            _ => recursive,
        };
        let fits = self.nodes.iter().filter(|(path, _)| wanted(path));
        Ok(fits.map(|(path, node)| node.to_entry(path)).collect())
    }
}
