//! How much each mount holds, counted while it is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};

use super::source::ROOT;
use crate::domain::id::MountKey;
use crate::domain::restore_point::MountSize;

/// A source that counts what it gives.
pub(super) struct Measured<S> {
    source: S,
    sizes: Sizes,
}

/// Files and bytes by the mount's key. Clones count into one.
#[derive(Clone, Default)]
struct Sizes(Arc<Mutex<BTreeMap<String, (u64, u64)>>>);

impl<S> Measured<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, sizes: Sizes::default() }
    }

    /// What was given until now.
    pub(super) fn sizes(&self) -> Vec<MountSize> {
        let sizes = self.sizes.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = |(key, &(files, bytes)): (&String, &(u64, u64))| {
            MountKey::parse(key.as_str()).ok().map(|key| MountSize { key, files, bytes })
        };
        sizes.iter().filter_map(size).collect()
    }
}

impl<S: ReadSource> ReadSource for Measured<S> {
    type Open = S::Open;
    type Iter = Counted<S::Iter>;

    fn size(&self) -> RusticResult<Option<u64>> {
        self.source.size()
    }

    fn entries(&self) -> Self::Iter {
        Counted { entries: self.source.entries(), sizes: self.sizes.clone() }
    }
}

/// Entries that are counted as they pass.
pub(super) struct Counted<I> {
    entries: I,
    sizes: Sizes,
}

impl<O, I: Iterator<Item = RusticResult<ReadSourceEntry<O>>>> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?;
        if let Ok(entry) = &entry {
            self.sizes.count(entry);
        }
        Some(entry)
    }
}

impl Sizes {
    fn count<O>(&self, entry: &ReadSourceEntry<O>) {
        let Ok(below) = entry.path.strip_prefix(ROOT) else { return };
        let mut parts = below.components();
        let Some(key) = parts.next().and_then(|key| key.as_os_str().to_str()) else { return };
        let is_mount = parts.as_path() == PathBuf::new().as_path();
        let bytes = if entry.node.is_file() { entry.node.meta.size } else { 0 };
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let size = match sizes.get_mut(key) {
            Some(size) => size,
            None => sizes.entry(key.to_owned()).or_default(),
        };
        size.0 += u64::from(!is_mount);
        size.1 += bytes;
    }
}
