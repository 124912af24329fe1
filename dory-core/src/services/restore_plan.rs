//! What a restore will do, computed from the catalog and from what is there, touching nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::Dory;
use super::claim::Claim;
use super::guard::Guarding;
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::container::{Container, MountKind};
use crate::domain::id::{BackupId, ContainerName, DumpName, MountKey, PointId, VolumeName};
use crate::domain::plan::{Access, DataUse, Quiet, StartRules, choose_mounts, choose_quiet, mount_key};
use crate::domain::restore_point::{PointMount, RestorePoint};
use crate::error::{Error, ErrorKind, Result};

/// What to restore where.
#[derive(Clone, Debug)]
pub struct RestoreChoice {
    /// The backup: its id, its name, or its container's name.
    pub backup: String,
    /// Which point of it.
    pub point: PointChoice,
    /// Into which container; the backup's own where `None`.
    pub into: Option<String>,
    /// Mounts that go elsewhere than to the same destination.
    pub maps: Vec<MountMap>,
    /// Whether to keep what is there now in a safety point first.
    pub safety: bool,
    /// Whether to remove what the point does not hold from bind mounts too; from volumes it always goes.
    pub delete_extra_from_binds: bool,
    /// Who brings containers back if Dory dies.
    pub guarding: Guarding,
}

impl RestoreChoice {
    /// The newest point of `backup`, back to where it came from, with a safety point of what is there now.
    #[must_use]
    pub fn newest_of(backup: impl Into<String>) -> Self {
        Self {
            backup: backup.into(),
            point: PointChoice::Latest,
            into: None,
            maps: Vec::new(),
            safety: true,
            delete_extra_from_binds: false,
            guarding: Guarding::default(),
        }
    }
}

/// One `--map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountMap {
    /// The mount's destination in the point.
    pub from: PathBuf,
    /// Where it goes.
    pub to: MapTarget,
}

/// Where a mapped mount goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapTarget {
    /// The target container's mount at this destination.
    Destination(PathBuf),
    /// This volume.
    Volume(VolumeName),
    /// Nowhere: it is not restored.
    Nowhere,
}

impl std::fmt::Display for MountMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=", self.from.display())?;
        match &self.to {
            MapTarget::Destination(path) => write!(f, "{}", path.display()),
            MapTarget::Volume(name) => write!(f, "{name}"),
            MapTarget::Nowhere => f.write_str("none"),
        }
    }
}

impl std::str::FromStr for MountMap {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let allowed =
                "`/destination=/other/destination`, `/destination=volume` and `/destination=none` are allowed";
            Error::invalid("--map", text, allowed)
        };
        let (from, to) = text.split_once('=').ok_or_else(wrong)?;
        if !from.starts_with('/') {
            return Err(wrong());
        }
        let to = match to {
            "none" => MapTarget::Nowhere,
            path if path.starts_with('/') => MapTarget::Destination(path.into()),
            name => MapTarget::Volume(VolumeName::parse(name).map_err(|_| wrong())?),
        };
        Ok(Self { from: from.into(), to })
    }
}

/// What a restore will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// From which backup.
    pub backup: BackupId,
    /// From which point.
    pub point: PointId,
    /// The moment its data is from.
    pub taken_at: Timestamp,
    /// The point's name, if it has one.
    pub point_name: Option<String>,
    /// Into which container, where there is one.
    pub target: Option<ContainerName>,
    /// What goes where.
    pub mounts: Vec<MountRestore>,
    /// Destinations of the point that are not restored.
    pub not_restored: Vec<PathBuf>,
    /// Dumps that the point holds too, and that a restore of mounts does not load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dumps: Vec<DumpName>,
    /// Patterns of what the backup left out: what they cover stays as it is.
    pub left_alone: Vec<String>,
    /// Who is stopped meanwhile, in the order they start again.
    pub quiet: Vec<Quiet>,
    /// The backup that the target's data belongs to; another one's than [`backup`](Self::backup) when restoring elsewhere.
    pub home: BackupId,
    /// Whether `home` gets a safety point of what is there now.
    pub safety: bool,
}

/// What one mount of a point is restored to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountRestore {
    /// Its folder in the snapshot.
    pub key: MountKey,
    /// Where the container of the point saw it.
    pub from: PathBuf,
    /// Where it goes.
    pub to: PointMount,
    /// Whether what the point does not hold is removed there.
    pub delete_extra: bool,
}

