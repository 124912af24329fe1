//! What is on this host, and what of it is backed up.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::Dory;
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::id::BackupId;
use crate::domain::plan::{Forbidden, LeftOut, choose_mounts};
use crate::domain::policy::marked_by_label;
use crate::domain::restore_point::{PointMount, RestorePoint};
use crate::error::Result;

/// One container of this host, seen with a backup's eyes.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerOverview {
    /// The container.
    pub container: Container,
    /// Its mounts that a backup reads.
    pub mounts: Vec<PointMount>,
    /// Its mounts that a backup leaves out.
    pub left_out: Vec<LeftOut>,
    /// Whether `backup --all` takes it.
    pub marked: bool,
    /// The backup that holds its data.
    #[serde(skip)]
    pub backup: Option<Arc<Backup>>,
    /// What is wrong with its labels, or with who it is.
    pub problem: Option<String>,
}

impl ContainerOverview {
    /// The newest point of the backup that holds its data.
    #[must_use]
    pub fn latest_point(&self) -> Option<&RestorePoint> {
        self.backup.as_deref().and_then(Backup::latest)
    }

    /// The id of the backup that holds its data.
    #[must_use]
    pub fn backup_id(&self) -> Option<&BackupId> {
        self.backup.as_deref().map(|backup| &backup.id)
    }
}

impl Dory {
    /// Every container of this host, with its mounts and its backup, sorted by name.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn containers(&self) -> Result<Vec<ContainerOverview>> {
        let forbidden = self.forbidden().await?;
        let backups = self.catalog.backups().await?.backups;
        let containers = self.runtime()?.list_containers().await?;
        let overview = |container: Container| {
            let (mounts, left_out) = choose_mounts(&container, &forbidden);
            let (backup, unclear) = match self.backup_of(&container, &backups) {
                Ok(backup) => (backup, None),
                Err(error) => (None, Some(error)),
            };
            let by_label = marked_by_label(&container.labels);
            let by_catalog = backup.as_ref().and_then(|backup| backup.marked);
            let problem = by_label.as_ref().err().map(ToString::to_string).or(unclear.map(|error| error.to_string()));
            let marked = by_catalog.or(by_label.ok().flatten()).unwrap_or(false);
            ContainerOverview { container, mounts, left_out, marked, backup, problem }
        };
        Ok(containers.into_iter().map(overview).collect())
    }

    /// The places of this host that are never part of a backup.
    pub(super) async fn forbidden(&self) -> Result<Forbidden> {
        let runtime = self.runtime()?;
        let info = runtime.info().await?;
        let in_memory = runtime.list_volumes().await?.into_iter().filter(|volume| volume.in_memory);
        let in_memory = in_memory.map(|volume| volume.name).collect();
        let data_root = (!info.data_root.as_os_str().is_empty()).then_some(info.data_root);
        Ok(Forbidden { data_root, store: self.store_on_host(), own_container: info.own_container, in_memory })
    }

    /// The store's folder on the runtime's host, where it is one.
    fn store_on_host(&self) -> Option<PathBuf> {
        match &self.config.helper.store_mount.as_ref()?.source {
            crate::ports::HelperSource::HostPath(path) => Some(path.clone()),
            crate::ports::HelperSource::Volume(_) => None,
        }
    }
}
