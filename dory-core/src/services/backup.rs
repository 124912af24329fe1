//! Backing up one container.

use std::sync::Arc;

use futures_util::future::try_join;
use jiff::Timestamp;
use serde::Serialize;

use super::cancel::{Cancel, CancelOnDrop};
use super::claim::Claim;
use super::guard::Guarding;
use super::half_restored::Mixture;
use super::helper::{HelperPurpose, RunningHelper};
use super::hooks::HookReport;
use super::inventory::policy_from_labels;
use super::lookout::Lookout;
use super::passes::ReadReport;
use super::run_events::{Phase, RunEvent, RunEvents};
use super::run_record::RunStart;
use super::stop_window::{StopWindow, WindowReport};
use super::{Dory, noise};
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::hook::Hooks;
use crate::domain::id::{BackupId, PointId, ServerName};
use crate::domain::plan::{Access, BackupPlan, DataUse, choose_mounts, choose_quiet};
use crate::domain::point_name::check_point_name;
use crate::domain::policy::{Policy, PolicyOverrides};
use crate::domain::restore_point::{Consistency, PointOrigin, PointSize, RestorePoint};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{FreezeReport, OpenMode, Repository};

/// What to back up, and how.
#[derive(Clone, Debug, Default)]
pub struct BackupRequest {
    /// The container: its name, its id, or the start of its id.
    pub container: String,
    /// What overrides the catalog's and the labels' policy, for this run.
    pub policy: PolicyOverrides,
    /// A name for the restore point.
    pub point_name: Option<String>,
    /// Words about the restore point.
    pub point_description: Option<String>,
    /// Why it is made.
    pub origin: PointOrigin,
    /// What a user decided about a container that only looks like the one of a known backup.
    pub history: History,
    /// Who brings containers back if Dory dies.
    pub guarding: Guarding,
    /// Whether the container's hooks stay out of it.
    pub no_hooks: bool,
    /// Whether no dump is taken.
    pub no_dump: bool,
}

/// Whether a container that only looks like that of a known backup goes on with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Nobody decided: ask.
    #[default]
    Ask,
    /// It begins its own.
    New,
    /// It goes on with this backup's.
    Continue(BackupId),
}

/// What a backup did.
#[derive(Debug, Serialize)]
pub struct BackupReport {
    /// The backup it belongs to.
    pub backup: BackupId,
    /// The container.
    pub container: String,
    /// Its server.
    pub server: ServerName,
    /// The new restore point.
    pub point: RestorePoint,
    /// What was kept aside while containers stood still; `None` where everything was read then.
    pub frozen: Option<FreezeReport>,
    /// Set where a container that ran before does not run now. The point is good all the same.
    #[serde(skip)]
    pub containers_down: Option<Error>,
    /// How the hooks went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookReport>,
    /// Set where the hook that runs last failed, and that counts. The point is good all the same.
    #[serde(skip)]
    pub hook_failed: Option<Error>,
    /// Why nobody guarded the run to its end, where that happened: the point may hold data that was being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian_lost: Option<String>,
}

impl BackupReport {
    /// Whether all that was asked for was done, and nothing looks as if data were lost before.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let point = &self.point;
        let ran_well = self.containers_down.is_none() && self.hook_failed.is_none() && self.guardian_lost.is_none();
        ran_well && !point.lost_data() && !point.is_suspect()
    }
}

/// What a plan was made from.
#[derive(Clone)]
pub(super) struct Planned {
    pub(super) plan: BackupPlan,
    pub(super) container: Container,
    pub(super) known: Option<Arc<Backup>>,
    pub(super) holds: Claim,
    /// What a restore that did not end left of the data.
    pub(super) mixture: Option<Mixture>,
}

impl Dory {
    /// What backing up would do. Touches nothing.
    ///
    /// # Errors
    /// Everything that can be known to be wrong beforehand: `NotFound` for the container, `InvalidInput` for one without
    /// data or with labels that make no sense, `Conflict` where a user must decide, the store's and the runtime's.
    pub async fn plan_backup(&self, request: &BackupRequest) -> Result<BackupPlan> {
        self.check_key().await?;
        Ok(self.plan(request).await?.plan)
    }

