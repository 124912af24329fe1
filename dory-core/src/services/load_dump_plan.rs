//! What loading a dump will do, computed from the catalog and from what is there, touching nothing.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::Dory;
use super::backup::Planned;
use super::claim::Claim;
use super::inventory::policy_from_labels;
use super::restore_plan::RestoreChoice;
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::container::{Container, ContainerState};
use crate::domain::dump::{DumpSpec, path_of};
use crate::domain::dump_preset::DumpPreset;
use crate::domain::hook::{HookCommand, Hooks};
use crate::domain::id::{BackupId, ContainerName, DumpName, PointId};
use crate::domain::plan::BackupPlan;
use crate::domain::policy::Policy;
use crate::domain::restore_point::{PointDump, RestorePoint};
use crate::error::{Error, ErrorKind, Result};

/// Which dump to load where.
#[derive(Clone, Debug)]
pub struct DumpChoice {
    /// The backup: its id, its name, or its container's name.
    pub backup: String,
    /// Which point of it.
    pub point: PointChoice,
    /// Which of its dumps; `None` where it holds just one.
    pub name: Option<DumpName>,
    /// Into which container; the backup's own where `None`.
    pub into: Option<String>,
    /// Whether to keep what is there now in a dump of its own first.
    pub safety: bool,
}

/// Who says what loads a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadedBy {
    /// The container's labels, or what `dory edit` set for its backup.
    Container,
    /// The preset that the point names. It names no command: see [`PointDump::preset`].
    Point,
}

/// What loading a dump will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DumpLoadPlan {
    /// From which backup.
    pub backup: BackupId,
    /// From which point.
    pub point: PointId,
    /// The moment that point is from.
    pub taken_at: Timestamp,
    /// The point's name, if it has one.
    pub point_name: Option<String>,
    /// The dump.
    pub dump: PointDump,
    /// Into which container, which runs and goes on running.
    pub target: ContainerName,
    /// What loads it, as people write it: a preset's word, or a command.
    pub how: String,
    /// Who says so.
    pub said_by: LoadedBy,
    /// The backup that the target's data belongs to.
    pub home: BackupId,
    /// What the dump of what is there now is called, in the safety point that `home` gets; `None` goes without.
    pub safety: Option<DumpName>,
}

impl DumpLoadPlan {
    /// The command that loads what a safety point holds.
    #[must_use]
    pub fn undo_command(&self, safety_point: PointId) -> Option<String> {
        let name = self.safety.as_ref()?;
        Some(format!("dory restore {} --at {safety_point} --dump {name}", self.home))
    }
}

/// What a plan was made from.
pub(super) struct PlannedLoad {
    pub(super) plan: DumpLoadPlan,
    pub(super) backup: Arc<Backup>,
    pub(super) point: RestorePoint,
    /// The target, as what a safety dump is taken of.
    pub(super) target: Planned,
    /// How a safety dump is made, and who runs what loads.
    pub(super) spec: DumpSpec,
    pub(super) command: HookCommand,
}

impl Dory {
    /// What loading a dump would do. Touches nothing.
    ///
    /// # Errors
    /// `NotFound` for the backup, the point, the dump or the container; `InvalidInput` where several dumps are meant;
    /// `Unsupported` where nothing is known to load it; `Conflict` where it is another server's, or the container does not
    /// run; the store's and the runtime's.
    pub async fn plan_load_dump(&self, choice: &DumpChoice) -> Result<DumpLoadPlan> {
        self.open_fleet().await?;
        Ok(self.plan_load_in_full(choice).await?.plan)
    }

    pub(super) async fn plan_load_in_full(&self, choice: &DumpChoice) -> Result<PlannedLoad> {
        let backup = self.find_backup(&choice.backup).await?;
        let point = backup.find_whole_point(&choice.point)?.clone();
        let dump = chosen(&backup, &point, choice.name.as_ref())?.clone();
        let container = self.container_to_load_into(choice, &backup, &point).await?;
        let home = self.home_of(Some(&container), &backup).await?;
        let known = self.catalog.backups().await?.backups.into_iter().find(|known| known.id == home);
        let policy = self.policy_of(known.as_deref()).await?.or(policy_from_labels(&container)?).into_policy();
        let (spec, command, said_by) = way_in(&dump, policy.hooks.dump.clone(), &point, &backup, &container)?;
        let holds = Claim::on(&[&backup.id, &home], &[], &[], &[]).and(&container);
        let plan = DumpLoadPlan {
            backup: backup.id.clone(),
            point: point.id,
            taken_at: point.taken_at,
            point_name: point.name.clone(),
            target: container.name.clone(),
            how: if command == preset_command(&spec) { spec.method.to_string() } else { command.to_string() },
            said_by,
            home: home.clone(),
            safety: choice.safety.then(|| spec.name.clone()),
            dump,
        };
        let as_backup = BackupPlan {
            backup: home,
            is_new: known.is_none(),
            container: container.name.clone(),
            mounts: Vec::new(),
            left_out: Vec::new(),
            quiet: Vec::new(),
            left_running: Vec::new(),
            policy: Policy { exclude: Vec::new(), hooks: Hooks::default(), ..policy },
        };
        let target = Planned { plan: as_backup, container, known, holds, mixture: None };
        Ok(PlannedLoad { plan, backup, point, target, spec, command })
    }

