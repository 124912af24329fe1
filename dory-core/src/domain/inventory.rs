//! What a server has on its host, as the rest of the fleet sees it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::container::{Container, ContainerState};
use super::coverage::Gap;
use super::id::{BackupId, ContainerId, ContainerName, ImageRef, ServerName, VolumeName};
use super::plan::LeftOut;
use super::restore_point::PointMount;

/// How long a container that went is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(60 * 24);

/// How many that went are remembered: the latest.
const MOST_REMEMBERED: usize = 200;

/// A server's containers and volumes, and what of them nothing covers. Its document is written when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Whose host it is.
    pub server: ServerName,
    /// When it was found to be so.
    pub at: Timestamp,
    /// Its containers, by name.
    pub containers: Vec<StockedContainer>,
    /// Its volumes, by name.
    #[serde(default)]
    pub volumes: Vec<StockedVolume>,
    /// What nothing covers.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Containers that went, and did not come back under their name; the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<RemovedContainer>,
}

/// One container of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockedContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its image.
    pub image: ImageRef,
    /// What it is doing.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when there is one of its name, as far as this server knows.
    pub first_seen: Timestamp,
    /// Its mounts that a backup reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<PointMount>,
    /// Its mounts that a backup leaves out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Whether `backup --all` takes it.
    #[serde(default)]
    pub marked: bool,
    /// Whether a schedule takes it.
    #[serde(default)]
    pub scheduled: bool,
    /// The backup that holds its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// Whether that has a point that could be brought back.
    #[serde(default)]
    pub covered: bool,
    /// What is wrong with its labels, or with who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One volume of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockedVolume {
    /// Its name.
    pub name: VolumeName,
    /// The driver that keeps it.
    pub driver: String,
    /// Who mounts it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<ContainerName>,
}

/// A container that went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The backup that holds its data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// When it was missed.
    pub at: Timestamp,
}

impl StockedContainer {
    /// A container that is there now, with nothing known of it but what the runtime tells.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        Self {
            id: container.id.clone(),
            name: container.name.clone(),
            image: container.image.clone(),
            state: container.state,
            created_at: container.created_at,
            first_seen: container.created_at,
            mounts: Vec::new(),
            left_out: Vec::new(),
            marked: false,
            scheduled: false,
            backup: None,
            covered: false,
            problem: None,
        }
    }
}

impl Inventory {
    /// The same, with what only time tells: since when each container is there, and which went since `before`.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let known: BTreeMap<_, _> = before.containers.iter().map(|one| (&one.name, one.first_seen)).collect();
        for container in &mut self.containers {
            if let Some(first_seen) = known.get(&container.name) {
                container.first_seen = *first_seen;
            }
        }
        let went = before.containers.iter().map(|one| RemovedContainer {
            id: one.id.clone(),
            name: one.name.clone(),
            backup: one.backup.clone(),
            at: self.at,
        });
        let is_back = |gone: &RemovedContainer| self.containers.iter().any(|one| one.name == gone.name);
        let oldest = self.at.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let all = before.removed.iter().cloned().chain(went);
        let mut removed: Vec<_> = all.filter(|gone| gone.at >= oldest && !is_back(gone)).collect();
        removed.drain(..removed.len().saturating_sub(MOST_REMEMBERED));
        self.removed = removed;
        self
    }

    /// Whether both tell the same, whenever they were found.
    #[must_use]
    pub fn tells_the_same_as(&self, other: &Self) -> bool {
        let Self { server, at: _, containers, volumes, gaps, removed } = self;
        (server, containers, volumes, gaps, removed)
            == (&other.server, &other.containers, &other.volumes, &other.gaps, &other.removed)
    }

    /// The containers that came since `moment`; one that was created anew under its name did not come.
    pub fn new_since(&self, moment: Timestamp) -> impl Iterator<Item = &StockedContainer> {
        self.containers.iter().filter(move |one| one.first_seen > moment)
    }

    /// The containers that went since `moment`.
    pub fn removed_since(&self, moment: Timestamp) -> impl Iterator<Item = &RemovedContainer> {
        self.removed.iter().filter(move |gone| gone.at > moment)
    }
}
