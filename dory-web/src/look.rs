//! A look at the whole fleet: what every list is made from. Taken once for all who look at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use dory_core::domain::backup::Backup;
use dory_core::domain::id::{ContainerName, ServerName};
use dory_core::domain::restore_point::RestorePoint;
use dory_core::domain::schedule::{Schedule, ScheduleWish};
use dory_core::domain::server::ServerRecord;
use dory_core::services::{ContainerOverview, Dory};
use dory_core::{Error, Result};
use jiff::{SignedDuration, Timestamp};

/// By how much a run may be late before anybody is told.
const LATE: SignedDuration = SignedDuration::from_hours(2);

/// The fleet, as it was a few seconds ago at most.
#[derive(Debug)]
pub(crate) struct Look {
    /// Every backup that can be read.
    pub(crate) rows: Vec<Row>,
    /// What cannot be read, and why.
    pub(crate) damaged: Vec<String>,
    pub(crate) servers: Vec<ServerRecord>,
    /// The containers of this host, or why nobody can tell.
    pub(crate) containers: Result<Vec<ContainerOverview>>,
}

/// One backup in a list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) backup: Arc<Backup>,
    /// Bytes of data in the newest point.
    pub(crate) bytes: u64,
    /// Bytes that all its points added to the store.
    pub(crate) stored_bytes: u64,
    pub(crate) oldest: Option<Timestamp>,
    pub(crate) latest: Option<Timestamp>,
    pub(crate) stop_window: Option<SignedDuration>,
    /// Whether its container is gone; `None` where only its server knows.
    pub(crate) orphaned: Option<bool>,
    pub(crate) next: Option<Timestamp>,
    /// What needs attention, the worst first.
    pub(crate) troubles: Vec<Trouble>,
    /// What a search looks into.
    pub(crate) text: String,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `bad` or `warn`.
    pub(crate) tone: &'static str,
    /// In a word or two.
    pub(crate) tag: &'static str,
    /// In a sentence.
    pub(crate) words: String,
}

impl Trouble {
    fn new(tone: &'static str, tag: &'static str, words: impl Into<String>) -> Self {
        Self { tone, tag, words: words.into() }
    }
}

/// When this server runs what.
#[derive(Debug)]
struct Due {
    schedule: Schedule,
    subject: String,
    since: Timestamp,
}

impl Look {
    /// Looks.
    ///
    /// # Errors
    /// The store's. That containers cannot be looked at is no error of the whole.
    pub(crate) async fn of(dory: &Dory) -> Result<Self> {
        let list = dory.catalog().backups().await?;
        let servers = dory.catalog().servers().await?;
        let containers = dory.containers().await;
        let due: BTreeMap<ContainerName, Due> = match dory.timetable().await {
            Ok(table) => table
                .entries
                .into_iter()
                .map(|entry| {
                    let due = Due { schedule: entry.schedule, subject: entry.subject, since: entry.since };
                    (entry.container, due)
                })
                .collect(),
            Err(_) => BTreeMap::new(),
        };
        let running: Vec<(ServerName, ContainerName)> = servers
            .iter()
            .flat_map(|server| server.ping.running.iter().map(|container| (server.name.clone(), container.clone())))
            .collect();
        let eyes = Eyes { dory, containers: containers.as_ref().ok(), due: &due, running: &running, now: dory.now() };
        let rows = list.backups.iter().map(|backup| eyes.row(backup)).collect();
        let damaged = list.damaged.iter().map(Error::to_string).collect();
        Ok(Self { rows, damaged, servers, containers })
    }

    /// One backup's row.
    pub(crate) fn row(&self, backup: &Backup) -> Option<&Row> {
        self.rows.iter().find(|row| row.backup.id == backup.id)
    }

    /// Servers that have not been heard of for longer than they promised.
    pub(crate) fn silent(&self, now: Timestamp) -> impl Iterator<Item = &ServerRecord> {
        self.servers.iter().filter(move |server| server.is_silent(now))
    }
}