    /// Backs up one container: prepares, stops what uses its data, reads it, starts everything again, records.
    ///
    /// Once something was stopped it is started again whatever happens, also when this future is dropped: the run then
    /// ends by itself, in order.
    ///
    /// # Errors
    /// As for [`plan_backup`](Self::plan_backup), before anything is stopped; then `Cancelled`, the engine's, and
    /// `ContainerDown` if the run failed and a container did not come back.
    pub async fn run_backup(
        &self,
        request: &BackupRequest,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<BackupReport> {
        let (dory, request, events) = (self.clone(), request.clone(), events.clone());
        let guard = CancelOnDrop::new(cancel.clone());
        let its_cancel = cancel.clone();
        let run = tokio::spawn(async move { dory.backup_to_the_end(&request, &its_cancel, &events).await });
        let result = run.await.unwrap_or_else(|error| Err(Error::from_panic("back up container", error)));
        guard.disarm();
        result
    }

    pub(super) async fn plan(&self, request: &BackupRequest) -> Result<Planned> {
        let container = self.runtime()?.inspect_container(&request.container).await?;
        let forbidden = self.forbidden().await?;
        if forbidden.own_container.as_ref() == Some(&container.id) {
            let reason = "it is the one Dory runs in, which cannot stop itself";
            return Err(Error::new(ErrorKind::Conflict, "back up container", container.name.as_str(), reason));
        }
        let backups = self.catalog.backups().await?.backups;
        let known = match &request.history {
            History::Continue(id) => Some(Arc::new(self.catalog.backup(id).await?)),
            history => match self.backup_of(&container, &backups) {
                Ok(known) => known,
                Err(error) if *history == History::Ask => return Err(error),
                Err(_) => None,
            },
        };
        if let Some(name) = &request.point_name {
            check_point_name(name)?;
        }
        let from_labels = policy_from_labels(&container)?;
        let from_catalog = self.policy_of(known.as_deref()).await?;
        let from_fleet = self.default_policy().await?;
        let mut policy = request.policy.clone().or(from_catalog).or(from_labels).or(from_fleet).into_policy();
        if request.no_hooks {
            policy.hooks = Hooks { dump: policy.hooks.dump.take(), ..Hooks::default() };
        }
        if request.no_dump {
            policy.hooks.dump = None;
        }
        self.engine(policy.engine)?.check_options(&policy.engine_options)?;

        let (mounts, left_out) = choose_mounts(&container, &forbidden);
        let only_a_dump = mounts.is_empty() && policy.hooks.dump.is_some();
        if mounts.is_empty() && !only_a_dump {
            return Err(without_data(&container, &left_out));
        }
        let all = self.runtime()?.list_containers().await?;
        let data_use = DataUse {
            target: Some(&container),
            data: &mounts,
            access: Access::Read(policy.stop),
            healthy_timeout: policy.healthy_timeout,
        };
        // A dump is taken with everything up.
        let (quiet, left_running) =
            if only_a_dump { Default::default() } else { choose_quiet(data_use, &all, &forbidden)? };
        let backup = match &known {
            Some(known) => known.id.clone(),
            None => self.id_for_new(&container, &backups)?,
        };
        let mixture = self.mixture_in(&mounts, &backups);
        // By hand it can be had, for what it is worth. A point that comes by itself must not pass for one that is whole.
        if let Some(mixture) = mixture.as_ref().filter(|_| request.origin == PointOrigin::Schedule) {
            return Err(mixture.to_error(&container));
        }
        let holds = Claim::on(&[&backup], &mounts, &quiet, &all).and(&container);
        let plan = BackupPlan {
            backup,
            is_new: known.is_none(),
            container: container.name.clone(),
            mounts,
            left_out,
            quiet,
            left_running,
            policy,
        };
        Ok(Planned { plan, container, known, holds, mixture })
    }

    async fn backup_to_the_end(
        &self,
        request: &BackupRequest,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<BackupReport> {
        let run = self.begin_run(RunKind::Backup)?;
        let events = &run.listening(events);
        events.phase(Phase::Prepare);
        let first = cancel
            .or(async {
                self.open_or_found_fleet(events).await?;
                self.plan(request).await
            })
            .await?;
        let pings = self.ping_start(&first).await;
        let result = self.run_planned(request, &first, &run, cancel, events).await;
        self.ping_end(pings, &result).await;
        result
    }

    async fn run_planned(
        &self,
        request: &BackupRequest,
        first: &Planned,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<BackupReport> {
        let (planned, helper, repository) = match self.prepare(request, first, run, cancel).await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.end_run(run, &first.plan.backup, None, false, Some(&error)).await;
                return Err(error);
            }
        };
        let mut hooks = self.hooks(&planned, run, events);
        let result = match hooks.before(cancel).await {
            Ok(()) => self.read_and_record(request, &planned, repository.as_ref(), run, cancel, events).await,
            Err(error) => Err(error),
        };
        // A helper that died holds nothing any more; found while a hook runs, it looks as if Dory had died with it. One
        // that lives keeps other runs away until the hook has ended.
        let helper = helper.unless_it_ended().await;
        let result = hooks.after(result).await;
        if let Some(helper) = helper {
            helper.close().await;
        }
        let (point, complete, error) = match &result {
            Ok(report) => (Some(report.point.id), report.is_complete(), report.containers_down.as_ref()),
            Err(error) => (None, false, Some(error)),
        };
        self.end_run(run, &planned.plan.backup, point, complete, error).await;
        result
    }

    /// Everything that can fail without harm: helper, repository, key, a first write to the catalog.
    async fn prepare(
        &self,
        request: &BackupRequest,
        first: &Planned,
        run: &RunStart,
        cancel: &Cancel,
    ) -> Result<(Planned, RunningHelper, Arc<dyn Repository>)> {
        let purpose = HelperPurpose {
            holds: Some(&first.holds),
            kind: Some(run.kind),
            scratch: self.needs_scratch(&first.plan)?,
            ..HelperPurpose::reading(&first.plan.backup, run.id)
        };
        cancel.or(self.helper_image()).await?;
        // Not to be abandoned half-way: a helper that is about to be there would be left.
        let helper = self.launch_helper(purpose, &first.plan.mounts).await?;
        let opened = cancel.or(async {
            // Until here another run may have had some of the containers stopped: only now their states tell the truth.
            let planned = self.plan(request).await?;
            let same_scratch = self.needs_scratch(&planned.plan)? == purpose.scratch;
            if !same_scratch || (&planned.holds, &planned.plan.mounts) != (&first.holds, &first.plan.mounts) {
                return Err(changed_meanwhile(&planned.container));
            }
            let planned = self.until_started(&planned).await?;
            let plan = &planned.plan;
            let Policy { engine, engine_options, .. } = &plan.policy;
            let repository =
                self.open_in_helper(&helper, &plan.backup, *engine, engine_options, OpenMode::CreateIfMissing).await?;
            self.register(&planned, run.started_at).await?;
            Ok((planned, repository))
        });
        match opened.await {
            Ok((planned, repository)) => Ok((planned, helper, repository)),
            Err(error) => {
                helper.close().await;
                Err(error)
            }
        }
    }

    /// Writes into the catalog who is about to be backed up: it proves that the catalog can be written, and data never
    /// comes into being without a record.
    pub(super) async fn register(&self, planned: &Planned, now: Timestamp) -> Result<()> {
        let (plan, container) = (&planned.plan, &planned.container);
        if planned.known.is_none() {
            self.create_or_meet(&plan.backup, container, now).await?;
            self.catalog.keep_fleet_copy(&self.open_fleet().await?.0).await?;
        }
        let change = |backup: &mut Backup| {
            if backup.deleting_since.is_some() {
                let reason = "it is being deleted";
                return Err(Error::new(ErrorKind::Conflict, "back up to", backup.id.as_str(), reason)
                    .with_hint(format!("finish it with `dory delete {}`", backup.id)));
            }
            backup.last_attempt_at = Some(now);
            backup.follow(container, now);
            if !backup.engines.contains(&plan.policy.engine) {
                backup.engines.push(plan.policy.engine);
            }
            Ok(())
        };
        self.catalog.update_backup(&plan.backup, change).await.map(drop)
    }

    async fn read_and_record(
        &self,
        request: &BackupRequest,
        planned: &Planned,
        repository: &dyn Repository,
        run: &RunStart,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<BackupReport> {
        let id = PointId::new(run.started_at, noise()?);
        let (runtime, clock) = (self.runtime()?, Arc::clone(&self.clock));

        let dumped = self.take_dumps(planned, repository, run, cancel, events).await?;
        let pass = self.pass(planned, repository, id, events)?;
        let warmed = cancel.or(pass.warm_up()).await?;
        // Preparing and reading ahead take their time, and containers come, go and start meanwhile.
        let lookout = cancel.or(Lookout::begin(&runtime, &self.clock)).await?;
        let planned = &cancel.or(self.until_started(planned)).await?;
        let plan = &planned.plan;
        lookout.watch_for(&plan.quiet);
        let guard =
            cancel.or(self.arm_guardian(request.guarding, run, &plan.backup, &planned.holds, &plan.quiet)).await?;
        let opened = cancel_before(cancel, StopWindow::open(runtime, clock, &plan.quiet, events.clone())).await;
        let (guard, (window, quieted)) = guard.unless_failed(opened).await?;
        let taken_at = window.quiet_since();
        let inside = match quieted {
            Ok(()) => {
                lookout.all_stand_still();
                cancel
                    .or(try_join(window.check(), warmed.stand_still(taken_at)))
                    .await
                    .map(|((), stood_still)| stood_still)
            }
            Err(error) => Err(error),
        };
        lookout.all_may_start();
        let closed = window.close().await;
        let guarded = guard.disarm().await;
        let stop_window = closed.length;
        let down = closed.into_error();
        let read = match inside {
            Ok(inside) => cancel.or(inside.finish(taken_at)).await,
            Err(error) => Err(error),
        };
        let (read, containers_down) = match (read, down) {
            (Ok(read), down) => (read, down),
            (Err(error), down) => {
                let error = guarded.end_of_failure(error).await;
                return Err(match down {
                    Some(down) => down.after(&error),
                    None => error,
                });
            }
        };

        let containers_down = match containers_down {
            None => WindowReport::of_later(self.runtime()?.as_ref(), &plan.quiet).await.into_error(),
            down => down,
        };

        events.phase(Phase::Record);
        let mut read = read;
        let half_restored = planned.mixture.iter().flat_map(|mixture| mixture.warnings(&plan.mounts));
        for warning in lookout.intrusions(&plan.mounts, &plan.quiet).await.into_iter().chain(half_restored) {
            read.gathered.add(&warning);
            events.send(RunEvent::Warning(warning));
        }
        dumped.missing.iter().for_each(|warning| read.gathered.add(warning));
        let frozen = read.frozen;
        let point = RestorePoint {
            id,
            taken_at,
            origin: request.origin,
            name: request.point_name.clone(),
            description: request.point_description.clone(),
            stop_window,
            elapsed: self.elapsed(run),
            dumps: dumped.dumps,
            ..point_of(planned, run, id, taken_at, read)
        };
        let point = RestorePoint { consistency: guarded.grade(point.consistency), ..point };
        let point = self.judged(planned, point, run);
        let add = |backup: &mut Backup| {
            backup.add_point(point.clone());
            backup.turns.end(run.started_at);
            Ok(())
        };
        let recorded = self.catalog.update_backup(&plan.backup, add).await;
        let guardian_lost = guarded.end().await;
        recorded?;
        Ok(BackupReport {
            backup: plan.backup.clone(),
            container: plan.container.to_string(),
            server: self.config.server.clone(),
            point,
            frozen,
            containers_down,
            hooks: Vec::new(),
            hook_failed: None,
            guardian_lost,
        })
    }
}

/// The point that a read of `planned` gives, without a name and without a stop window.
pub(super) fn point_of(
    planned: &Planned,
    run: &RunStart,
    id: PointId,
    taken_at: Timestamp,
    read: ReadReport,
) -> RestorePoint {
    let planned_consistency = planned.plan.consistency();
    RestorePoint {
        id,
        taken_at,
        origin: PointOrigin::default(),
        engine: planned.plan.policy.engine,
        snapshot: read.snapshot.snapshot,
        run: run.id,
        container: planned.container.name.clone(),
        container_id: planned.container.id.clone(),
        image_id: planned.container.image_id.clone(),
        mounts: planned.plan.mounts.clone(),
        dumps: Vec::new(),
        exclude: planned.plan.policy.exclude.clone(),
        // Whatever the plan said, something wrote: a process of the host, or of a container that nobody knew of.
        consistency: if read.gathered.written_meanwhile { Consistency::Live } else { planned_consistency },
        stop_window: None,
        elapsed: jiff::SignedDuration::ZERO,
        size: PointSize {
            files: read.snapshot.files,
            bytes: read.snapshot.bytes,
            stored_bytes: read.snapshot.stored_bytes,
        },
        mount_sizes: read.snapshot.mounts,
        suspect: None,
        warnings: read.gathered.kept,
        warning_count: read.gathered.count,
        name: None,
        description: None,
        protected: false,
        deleting: false,
    }
}

pub(super) fn changed_meanwhile(container: &Container) -> Error {
    let reason = "its mounts, or the containers that use the same data, changed at this very moment";
    Error::new(ErrorKind::Conflict, "back up container", container.name.as_str(), reason)
        .with_hint("run the command again")
}

fn without_data(container: &Container, left_out: &[crate::domain::plan::LeftOut]) -> Error {
    let error =
        |reason: &str| Error::new(ErrorKind::InvalidInput, "back up container", container.name.as_str(), reason);
    match left_out {
        [] => error("it has no volumes and no bind mounts, so there is nothing to back up"),
        left_out => {
            let reasons: Vec<_> =
                left_out.iter().map(|mount| format!("{}: {}", mount.destination.display(), mount.reason)).collect();
            error("none of its mounts holds data that can be backed up").with_source(reasons.join("; "))
        }
    }
}

/// Does `step`, which must not be abandoned once begun, unless the run was cancelled before.
async fn cancel_before<T>(cancel: &Cancel, step: impl Future<Output = T>) -> Result<T> {
    cancel.or(async { Ok(()) }).await?;
    Ok(step.await)
}
