//! What this server backs up by itself, and when.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Dory;
use super::inventory::policy_from_labels;
use super::own_backups::LISTED_FOR;
use crate::domain::backup::Backup;
use crate::domain::id::{BackupId, ContainerName};
use crate::domain::policy::{PolicyOverrides, marked_by_label};
use crate::domain::schedule::Schedule;
use crate::domain::turns::Turns;
use crate::error::{Error, Result};

/// What this server backs up by itself.
#[derive(Debug, Default)]
pub struct Timetable {
    /// One entry for each container that has a schedule.
    pub entries: Vec<TimetableEntry>,
    /// Containers of which nobody can tell, and why.
    pub unclear: Vec<(ContainerName, Error)>,
}

/// One container that is backed up by schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimetableEntry {
    /// Which.
    pub container: ContainerName,
    /// What its delays are drawn for: the same on every host, and for good.
    pub subject: String,
    /// When.
    pub schedule: Schedule,
    /// What was due up to then is over: its last point is from then, its turn failed for good, or it came into being.
    pub since: Timestamp,
    /// What its backup remembers of its schedule.
    pub turns: Turns,
    /// The backup that holds its data.
    pub backup: Option<BackupId>,
}

impl Dory {
    /// What this server backs up by itself: the containers with a schedule, of the catalog or of a label, and marked ones
    /// where the fleet's settings have one for them, but none that somebody took out with `dory unmark` or
    /// `dory.backup=false`, and none whose schedule somebody paused.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn timetable(&self) -> Result<Timetable> {
        let by_fleet = self.default_policy().await?;
        let table = self.timetable_of(&self.own_backups(LISTED_FOR).await?, &by_fleet).await?;
        let now = self.clock.now();
        // What seems due may have been done, or called off, by somebody else: nothing begins on old news.
        if table.entries.iter().any(|entry| entry.schedule.last_due(entry.since, now, &self.config.zone).is_some()) {
            return self.timetable_of(&self.own_backups(Duration::ZERO).await?, &by_fleet).await;
        }
        Ok(table)
    }

    async fn timetable_of(&self, backups: &[Arc<Backup>], by_fleet: &PolicyOverrides) -> Result<Timetable> {
        let mut table = Timetable::default();
        for container in self.runtime()?.list_containers().await? {
            let entry = || -> Result<Option<TimetableEntry>> {
                let by_label = policy_from_labels(&container)?;
                let marked_by_label = marked_by_label(&container.labels)?;
                // One that only looks like a known backup's asks first, and nobody is there to answer.
                let known = self.backup_of(&container, backups)?;
                let marked = known.as_ref().and_then(|known| known.marked).or(marked_by_label);
                let by_catalog = known.as_ref().map(|known| known.policy.clone()).unwrap_or_default();
                let turns = known.as_ref().map(|known| known.turns.clone()).unwrap_or_default();
                let wanted = marked != Some(false) && turns.paused_since.is_none();
                // What the fleet's settings say is for those that somebody chose.
                let by_fleet = if marked == Some(true) { by_fleet.clone() } else { PolicyOverrides::default() };
                let schedule = by_catalog.or(by_label).or(by_fleet).into_policy().schedule.filter(|_| wanted);
                Ok(schedule.map(|schedule| TimetableEntry {
                    container: container.name.clone(),
                    subject: known.as_ref().map_or_else(|| container.name.to_string(), |known| known.id.to_string()),
                    schedule,
                    since: known.as_ref().and_then(|known| known.turns_over_until()).unwrap_or(container.created_at),
                    turns,
                    backup: known.map(|known| known.id.clone()),
                }))
            };
            match entry() {
                Ok(entry) => table.entries.extend(entry),
                Err(error) => table.unclear.push((container.name.clone(), error)),
            }
        }
        Ok(table)
    }

    /// Notes that what was due of a backup up to `moment` is over, though it has no point from then: it failed for good.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub(crate) async fn end_turn(&self, backup: &BackupId, moment: Timestamp) -> Result<()> {
        let end = |backup: &mut Backup| {
            backup.turns.end(moment);
            Ok(())
        };
        self.catalog.update_backup(backup, end).await.map(drop)
    }
}
