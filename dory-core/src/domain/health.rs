//! What is wrong with a backup, as far as the catalog tells.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::id::{BackupId, PointId, RunId};
use super::report::{Situation, shown};
use super::run::{Outcome, Run, RunKind};
use super::schedule::{Schedule, ScheduleWish};
use crate::error::{Error, ErrorKind};

/// How long after its time a backup may be on its way before it is overdue.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// What is wrong with a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Trouble {
    /// Containers that should run do not, since a run of it.
    Down {
        /// Which run.
        run: RunId,
        /// When it began.
        at: Timestamp,
        /// What it said.
        error: String,
        /// What helps.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Its last run failed, or did less than it was asked for.
    Failing {
        /// Which run.
        run: RunId,
        /// When it began.
        at: Timestamp,
        /// What it said.
        error: String,
        /// What helps.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A point may lack data that was lost before it was made.
    Suspect {
        /// Which point.
        point: PointId,
        /// What there is less of.
        loss: String,
    },
    /// Its schedule came due, and no point was made.
    Overdue {
        /// When it was due last.
        due: Timestamp,
    },
    /// Its container is gone from its server.
    Orphaned,
}

impl Trouble {
    /// Where a silent server stands among the urgencies.
    pub const SERVER_SILENT: u8 = 3;
    /// Where a damaged document stands among them.
    pub const DAMAGED: u8 = 2;

    /// Which comes first: the lowest.
    #[must_use]
    pub fn urgency(&self) -> u8 {
        match self {
            Self::Down { .. } => 0,
            Self::Failing { .. } => 1,
            Self::Suspect { .. } => 2,
            Self::Overdue { .. } => 4,
            Self::Orphaned => 5,
        }
    }

    /// What is wrong, in a line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Down { at, error, .. } => format!("containers stayed down after the run of {}: {error}", shown(*at)),
            Self::Failing { at, error, .. } => format!("the run of {} failed: {error}", shown(*at)),
            Self::Suspect { loss, .. } => format!("its data may have been lost before it was read: {loss}"),
            Self::Overdue { due } => format!("it was due at {}, and was not backed up", shown(*due)),
            Self::Orphaned => "its container is gone from its server".to_owned(),
        }
    }

    /// A word for a table.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Down { .. } => "CONTAINERS DOWN",
            Self::Failing { .. } => "FAILING",
            Self::Suspect { .. } => "SUSPECT",
            Self::Overdue { .. } => "OVERDUE",
            Self::Orphaned => "orphaned",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self, backup: &BackupId) -> Option<String> {
        match self {
            Self::Down { hint, .. } | Self::Failing { hint, .. } => hint.clone(),
            Self::Suspect { .. } => Some(format!(
                "compare the container with the point before; `dory edit {backup} --clear-suspect` says that all is well"
            )),
            Self::Overdue { .. } => Some("see `dory servers` for whether its server lives".to_owned()),
            Self::Orphaned => Some(format!("its points stay until you say `dory delete {backup}`")),
        }
    }
}

/// How a backup is, by its last runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupHealth {
    /// [`Trouble::Down`] or [`Trouble::Failing`].
    pub(super) run: Option<Trouble>,
    /// Whether any run tells: without one, what was known before still holds.
    pub(super) is_known: bool,
    /// [`Trouble::Suspect`].
    pub(super) suspect: Option<Trouble>,
    /// [`Trouble::Overdue`] and [`Trouble::Orphaned`].
    others: Vec<Trouble>,
}

/// What of a run is remembered by who told people of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunTrouble {
    /// See [`Trouble::Failing`].
    Failing,
    /// See [`Trouble::Down`].
    Down,
}

impl BackupHealth {
    /// How `backup` is.
    #[must_use]
    pub fn of(backup: &Backup, situation: &Situation<'_>) -> Self {
        let own = |run: &&Arc<Run>| run.backup == backup.id && run.outcome != Outcome::Cancelled;
        let newest = |fits: fn(RunKind) -> bool| situation.runs.iter().rev().filter(own).find(|run| fits(run.kind));
        let made = newest(|kind| kind == RunKind::Backup);
        // A later restore may have left containers down too, or brought them up again.
        let stopped = newest(|kind| matches!(kind, RunKind::Backup | RunKind::Restore));
        let down = stopped.filter(|run| left_down(run)).and_then(|run| trouble_of(run, backup));
        let run = down.or_else(|| made.and_then(|run| failure_of(run, backup)));
        let orphaned = orphaned(backup, situation);
        // What fails, or cannot be made any more, need not be told to be late too.
        let overdue = overdue(backup, situation).filter(|_| run.is_none() && orphaned.is_none());
        Self {
            is_known: made.is_some() || run.is_some(),
            run,
            suspect: backup
                .frozen_by()
                .map(|(point, suspicion)| Trouble::Suspect { point: point.id, loss: suspicion.loss.to_string() }),
            others: overdue.into_iter().chain(orphaned).collect(),
        }
    }

