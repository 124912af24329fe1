//! What this server backs up by itself, and when.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Dory;
use super::inventory::policy_from_labels;
use super::own_backups::LISTED_FOR;
use crate::domain::backup::Backup;
use crate::domain::id::ContainerName;
use crate::domain::policy::marked_by_label;
use crate::domain::schedule::Schedule;
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
    /// What was due up to then is over: its last backup was begun then, or it came into being.
    pub since: Timestamp,
}

impl Dory {
    /// What this server backs up by itself: the containers with a schedule, of the catalog or of a label, that nobody took
    /// out with `dory unmark` or `dory.backup=false`.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn timetable(&self) -> Result<Timetable> {
        let table = self.timetable_of(&self.own_backups(LISTED_FOR).await?).await?;
        let now = self.clock.now();
        // What seems due may have been done, or called off, by somebody else: nothing begins on old news.
        if table.entries.iter().any(|entry| entry.schedule.last_due(entry.since, now, &self.config.zone).is_some()) {
            return self.timetable_of(&self.own_backups(Duration::ZERO).await?).await;
        }
        Ok(table)
    }

    async fn timetable_of(&self, backups: &[Arc<Backup>]) -> Result<Timetable> {
        let mut table = Timetable::default();
        for container in self.runtime()?.list_containers().await? {
            let entry = || -> Result<Option<TimetableEntry>> {
                let by_label = policy_from_labels(&container)?;
                let marked_by_label = marked_by_label(&container.labels)?;
                // One that only looks like a known backup's asks first, and nobody is there to answer.
                let known = self.backup_of(&container, backups)?;
                let marked = known.as_ref().and_then(|known| known.marked).or(marked_by_label);
                let by_catalog = known.as_ref().map(|known| known.policy.clone()).unwrap_or_default();
                let schedule = by_catalog.or(by_label).into_policy().schedule.filter(|_| marked != Some(false));
                Ok(schedule.map(|schedule| TimetableEntry {
                    container: container.name.clone(),
                    subject: known.as_ref().map_or_else(|| container.name.to_string(), |known| known.id.to_string()),
                    schedule,
                    since: known.and_then(|known| known.last_attempt_at).unwrap_or(container.created_at),
                }))
            };
            match entry() {
                Ok(entry) => table.entries.extend(entry),
                Err(error) => table.unclear.push((container.name.clone(), error)),
            }
        }
        Ok(table)
    }
}
