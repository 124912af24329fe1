//! When each backup is due, who said so, and putting that off.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Dory;
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::id::{BackupId, ServerName};
use crate::domain::policy::{PolicyOverrides, marked_by_label};
use crate::domain::schedule::{Schedule, ScheduleWish};
use crate::domain::turns::{LabelRules, Turns};
use crate::error::{Error, ErrorKind, Result};

/// How many of the next moments are shown.
const SHOWN: usize = 5;

/// Who says when a backup is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleSource {
    /// The catalog.
    Catalog,
    /// A label of the container.
    Label,
    /// The fleet's settings, for all that are marked.
    Fleet,
    /// Nobody.
    Nobody,
}

/// When one backup is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScheduleOverview {
    /// The container's name.
    pub container: String,
    /// Its server.
    pub server: ServerName,
    /// The backup that holds its data, where there is one.
    pub backup: Option<BackupId>,
    /// The schedule in force.
    pub schedule: Option<Schedule>,
    /// Who says so.
    pub source: ScheduleSource,
    /// Since when it is paused.
    pub paused_since: Option<Timestamp>,
    /// The one moment that is left out.
    pub skip: Option<Timestamp>,
    /// Whether somebody took the container out of schedules with `dory unmark` or `dory.backup=false`.
    pub left_out: bool,
    /// The next moments at which it is due.
    pub next: Vec<Timestamp>,
}

/// What to change about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// By this one from now on.
    Set(Box<Schedule>),
    /// Leave it to the container's label.
    Clear,
    /// Not at all, until somebody resumes it.
    Pause,
    /// Again, and leave nothing out.
    Resume,
    /// Not the next time.
    SkipNext,
}