    async fn container_to_load_into(
        &self,
        choice: &DumpChoice,
        backup: &Backup,
        point: &RestorePoint,
    ) -> Result<Container> {
        let as_restore = RestoreChoice { into: choice.into.clone(), ..RestoreChoice::newest_of(&choice.backup) };
        let container = self.target_of(&as_restore, backup, point).await?.ok_or_else(|| {
            let reason = format!("its container `{}` is not on this host", backup.identity.container);
            Error::new(ErrorKind::NotFound, "load dump of", &backup.name, reason)
                .with_hint("name a container with `--into`")
        })?;
        if container.state == ContainerState::Running {
            return Ok(container);
        }
        let reason = format!("it is {}, and a dump is loaded by what runs in it", container.state.as_str());
        Err(Error::new(ErrorKind::Conflict, "load a dump into container", container.name.as_str(), reason)
            .with_hint(format!("run `docker start {}` first", container.name)))
    }
}

fn chosen<'a>(backup: &Backup, point: &'a RestorePoint, name: Option<&DumpName>) -> Result<&'a PointDump> {
    let all: Vec<_> = point.dumps.iter().map(|dump| format!("`{}`", dump.name)).collect();
    let holds = if all.is_empty() { "holds none".to_owned() } else { format!("holds {}", all.join(", ")) };
    let found = match name {
        Some(name) => point.dumps.iter().find(|dump| dump.name == *name),
        None if all.len() > 1 => {
            return Err(Error::invalid("--dump", "", format!("restore point `{}` {holds}: name one", point.id)));
        }
        None => point.dumps.first(),
    };
    found.ok_or_else(|| {
        let subject = name.map_or_else(|| "of the point".to_owned(), ToString::to_string);
        Error::new(ErrorKind::NotFound, "find dump", subject, format!("restore point `{}` {holds}", point.id))
            .with_hint(format!("`dory show {}` lists what points hold", backup.name))
    })
}

fn preset_command(spec: &DumpSpec) -> HookCommand {
    spec.method.preset().map_or_else(|| spec.command(), DumpPreset::restore_command)
}

/// How a dump is loaded: as the container says, else as the preset that the point names does it. Never by a command that
/// stands in the store alone.
fn way_in(
    dump: &PointDump,
    by_container: Option<DumpSpec>,
    point: &RestorePoint,
    backup: &Backup,
    container: &Container,
) -> Result<(DumpSpec, HookCommand, LoadedBy)> {
    match (by_container, dump.preset) {
        (Some(spec), Some(made_by)) if spec.method.preset().is_some_and(|preset| !is_like(preset, made_by)) => {
            let reason = format!("it was made by `{made_by}`, and the container's dumps are by `{}` now", spec.method);
            Err(Error::new(ErrorKind::Conflict, "load dump", dump.name.as_str(), reason)
                .with_hint(by_hand(dump, point, backup, container)))
        }
        (Some(spec), made_by) => match spec.restore_command() {
            Some(command) => Ok((spec, command, LoadedBy::Container)),
            None => match made_by {
                Some(preset) => Ok((spec, preset.restore_command(), LoadedBy::Point)),
                None => Err(nothing_loads(dump, point, backup, container)),
            },
        },
        (None, Some(preset)) => Ok((DumpSpec::of_preset(preset), preset.restore_command(), LoadedBy::Point)),
        (None, None) => Err(nothing_loads(dump, point, backup, container)),
    }
}

/// Whether what one wrote, the other reads.
fn is_like(a: DumpPreset, b: DumpPreset) -> bool {
    use DumpPreset::{Mariadb, Mysql};
    a == b || matches!((a, b), (Mysql | Mariadb, Mysql | Mariadb))
}

fn nothing_loads(dump: &PointDump, point: &RestorePoint, backup: &Backup, container: &Container) -> Error {
    let reason = "a command of the user's made it, and the container has no label `dory.dump.restore` that loads it";
    Error::new(ErrorKind::Unsupported, "load dump", dump.name.as_str(), reason)
        .with_hint(by_hand(dump, point, backup, container))
}

fn by_hand(dump: &PointDump, point: &RestorePoint, backup: &Backup, container: &Container) -> String {
    let path = path_of(&dump.name);
    format!(
        "by hand: `dory cat {} {} --at {} | docker exec -i {} …`",
        backup.id,
        path.display(),
        point.id,
        container.name
    )
}
