//! Who uses the data at this very moment, and that none of them is still starting.

use std::time::Duration;

use super::Dory;
use super::backup::{Planned, changed_meanwhile};
use super::restore_plan::PlannedRestore;
use super::restore_prepare::target_changed;
use crate::domain::container::{Container, ContainerState, Health};
use crate::domain::plan::{Access, BackupPlan, DataUse, Quiet, choose_quiet};
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::WaitCondition;

/// How often containers may change their minds while they are waited for.
const ROUNDS: u32 = 20;

impl Dory {
    /// `planned` with those who use the data now. What is still starting is waited for, each for its own time at most:
    /// a program that is stopped while it starts may never have been asked to stop before, and may leave its data as it
    /// likes.
    ///
    /// # Errors
    /// `TimedOut` for one that goes on starting; `Conflict` for one that came meanwhile, and may be another run's; as for
    /// planning.
    pub(super) async fn until_started(&self, planned: &Planned) -> Result<Planned> {
        let runtime = self.runtime()?;
        let begun = self.clock.monotonic();
        for _ in 0..ROUNDS {
            let all = runtime.list_containers().await?;
            let plan = self.plan_of_now(planned, &all).await?;
            if !planned.holds.covers(&plan.quiet) {
                return Err(changed_meanwhile(&planned.container));
            }
            let starting = plan.quiet.iter().find_map(|quiet| {
                let container = all.iter().find(|container| container.id == quiet.id)?;
                what_is_missing(quiet, container).map(|condition| (quiet, condition))
            });
            let Some((quiet, condition)) = starting else { return Ok(Planned { plan, ..planned.clone() }) };
            let timeout = quiet.start.healthy_timeout.get();
            let left = timeout.saturating_sub(self.clock.monotonic().saturating_sub(begun));
            tracing::info!(container = %quiet.name, "waiting for a container that is still starting");
            match runtime.wait_until(&quiet.id, condition, left).await {
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(still_starting(quiet, timeout)),
                // It ended, was removed, or is ill by now: the next look tells what that means.
                Err(error) if matches!(error.kind(), ErrorKind::ContainerDown | ErrorKind::NotFound) => {}
                waited => waited?,
            }
        }
        let names: Vec<_> = planned.plan.quiet.iter().map(|quiet| quiet.name.to_string()).collect();
        let reason = "they keep starting and ending";
        Err(Error::new(ErrorKind::TimedOut, "wait for containers", names.join("`, `"), reason))
    }

    /// Who has to stand still at this moment for `planned`, in start order. Who is still starting is not waited for: it
    /// may be that just this restore lets it start.
    ///
    /// # Errors
    /// `Conflict` for one that came meanwhile, and may be another run's; the runtime's.
    pub(super) async fn users_of_now(&self, planned: &PlannedRestore) -> Result<Vec<Quiet>> {
        let all = self.runtime()?.list_containers().await?;
        let (quiet, _) = choose_quiet(planned.data_use(&planned.targets()), &all, &self.forbidden().await?)?;
        let target = planned.container.as_ref();
        let target_is_there = target.is_none_or(|target| all.iter().any(|container| container.id == target.id));
        if !target_is_there || !planned.holds.covers(&quiet) {
            return Err(target_changed(&planned.backup.name));
        }
        Ok(quiet)
    }

    async fn plan_of_now(&self, planned: &Planned, all: &[Container]) -> Result<BackupPlan> {
        let plan = planned.plan.clone();
        if plan.mounts.is_empty() {
            // Nothing but a dump is taken: nobody stands still for it.
            return Ok(plan);
        }
        let data_use = DataUse {
            target: Some(&planned.container),
            data: &plan.mounts,
            access: Access::Read(plan.policy.stop),
            healthy_timeout: plan.policy.healthy_timeout,
        };
        let (quiet, left_running) = choose_quiet(data_use, all, &self.forbidden().await?)?;
        Ok(BackupPlan { quiet, left_running, ..plan })
    }
}

/// What a container has not reached yet that it must have before it is quieted.
fn what_is_missing(quiet: &Quiet, container: &Container) -> Option<WaitCondition> {
    match (quiet.mode, container.state, container.health) {
        (StopMode::None, ..) => None,
        (_, ContainerState::Restarting, _) => Some(WaitCondition::Running),
        (StopMode::Stop, ContainerState::Running, Health::Starting) => Some(WaitCondition::Healthy),
        _ => None,
    }
}

fn still_starting(quiet: &Quiet, timeout: Duration) -> Error {
    let reason = format!("it is still starting after {} s, and stopping it now could harm it", timeout.as_secs());
    Error::new(ErrorKind::TimedOut, "stop container", quiet.name.as_str(), reason).with_hint(format!(
        "look at `docker ps` and `docker logs {0}`; `--healthy-timeout` waits longer, `--stop pause` does not stop it",
        quiet.name
    ))
}
