//! What is on this host, and what of it is backed up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Dory;
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::id::{BackupId, ContainerName, PointId};
use crate::domain::plan::{Forbidden, LeftOut, choose_mounts};
use crate::domain::policy::{PolicyOverrides, marked_by_label};
use crate::domain::restore_point::{PointMount, PointOrigin, PointSize, RestorePoint};
use crate::error::{Error, Result};

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
    /// Whether a schedule takes it.
    pub scheduled: bool,
    /// Whether a dump of it is asked for.
    pub dumped: bool,
    /// The backup that holds its data; as data, only what names it and its newest point.
    #[serde(serialize_with = "in_short")]
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

    /// Whether its data could be brought back after a disaster. What a restore kept for its own undoing does not count.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let counts = |point: &RestorePoint| point.origin != PointOrigin::Safety && !point.deleting;
        self.backup.as_deref().is_some_and(|backup| backup.points.iter().any(counts))
    }

    /// The id of the backup that holds its data.
    #[must_use]
    pub fn backup_id(&self) -> Option<&BackupId> {
        self.backup.as_deref().map(|backup| &backup.id)
    }
}

/// What `backup --all` takes.
#[derive(Debug, Default)]
pub struct Marked {
    /// Names of this host's marked containers.
    pub containers: Vec<ContainerName>,
    /// Backups of this server that are marked, and whose container is gone.
    pub gone: Vec<Arc<Backup>>,
    /// Containers of which nobody can tell whether they are marked, and why.
    pub unclear: Vec<(ContainerName, Error)>,
}

impl Dory {
    /// What `backup --all` takes, and what of it cannot be taken.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn marked(&self) -> Result<Marked> {
        let backups = self.own_backups(Duration::ZERO).await?;
        let all = self.runtime()?.list_containers().await?;
        let mut marked = Marked::default();
        for container in &all {
            let by_catalog = match self.backup_of(container, &backups) {
                Ok(backup) => backup.and_then(|backup| backup.marked),
                Err(_) => None,
            };
            match (by_catalog, marked_by_label(&container.labels)) {
                (Some(true), _) | (None, Ok(Some(true))) => marked.containers.push(container.name.clone()),
                (None, Err(error)) => marked.unclear.push((container.name.clone(), of_container(&error, container))),
                _ => {}
            }
        }
        let is_gone = |backup: &Arc<Backup>| {
            let here = backup.server == self.config.server && backup.deleting_since.is_none();
            here && backup.is_marked() && !all.iter().any(|container| self.is_made_from(backup, container))
        };
        marked.gone = backups.into_iter().filter(is_gone).collect();
        Ok(marked)
    }

    /// Every container of this host, with its mounts and its backup, sorted by name.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn containers(&self) -> Result<Vec<ContainerOverview>> {
        self.overviews(&self.own_backups(Duration::ZERO).await?).await
    }

    /// This server's backups, as they were at most `age` ago.
    pub(super) async fn own_backups(&self, age: Duration) -> Result<Vec<Arc<Backup>>> {
        self.catalog.backups_of(&self.config.server, age).await
    }

    pub(super) async fn overviews(&self, backups: &[Arc<Backup>]) -> Result<Vec<ContainerOverview>> {
        let forbidden = self.forbidden().await?;
        let by_fleet = self.default_policy().await?;
        let containers = self.runtime()?.list_containers().await?;
        let overview = |container: Container| {
            let (mounts, left_out) = choose_mounts(&container, &forbidden);
            let (backup, unclear) = match self.backup_of(&container, backups) {
                Ok(backup) => (backup, None),
                Err(error) => (None, Some(error)),
            };
            let by_label = marked_by_label(&container.labels).map_err(|error| of_container(&error, &container));
            let (from_labels, bad_label) = match policy_from_labels(&container) {
                Ok(policy) => (policy, None),
                Err(error) => (PolicyOverrides::default(), Some(error)),
            };
            let from_catalog = backup.as_ref().map(|backup| PolicyOverrides {
                hooks: backup.hooks.as_ref().map(|sealed| sealed.hooks.clone()).unwrap_or_default(),
                ..backup.policy.clone()
            });
            let by_catalog = backup.as_ref().and_then(|backup| backup.marked);
            let problem = by_label.as_ref().err().or(bad_label.as_ref()).or(unclear.as_ref()).map(ToString::to_string);
            let marked = by_catalog.or(by_label.ok().flatten());
            // What the fleet's settings say is for those that somebody chose.
            let by_fleet = if marked == Some(true) { by_fleet.clone() } else { PolicyOverrides::default() };
            let policy = from_catalog.unwrap_or_default().or(from_labels).or(by_fleet).into_policy();
            let is_paused = backup.as_ref().is_some_and(|backup| backup.turns.paused_since.is_some());
            ContainerOverview {
                container,
                mounts,
                left_out,
                marked: marked.unwrap_or(false),
                scheduled: policy.schedule.is_some() && marked != Some(false) && !is_paused,
                dumped: policy.hooks.dump.is_some(),
                backup,
                problem,
            }
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

/// What a container's labels say about how to make its backup.
///
/// # Errors
/// `InvalidInput` naming the container, the label, and what it may hold.
pub(super) fn policy_from_labels(container: &Container) -> Result<PolicyOverrides> {
    PolicyOverrides::from_labels(&container.labels).map_err(|error| of_container(&error, container))
}

/// An error about a label, with the container whose label it is.
fn of_container(error: &Error, container: &Container) -> Error {
    let operation = format!("{} of container {}", error.operation(), container.name);
    let named = Error::new(error.kind(), operation, error.subject(), error.reason());
    named.with_hint("labels belong to the container: make it anew with another value")
}

fn in_short<S: Serializer>(backup: &Option<Arc<Backup>>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Short<'a> {
        id: &'a BackupId,
        name: &'a str,
        points: usize,
        latest: Option<Latest<'a>>,
    }
    #[derive(Serialize)]
    struct Latest<'a> {
        id: PointId,
        taken_at: Timestamp,
        name: Option<&'a str>,
        size: PointSize,
    }
    backup
        .as_deref()
        .map(|backup| Short {
            id: &backup.id,
            name: &backup.name,
            points: backup.points.len(),
            latest: backup.latest().map(|point| Latest {
                id: point.id,
                taken_at: point.taken_at,
                name: point.name.as_deref(),
                size: point.size,
            }),
        })
        .serialize(to)
}