impl Dory {
    /// When each backup of the fleet is due, or the one that `reference` means, by backup or by container of this host.
    /// Containers of this host count that have a label and were never backed up.
    ///
    /// # Errors
    /// `NotFound` and `InvalidInput` for `reference`; the store's.
    pub async fn schedules(&self, reference: Option<&str>) -> Result<Vec<ScheduleOverview>> {
        let backups = self.catalog.backups().await?.backups;
        let here = match self.runtime() {
            Ok(runtime) => runtime.list_containers().await?,
            Err(_) => Vec::new(),
        };
        let by_fleet = self.default_policy().await?.schedule;
        if let Some(reference) = reference {
            return match self.find_backup(reference).await {
                Ok(backup) => Ok(vec![self.schedule_of(&backup, &here, by_fleet.as_ref())]),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let by_name = here
                        .iter()
                        .find(|one| one.name.as_str() == reference || one.id.as_str().starts_with(reference));
                    by_name.map(|container| vec![self.schedule_of_new(container, by_fleet.as_ref())]).ok_or(error)
                }
                Err(error) => Err(error),
            };
        }
        let is_new = |container: &&Container| !backups.iter().any(|backup| self.is_made_from(backup, container));
        let new = here.iter().filter(is_new).map(|container| self.schedule_of_new(container, by_fleet.as_ref()));
        let known = backups.iter().map(|backup| self.schedule_of(backup, &here, by_fleet.as_ref()));
        let mut all: Vec<_> = known.chain(new).filter(|one| one.schedule.is_some()).collect();
        all.sort_by(|one, other| (&one.server, &one.container).cmp(&(&other.server, &other.container)));
        Ok(all)
    }

    /// Changes the schedule of the backup, or of the container of this host, that `reference` means, and gives what is
    /// in force then. What was due before is nothing to make up for.
    ///
    /// # Errors
    /// `NotFound` and `InvalidInput` for `reference`; `InvalidInput` to skip where nothing is due; `AlreadyExists` to skip
    /// two turns; the store's.
    pub async fn change_schedule(&self, reference: &str, change: &ScheduleChange) -> Result<ScheduleOverview> {
        self.open_fleet().await?;
        let id = self.backup_for(reference).await?;
        let here = match self.runtime() {
            Ok(runtime) => runtime.list_containers().await?,
            Err(_) => Vec::new(),
        };
        let by_fleet = self.default_policy().await?.schedule;
        let now = self.clock.now();
        let apply = |backup: &mut Backup| {
            let before = self.schedule_of(backup, &here, by_fleet.as_ref());
            match change {
                ScheduleChange::Set(schedule) => {
                    backup.policy.schedule = Some(ScheduleWish::On(schedule.clone()));
                    backup.turns.end(now);
                }
                ScheduleChange::Clear => {
                    backup.policy.schedule = None;
                    backup.turns.end(now);
                }
                ScheduleChange::Pause => {
                    backup.turns.paused_since.get_or_insert(now);
                }
                ScheduleChange::Resume => {
                    backup.turns.skip = None;
                    if backup.turns.paused_since.take().is_some() {
                        backup.turns.end(now);
                    }
                }
                ScheduleChange::SkipNext => backup.turns.skip = Some(to_skip(&before, now, &self.config.zone)?),
            }
            Ok(())
        };
        let changed = self.catalog.update_backup(&id, apply).await?;
        Ok(self.schedule_of(&changed, &here, by_fleet.as_ref()))
    }

    /// The backup that `reference` means; a container of this host that was never backed up gets a record.
    pub(super) async fn backup_for(&self, reference: &str) -> Result<BackupId> {
        let unknown = match self.find_backup(reference).await {
            Ok(backup) => return Ok(backup.id.clone()),
            Err(error) if error.kind() == ErrorKind::NotFound => error,
            Err(error) => return Err(error),
        };
        let Ok(runtime) = self.runtime() else { return Err(unknown) };
        let container = match runtime.inspect_container(reference).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(unknown),
            container => container?,
        };
        self.record_for(&container).await
    }

    /// The record of a container of this host: the one that is there, or a new one.
    pub(super) async fn record_for(&self, container: &Container) -> Result<BackupId> {
        let backups = self.catalog.backups().await?.backups;
        if let Some(backup) = self.backup_of(container, &backups)? {
            return Ok(backup.id.clone());
        }
        let id = self.id_for_new(container, &backups)?;
        self.create_or_meet(&id, container, self.clock.now()).await?;
        Ok(id)
    }

    fn schedule_of(&self, backup: &Backup, here: &[Container], by_fleet: Option<&ScheduleWish>) -> ScheduleOverview {
        let container = here.iter().find(|container| self.is_made_from(backup, container));
        // Of a container that is gone, or elsewhere, what its labels said last counts.
        let labels = container.and_then(|container| PolicyOverrides::from_labels(&container.labels).ok());
        let label = labels.map_or_else(|| backup.label_rules.clone(), |labels| LabelRules::from(&labels)).schedule;
        let by_label = container.and_then(|container| marked_by_label(&container.labels).ok().flatten());
        let marked = backup.marked.or(by_label);
        let by_fleet = by_fleet.filter(|_| marked == Some(true));
        let (wish, source) = match (&backup.policy.schedule, label, by_fleet) {
            (Some(wish), ..) => (Some(wish.clone()), ScheduleSource::Catalog),
            (None, Some(wish), _) => (Some(wish), ScheduleSource::Label),
            (None, None, Some(wish)) => (Some(wish.clone()), ScheduleSource::Fleet),
            (None, None, None) => (None, ScheduleSource::Nobody),
        };
        self.overview(
            ScheduleOverview {
                container: backup.identity.container.to_string(),
                server: backup.server.clone(),
                backup: Some(backup.id.clone()),
                schedule: wish.and_then(ScheduleWish::into_schedule),
                source,
                paused_since: backup.turns.paused_since,
                skip: backup.turns.skip.filter(|skip| *skip > self.clock.now()),
                left_out: marked == Some(false),
                next: Vec::new(),
            },
            &backup.turns,
        )
    }

    fn schedule_of_new(&self, container: &Container, by_fleet: Option<&ScheduleWish>) -> ScheduleOverview {
        let first = Backup::first_of(container, self.config.server.clone(), self.clock.now());
        ScheduleOverview { backup: None, ..self.schedule_of(&first, std::slice::from_ref(container), by_fleet) }
    }

    fn overview(&self, plain: ScheduleOverview, turns: &Turns) -> ScheduleOverview {
        let stands_still = plain.paused_since.is_some() || plain.left_out;
        let next = match plain.schedule.as_ref().filter(|_| !stands_still) {
            Some(schedule) => turns.upcoming(schedule, self.clock.now(), &self.config.zone).take(SHOWN).collect(),
            None => Vec::new(),
        };
        ScheduleOverview { next, ..plain }
    }
}

/// The moment that is left out next.
fn to_skip(before: &ScheduleOverview, now: Timestamp, zone: &TimeZone) -> Result<Timestamp> {
    if let Some(skip) = before.skip {
        let reason = format!("its turn at {skip} is left out already, and only one can be");
        return Err(Error::new(ErrorKind::AlreadyExists, "skip the next turn of", &before.container, reason)
            .with_hint("`pause` leaves out all of them until `resume`"));
    }
    let next = before.schedule.as_ref().and_then(|schedule| schedule.next_after(now, zone));
    next.ok_or_else(|| {
        Error::invalid("schedule", &before.container, "it has none, so there is no turn to skip")
            .with_hint(format!("set one with `dory schedule {} set \"0 3 * * *\"`", before.container))
    })
}
