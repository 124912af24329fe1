//! A run's guardian: armed before the first stop, told what matters, disarmed when everything runs again.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::claim::Claim;
use super::helper::{HelperPurpose, RemovedOnDrop, launch};
use super::run_record::RunStart;
use super::{Dory, noise};
use crate::agent::guard::protocol::Order;
use crate::agent::guard::{self, GuardLink, hash_of};
use crate::domain::guard::{GuardPlan, label};
use crate::domain::id::{BackupId, ContainerId, ContainerName, RunId};
use crate::domain::plan::Quiet;
use crate::domain::restore_point::Consistency;
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ContainerRuntime, HelperNetwork, HelperRole, HelperSpec};

/// Who brings containers back if Dory dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarding {
    /// Nobody.
    Off,
    /// A guardian, which also ends a run whose containers stand still for longer than this.
    On {
        /// How long they may.
        stop_limit: Duration,
    },
}

impl Guarding {
    /// How long containers may stand still unless somebody says otherwise: a day. The first backup of much data may
    /// need it, and what hangs must still end.
    pub const STOP_LIMIT: Duration = Duration::from_secs(24 * 3600);
}

impl Default for Guarding {
    fn default() -> Self {
        Self::On { stop_limit: Self::STOP_LIMIT }
    }
}

/// What watches over one run's stop window. If it is dropped while armed, the guardian acts: that is for panics.
#[derive(Debug)]
pub(super) struct Guard(Option<Armed>);

#[derive(Debug)]
struct Armed {
    runtime: Arc<dyn ContainerRuntime>,
    id: ContainerId,
    link: GuardLink,
}

impl Dory {
    /// Starts a guardian for `quiet` and arms it. Nothing may be stopped before this has returned; afterwards only
    /// [`Guard::disarm`] ends it.
    ///
    /// # Errors
    /// Why there can be no guardian, with the way to go without one.
    pub(super) async fn arm_guardian(
        &self,
        guarding: Guarding,
        run: &RunStart,
        backup: &BackupId,
        holds: &Claim,
        quiet: &[Quiet],
    ) -> Result<Guard> {
        let Guarding::On { stop_limit } = guarding else { return Ok(Guard(None)) };
        if quiet.is_empty() {
            return Ok(Guard(None));
        }
        let plan = GuardPlan {
            kind: run.kind,
            started_at: run.started_at,
            stop_limit: stop_limit.as_secs(),
            containers: quiet.to_vec(),
        };
        self.launch_guardian(backup, run.id, holds, &plan).await.map_err(|error| {
            // It is not the guardian that is missing.
            if error.operation() == guard::MEET {
                return error;
            }
            let kind = if error.kind() == ErrorKind::NotFound { ErrorKind::Unsupported } else { error.kind() };
            let reason = "nothing was stopped, since nobody would start it again if Dory died";
            Error::new(kind, "arm a guardian for", backup.as_str(), reason)
                .with_hint("add `--no-guardian` to go without one")
                .with_source(error)
        })
    }

    /// Has a guardian that guards nothing reach the engine.
    ///
    /// # Errors
    /// Why there can be no guardian.
    pub async fn try_guardian(&self) -> Result<()> {
        let started_at = self.clock.now();
        let run = RunId::new(started_at, noise()?);
        let plan = GuardPlan { kind: RunKind::Backup, started_at, stop_limit: 60, containers: Vec::new() };
        let guard = self.launch_guardian(&BackupId::parse("doctor")?, run, &Claim::default(), &plan).await?;
        match guard.disarm().await.end().await {
            None => Ok(()),
            Some(lost) => Err(Error::new(ErrorKind::Unavailable, "arm a guardian", "", lost)),
        }
    }

