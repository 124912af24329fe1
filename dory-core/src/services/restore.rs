//! Bringing data back.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::SignedDuration;
use serde::Serialize;

use super::Dory;
use super::backup::{Planned, point_of};
use super::cancel::{Cancel, CancelOnDrop};
use super::helper::{HelperPurpose, RunningHelper, folder_of};
use super::mount_state::{MountState, MountStates};
use super::noise;
use super::restore_plan::{PlannedRestore, RestoreChoice, RestorePlan};
use super::run_events::{Phase, RunEvents};
use super::run_record::RunStart;
use super::stop_window::StopWindow;
use crate::domain::backup::Backup;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::Warning;
use crate::domain::hook::Hooks;
use crate::domain::id::{BackupId, PointId, SnapshotId};
use crate::domain::plan::BackupPlan;
use crate::domain::policy::{Policy, PolicyOverrides};
use crate::domain::restore_point::{PointMount, PointOrigin, RestorePoint};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{EngineEvent, MountFolder, OpenMode, Repository, RestoreReport, RestoreRequest};

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
}

impl RestoreOutcome {
    /// Whether something of the point did not come back.
    #[must_use]
    pub fn lost_data(&self) -> bool {
        self.warnings.iter().any(|warning| warning.kind.loses_data())
    }

    /// The command that brings back what was there before, where a safety point holds it.
    #[must_use]
    pub fn undo_command(&self) -> Option<String> {
        self.safety_point.map(|point| self.plan.undo_command(point))
    }
}

