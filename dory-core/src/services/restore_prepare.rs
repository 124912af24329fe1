//! What comes before a restore stops anything: everything that can fail without harm.

use std::path::Path;
use std::sync::Arc;

use super::backup::Planned;
use super::cancel::Cancel;
use super::helper::{HelperPurpose, RunningHelper};
use super::inventory::policy_from_labels;
use super::passes::Warmed;
use super::restore_plan::{PlannedRestore, RestoreChoice};
use super::run_events::RunEvents;
use super::run_record::RunStart;
use super::{Dory, noise};
use crate::domain::entry_path::EntryPath;
use crate::domain::hook::Hooks;
use crate::domain::id::PointId;
use crate::domain::plan::BackupPlan;
use crate::domain::policy::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{OpenMode, Repository};

/// Where a safety point goes.
pub(super) struct Safety {
    pub(super) planned: Planned,
    pub(super) id: PointId,
    pub(super) repository: Arc<dyn Repository>,
}

/// A restore that may begin: everything that can be refused was not.
pub(super) struct Prepared {
    pub(super) planned: PlannedRestore,
    pub(super) source: Arc<dyn Repository>,
    pub(super) safety: Option<Safety>,
    pub(super) helper: RunningHelper,
}

impl Dory {
    /// Everything that can fail without harm: plan, helper, both repositories, the snapshot, a write to the catalog.
    pub(super) async fn prepare_restore(
        &self,
        choice: &RestoreChoice,
        run: &RunStart,
        cancel: &Cancel,
    ) -> Result<Prepared> {
        let planned = async {
            self.open_fleet().await?;
            let first = self.plan_restore_in_full(choice).await?;
            let scratch = first.plan.safety && self.freezes(&self.plan_safety(&first).await?.plan)?;
            self.helper_image().await?;
            Ok((first, scratch))
        };
        let (first, scratch) = cancel.or(planned).await?;
        // Not to be abandoned half-way: a helper that is about to be there would be left.
        let helper = match self.launch_for(&first, run, scratch).await {
            Ok(helper) => helper,
            Err(error) => return Err(self.never_began(run, &first, error).await),
        };
        let prepared = cancel.or(async {
            // Until here another run may have had some of the containers stopped: only now their states tell the truth.
            let planned = self.plan_restore_in_full(choice).await?;
            if (&planned.holds, &planned.plan.mounts) != (&first.holds, &first.plan.mounts) {
                return Err(target_changed(&planned.backup.name));
            }
            let repository = self.open_source(&helper, &planned).await?;
            let held = repository.list_files(&planned.point.snapshot, &EntryPath::default(), false).await?;
            for mount in &planned.plan.mounts {
                if !held.iter().any(|entry| entry.path.as_path() == Path::new(mount.key.as_str())) {
                    let reason = format!("snapshot `{}` does not hold it", planned.point.snapshot);
                    return Err(Error::new(ErrorKind::Corrupt, "restore", mount.from.display().to_string(), reason));
                }
            }
            let keys: Vec<_> = planned.plan.mounts.iter().map(|mount| mount.key.clone()).collect();
            repository.check_restorable(&planned.point.snapshot, &keys).await?;
            if !planned.plan.safety {
                return Ok((planned, repository, None));
            }
            let kept = self.plan_safety(&planned).await?;
            if self.freezes(&kept.plan)? != scratch {
                return Err(target_changed(&planned.backup.name));
            }
            let BackupPlan { backup, policy, .. } = &kept.plan;
            let opened =
                self.open_in_helper(&helper, backup, policy.engine, &policy.engine_options, OpenMode::CreateIfMissing);
            let safety_repository = opened.await.map_err(or_without_safety)?;
            self.register(&kept, run.started_at).await.map_err(or_without_safety)?;
            let id = PointId::new(run.started_at, noise()?);
            Ok((planned, repository, Some(Safety { planned: kept, id, repository: safety_repository })))
        });
        match prepared.await {
            Ok((planned, source, safety)) => Ok(Prepared { planned, source, safety, helper }),
            Err(error) => {
                helper.close().await;
                Err(self.never_began(run, &first, error).await)
            }
        }
    }

    /// Records a restore that ended before anything was touched.
    pub(super) async fn never_began(&self, run: &RunStart, planned: &PlannedRestore, error: Error) -> Error {
        self.end_run(run, &planned.backup.id, Some(planned.point.id), false, Some(&error)).await;
        error
    }

    pub(super) async fn launch_for(
        &self,
        planned: &PlannedRestore,
        run: &RunStart,
        scratch: bool,
    ) -> Result<RunningHelper> {
        let plan = &planned.plan;
        let reading = HelperPurpose::reading(&plan.home, run.id);
        let holds = Some(&planned.holds);
        let purpose = HelperPurpose { kind: Some(run.kind), holds, writes: true, scratch, ..reading };
        self.launch_helper(purpose, &planned.targets()).await
    }

    async fn open_source(&self, helper: &RunningHelper, planned: &PlannedRestore) -> Result<Arc<dyn Repository>> {
        let options = &planned.backup.options_of(planned.point.engine);
        self.open_in_helper(helper, &planned.backup.id, planned.point.engine, options, OpenMode::Existing).await
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
        let from_labels = policy_from_labels(&container)?;
        let from_catalog = known.as_ref().map(|backup| backup.policy.clone()).unwrap_or_default();
        let from_all = from_catalog.or(from_labels).or(self.default_policy().await?).into_policy();
        let policy = Policy { exclude: Vec::new(), hooks: Hooks::default(), ..from_all };
        let plan = BackupPlan {
            backup: home.clone(),
            is_new: known.is_none(),
            container: container.name.clone(),
            mounts: restore.targets(),
            left_out: Vec::new(),
            quiet: restore.plan.quiet.clone(),
            left_running: Vec::new(),
            policy,
        };
        Ok(Planned { plan, container, known, holds: restore.holds.clone(), mixture: None })
    }

    /// Reads what is about to be overwritten into the store ahead, so that little is left of it for the window.
    pub(super) async fn warm_safety<'a>(
        &self,
        safety: Option<&'a Safety>,
        events: &'a RunEvents,
    ) -> Result<Option<Warmed<'a>>> {
        let Some(Safety { planned, id, repository }) = safety else { return Ok(None) };
        let pass = self.pass(planned, repository.as_ref(), *id, events)?;
        pass.warm_up().await.map(Some).map_err(or_without_safety)
    }
}

/// A target that is not what was planned for.
pub(super) fn target_changed(backup: &str) -> Error {
    let reason = "the target's mounts, or the containers that use them, changed at this very moment";
    Error::new(ErrorKind::Conflict, "restore backup", backup, reason).with_hint("run the command again")
}

/// A store that cannot be written to keeps no safety point, and can still be restored from.
fn or_without_safety(error: Error) -> Error {
    if !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Full) {
        return error;
    }
    let first = error.hint().map(|hint| format!("{hint}; or ")).unwrap_or_default();
    let hint = format!("{first}add `--no-safety` to restore without keeping what is there now");
    error.with_hint(hint)
}