    async fn launch_guardian(&self, backup: &BackupId, run: RunId, holds: &Claim, plan: &GuardPlan) -> Result<Guard> {
        let runtime = self.runtime()?;
        let nonce = format!("{:032x}", noise()?);
        let kind = (!plan.containers.is_empty()).then_some(plan.kind);
        let purpose = HelperPurpose { kind, holds: Some(holds), ..HelperPurpose::reading(backup, run) };
        let mut labels = purpose.labels(&self.config.server);
        labels.insert(label::PLAN.to_owned(), plan.to_label()?);
        labels.insert(label::NONCE.to_owned(), hash_of(&nonce));
        let spec = HelperSpec {
            name: ContainerName::parse(format!("dory-guardian-{run}"))?,
            role: HelperRole::Guardian,
            image: runtime.ensure_helper_image().await?,
            arguments: vec![guard::COMMAND.to_owned(), run.to_string()],
            mounts: Vec::new(),
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels,
        };
        let helper = launch(runtime.as_ref(), &spec).await?;
        let (id, unarmed) = (helper.id.clone(), RemovedOnDrop::new(Arc::clone(&runtime), helper.id.clone()));
        match GuardLink::arm(helper, nonce, Arc::clone(&self.clock)).await {
            Ok(link) => {
                unarmed.forget();
                Ok(Guard(Some(Armed { runtime, id, link })))
            }
            Err(error) => {
                unarmed.remove().await;
                Err(error)
            }
        }
    }
}

impl Guard {
    /// A point's grade, as [`Disarmed::grade`] gives it later.
    pub(super) fn grade(&self, planned: Consistency) -> Consistency {
        let lost = self.0.as_ref().is_some_and(|armed| armed.link.lost().is_some());
        if lost { Consistency::Live } else { planned }
    }

    /// Passes on what preparing the first stop gave; where that failed, nothing was stopped, and nobody need guard.
    pub(super) async fn unless_failed<T>(self, prepared: Result<T>) -> Result<(Self, T)> {
        match prepared {
            Ok(prepared) => Ok((self, prepared)),
            Err(error) => {
                self.disarm().await.end().await;
                Err(error)
            }
        }
    }

    /// Tells that the data is about to be half restored. Nothing may be written before this has returned.
    ///
    /// # Errors
    /// If the guardian did not take note.
    pub(super) async fn writing(&self) -> Result<()> {
        match &self.0 {
            Some(armed) => armed.link.order(Order::Writing).await,
            None => Ok(()),
        }
    }

    /// Tells that the data is whole again. No container may start before this has returned: a guardian that did not
    /// take note could stop it again, so it is ended.
    pub(super) async fn written(&self) {
        let Some(armed) = &self.0 else { return };
        if let Err(error) = armed.link.order(Order::Written).await {
            tracing::warn!(%error, "the guardian does not answer, so it is ended");
            RemovedOnDrop::new(Arc::clone(&armed.runtime), armed.id.clone()).remove().await;
        }
    }

    /// Ends the guardian: everything is as it was before, or Dory itself says what is not.
    pub(super) async fn disarm(self) -> Disarmed {
        let Some(Armed { runtime, id, link }) = self.0 else { return Disarmed { lost: None, removal: None } };
        let lost = match link.order(Order::Disarm).await {
            Ok(()) => None,
            Err(error) => Some(link.lost().unwrap_or_else(|| error.to_string())),
        };
        // The engine takes its time over that, and a run has better things to do meanwhile.
        let removal = Some(tokio::spawn(RemovedOnDrop::new(runtime, id).remove()));
        Disarmed { lost, removal }
    }
}

/// A guardian that is on its way out.
#[derive(Debug)]
#[must_use = "its container is gone only after `end`"]
pub(super) struct Disarmed {
    lost: Option<String>,
    removal: Option<JoinHandle<()>>,
}

impl Disarmed {
    /// A point's grade: what was read while nobody guarded may have been read while something wrote.
    pub(super) fn grade(&self, planned: Consistency) -> Consistency {
        if self.lost.is_some() { Consistency::Live } else { planned }
    }

    /// As [`end`](Self::end), for a run that failed: where the guardian ended it, that is why.
    pub(super) async fn end_of_failure(self, error: Error) -> Error {
        match self.end().await {
            // Its helpers are gone, and its containers run although they were stopped.
            Some(lost) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict) => {
                Error::new(ErrorKind::Unavailable, "go on", "", lost).with_source(error)
            }
            _ => error,
        }
    }

    /// Waits until its container is gone, and tells why nobody guarded, if it came to that.
    pub(super) async fn end(self) -> Option<String> {
        if let Some(removal) = self.removal {
            // It cannot fail but by a panic, and then it is found by whoever looks for leftovers.
            let _ = removal.await;
        }
        self.lost
    }
}