/// Where a safety point goes.
struct Safety {
    planned: Planned,
    id: PointId,
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
        let events = &run.log.listening(events);
        events.phase(Phase::Prepare);
        let (planned, safety, helper) = self.prepare_restore(choice, &run, cancel).await?;
        let result = self.restore_in_window(&planned, safety, helper, &run, cancel, events).await;
        let complete = result.as_ref().is_ok_and(|outcome| outcome.containers_down.is_none() && !outcome.lost_data());
        self.end_run(&run, &planned.backup.id, Some(planned.point.id), complete, result.as_ref().err()).await;
        result
    }

    /// Everything that can fail without harm: plan, helper, both repositories, the snapshot, a write to the catalog.
    async fn prepare_restore(
        &self,
        choice: &RestoreChoice,
        run: &RunStart,
        cancel: &Cancel,
    ) -> Result<(PlannedRestore, Option<Safety>, RunningHelper)> {
        let planned = async {
            self.open_fleet().await?;
            let first = self.plan_restore_in_full(choice).await?;
            self.helper_image().await?;
            Ok(first)
        };
        let first = cancel.or(planned).await?;
        // Not to be abandoned half-way: a helper that is about to be there would be left.
        let helper = self.launch_for(&first, run).await?;
        let prepared = cancel.or(async {
            // Until here another run may have had some of the containers stopped: only now their states tell the truth.
            let planned = self.plan_restore_in_full(choice).await?;
            if (&planned.holds, &planned.plan.mounts) != (&first.holds, &first.plan.mounts) {
                let reason = "the target's mounts, or the containers that use them, changed at this very moment";
                return Err(Error::new(ErrorKind::Conflict, "restore backup", &planned.backup.name, reason)
                    .with_hint("run the command again"));
            }
            let repository = self.open_source(&helper, &planned).await?;
            let held = repository.list_files(&planned.point.snapshot, &EntryPath::default(), false).await?;
            for mount in &planned.plan.mounts {
                if !held.iter().any(|entry| entry.path.as_path() == std::path::Path::new(mount.key.as_str())) {
                    let reason = format!("snapshot `{}` does not hold it", planned.point.snapshot);
                    return Err(Error::new(ErrorKind::Corrupt, "restore", mount.from.display().to_string(), reason));
                }
            }
            if !planned.plan.safety {
                return Ok((planned, None));
            }
            let safety =
                Safety { planned: self.plan_safety(&planned).await?, id: PointId::new(run.started_at, noise()?) };
            self.open_safety(&helper, &safety, OpenMode::CreateIfMissing).await?;
            self.register(&safety.planned, run.started_at).await?;
            Ok((planned, Some(safety)))
        });
        match prepared.await {
            Ok((planned, safety)) => Ok((planned, safety, helper)),
            Err(error) => {
                helper.close().await;
                Err(error)
            }
        }
    }

    async fn launch_for(&self, planned: &PlannedRestore, run: &RunStart) -> Result<RunningHelper> {
        let plan = &planned.plan;
        let purpose =
            HelperPurpose { holds: Some(&planned.holds), writes: true, ..HelperPurpose::reading(&plan.home, run.id) };
        let targets: Vec<PointMount> = plan.mounts.iter().map(|mount| mount.to.clone()).collect();
        self.launch_helper(purpose, &targets).await
    }

    async fn open_source(&self, helper: &RunningHelper, planned: &PlannedRestore) -> Result<Arc<dyn Repository>> {
        let options = &planned.backup.policy.engine_options;
        self.open_in_helper(helper, &planned.backup.id, planned.point.engine, options, OpenMode::Existing).await
    }

    async fn open_safety(
        &self,
        helper: &RunningHelper,
        safety: &Safety,
        mode: OpenMode,
    ) -> Result<Arc<dyn Repository>> {
        let BackupPlan { backup, policy, .. } = &safety.planned.plan;
        self.open_in_helper(helper, backup, policy.engine, &policy.engine_options, mode).await
    }

    /// A backup of just what is about to be overwritten, with nothing excluded, for a restore removes that too.
    async fn plan_safety(&self, restore: &PlannedRestore) -> Result<Planned> {
        let home = &restore.plan.home;
        let list = self.catalog.backups().await?.backups;
        let known = list.into_iter().find(|backup| backup.id == *home);
        let container = match &restore.container {
            Some(container) => container.clone(),
            None => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "keep what is there now",
                    restore.backup.name.as_str(),
                    "no container uses the target volumes, so there is no backup that a safety point could go to",
                )
                .with_hint("add `--no-safety` to restore without one"));
            }
        };
        let from_labels = PolicyOverrides::from_labels(&container.labels)?;
        let from_catalog = known.as_ref().map(|backup| backup.policy.clone()).unwrap_or_default();
        let from_both = from_catalog.or(from_labels).into_policy();
        let policy = Policy { exclude: Vec::new(), hooks: Hooks::default(), ..from_both };
        let plan = BackupPlan {
            backup: home.clone(),
            is_new: known.is_none(),
            container: container.name.clone(),
            mounts: restore.plan.mounts.iter().map(|mount| mount.to.clone()).collect(),
            left_out: Vec::new(),
            quiet: restore.plan.quiet.clone(),
            left_running: Vec::new(),
            policy,
        };
        Ok(Planned { plan, container, known, holds: restore.holds.clone() })
    }

    async fn restore_in_window(
        &self,
        planned: &PlannedRestore,
        safety: Option<Safety>,
        helper: RunningHelper,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<RestoreOutcome> {
        let (runtime, clock) = (self.runtime()?, Arc::clone(&self.clock));
        let (window, quieted) = StopWindow::open(runtime, clock, &planned.plan.quiet, events.clone()).await;

        // Until `overwrite` begins nothing was written, so everything simply starts again.
        let before_writing = cancel.or(async {
            quieted?;
            let kept = match &safety {
                Some(safety) => {
                    Some(self.keep_what_is_there(safety, &helper, window.quiet_since(), run, events).await?)
                }
                None => None,
            };
            Ok((kept, self.open_source(&helper, planned).await?))
        });
        let (kept, repository) = match before_writing.await {
            Ok(ready) => ready,
            Err(error) => {
                helper.close().await;
                return Err(window.close().await.into_error().unwrap_or(error));
            }
        };

        let gathered = Arc::new(Mutex::new(Vec::new()));
        let states = MountStates::new(&planned.plan, events);
        let writing = self.overwrite(planned, repository.as_ref(), &states, Arc::clone(&gathered), events);
        let written = cancel.or(writing).await;
        helper.close().await;
        let report = match written {
            Ok(report) => report,
            Err(error) => return self.roll_back(planned, kept, &states, window, error, run).await,
        };
        let closed = window.close().await;
        let stop_window = closed.length;
        let warnings = std::mem::take(&mut *gathered.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(RestoreOutcome {
            plan: planned.plan.clone(),
            report,
            safety_point: kept.map(|(id, _)| id),
            stop_window,
            elapsed: self.elapsed(run),
            warnings,
            containers_down: closed.into_error(),
        })
    }

    /// Makes the safety point and records it at once: from here on somebody may need it.
    async fn keep_what_is_there(
        &self,
        safety: &Safety,
        helper: &RunningHelper,
        taken_at: jiff::Timestamp,
        run: &RunStart,
        events: &RunEvents,
    ) -> Result<(PointId, SnapshotId)> {
        events.phase(Phase::Safeguard);
        let repository = self.open_safety(helper, safety, OpenMode::Existing).await?;
        let read = self.read(&safety.planned, repository.as_ref(), safety.id, taken_at, events).await?;
        let point = RestorePoint {
            origin: PointOrigin::Safety,
            elapsed: self.elapsed(run),
            ..point_of(&safety.planned, run, safety.id, taken_at, read)
        };
        let snapshot = point.snapshot.clone();
        let add = |backup: &mut Backup| {
            backup.add_point(point.clone());
            Ok(())
        };
        self.catalog.update_backup(&safety.planned.plan.backup, add).await?;
        Ok((safety.id, snapshot))
    }

    async fn overwrite(
        &self,
        planned: &PlannedRestore,
        repository: &dyn Repository,
        states: &MountStates,
        warnings: Arc<Mutex<Vec<Warning>>>,
        events: &RunEvents,
    ) -> Result<RestoreReport> {
        events.phase(Phase::Write);
        let engine_events = events.for_engine(move |event| {
            if let EngineEvent::Warning(warning) = event {
                warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning.clone());
            }
        });
        let mut total = RestoreReport::default();
        // One by one, so that it is known at each moment which is whole.
        for mount in &planned.plan.mounts {
            states.set(mount, MountState::HalfWritten);
            let request = RestoreRequest {
                snapshot: planned.point.snapshot.clone(),
                targets: vec![MountFolder { key: mount.key.clone(), path: folder_of(&mount.to).path }],
                delete_extra: mount.delete_extra,
            };
            let report = repository.restore(&request, &engine_events).await?;
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
        planned: &PlannedRestore,
        kept: Option<(PointId, SnapshotId)>,
        states: &MountStates,
        window: StopWindow,
        failure: Error,
        run: &RunStart,
    ) -> Result<RestoreOutcome> {
        states.events().phase(Phase::RollBack);
        let home = &planned.plan.home;
        let rolled_back = match &kept {
            Some((_, snapshot)) => self.put_back(planned, home, snapshot, states, run).await,
            None => Err(Error::new(ErrorKind::Unsupported, "roll back", "", "there is no safety point")),
        };
        match rolled_back {
            Ok(()) => Err(window.close().await.into_error().unwrap_or_else(|| {
                Error::new(
                    failure.kind(),
                    "restore backup",
                    &planned.backup.name,
                    format!("it failed, and everything is as it was before: {}", states.words()),
                )
                .with_source(failure)
            })),
            Err(error) => {
                let names = window.leave_down();
                let hint = match &kept {
                    Some((point, _)) => {
                        let undo = planned.plan.undo_command(*point);
                        format!("run `{undo}` to go back, or the same restore again")
                    }
                    None => "run the same restore again".to_owned(),
                };
                tracing::error!(%error, "a failed restore could not be rolled back");
                let words = states.words();
                let reason = format!("a restore into its data failed half-way, so it was not started again: {words}");
                Err(Error::new(ErrorKind::ContainerDown, "start", names.join("`, `"), reason)
                    .with_hint(hint)
                    .with_source(failure))
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
        let helper = self.launch_for(planned, run).await?;
        let restored = async {
            let options = &backup.policy.engine_options;
            let repository = self.open_in_helper(&helper, home, engine, options, OpenMode::Existing).await?;
            for mount in planned.plan.mounts.iter().filter(|mount| states.is_touched(mount)) {
                states.set(mount, MountState::HalfWritten);
                let targets = vec![folder_of(&mount.to)];
                let request = RestoreRequest { snapshot: snapshot.clone(), targets, delete_extra: true };
                repository.restore(&request, &states.events().for_engine(|_| ())).await?;
                states.set(mount, MountState::RolledBack);
            }
            Ok(())
        };
        let restored = restored.await;
        helper.close().await;
        restored
    }
}
