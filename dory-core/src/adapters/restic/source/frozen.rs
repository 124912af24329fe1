//! The sources as they were when containers stood still, as nodes of the format.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::repofile::Node;
use rustic_core::{ReadSource, ReadSourceEntry, ReadSourceOpen, RusticResult};

use super::super::backend::StoreBackend;
use super::super::translate::into_rustic;
use super::node::node;
use super::reader::BUFFER;
use super::{Ledger, ROOT, top};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Contents, Frozen, FrozenFile, Memory, Step, UnchangedFile};

/// What was frozen, as the source of a backup.
///
/// It is complete or it fails: what cannot be read of it fails the backup, for it had been kept.
pub(in super::super) struct FrozenSource {
    pub(in super::super) frozen: Arc<Frozen>,
    pub(in super::super) memory: Arc<dyn Memory>,
    pub(in super::super) ledger: Ledger,
    pub(in super::super) backend: Arc<StoreBackend>,
}

impl ReadSource for FrozenSource {
    type Open = FrozenOpener;
    type Iter = FrozenEntries;

    fn size(&self) -> RusticResult<Option<u64>> {
        let (files, bytes) = self.frozen.totals();
        self.ledger.set_totals(files, bytes);
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        let (memory, backend) = (Arc::clone(&self.memory), Arc::clone(&self.backend));
        let kept = KeptAside { frozen: Arc::clone(&self.frozen), memory, backend };
        FrozenEntries { top: Some(top()), steps: Box::new(self.frozen.steps()), ledger: self.ledger.clone(), kept }
    }
}

/// What it takes to read frozen files.
#[derive(Clone)]
struct KeptAside {
    frozen: Arc<Frozen>,
    memory: Arc<dyn Memory>,
    backend: Arc<StoreBackend>,
}

/// What was frozen, as nodes.
pub(in super::super) struct FrozenEntries {
    top: Option<Node>,
    steps: Box<dyn Iterator<Item = Step> + Send>,
    ledger: Ledger,
    kept: KeptAside,
}

impl Iterator for FrozenEntries {
    type Item = RusticResult<ReadSourceEntry<FrozenOpener>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(node) = self.top.take() {
            return Some(Ok(ReadSourceEntry { path: PathBuf::from(ROOT), node, open: None }));
        }
        if self.kept.backend.has_ended() {
            return None;
        }
        let step = self.steps.next()?;
        self.ledger.count();
        let entry = step.entry();
        let node = node(&entry.name, &entry.look, entry.settled, entry.link.as_deref(), &entry.attributes);
        let path = Path::new(ROOT).join(&step.path);
        let is_file = entry.look.is_file();
        let open = is_file.then(|| FrozenOpener { step, kept: self.kept.clone() });
        Some(Ok(ReadSourceEntry { path, node, open }))
    }
}

/// How to read one frozen file, if the hot pass did not.
pub(in super::super) struct FrozenOpener {
    step: Step,
    kept: KeptAside,
}

impl FrozenOpener {
    fn contents(&self) -> Result<Box<dyn Read + Send>> {
        let KeptAside { frozen, memory, .. } = &self.kept;
        match self.step.entry().contents {
            Contents::Changed(at) => Ok(Box::new(FrozenFile::open(frozen, at, memory)?)),
            // The hot pass read it, and what it stored is there no more: somebody pruned.
            _ => Ok(Box::new(UnchangedFile::open(&self.step)?)),
        }
    }
}

impl ReadSourceOpen for FrozenOpener {
    type Reader = BufReader<FrozenReader>;

    fn open(self) -> RusticResult<Self::Reader> {
        match self.contents() {
            Ok(contents) => {
                let reader = FrozenReader { contents, backend: self.kept.backend };
                Ok(BufReader::with_capacity(BUFFER, reader))
            }
            Err(error) => {
                self.kept.backend.give_up(&error);
                Err(into_rustic(error))
            }
        }
    }
}

/// A frozen file being read. `rustic_core` would leave out what cannot be read; so nothing more may be written.
pub(in super::super) struct FrozenReader {
    contents: Box<dyn Read + Send>,
    backend: Arc<StoreBackend>,
}

impl Read for FrozenReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.contents.read(buffer).inspect_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                Some(error) => self.backend.give_up(error),
                None => {
                    let reason = "it cannot be read";
                    let failure = Error::new(ErrorKind::Unavailable, "read what was kept aside", "", reason);
                    self.backend.give_up(&failure.with_source(error.to_string()));
                }
            }
        })
    }
}
