//! How a container is known again after it was created anew: never by its id alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::Container;
use super::id::{BackupId, ContainerName, VolumeName};
use super::policy::label;

/// Compose's labels on the containers it makes.
pub mod compose {
    /// The project's name.
    pub const PROJECT: &str = "com.docker.compose.project";
    /// The service's name.
    pub const SERVICE: &str = "com.docker.compose.service";
    /// Which of the service's containers, from 1.
    pub const NUMBER: &str = "com.docker.compose.container-number";
    /// `True` on the containers of `compose run`, which stand beside the service's own.
    pub const ONE_OFF: &str = "com.docker.compose.oneoff";
    /// What it starts after: `db:service_healthy:false,cache:service_started:true`.
    pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
}

/// What stays the same when a container is created anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub container: ContainerName,
    /// Its place in a compose project, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposePlace>,
    /// Its `dory.id` label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The named volumes it mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeName>,
}

/// A container's place in a compose project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposePlace {
    /// The project's name.
    pub project: String,
    /// The service's name.
    pub service: String,
    /// Which of the service's containers, from 1.
    pub number: String,
}

/// How surely a container is the one an [`Identity`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// Nothing ties them.
    None,
    /// The name or the `dory.id` label alone: enough to ask, not to act, for a label must not claim another's history.
    Claimed,
    /// The same place in the same compose project, or the same name, with a volume in common.
    Same,
}

impl Identity {
    /// What `container` will be known by.
    #[must_use]
    pub fn of(container: &Container) -> Self {
        Self {
            container: container.name.clone(),
            compose: ComposePlace::of(&container.labels),
            label: container.label(label::ID).map(str::to_owned),
            volumes: container.mounts.iter().filter_map(|mount| mount.volume().cloned()).collect(),
        }
    }

    /// How surely `container` is the one this describes.
    #[must_use]
    pub fn likeness(&self, container: &Container) -> Likeness {
        let other = Self::of(container);
        let same_place = self.compose.is_some() && self.compose == other.compose;
        let same_name = self.container == other.container;
        let same_label = self.label.is_some() && self.label == other.label;
        let shares_volume = self.volumes.iter().any(|volume| other.volumes.contains(volume));
        if (same_place || same_name) && shares_volume {
            Likeness::Same
        } else if same_place || same_name || same_label {
            Likeness::Claimed
        } else {
            Likeness::None
        }
    }
}

impl ComposePlace {
    /// Reads compose's labels.
    #[must_use]
    pub fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            project: labels.get(compose::PROJECT)?.clone(),
            service: labels.get(compose::SERVICE)?.clone(),
            number: labels.get(compose::NUMBER).cloned().unwrap_or_else(|| "1".to_owned()),
        })
    }
}

impl BackupId {
    /// The id of a backup first made from `container`: its name and the short form of its id.
    #[must_use]
    pub fn first_made_from(container: &Container) -> Self {
        let name: String = container.name.as_str().chars().take(100).collect();
        Self::parse(format!("{name}-{}", container.id.short()))
            .unwrap_or_else(|_| unreachable!("a container's name and short id make a backup id"))
    }
}
