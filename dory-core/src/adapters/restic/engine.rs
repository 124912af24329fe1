//! The engine: which repositories there are, and how they are opened.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use object_store::ObjectStore;
use object_store::path::Path;
use tokio::runtime::Handle;

use super::backend::{Location, StoreBackend};
use super::open::unlock;
use super::repository::{ResticRepository, run_blocking};
use crate::domain::policy::EngineKind;
use crate::domain::secret::Secret;
use crate::domain::store_url::StoreAccess;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{BackupEngine, Capabilities, OpenMode, Repository, RepositorySpec};

/// Opens a store. Paths given to its client are relative to the store's URL: to the prefix in its bucket, or to its
/// folder. What it has written must survive a power cut, so a folder's client has to flush.
pub type Connect = Arc<dyn Fn(&StoreAccess) -> Result<Arc<dyn ObjectStore>> + Send + Sync>;

/// restic's repository format.
pub struct ResticEngine {
    connect: Connect,
}

impl ResticEngine {
    /// An engine that reaches its stores by way of `connect`.
    #[must_use]
    pub fn new(connect: Connect) -> Self {
        Self { connect }
    }

    /// The repository's place. A store that is a folder must be there before a client can be made for it.
    fn locate(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Location> {
        let name = format!("{}/{}", spec.store.url, spec.path);
        if let Some(folder) = spec.store.url.as_folder() {
            if mode == OpenMode::CreateIfMissing {
                fs::create_dir_all(&folder).map_err(|error| folder_error(&folder.to_string_lossy(), error))?;
            } else if !folder.exists() {
                return Err(Error::new(ErrorKind::NotFound, "open repository", name, "there is none"));
            }
        }
        let store = (self.connect)(&spec.store)?;
        Ok(Location {
            store,
            root: Path::from(spec.path.as_str()),
            name,
            runtime: Handle::current(),
            written: Arc::default(),
            trees: Arc::default(),
        })
    }
}

fn folder_error(folder: &str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, "make the store's folder", folder, "the system refuses").with_source(error)
}

impl Debug for ResticEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResticEngine").finish_non_exhaustive()
    }
}

#[async_trait]
impl BackupEngine for ResticEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Restic
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            self_contained: true,
            forgets_single_snapshots: true,
            keeps_hard_links: true,
            keeps_extended_attributes: true,
            keeps_holes: true,
        }
    }

    fn check_options(&self, options: &BTreeMap<String, String>) -> Result<()> {
        match options.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::invalid("engine option", name, "the restic engine takes no options")
                .with_hint("leave it out, or use `--engine duplicity`")),
        }
    }

    fn freezes(&self, _options: &BTreeMap<String, String>) -> bool {
        true
    }

    async fn open(&self, spec: &RepositorySpec, mode: OpenMode) -> Result<Arc<dyn Repository>> {
        self.check_options(&spec.options)?;
        let location = self.locate(spec, mode)?;
        let at = location.clone();
        // Without a password, restic's own word for it is the empty one.
        let password = spec.password.clone().unwrap_or_else(|| Secret::new(""));
        let key = run_blocking("open repository", &location.name, move || {
            unlock(&Arc::new(StoreBackend::new(at, Arc::new(AtomicBool::new(false)))), password.expose(), mode)
        })
        .await?;
        Ok(Arc::new(ResticRepository::new(location, key)))
    }
}
