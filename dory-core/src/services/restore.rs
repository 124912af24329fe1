//! Bringing data back.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Serialize;

use super::Dory;
use super::backup::{Planned, point_of};
use super::cancel::{Cancel, CancelOnDrop};
use super::guard::Guard;
use super::helper::{RunningHelper, folder_of};
use super::intact::{Shortfalls, check_safety, not_proven, undo_request};
use super::lookout::Lookout;
use super::mount_state::{MountState, MountStates};
use super::passes::Warmed;
use super::restore_plan::{PlannedRestore, RestoreChoice, RestorePlan};
use super::restore_prepare::{Prepared, Safety};
use super::run_events::{Phase, RunEvents};
use super::run_record::RunStart;
use super::stop_window::{StopWindow, WindowReport};
use crate::domain::backup::Backup;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::id::{BackupId, PointId, SnapshotId};
use crate::domain::plan::BackupPlan;
use crate::domain::restore_point::{PointOrigin, RestorePoint};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{MountFolder, OpenMode, Repository, RestoreReport, RestoreRequest};

/// How long a rollback waits for another run that is in its way, and how often it looks.
const OTHERS_GO_WITHIN: Duration = Duration::from_secs(30);
const OTHERS_ASKED_EVERY: Duration = Duration::from_millis(500);

/// What a restore did.
#[derive(Debug, Serialize)]
pub struct RestoreOutcome {
    /// What was planned.
    pub plan: RestorePlan,
    /// What the engine did.
    pub report: RestoreReport,
    /// The point that holds what was there before.
    pub safety_point: Option<PointId>,
    /// From the first stop request to the moment the last container ran again.
    pub stop_window: Option<SignedDuration>,
    /// From plan to end.
    pub elapsed: SignedDuration,
    /// What fell short.
    pub warnings: Vec<Warning>,
    /// Set where a container that ran before does not run now. The data is restored all the same.
    #[serde(skip)]
    pub containers_down: Option<Error>,
    /// Why nobody guarded the run to its end, where that happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardian_lost: Option<String>,
}

impl RestoreOutcome {
    /// Whether all that was asked for was done, with nobody writing in between.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.containers_down.is_none() && self.guardian_lost.is_none() && !self.was_disturbed()
    }

    /// Whether somebody wrote to the data meanwhile.
    #[must_use]
    pub fn was_disturbed(&self) -> bool {
        self.warnings.iter().any(|warning| warning.kind == WarningKind::WriterStarted)
    }

    /// The command that brings back what was there before, where a safety point holds it.
    #[must_use]
    pub fn undo_command(&self) -> Option<String> {
        self.safety_point.map(|point| self.plan.undo_command(point))
    }
}

/// One restore under way.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    planned: &'a PlannedRestore,
    guard: &'a Guard,
    lookout: &'a Lookout,
    run: &'a RunStart,
    events: &'a RunEvents,
}

