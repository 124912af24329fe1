//! Keeping a run's outcome in the catalog.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::run_events::{RunEvent, RunEvents};
use super::run_log::RunLog;
use super::{Dory, noise};
use crate::domain::id::{BackupId, PointId, RunId};
use crate::domain::run::{Outcome, Run, RunKind};
use crate::error::{ErrorKind, Result};

/// A run that has begun.
#[derive(Clone, Debug)]
pub(super) struct RunStart {
    pub(super) id: RunId,
    pub(super) kind: RunKind,
    pub(super) started_at: Timestamp,
    started: Duration,
    /// What its record will tell.
    pub(super) log: RunLog,
}

impl RunStart {
    /// Tells `events` that it began, and passes on what happens to it from now on, with a line in its log about each.
    pub(super) fn listening(&self, events: &RunEvents) -> RunEvents {
        events.send(RunEvent::Began { run: self.id, kind: self.kind });
        self.log.listening(events)
    }
}

impl Dory {
    pub(super) fn begin_run(&self, kind: RunKind) -> Result<RunStart> {
        let started_at = self.clock.now();
        let id = RunId::new(started_at, noise()?);
        Ok(RunStart { id, kind, started_at, started: self.clock.monotonic(), log: RunLog::default() })
    }

    pub(super) fn elapsed(&self, run: &RunStart) -> SignedDuration {
        let elapsed = self.clock.monotonic().saturating_sub(run.started);
        SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX)
    }

    /// Keeps how a run went. A run whose record cannot be written went as it went: that is only logged.
    pub(super) async fn end_run(
        &self,
        run: &RunStart,
        backup: &BackupId,
        point: Option<PointId>,
        complete: bool,
        error: Option<&crate::error::Error>,
    ) {
        let outcome = match error.map(crate::error::Error::kind) {
            None if complete => Outcome::Succeeded,
            None | Some(ErrorKind::Incomplete) => Outcome::Incomplete,
            // The point is there, whatever befell the containers.
            Some(ErrorKind::ContainerDown) if run.kind == RunKind::Backup && point.is_some() => Outcome::Incomplete,
            Some(ErrorKind::Cancelled) => Outcome::Cancelled,
            Some(_) => Outcome::Failed,
        };
        self.tally.count(run.kind, outcome);
        let record = Run {
            id: run.id,
            server: self.config.server.clone(),
            kind: run.kind,
            backup: backup.clone(),
            started_at: run.started_at,
            elapsed: self.elapsed(run),
            outcome,
            point,
            error: error.map(crate::error::Error::to_record),
            log: run.log.lines(),
        };
        if let Err(error) = self.catalog.record_run(&record).await {
            tracing::warn!(run = %run.id, %error, "a run's outcome could not be recorded");
        }
    }
}
