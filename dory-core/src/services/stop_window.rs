//! The time in which containers stand still: opened as late, closed as early, and closed whatever happens.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::insist;
use super::run_events::{RunEvent, RunEvents};
use crate::agent::bring_back::undo;
use crate::domain::container::ContainerState;
use crate::domain::id::ContainerName;
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, ContainerRuntime, WaitCondition};

/// How long a started container may take until its processes run.
const RUNNING_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a started container may take until its health check is content.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(120);

/// Containers that stand still until [`close`](Self::close) is called.
#[derive(Debug)]
pub(super) struct StopWindow {
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    events: RunEvents,
    /// Who was asked to stand still, in start order.
    quieted: Vec<Quiet>,
    /// Monotonic time of the first request.
    opened: Duration,
    /// The moment since which nothing of what was quieted writes.
    quiet_since: Timestamp,
}

/// How a window went.
#[derive(Debug)]
pub(super) struct WindowReport {
    /// From the first stop request to the moment the last container ran again; `None` where nothing was stopped.
    pub(super) length: Option<SignedDuration>,
    /// Containers that ran before and do not now, with the reason.
    pub(super) down: Vec<(ContainerName, Error)>,
}

impl StopWindow {
    /// Quiets `plan` (in start order) in reverse.
    ///
    /// The window is there even if that fails half-way: closing it starts what was stopped until then.
    pub(super) async fn open(
        runtime: Arc<dyn ContainerRuntime>,
        clock: Arc<dyn Clock>,
        plan: &[Quiet],
        events: RunEvents,
    ) -> (Self, Result<()>) {
        let opened = clock.monotonic();
        let quiet_since = clock.now();
        let mut window = Self { runtime, clock, events, quieted: Vec::new(), opened, quiet_since };
        let result = window.quiet_all(plan).await;
        window.quiet_since = window.clock.now();
        (window, result)
    }

    /// The moment since which nothing of what was quieted writes.
    pub(super) fn quiet_since(&self) -> Timestamp {
        self.quiet_since
    }

    async fn quiet_all(&mut self, plan: &[Quiet]) -> Result<()> {
        for quiet in plan.iter().rev() {
            // Remembered first: a request that failed may have stopped it all the same.
            self.quieted.insert(0, quiet.clone());
            self.events.send(RunEvent::Quieting { container: quiet.name.clone(), mode: quiet.mode });
            match quiet.mode {
                StopMode::Stop => {
                    if quiet.was == ContainerState::Paused {
                        self.runtime.unpause(&quiet.id).await?;
                    }
                    self.runtime.stop(&quiet.id, None).await?;
                }
                StopMode::Pause if quiet.was == ContainerState::Paused => {}
                StopMode::Pause => self.runtime.pause(&quiet.id).await?,
                StopMode::None => {}
            }
        }
        Ok(())
    }

    /// Brings everything back to what it was doing, in start order, and goes on past what fails.
    pub(super) async fn close(self) -> WindowReport {
        let mut down = Vec::new();
        for quiet in &self.quieted {
            let undone = insist(|| undo(self.runtime.as_ref(), quiet, RUNNING_TIMEOUT));
            if let Err(error) = undone.await {
                self.events.send(RunEvent::NotStarted { container: quiet.name.clone(), error: error.to_record() });
                down.push((quiet.name.clone(), error));
            } else {
                self.events.send(RunEvent::Resumed { container: quiet.name.clone() });
            }
        }
        let length = self.clock.monotonic().saturating_sub(self.opened);
        let length =
            (!self.quieted.is_empty()).then(|| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX));
        for quiet in self.quieted.iter().filter(|quiet| quiet.has_health_check && quiet.was == ContainerState::Running)
        {
            if down.iter().any(|(name, _)| *name == quiet.name) || quiet.mode != StopMode::Stop {
                continue;
            }
            let healthy = || self.runtime.wait_until(&quiet.id, WaitCondition::Healthy, HEALTHY_TIMEOUT);
            if let Err(error) = insist(healthy).await {
                down.push((quiet.name.clone(), error));
            }
        }
        WindowReport { length, down }
    }

    /// Ends the window and starts nothing; the names of those who stay down.
    pub(super) fn leave_down(self) -> Vec<String> {
        self.quieted.iter().map(|quiet| quiet.name.to_string()).collect()
    }
}

impl WindowReport {
    /// The error that containers which are down deserve; none where all came back.
    pub(super) fn into_error(self) -> Option<Error> {
        let names: Vec<_> = self.down.iter().map(|(name, _)| name.to_string()).collect();
        let (_, first) = self.down.into_iter().next()?;
        let hint = format!("run `docker start {}`, and look at `docker logs {}`", names.join(" "), names.first()?);
        Some(
            Error::new(
                ErrorKind::ContainerDown,
                "start again",
                names.join("`, `"),
                "it ran before and does not run now",
            )
            .with_hint(hint)
            .with_source(first),
        )
    }
}
