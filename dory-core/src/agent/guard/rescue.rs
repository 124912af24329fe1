//! What a guardian does when it acts, and Dory itself when it finds that both died: end the run, bring containers back.

use std::time::Duration;

use crate::agent::bring_back::{bring_back, find_again};
use crate::agent::needs::wait_for_needs;
use crate::domain::guard::{GuardEnd, GuardPlan, label};
use crate::domain::id::RunId;
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, ContainerRuntime, HelperInfo, HelperRole};

/// How often an engine that is away is asked again. With the waits in between that is half a minute.
const ATTEMPTS: u32 = 18;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often a container that does not start is tried.
const ROUNDS: u32 = 3;

/// How long a container may take until its processes run, before the next one has its turn.
const RUNNING_PATIENCE: Duration = Duration::from_secs(10);

/// A run that must be ended from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rescue<'a> {
    pub(crate) runtime: &'a dyn ContainerRuntime,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) run: RunId,
    pub(crate) plan: &'a GuardPlan,
}

impl Rescue<'_> {
    /// Ends the run's helpers, so that no reader meets a running application; then brings its containers back, in start
    /// order, past those that fail. Where the data is `half_restored` they stay down instead.
    ///
    /// # Errors
    /// `Unavailable` if the engine stayed away. Doing it all again is no harm.
    pub(crate) async fn act(&self, half_restored: bool) -> Result<GuardEnd> {
        self.end_helpers().await?;
        if half_restored {
            self.keep_down().await?;
            return Ok(GuardEnd::KeptDown);
        }
        let mut waiting: Vec<&Quiet> = self.plan.containers.iter().collect();
        for round in 0..ROUNDS {
            if round > 0 {
                self.clock.sleep(LONGEST_WAIT).await;
            }
            let mut failed = Vec::new();
            for quiet in waiting {
                for (needed, error) in wait_for_needs(self.runtime, quiet, &self.plan.containers).await {
                    tracing::warn!(container = %quiet.name, %needed, %error, "it starts although another is not ready");
                }
                match self.patiently(|| bring_back(self.runtime, quiet, RUNNING_PATIENCE)).await {
                    Ok(()) => {}
                    Err(away) if away.kind() == ErrorKind::Unavailable => return Err(away),
                    Err(error) => {
                        tracing::warn!(container = %quiet.name, %error, "a container did not come back");
                        failed.push(quiet);
                    }
                }
            }
            waiting = failed;
            if waiting.is_empty() {
                return Ok(GuardEnd::BroughtBack);
            }
        }
        Ok(GuardEnd::SomeDown)
    }

    /// Removes the run's helpers; one that cannot be ended must not keep containers down for ever.
    async fn end_helpers(&self) -> Result<()> {
        for _ in 0..ROUNDS {
            let run = self.run.to_string();
            let of_the_run =
                |helper: &HelperInfo| helper.role == HelperRole::Engine && helper.labels.get(label::RUN) == Some(&run);
            let helpers = self.patiently(|| self.runtime.list_helpers()).await?;
            let mut left = false;
            for helper in helpers.iter().filter(|helper| of_the_run(helper)) {
                match self.patiently(|| self.runtime.remove_helper(&helper.id)).await {
                    Ok(()) => {}
                    Err(away) if away.kind() == ErrorKind::Unavailable => return Err(away),
                    Err(error) => {
                        tracing::warn!(helper = helper.id.short(), %error, "a helper could not be ended");
                        left |= helper.running;
                    }
                }
            }
            if !left {
                return Ok(());
            }
            self.clock.sleep(LONGEST_WAIT).await;
        }
        Ok(())
    }

    /// Stops again what the engine started by itself, as it does with containers that always restart.
    async fn keep_down(&self) -> Result<()> {
        for quiet in self.plan.containers.iter().filter(|quiet| quiet.mode == StopMode::Stop) {
            let stopped = self.patiently(|| async {
                let container = find_again(self.runtime, quiet).await?;
                if container.state.is_active() { self.runtime.stop(&container.id, None).await } else { Ok(()) }
            });
            match stopped.await {
                Err(away) if away.kind() == ErrorKind::Unavailable => return Err(away),
                Err(error) => tracing::warn!(container = %quiet.name, %error, "a container is not kept down"),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Tries again while the engine is away.
    pub(super) async fn patiently<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match attempt().await {
                Err(away) if away.kind() == ErrorKind::Unavailable => self.clock.sleep(wait).await,
                answered => return answered,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        attempt().await
    }
}
