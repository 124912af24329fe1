//! A source with the dumps beside its mounts.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::path::PathBuf;
use std::sync::Arc;

use rustic_core::repofile::Node;
use rustic_core::{ReadSource, ReadSourceEntry, ReadSourceOpen, RusticResult};

use super::backend::StoreBackend;
use super::dumps::{Dump, folder};
use super::source::{ROOT, mount_path};
use super::translate::into_rustic;
use crate::domain::dump::FOLDER;
use crate::error::{Error, ErrorKind};

/// A source, and the dumps that were taken.
pub(super) struct WithDumps<S> {
    pub(super) source: S,
    dumps: Vec<Dump>,
    backend: Arc<StoreBackend>,
}

impl<S> WithDumps<S> {
    pub(super) fn new(source: S, dumps: &[Dump], backend: &Arc<StoreBackend>) -> Self {
        Self { source, dumps: dumps.to_vec(), backend: Arc::clone(backend) }
    }

    /// Inodes that the dumps are.
    pub(super) fn inodes(&self) -> u64 {
        if self.dumps.is_empty() { 0 } else { self.dumps.len() as u64 + 1 }
    }
}

impl<S: ReadSource> ReadSource for WithDumps<S> {
    type Open = DumpOrFile<S::Open>;
    type Iter = Joined<S::Iter, S::Open>;

    fn size(&self) -> RusticResult<Option<u64>> {
        self.source.size()
    }

    fn entries(&self) -> Self::Iter {
        let mut dumps: Vec<Node> = self.dumps.iter().map(|dump| dump.node.clone()).collect();
        dumps.sort_by(|a, b| a.name().cmp(&b.name()));
        let mut entries = VecDeque::new();
        if !dumps.is_empty() {
            entries.push_back(ReadSourceEntry { path: mount_path(FOLDER), node: folder(), open: None });
        }
        entries.extend(dumps.into_iter().map(|node| {
            let path = mount_path(FOLDER).join(node.name());
            let open = Some(DumpOrFile::Dump(Arc::clone(&self.backend), path.clone()));
            ReadSourceEntry { path, node, open }
        }));
        Joined { entries: self.source.entries().peekable(), dumps: entries, is_their_turn: false }
    }
}

/// Entries of both, in the order that the format wants.
pub(super) struct Joined<I: Iterator, O> {
    entries: Peekable<I>,
    dumps: VecDeque<ReadSourceEntry<DumpOrFile<O>>>,
    is_their_turn: bool,
}

impl<O, I: Iterator<Item = RusticResult<ReadSourceEntry<O>>>> Iterator for Joined<I, O> {
    type Item = RusticResult<ReadSourceEntry<DumpOrFile<O>>>;

    fn next(&mut self) -> Option<Self::Item> {
        // Mounts are walked one after the other, so the first entry of one that comes after shows that it is time.
        self.is_their_turn = self.is_their_turn
            || match self.entries.peek() {
                None => true,
                Some(Ok(entry)) => comes_after(&entry.path),
                Some(Err(_)) => false,
            };
        if self.is_their_turn
            && let Some(dump) = self.dumps.pop_front()
        {
            return Some(Ok(dump));
        }
        let file = |entry: ReadSourceEntry<O>| {
            let ReadSourceEntry { path, node, open } = entry;
            ReadSourceEntry { path, node, open: open.map(DumpOrFile::File) }
        };
        Some(self.entries.next()?.map(file))
    }
}

fn comes_after(path: &std::path::Path) -> bool {
    let mount = path.strip_prefix(ROOT).ok().and_then(|below| below.iter().next());
    mount.is_some_and(|mount| mount > FOLDER)
}

/// How to read an entry again.
pub(super) enum DumpOrFile<O> {
    File(O),
    /// A dump is stored already, and can be had no second time.
    Dump(Arc<StoreBackend>, PathBuf),
}

impl<O: ReadSourceOpen> ReadSourceOpen for DumpOrFile<O> {
    type Reader = O::Reader;

    fn open(self) -> RusticResult<Self::Reader> {
        match self {
            Self::File(file) => file.open(),
            Self::Dump(backend, path) => {
                let reason =
                    "what was stored of it is there no more: somebody removed it before it was part of a point";
                let error = Error::new(ErrorKind::Conflict, "keep dump", path.display().to_string(), reason)
                    .with_hint("run the backup again; prune only with `dory delete` or restic");
                backend.give_up(&error);
                Err(into_rustic(error))
            }
        }
    }
}