/// What it takes to judge a backup.
struct Eyes<'a> {
    dory: &'a Dory,
    containers: Option<&'a Vec<ContainerOverview>>,
    due: &'a BTreeMap<ContainerName, Due>,
    running: &'a [(ServerName, ContainerName)],
    now: Timestamp,
}

impl Eyes<'_> {
    fn row(&self, backup: &Arc<Backup>) -> Row {
        let latest = backup.latest();
        let orphaned = self.orphaned(backup);
        let text = format!(
            "{} {} {} {} {} {}",
            backup.name,
            backup.id,
            backup.server,
            backup.identity.container,
            backup.container().map_or("", |seen| seen.id.as_str()),
            backup.description.as_deref().unwrap_or_default()
        );
        Row {
            bytes: latest.map_or(0, |point| point.size.bytes),
            stored_bytes: backup.stored_bytes(),
            oldest: backup.points.first().map(|point| point.taken_at),
            latest: latest.map(|point| point.taken_at),
            stop_window: latest.and_then(|point| point.stop_window),
            orphaned,
            next: self.next(backup),
            troubles: self.troubles(backup, latest, orphaned),
            text: text.to_lowercase(),
            backup: Arc::clone(backup),
        }
    }

    fn is_own(&self, backup: &Backup) -> bool {
        backup.server == *self.dory.server()
    }

    fn orphaned(&self, backup: &Backup) -> Option<bool> {
        let containers = self.containers.filter(|_| self.is_own(backup))?;
        Some(!containers.iter().any(|overview| overview.backup_id() == Some(&backup.id)))
    }

    /// The schedule that counts for a backup, as far as it can be known from here.
    fn due(&self, backup: &Backup) -> Option<(Schedule, String, Timestamp)> {
        if self.is_own(backup) {
            let due = self.due.get(&backup.identity.container)?;
            return Some((due.schedule.clone(), due.subject.clone(), due.since));
        }
        let schedule = backup.policy.schedule.clone().filter(|_| backup.marked != Some(false));
        let since = backup.last_attempt_at.unwrap_or(backup.created_at);
        Some((schedule.and_then(ScheduleWish::into_schedule)?, backup.id.to_string(), since))
    }

    fn next(&self, backup: &Backup) -> Option<Timestamp> {
        let (schedule, subject, _) = self.due(backup)?;
        let moment = schedule.next_after(self.now, self.dory.zone())?;
        moment.checked_add(schedule.delay(&subject, moment)).ok()
    }

    fn troubles(&self, backup: &Backup, latest: Option<&RestorePoint>, orphaned: Option<bool>) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        if let Some((point, suspicion)) = backup.frozen_by() {
            let words = format!("point {} may have lost data: {}", point.id, suspicion.loss);
            troubles.push(Trouble::new("bad", "suspect", words));
        }
        if latest.is_some_and(RestorePoint::lost_data) {
            troubles.push(Trouble::new("bad", "data missing", "its newest point lacks data that was asked for"));
        }
        let is_running = self
            .running
            .iter()
            .any(|(server, container)| *server == backup.server && *container == backup.identity.container);
        let failed = backup.last_attempt_at.filter(|at| latest.is_none_or(|point| point.taken_at < *at) && !is_running);
        if failed.is_some() {
            troubles.push(Trouble::new("bad", "no new point", "the last attempt made no restore point"));
        } else if let Some((schedule, _, since)) = self.due(backup)
            && let Ok(then) = self.now.checked_sub(LATE)
            && since < then
            && let Some(due) = schedule.last_due(since, then, self.dory.zone())
            && !is_running
        {
            let words = format!("a run was due {}", crate::text::age(due, self.now));
            troubles.push(Trouble::new("bad", "overdue", words));
        } else if latest.is_none() && backup.is_marked() {
            troubles.push(Trouble::new("warn", "never backed up", "it is marked and has no restore point yet"));
        }
        if orphaned == Some(true) {
            let words = format!("container {} is gone from {}", backup.identity.container, backup.server);
            troubles.push(Trouble::new("warn", "orphaned", words));
        }
        if backup.deleting_since.is_some() {
            troubles.push(Trouble::new("warn", "being deleted", "its deletion began and did not end"));
        }
        troubles
    }
}
