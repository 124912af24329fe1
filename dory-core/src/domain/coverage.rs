//! What of a host's data nothing covers, why, and what to do about it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::container::{Container, MountKind, Volume};
use super::database::database_of;
use super::dump_preset::DumpPreset;
use super::id::{ContainerName, VolumeName};
use super::restore_point::{Consistency, PointMount};

/// Data that nothing covers: if it went now, nothing could bring it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which data.
    #[serde(flatten)]
    pub data: DataPlace,
    /// The containers that use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<ContainerName>,
    /// Why nothing covers it.
    pub reason: String,
    /// What to do: a command, a label.
    pub remedy: String,
}

/// Where data is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum DataPlace {
    /// In a volume.
    Volume {
        /// Which.
        volume: VolumeName,
    },
    /// In a folder or file of the host.
    Folder {
        /// Which.
        path: PathBuf,
    },
    /// In a database.
    Database {
        /// In which container.
        container: ContainerName,
    },
}

impl DataPlace {
    fn of(mount: &PointMount) -> Self {
        match &mount.kind {
            MountKind::Volume { name, .. } => Self::Volume { volume: name.clone() },
            _ => Self::Folder { path: mount.source.clone() },
        }
    }
}

impl fmt::Display for DataPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { volume } => write!(f, "volume {volume}"),
            Self::Folder { path } => write!(f, "folder {}", path.display()),
            Self::Database { container } => write!(f, "database in {container}"),
        }
    }
}

/// A container, and what is done about its data.
#[derive(Clone, Copy, Debug)]
pub struct Cared<'a> {
    /// The container.
    pub container: &'a Container,
    /// Its mounts that a backup reads.
    pub mounts: &'a [PointMount],
    /// The backup that holds its data.
    pub backup: Option<&'a Backup>,
    /// Whether `backup --all` or a schedule takes it.
    pub chosen: bool,
    /// Whether a dump of it is asked for.
    pub dumped: bool,
}

/// What nothing covers on a host with these containers and volumes. `backups` are the server's own; those of containers
/// that are gone count for volumes that nobody uses.
#[must_use]
pub fn gaps(cared: &[Cared<'_>], volumes: &[Volume], backups: &[&Backup]) -> Vec<Gap> {
    let mut users: BTreeMap<DataPlace, Vec<(Cared<'_>, &PointMount)>> = BTreeMap::new();
    for one in cared {
        for mount in one.mounts {
            users.entry(DataPlace::of(mount)).or_default().push((*one, mount));
        }
    }
    let mounted = users.into_iter().filter_map(|(place, users)| gap_of_mounted(place, &users));
    let unused = volumes.iter().filter_map(|volume| gap_of_unused(volume, cared, backups));
    let databases = cared.iter().filter_map(gap_of_database);
    let mut all: Vec<_> = mounted.chain(unused).chain(databases).collect();
    all.sort_by(|a, b| a.data.cmp(&b.data));
    all
}

fn gap_of_mounted(place: DataPlace, users: &[(Cared<'_>, &PointMount)]) -> Option<Gap> {
    let newest_of = |one: &Cared<'_>| one.backup.and_then(Backup::latest);
    let holds = |(one, mount): &(Cared<'_>, &PointMount)| {
        let newest = newest_of(one);
        newest.is_some_and(|point| point.mounts.iter().any(|held| held.as_mount().shares_data_with(&mount.as_mount())))
    };
    if users.iter().any(holds) {
        return None;
    }
    let has_points = users.iter().find(|(one, _)| newest_of(one).is_some());
    let is_chosen = users.iter().find(|(one, _)| one.chosen);
    let (reason, remedy) = match (has_points, is_chosen, users) {
        (Some((one, _)), ..) => (
            format!("it is not in the newest point of {}", one.container.name),
            format!("run `dory backup {}`", one.container.name),
        ),
        (None, Some((one, _)), _) => {
            ("it is chosen, but was never backed up".to_owned(), format!("run `dory backup {}`", one.container.name))
        }
        (None, None, [(one, _), ..]) => (
            "nothing backs it up".to_owned(),
            format!("run `dory backup {}`, or label it `dory.schedule=@daily`", one.container.name),
        ),
        (None, None, []) => return None,
    };
    let containers = users.iter().map(|(one, _)| one.container.name.clone()).collect();
    Some(Gap { data: place, containers, reason, remedy })
}

fn gap_of_unused(volume: &Volume, cared: &[Cared<'_>], backups: &[&Backup]) -> Option<Gap> {
    let mounts = |one: &Cared<'_>| one.container.mounts.iter().any(|mount| mount.volume() == Some(&volume.name));
    let holds = |backup: &&Backup| {
        let newest = backup.latest().filter(|_| backup.deleting_since.is_none());
        newest.is_some_and(|point| point.mounts.iter().any(|held| held.as_mount().volume() == Some(&volume.name)))
    };
    if volume.in_memory || cared.iter().any(mounts) || backups.iter().any(holds) {
        return None;
    }
    Some(Gap {
        data: DataPlace::Volume { volume: volume.name.clone() },
        containers: Vec::new(),
        reason: "no container uses it, and Dory backs up containers".to_owned(),
        remedy: format!("remove it with `docker volume rm {}`, or mount it into a container", volume.name),
    })
}

/// Files of a database that was stopped or frozen are whole. Where it writes while they are read, or keeps them where no
/// backup reads, only a dump covers it.
fn gap_of_database(one: &Cared<'_>) -> Option<Gap> {
    let database = database_of(one.container)?;
    let newest = one.backup.and_then(Backup::latest);
    if one.dumped || newest.is_some_and(|point| !point.dumps.is_empty()) {
        return None;
    }
    let name = &one.container.name;
    let reason = if one.container.mounts.is_empty() {
        "it keeps its files in the container itself, where no backup reads, and takes no dump"
    } else if newest.is_some_and(|point| point.consistency == Consistency::Live) {
        "its files are read while it writes to them, and it takes no dump"
    } else {
        return None;
    };
    Some(Gap {
        data: DataPlace::Database { container: name.clone() },
        containers: vec![name.clone()],
        reason: reason.to_owned(),
        remedy: remedy_of(database, name, one.backup),
    })
}

fn remedy_of(database: DumpPreset, container: &ContainerName, backup: Option<&Backup>) -> String {
    match backup {
        Some(backup) => format!("run `dory edit {} --dump {}`", backup.id, database.as_str()),
        None => format!("label {container} with `dory.dump={}`", database.as_str()),
    }
}