/// What a plan was made from.
pub(super) struct PlannedRestore {
    pub(super) plan: RestorePlan,
    pub(super) backup: Arc<Backup>,
    pub(super) point: RestorePoint,
    pub(super) container: Option<Container>,
    pub(super) holds: Claim,
}

impl PlannedRestore {
    /// What is written to.
    pub(super) fn targets(&self) -> Vec<PointMount> {
        self.plan.mounts.iter().map(|mount| mount.to.clone()).collect()
    }

    /// What is done with `targets`.
    pub(super) fn data_use<'a>(&'a self, targets: &'a [PointMount]) -> DataUse<'a> {
        data_use(&self.backup, self.container.as_ref(), targets)
    }
}

fn data_use<'a>(backup: &Backup, target: Option<&'a Container>, data: &'a [PointMount]) -> DataUse<'a> {
    let healthy_timeout = backup.policy.healthy_timeout.unwrap_or(StartRules::HEALTHY_TIMEOUT);
    DataUse { target, data, access: Access::Write, healthy_timeout }
}

impl Dory {
    /// What restoring would do. Touches nothing.
    ///
    /// # Errors
    /// `NotFound` for the backup, the point, the container, a destination or a volume; `InvalidInput` for maps that
    /// make no sense; `Conflict` where Dory itself would have to be stopped; the store's and the runtime's.
    pub async fn plan_restore(&self, choice: &RestoreChoice) -> Result<RestorePlan> {
        self.open_fleet().await?;
        Ok(self.plan_restore_in_full(choice).await?.plan)
    }

