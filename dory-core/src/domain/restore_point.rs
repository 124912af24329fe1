//! One moment that data can be brought back to.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::container::{Mount, MountKind};
use super::dump_preset::DumpPreset;
use super::event::Warning;
use super::id::{ContainerId, ContainerName, DumpName, ImageRef, MountKey, PointId, RunId, SnapshotId};
use super::policy::EngineKind;
use super::suspect::Suspicion;

/// One moment a backup's data can be brought back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    /// Names it within the fleet.
    pub id: PointId,
    /// The moment the data is from: when everything was stopped, or when reading began where nothing was.
    pub taken_at: Timestamp,
    /// Why it was made.
    pub origin: PointOrigin,
    /// Which engine holds it.
    pub engine: EngineKind,
    /// The engine's own id for it.
    pub snapshot: SnapshotId,
    /// The run that made it.
    pub run: RunId,
    /// The container it was made from, as it was called then.
    pub container: ContainerName,
    /// That container's id.
    pub container_id: ContainerId,
    /// That container's image, by content id.
    pub image_id: ImageRef,
    /// What is in it, mount by mount.
    pub mounts: Vec<PointMount>,
    /// The dumps in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<PointDump>,
    /// Patterns of paths that were left out of it; restoring it leaves what they cover alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// How far its parts are from one moment.
    pub consistency: Consistency,
    /// From the first stop request to the moment the last container ran again; none where nothing was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_window: Option<SignedDuration>,
    /// From plan to catalog entry.
    pub elapsed: SignedDuration,
    /// Sizes.
    pub size: PointSize,
    /// Sizes by mount, where the engine tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_sizes: Vec<MountSize>,
    /// Why its source may have lost data before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<Suspicion>,
    /// What fell short, at most [`RestorePoint::WARNINGS_KEPT`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// How many fell short in all.
    #[serde(default)]
    pub warning_count: u64,
    /// A user's name for it: `before production reload 2016-02-10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A user's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Set where somebody said that no rule may remove it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
    /// Set when its deletion began: its data may already be gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleting: bool,
}

impl RestorePoint {
    /// How many warnings a point keeps; the rest are counted.
    pub const WARNINGS_KEPT: usize = 100;

    /// Whether data that was asked for is missing.
    #[must_use]
    pub fn lost_data(&self) -> bool {
        self.warnings.iter().any(|warning| warning.kind.loses_data())
    }

    /// Whether its source may have lost data before it was read, and nobody said that it did not.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect.as_ref().is_some_and(|suspicion| suspicion.cleared.is_none())
    }
}

/// Why a point was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointOrigin {
    /// Somebody asked for it.
    #[default]
    Manual,
    /// Its schedule came due.
    Schedule,
    /// It keeps what a restore is about to overwrite.
    Safety,
}

/// How far a point's parts are from one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Something wrote while it was read.
    Live,
    /// Everything was frozen: as after a power cut.
    Paused,
    /// Everything that could write was shut down, or nothing ran.
    Stopped,
}

impl Consistency {
    /// The word people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// One mount inside a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointMount {
    /// Its folder under `/backup` in the engine's snapshot.
    pub key: MountKey,
    /// Volume (by name) or bind mount.
    pub kind: MountKind,
    /// Where the container saw it.
    pub destination: PathBuf,
    /// Where it was on the host.
    pub source: PathBuf,
}

impl PointMount {
    /// The mount as a container has it.
    #[must_use]
    pub fn as_mount(&self) -> Mount {
        Mount {
            kind: self.kind.clone(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            writable: true,
        }
    }
}

/// One dump inside a point: the file `dumps/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointDump {
    /// What it is called.
    pub name: DumpName,
    /// Its length.
    pub bytes: u64,
    /// The preset that made it; `None` for a command of the user's. No command is kept here, for whoever can write to the
    /// store must not be able to run commands in containers: what loads it is asked of the container's labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<DumpPreset>,
    /// How long it took.
    pub elapsed: SignedDuration,
}

/// How much a point holds and how much it added to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointSize {
    /// Files, folders and other inodes.
    pub files: u64,
    /// Bytes of file contents.
    pub bytes: u64,
    /// Bytes this point added to the store.
    pub stored_bytes: u64,
}

/// How much one mount of a point holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSize {
    /// Which mount.
    pub key: MountKey,
    /// Files, folders and other inodes in it; the mount itself is not counted.
    pub files: u64,
    /// Bytes of file contents.
    pub bytes: u64,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::plan::mount_key;

    /// A point of volumes that the container saw at these places.
    pub(in super::super) fn point(number: u128, destinations: &[&str]) -> RestorePoint {
        let mut mounts: Vec<PointMount> = Vec::new();
        for destination in destinations {
            let destination = PathBuf::from(destination);
            let key = mount_key(&destination, &mounts);
            mounts.push(PointMount { key, kind: MountKind::Bind, source: destination.clone(), destination });
        }
        RestorePoint {
            id: PointId::new(Timestamp::UNIX_EPOCH, number),
            taken_at: Timestamp::UNIX_EPOCH,
            origin: PointOrigin::Manual,
            engine: EngineKind::Restic,
            snapshot: SnapshotId::parse("ab".repeat(32)).unwrap(),
            run: RunId::new(Timestamp::UNIX_EPOCH, number),
            container: ContainerName::parse("db").unwrap(),
            container_id: ContainerId::parse("4fa6").unwrap(),
            image_id: ImageRef::parse("sha256:00").unwrap(),
            mounts,
            dumps: Vec::new(),
            consistency: Consistency::Stopped,
            stop_window: None,
            elapsed: SignedDuration::ZERO,
            size: PointSize::default(),
            mount_sizes: Vec::new(),
            exclude: Vec::new(),
            suspect: None,
            warnings: Vec::new(),
            warning_count: 0,
            name: None,
            description: None,
            protected: false,
            deleting: false,
        }
    }
}