    /// All of it, the most urgent first.
    #[must_use]
    pub fn troubles(self) -> Vec<Trouble> {
        let mut all: Vec<_> = self.run.into_iter().chain(self.suspect).chain(self.others).collect();
        all.sort_by_key(Trouble::urgency);
        all
    }

    /// Whether a run is one that somebody should look at.
    #[must_use]
    pub fn is_failure(run: &Run, backup: &Backup) -> bool {
        run.kind == RunKind::Backup && trouble_of(run, backup).is_some()
    }
}

fn left_down(run: &Run) -> bool {
    run.error.as_ref().is_some_and(|error| error.kind == ErrorKind::ContainerDown)
}

fn trouble_of(run: &Run, backup: &Backup) -> Option<Trouble> {
    if !left_down(run) {
        return failure_of(run, backup);
    }
    let (error, hint) = words_of(run);
    Some(Trouble::Down { run: run.id, at: run.started_at, error, hint })
}

fn failure_of(run: &Run, backup: &Backup) -> Option<Trouble> {
    let point = backup.points.iter().find(|point| Some(point.id) == run.point);
    let only_suspect = point.is_some_and(|point| point.suspect.is_some() && !point.lost_data());
    let failed = match run.outcome {
        Outcome::Failed | Outcome::Interrupted => true,
        // Told as what it is: suspect.
        Outcome::Incomplete => run.error.is_some() || !only_suspect,
        Outcome::Succeeded | Outcome::Cancelled => false,
    };
    let (error, hint) = words_of(run);
    let hint = hint.or_else(|| point.map(|_| format!("see `dory show {}`", backup.id)));
    failed.then_some(Trouble::Failing { run: run.id, at: run.started_at, error, hint })
}

fn words_of(run: &Run) -> (String, Option<String>) {
    match &run.error {
        Some(error) => (Error::from(error.clone()).to_string(), error.hint.clone()),
        None => ("some of what was asked for is missing".to_owned(), None),
    }
}

fn overdue(backup: &Backup, situation: &Situation<'_>) -> Option<Trouble> {
    if backup.deleting_since.is_some() {
        return None;
    }
    let schedule = schedule_of(backup, situation)?;
    let since = backup.latest().map_or(backup.created_at, |point| point.taken_at);
    let since = backup.turns.over_until.map_or(since, |over| since.max(over));
    let zone = situation.schedule_zone;
    let until = situation.now.checked_sub(GRACE).ok()?;
    let due = schedule.last_due(since, until, zone).filter(|due| Some(*due) != backup.turns.skip)?;
    let late = due.checked_add(schedule.delay(backup.id.as_str(), due)).ok()?;
    // A point is as old as the moment its data is from, which may be a little before its run's turn by another clock.
    (late <= until).then_some(Trouble::Overdue { due })
}

/// When it is backed up by its server, as far as the catalog knows.
fn schedule_of(backup: &Backup, situation: &Situation<'_>) -> Option<Schedule> {
    if backup.marked == Some(false) || backup.turns.paused_since.is_some() {
        return None;
    }
    let by_label = backup.label_rules.schedule.clone();
    let by_default = situation.defaults.schedule.clone().filter(|_| backup.is_marked());
    backup.policy.schedule.clone().or(by_label).or(by_default).and_then(ScheduleWish::into_schedule)
}

fn orphaned(backup: &Backup, situation: &Situation<'_>) -> Option<Trouble> {
    let present = situation.present.get(&backup.server)?;
    let is_here = present.iter().any(|container| {
        container.name == backup.identity.container || backup.containers.iter().any(|seen| seen.id == container.id)
    });
    (!is_here).then_some(Trouble::Orphaned)
}