impl Dory {
    /// Restores: prepares, stops the target's users, keeps what is there now, restores, starts everything again.
    ///
    /// A restore that fails or is cancelled half-way is rolled back from the safety point. Where that is impossible the
    /// containers stay down, for an application must not run on half-restored data; the error says so.
    ///
    /// Dropping this future cancels the run, which then ends by itself, in order.
    ///
    /// # Errors
    /// As for [`plan_restore`](Self::plan_restore), before anything is stopped; then `Cancelled`, the engine's, and
    /// `ContainerDown` where containers had to stay down or did not come back.
    pub async fn run_restore(
        &self,
        choice: &RestoreChoice,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<RestoreOutcome> {
        let (dory, choice, events) = (self.clone(), choice.clone(), events.clone());
        let guard = CancelOnDrop::new(cancel.clone());
        let its_cancel = cancel.clone();
        let run = tokio::spawn(async move { dory.restore_to_the_end(&choice, &its_cancel, &events).await });
        let result = run.await.unwrap_or_else(|error| Err(Error::from_panic("restore backup", error)));
        guard.disarm();
        result
    }

    async fn restore_to_the_end(
        &self,
        choice: &RestoreChoice,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<RestoreOutcome> {
        let run = self.begin_run(RunKind::Restore)?;
        let events = &run.listening(events);
        events.phase(Phase::Prepare);
        let Prepared { mut planned, source, safety, helper } = self.prepare_restore(choice, &run, cancel).await?;
        let armed = async {
            let warmed = cancel.or(self.warm_safety(safety.as_ref(), events)).await?;
            self.note_restore(&planned, &run, safety.as_ref().map(|safety| safety.id)).await?;
            // All that may have taken hours, and containers come, go and start meanwhile.
            let watched = cancel.or(async {
                let lookout = Lookout::begin(&self.runtime()?, &self.clock).await?;
                planned.plan.quiet = self.users_of_now(&planned).await?;
                let PlannedRestore { plan, holds, .. } = &planned;
                lookout.watch_for(&plan.quiet);
                let guard = self.arm_guardian(choice.guarding, &run, &plan.home, holds, &plan.quiet).await?;
                Ok((lookout, guard))
            });
            let (lookout, guard) = watched.await?;
            Ok((warmed, lookout, guard))
        };
        let (warmed, lookout, guard) = match armed.await {
            Ok(armed) => armed,
            Err(error) => {
                self.data_is_whole(run.id, None).await;
                helper.close().await;
                return Err(self.never_began(&run, &planned, error).await);
            }
        };
        let attempt = Attempt { planned: &planned, guard: &guard, lookout: &lookout, run: &run, events };
        let kept = safety.as_ref().zip(warmed);
        let result = self.restore_in_window(attempt, source.as_ref(), kept, helper, cancel).await;
        let disarmed = guard.disarm().await;
        let result = match result {
            Ok(mut outcome) => {
                outcome.warnings.extend(lookout.intrusions(&planned.targets(), &planned.plan.quiet).await);
                Ok(RestoreOutcome { guardian_lost: disarmed.end().await, ..outcome })
            }
            Err(error) => Err(disarmed.end_of_failure(error).await),
        };
        let complete = result.as_ref().is_ok_and(RestoreOutcome::is_complete);
        self.end_run(&run, &planned.backup.id, Some(planned.point.id), complete, result.as_ref().err()).await;
        result
    }

    async fn restore_in_window(
        &self,
        attempt: Attempt<'_>,
        source: &dyn Repository,
        safety: Option<(&Safety, Warmed<'_>)>,
        helper: RunningHelper,
        cancel: &Cancel,
    ) -> Result<RestoreOutcome> {
        let Attempt { planned, guard, lookout, run, events } = attempt;
        let (runtime, clock) = (self.runtime()?, Arc::clone(&self.clock));
        let (window, quieted) = StopWindow::open(runtime, clock, &planned.plan.quiet, events.clone()).await;

        // Until `overwrite` begins nothing was written, so everything simply starts again.
        let before_writing = cancel.or(async {
            quieted?;
            window.check().await?;
            lookout.all_stand_still();
            match safety {
                Some((safety, warmed)) => {
                    self.keep_what_is_there(attempt, safety, warmed, window.quiet_since()).await.map(Some)
                }
                None => Ok(None),
            }
        });
        let ready = match before_writing.await {
            Ok(kept) => guard.writing().await.map(|()| kept),
            Err(error) => Err(error),
        };
        let kept = match ready {
            Ok(kept) => kept,
            Err(error) => {
                helper.close().await;
                guard.written().await;
                lookout.all_may_start();
                let closed = window.close().await;
                self.data_is_whole(run.id, None).await;
                return Err(closed.into_error().unwrap_or(error));
            }
        };

        let shortfalls = Shortfalls::default();
        let states = MountStates::new(&planned.plan, events);
        let written = cancel.or(self.overwrite(planned, source, &states, &shortfalls)).await;
        helper.close().await;
        let report = match written {
            Ok(report) => report,
            Err(error) => return self.roll_back(attempt, kept, &states, window, error).await,
        };
        guard.written().await;
        lookout.all_may_start();
        let closed = window.close().await;
        // While the guardian is there no other run meets the note.
        self.data_is_whole(run.id, Some(&planned.targets())).await;
        let stop_window = closed.length;
        let containers_down = match closed.into_error() {
            None => WindowReport::of_later(self.runtime()?.as_ref(), &planned.plan.quiet).await.into_error(),
            down => down,
        };
        Ok(RestoreOutcome {
            plan: planned.plan.clone(),
            report,
            safety_point: kept.map(|(id, _)| id),
            stop_window,
            elapsed: self.elapsed(run),
            warnings: shortfalls.take(),
            containers_down,
            guardian_lost: None,
        })
    }

    /// Makes the safety point and records it at once: from here on somebody may need it. Then it is proven to hold what
    /// is about to be overwritten.
    async fn keep_what_is_there(
        &self,
        Attempt { planned, guard, run, events, .. }: Attempt<'_>,
        safety: &Safety,
        warmed: Warmed<'_>,
        taken_at: jiff::Timestamp,
    ) -> Result<(PointId, SnapshotId)> {
        events.phase(Phase::Safeguard);
        let read = warmed.stand_still(taken_at).await?.finish(taken_at).await?;
        let plan = BackupPlan { quiet: planned.plan.quiet.clone(), ..safety.planned.plan.clone() };
        let as_it_stood = Planned { plan, ..safety.planned.clone() };
        let point = RestorePoint {
            origin: PointOrigin::Safety,
            elapsed: self.elapsed(run),
            ..point_of(&as_it_stood, run, safety.id, taken_at, read)
        };
        let point = RestorePoint { consistency: guard.grade(point.consistency), ..point };
        let snapshot = point.snapshot.clone();
        let add = |backup: &mut Backup| {
            backup.add_point(point.clone());
            Ok(())
        };
        self.catalog.update_backup(&safety.planned.plan.backup, add).await?;
        check_safety(&point)?;
        let same = planned.plan.backup == planned.plan.home && planned.point.engine == point.engine;
        let overwriting = same.then(|| planned.point.snapshot.clone());
        safety
            .repository
            .prove_undo(&undo_request(&planned.plan, snapshot.clone(), overwriting))
            .await
            .map_err(not_proven)?;
        Ok((safety.id, snapshot))
    }

    async fn overwrite(
        &self,
        planned: &PlannedRestore,
        repository: &dyn Repository,
        states: &MountStates,
        shortfalls: &Shortfalls,
    ) -> Result<RestoreReport> {
        states.events().phase(Phase::Write);
        let engine_events = shortfalls.listen(states.events());
        let mut total = RestoreReport::default();
        // One by one, so that it is known at each moment which is whole.
        for mount in &planned.plan.mounts {
            states.set(mount, MountState::HalfWritten);
            let request = RestoreRequest {
                snapshot: planned.point.snapshot.clone(),
                targets: vec![MountFolder { key: mount.key.clone(), path: folder_of(&mount.to).path }],
                delete_extra: mount.delete_extra,
                keep: planned.point.exclude.clone(),
            };
            let report = repository.restore(&request, &engine_events).await?;
            shortfalls.check()?;
            states.set(mount, MountState::Restored);
            total.files += report.files;
            total.bytes += report.bytes;
            total.removed += report.removed;
        }
        Ok(total)
    }

    /// Puts back what a failed restore had overwritten, and only then starts the containers.
    async fn roll_back(
        &self,
        Attempt { planned, guard, lookout, run, .. }: Attempt<'_>,
        kept: Option<(PointId, SnapshotId)>,
        states: &MountStates,
        window: StopWindow,
        failure: Error,
    ) -> Result<RestoreOutcome> {
        states.events().phase(Phase::RollBack);
        let home = &planned.plan.home;
        let rolled_back = match &kept {
            Some((_, snapshot)) => self.put_back(planned, home, snapshot, states, run).await,
            None => Err(Error::new(ErrorKind::Unsupported, "roll back", "", "there is no safety point")),
        };
        match rolled_back {
            Ok(()) => {
                guard.written().await;
                lookout.all_may_start();
                let closed = window.close().await;
                self.data_is_whole(run.id, None).await;
                Err(closed.into_error().unwrap_or_else(|| {
                    let reason = format!("it failed, and everything is as it was before: {}", states.words());
                    Error::new(failure.kind(), "restore backup", &planned.backup.name, reason).with_source(failure)
                }))
            }
            Err(error) => {
                let names = window.leave_down();
                let hint = match &kept {
                    Some((point, _)) => {
                        let undo = planned.plan.undo_command(*point);
                        format!("run `{undo}` to go back, or the same restore again")
                    }
                    None => "run the same restore again".to_owned(),
                };
                let words = states.words();
                let reason = format!("a restore into its data failed half-way, so it was not started again: {words}");
                let down = Error::new(ErrorKind::ContainerDown, "start", names.join("`, `"), reason)
                    .with_hint(hint)
                    .with_source(error);
                Err(down.after(&failure))
            }
        }
    }

    /// Launches the helper that rolls back. Another run that began beside this one may be about to find out that it must
    /// not: it goes away by itself, and the containers stand still until then.
    async fn launch_past_others(&self, planned: &PlannedRestore, run: &RunStart) -> Result<RunningHelper> {
        let begun = self.clock.monotonic();
        loop {
            match self.launch_for(planned, run, false).await {
                Err(error)
                    if error.kind() == ErrorKind::Conflict
                        && self.clock.monotonic().saturating_sub(begun) < OTHERS_GO_WITHIN =>
                {
                    tracing::info!(%error, "waiting for another run to go out of the way");
                    self.clock.sleep(OTHERS_ASKED_EVERY).await;
                }
                launched => return launched,
            }
        }
    }

    async fn put_back(
        &self,
        planned: &PlannedRestore,
        home: &BackupId,
        snapshot: &SnapshotId,
        states: &MountStates,
        run: &RunStart,
    ) -> Result<()> {
        let backup = self.catalog.backup(home).await?;
        let point = backup.points.iter().find(|point| point.snapshot == *snapshot);
        let engine = point.map(|point| point.engine).unwrap_or_default();
        let helper = self.launch_past_others(planned, run).await?;
        let restored = async {
            let options = &backup.options_of(engine);
            let repository = self.open_in_helper(&helper, home, engine, options, OpenMode::Existing).await?;
            let shortfalls = Shortfalls::default();
            let engine_events = shortfalls.listen(states.events());
            for mount in planned.plan.mounts.iter().filter(|mount| states.is_touched(mount)) {
                states.set(mount, MountState::HalfWritten);
                let (snapshot, targets) = (snapshot.clone(), vec![folder_of(&mount.to)]);
                let request = RestoreRequest { snapshot, targets, delete_extra: true, keep: Vec::new() };
                repository.restore(&request, &engine_events).await?;
                shortfalls.check()?;
                states.set(mount, MountState::RolledBack);
            }
            Ok(())
        };
        let restored = restored.await;
        helper.close().await;
        restored
    }
}
