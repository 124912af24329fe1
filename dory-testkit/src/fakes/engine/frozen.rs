//! The fake engine's hot and cold passes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::event::Progress;
use dory_core::ports::{Events, FreezeReport, SnapshotRequest, WarmReport};
use dory_core::{Error, ErrorKind, Result};

use super::lock;
use super::node::{BlobId, Node};
use super::repository::FakeRepository;
use super::vault::blob_of;

/// What passes leave for those after them.
#[derive(Default)]
pub(super) struct Passes {
    warmed: Option<SnapshotRequest>,
    frozen: Option<Frozen>,
}

/// Sources as they were at one moment.
pub(super) struct Frozen {
    pub(super) nodes: BTreeMap<EntryPath, Node>,
    /// What the hot pass had not read.
    pub(super) contents: BTreeMap<BlobId, Vec<u8>>,
    pub(super) progress: Progress,
}

impl FakeRepository {
    /// Keeps what there is, and makes no snapshot.
    pub(super) async fn read_ahead(&self, request: &SnapshotRequest, events: &Events) -> Result<WarmReport> {
        *self.passes()? = Passes::default();
        try_scratch(request)?;
        let stored = Mutex::new(0);
        let keep = |contents| {
            let (blob, added) = self.keep(contents)?;
            *lock(&stored) += added;
            Ok(blob)
        };
        // Whatever falls short is told by the freeze.
        let silent = Events::ignored();
        let (_, progress) = self.read_nodes(request, &silent, &keep).await?;
        events.progress(progress);
        self.passes()?.warmed = Some(request.clone());
        let stored_bytes = *lock(&stored);
        Ok(WarmReport { files: progress.files, bytes: progress.bytes, stored_bytes, files_left: 0, bytes_left: 0 })
    }

    /// Keeps what there is now in memory. The vault is looked at only for what it has already.
    pub(super) async fn keep_aside(&self, events: &Events) -> Result<FreezeReport> {
        let nothing = || Error::invalid("freeze", "", "no hot pass came before it in this repository");
        let request = self.passes()?.warmed.clone().ok_or_else(nothing)?;
        let contents = Mutex::new(BTreeMap::new());
        let keep = |read: Vec<u8>| {
            let blob = blob_of(&read);
            if !self.shared.with_vault(&self.place, |vault| Ok(vault.keeps(&blob)))? {
                lock(&contents).insert(blob, read);
            }
            Ok(blob)
        };
        let (nodes, progress) = self.read_nodes(&request, events, &keep).await?;
        let contents = std::mem::take(&mut *lock(&contents));
        let copied_bytes = contents.values().map(|contents| contents.len() as u64).sum();
        let report = FreezeReport {
            files: progress.files,
            files_changed: contents.len() as u64,
            read_bytes: copied_bytes,
            copied_bytes,
            cloned_bytes: 0,
        };
        self.passes()?.frozen = Some(Frozen { nodes, contents, progress });
        Ok(report)
    }

    /// What was frozen, for a snapshot of it.
    pub(super) fn take_frozen(&self, request: &SnapshotRequest) -> Result<Option<Frozen>> {
        let Some(passes) = &self.passes else { return Ok(None) };
        let mut passes = lock(passes);
        let same = |warmed: &SnapshotRequest| warmed.sources == request.sources && warmed.exclude == request.exclude;
        if passes.frozen.is_some() && !passes.warmed.as_ref().is_some_and(same) {
            return Err(Error::invalid("sources", "", "they are not those that were frozen"));
        }
        Ok(passes.frozen.take())
    }

    fn passes(&self) -> Result<MutexGuard<'_, Passes>> {
        let cannot = || Error::new(ErrorKind::Unsupported, "read ahead", &self.place, "it reads in one pass");
        self.passes.as_ref().map(lock).ok_or_else(cannot)
    }
}

/// A scratch folder is there and can be written to.
fn try_scratch(request: &SnapshotRequest) -> Result<()> {
    let missing = || Error::invalid("scratch folder", "", "none was named, and a freeze needs one");
    let folder: &Path = request.scratch.as_deref().ok_or_else(missing)?;
    let probe = folder.join("probe");
    fs::write(&probe, "x").and_then(|()| fs::remove_file(&probe)).map_err(|error| {
        Error::invalid("scratch folder", folder.display().to_string(), "it cannot be written to").with_source(error)
    })
}
