//! Containers, mounts, volumes and images as the runtime reports them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{ContainerId, ContainerName, ImageRef, VolumeName};

/// One container, as it was when the runtime was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Changes each time the container is created anew.
    pub id: ContainerId,
    /// Unique on its host, at any one time.
    pub name: ContainerName,
    /// The image as the creator named it.
    pub image: ImageRef,
    /// The image's content id: what to run to get the same program again.
    pub image_id: ImageRef,
    /// What it is doing.
    pub state: ContainerState,
    /// What its health check says.
    pub health: Health,
    /// The exit code it ended with; `None` while it runs, and where it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// What is mounted where, in the order of their places in the container: runs compare what they planned with what
    /// is there.
    pub mounts: Vec<Mount>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The container whose network it shares, if any (`network_mode: container:…`): a name or an id.
    pub network_of: Option<String>,
    /// Containers it names as links or takes volumes from: names or ids.
    pub refers_to: Vec<String>,
    /// How long the runtime lets it shut down before killing it, where the container says so itself.
    pub stop_grace: Option<Duration>,
    /// Whether the runtime removes it, and its unnamed volumes with it, as soon as it ends (`docker run --rm`).
    #[serde(default)]
    pub removed_when_ended: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last started, if it ever did.
    pub started_at: Option<Timestamp>,
}

/// How many characters of an id are enough to mean it: fewer would hit a container by chance.
pub const SHORTEST_REFERENCE: usize = 4;

impl Container {
    /// The [`stop_grace`](Self::stop_grace) of one that is never killed: longer than anybody waits, 136 years.
    pub const ENDLESS_GRACE: Duration = Duration::from_secs(u32::MAX as u64);

    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Whether `reference` means this container: its name, its id, or at least four leading characters of its id.
    #[must_use]
    pub fn answers_to(&self, reference: &str) -> bool {
        let reference = reference.trim_start_matches('/');
        reference == self.name.as_str()
            || (reference.len() >= SHORTEST_REFERENCE && self.id.as_str().starts_with(reference))
    }
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its processes run.
    Running,
    /// Its processes are frozen.
    Paused,
    /// The runtime is about to start it again after it ended.
    Restarting,
    /// The runtime is deleting it.
    Removing,
    /// Ended.
    Exited,
    /// The runtime failed to remove or stop it.
    Dead,
}

impl ContainerState {
    /// Whether its processes may be writing, now or any moment.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Restarting)
    }

    /// The word people read: `running`, `exited`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// What a container's health check says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has none.
    #[default]
    None,
    /// It has not answered since the start.
    Starting,
    /// It answers.
    Healthy,
    /// It failed as often as it may.
    Unhealthy,
}

/// One thing mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What kind of thing.
    pub kind: MountKind,
    /// Where it is on the host; a volume's own folder for volumes.
    pub source: PathBuf,
    /// Where the container sees it.
    pub destination: PathBuf,
    /// Whether the container may write to it.
    pub writable: bool,
}

impl Mount {
    /// The volume's name, for volumes.
    #[must_use]
    pub fn volume(&self) -> Option<&VolumeName> {
        match &self.kind {
            MountKind::Volume { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether both show (part of) the same data: the same volume, or bind mounts of which one holds the other.
    #[must_use]
    pub fn shares_data_with(&self, other: &Self) -> bool {
        match (self.volume(), other.volume()) {
            (Some(a), Some(b)) => a == b,
            _ => {
                let real = |path: &Path| path.is_absolute() && path != Path::new("/");
                real(&self.source)
                    && real(&other.source)
                    && (self.source.starts_with(&other.source) || other.source.starts_with(&self.source))
            }
        }
    }
}

/// What kind of thing is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum MountKind {
    /// A volume the runtime keeps.
    Volume {
        /// Its name.
        name: VolumeName,
        /// The driver that keeps it; `local` is the ordinary one.
        driver: String,
    },
    /// A folder or file of the host.
    Bind,
    /// Memory.
    Tmpfs,
    /// Anything else, by the runtime's word for it.
    Other {
        /// That word.
        name: String,
    },
}

/// A volume, as the runtime reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// The driver that keeps it.
    pub driver: String,
    /// Where its files are on the host.
    pub mountpoint: PathBuf,
    /// Whether it is memory (`--opt type=tmpfs`): what is in it is gone as soon as no container uses it.
    #[serde(default)]
    pub in_memory: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image that is present on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its content id.
    pub id: ImageRef,
    /// Names that lead to it.
    pub tags: Vec<String>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(source: &str) -> Mount {
        Mount { kind: MountKind::Bind, source: source.into(), destination: "/x".into(), writable: true }
    }

    #[test]
    fn bind_mounts_share_data_when_one_holds_the_other() {
        assert!(bind("/srv/a").shares_data_with(&bind("/srv/a/b")));
        assert!(bind("/srv/a/b").shares_data_with(&bind("/srv/a")));
        assert!(!bind("/srv/a").shares_data_with(&bind("/srv/ab")));
    }

    #[test]
    fn a_mount_of_the_hosts_root_links_nothing() {
        assert!(!bind("/").shares_data_with(&bind("/srv/a")));
    }
}