    pub(super) async fn plan_restore_in_full(&self, choice: &RestoreChoice) -> Result<PlannedRestore> {
        let backup = self.find_backup(&choice.backup).await?;
        let point = backup.find_whole_point(&choice.point)?.clone();
        if point.mounts.is_empty() {
            let reason = "it holds dumps and no volumes";
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "restore volumes from point",
                point.id.to_string(),
                reason,
            )
            .with_hint(format!("`dory restore {} --at {} --dump` loads a dump", backup.id, point.id)));
        }
        let container = self.target_of(choice, &backup, &point).await?;
        let forbidden = self.forbidden().await?;
        let (available, left_out) =
            container.as_ref().map(|container| choose_mounts(container, &forbidden)).unwrap_or_default();

        for map in &choice.maps {
            if !point.mounts.iter().any(|mount| mount.destination == map.from) {
                return Err(Error::invalid(
                    "--map",
                    map.from.display().to_string(),
                    "the restore point has no such mount",
                )
                .with_hint(format!("it has {}", destinations(&point.mounts))));
            }
        }
        let mut mounts: Vec<MountRestore> = Vec::new();
        let mut not_restored = Vec::new();
        for mount in &point.mounts {
            let map = choice.maps.iter().find(|map| map.from == mount.destination).map(|map| &map.to);
            let to = match map {
                Some(MapTarget::Nowhere) => {
                    not_restored.push(mount.destination.clone());
                    continue;
                }
                Some(MapTarget::Volume(name)) => self.volume_mount(name, &mounts).await?,
                Some(MapTarget::Destination(path)) => at_destination(path, mount, &available, &left_out)?,
                None => at_destination(&mount.destination, mount, &available, &left_out)?,
            };
            if let Some(other) = mounts.iter().find(|other| other.to.as_mount().shares_data_with(&to.as_mount())) {
                let reason = format!("`{}` is restored to the same place", other.from.display());
                return Err(Error::invalid("--map", mount.destination.display().to_string(), reason));
            }
            let delete_extra = matches!(to.kind, MountKind::Volume { .. }) || choice.delete_extra_from_binds;
            mounts.push(MountRestore { key: mount.key.clone(), from: mount.destination.clone(), to, delete_extra });
        }
        if mounts.is_empty() {
            return Err(Error::invalid("--map", "", "every mount is left out, so there is nothing to restore"));
        }

        let targets: Vec<PointMount> = mounts.iter().map(|mount| mount.to.clone()).collect();
        let all = self.runtime()?.list_containers().await?;
        let (quiet, _) = choose_quiet(data_use(&backup, container.as_ref(), &targets), &all, &forbidden)?;
        let home = self.home_of(container.as_ref(), &backup).await?;
        let holds = Claim::on(&[&backup.id, &home], &targets, &quiet, &all);
        let plan = RestorePlan {
            backup: backup.id.clone(),
            point: point.id,
            taken_at: point.taken_at,
            point_name: point.name.clone(),
            target: container.as_ref().map(|container| container.name.clone()),
            mounts,
            not_restored,
            dumps: point.dumps.iter().map(|dump| dump.name.clone()).collect(),
            left_alone: point.exclude.clone(),
            quiet,
            home,
            safety: choice.safety,
        };
        Ok(PlannedRestore { plan, backup, point, container, holds })
    }

    /// The container to restore into; `None` where every mount is mapped to a volume and none was named.
    pub(super) async fn target_of(
        &self,
        choice: &RestoreChoice,
        backup: &Backup,
        point: &RestorePoint,
    ) -> Result<Option<Container>> {
        if let Some(reference) = &choice.into {
            return self.runtime()?.inspect_container(reference).await.map(Some);
        }
        let needs_container = point.mounts.iter().any(|mount| {
            let map = choice.maps.iter().find(|map| map.from == mount.destination);
            !matches!(map.map(|map| &map.to), Some(MapTarget::Volume(_) | MapTarget::Nowhere))
        });
        let ask_for_target = |reason: String| {
            Error::new(ErrorKind::NotFound, "restore backup", &backup.name, reason).with_hint(
                "name a container with `--into`, or map each mount to a volume with `--map /destination=volume`",
            )
        };
        if backup.server != self.config.server {
            let reason =
                format!("its container is on server `{}`, and this is `{}`", backup.server, self.config.server);
            return if needs_container { Err(ask_for_target(reason)) } else { Ok(None) };
        }
        let all = self.runtime()?.list_containers().await?;
        let name = &backup.identity.container;
        let has_its_name = all.iter().any(|container| container.name == *name);
        let own = all.into_iter().find(|container| {
            backup.container().is_some_and(|seen| seen.id == container.id)
                || backup.identity.likeness(container) == crate::domain::identity::Likeness::Same
        });
        match own {
            Some(container) => Ok(Some(container)),
            None if needs_container && has_its_name => {
                let reason = format!("container `{name}` has none of its volumes, and may be another one");
                Err(Error::new(ErrorKind::NotFound, "restore backup", &backup.name, reason).with_hint(format!(
                    "add `--into {name}` if that is where the data goes, or map each mount to a volume with \
                     `--map /destination=volume`"
                )))
            }
            None if needs_container => Err(ask_for_target(format!("its container `{name}` is gone"))),
            None => Ok(None),
        }
    }

    async fn volume_mount(&self, name: &VolumeName, before: &[MountRestore]) -> Result<PointMount> {
        let volume = self.runtime()?.inspect_volume(name).await?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "restore into volume", name.as_str(), "there is no such volume")
                .with_hint(format!("run `docker volume create {name}`"))
        })?;
        let destination = Path::new("/").join(name.as_str());
        let taken: Vec<PointMount> = before.iter().map(|mount| mount.to.clone()).collect();
        Ok(PointMount {
            key: mount_key(&destination, &taken),
            kind: MountKind::Volume { name: name.clone(), driver: volume.driver },
            destination,
            source: volume.mountpoint,
        })
    }

    /// The backup that the target's data belongs to: its own, known or new; without a target, the restored one.
    pub(super) async fn home_of(&self, container: Option<&Container>, backup: &Backup) -> Result<BackupId> {
        let Some(container) = container else { return Ok(backup.id.clone()) };
        let backups = self.catalog.backups().await?.backups;
        Ok(match self.backup_of(container, &backups) {
            Ok(Some(known)) => known.id.clone(),
            _ => self.id_for_new(container, &backups)?,
        })
    }
}

fn at_destination(
    path: &Path,
    mount: &PointMount,
    available: &[PointMount],
    left_out: &[crate::domain::plan::LeftOut],
) -> Result<PointMount> {
    available.iter().find(|candidate| candidate.destination == path).cloned().ok_or_else(|| {
        let reason = match left_out.iter().find(|candidate| candidate.destination == path) {
            Some(candidate) => format!("the target's mount there cannot be restored to: {}", candidate.reason),
            None => "the target container mounts nothing there".to_owned(),
        };
        Error::new(ErrorKind::NotFound, "restore to", path.display().to_string(), reason).with_hint(format!(
            "the target mounts {}: add `--map {}=<one of them, a volume, or none>`",
            destinations(available),
            mount.destination.display()
        ))
    })
}

fn destinations(mounts: &[PointMount]) -> String {
    let all: Vec<_> = mounts.iter().map(|mount| format!("`{}`", mount.destination.display())).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
