//! The folders that a backup reads, proven to be there.

use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::exclude::Excludes;
use super::inode::Place;
use super::settled::Settled;
use crate::error::{Error, Result};
use crate::ports::SnapshotRequest;

/// The sources of a backup, and what of them is left out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mounts {
    pub(super) all: Vec<Mount>,
    pub(super) excludes: Arc<Excludes>,
}

/// One of the sources.
#[derive(Clone)]
pub(crate) struct Mount {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) settled: Settled,
}

impl Mounts {
    /// Checks that the sources are there and the patterns make sense.
    pub(crate) fn new(request: &SnapshotRequest) -> Result<Self> {
        let excludes = Arc::new(Excludes::new(&request.exclude)?);
        let mut all = Vec::with_capacity(request.sources.len());
        for source in &request.sources {
            let place = Place::of_source(&source.path).map_err(|error| missing_source(&source.path, error))?;
            all.push(Mount { key: source.key.to_string(), place, settled: Settled::UnlessRecent });
        }
        // Engines want names in order.
        all.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(twice) = all.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(Error::invalid("source", &twice[0].key, "each mount may be named once"));
        }
        Ok(Self { all, excludes })
    }

    /// What is at a path whose first part is a mount's key.
    pub(crate) fn find(&self, path: &Path) -> Option<Place> {
        let mut parts = path.iter();
        let key = parts.next()?;
        let mount = self.all.iter().find(|mount| mount.key.as_str() == key)?;
        mount.place.descend(parts.as_path()).ok()
    }

    /// The same, for a pass over what is running that begins now: see [`Settled::for_pass`].
    pub(crate) fn settled(mut self) -> Self {
        for mount in &mut self.all {
            mount.settled = Settled::for_pass(&mount.place);
        }
        self
    }
}

fn missing_source(path: &Path, error: Errno) -> Error {
    let reason = match error {
        Errno::NOENT | Errno::NOTDIR => "it is not there",
        _ => "it cannot be opened",
    };
    Error::invalid("source", path.to_string_lossy(), reason).with_source(std::io::Error::from(error))
}
