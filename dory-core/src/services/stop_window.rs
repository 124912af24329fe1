//! The time in which containers stand still: opened as late, closed as early, and closed whatever happens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use jiff::{SignedDuration, Timestamp};

use super::insist;
use super::run_events::{RunEvent, RunEvents};
use crate::agent::bring_back::{find_again, undo};
use crate::agent::needs::wait_for_needs;
use crate::domain::container::ContainerState;
use crate::domain::id::ContainerName;
use crate::domain::order::start_groups;
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, ContainerRuntime, WaitCondition};

/// How long a started container may take until its processes run.
const RUNNING_TIMEOUT: Duration = Duration::from_secs(60);

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
    /// Containers that run, but were healthy before and are not now, with the reason.
    pub(super) unwell: Vec<(ContainerName, Error)>,
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

    /// Those who need nothing of each other stop together: the slowest one of a group is all the time it takes.
    async fn quiet_all(&mut self, plan: &[Quiet]) -> Result<()> {
        for group in start_groups(plan).into_iter().rev() {
            // Remembered first: a request that failed may have stopped it all the same.
            self.quieted.splice(0..0, group.iter().copied().cloned());
            let quieting = group.iter().map(|quiet| self.quiet(quiet));
            join_all(quieting).await.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// That everything is quiet, whatever the engine said. To be waited for before anything is written; reading may
    /// begin meanwhile.
    pub(super) async fn check(&self) -> Result<()> {
        let checks = self.quieted.iter().map(|quiet| insist(|| self.check_quiet(quiet)));
        try_join_all(checks).await.map(drop)
    }

    async fn quiet(&self, quiet: &Quiet) -> Result<()> {
        self.events.send(RunEvent::Quieting { container: quiet.name.clone(), mode: quiet.mode });
        match quiet.mode {
            StopMode::Stop => {
                if quiet.was == ContainerState::Paused {
                    self.runtime.unpause(&quiet.id).await?;
                }
                self.runtime.stop(&quiet.id, None).await
            }
            StopMode::Pause if quiet.was == ContainerState::Paused => Ok(()),
            StopMode::Pause => self.runtime.pause(&quiet.id).await,
            StopMode::None => Ok(()),
        }
    }

    /// That a container is quiet, whatever the engine said: something else may have started it again meanwhile.
    async fn check_quiet(&self, quiet: &Quiet) -> Result<()> {
        let allowed: &[ContainerState] = match quiet.mode {
            StopMode::None => return Ok(()),
            StopMode::Pause => &[ContainerState::Paused],
            StopMode::Stop => &[ContainerState::Exited, ContainerState::Created, ContainerState::Dead],
        };
        let state = match find_again(self.runtime.as_ref(), quiet).await {
            // What is gone writes nothing. Whether it comes back is a question for the end.
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?.state,
        };
        if allowed.contains(&state) {
            return Ok(());
        }
        let reason = format!("it is {} although it was quieted a moment ago", state.as_str());
        Err(Error::new(ErrorKind::Conflict, "keep container quiet", quiet.name.as_str(), reason)
            .with_hint("find out what starts it: another tool that watches containers, or a person"))
    }

    /// Brings everything back to what it was doing, in start order, and goes on past what fails. What a container
    /// needs is waited for before it starts, and so is part of the window; the rest of healing is not.
    pub(super) async fn close(self) -> WindowReport {
        let mut down = Vec::new();
        for group in start_groups(&self.quieted) {
            let started = join_all(group.iter().map(|quiet| self.start_again(quiet))).await;
            let failed = group.iter().zip(started).filter_map(|(quiet, started)| Some((quiet, started.err()?)));
            down.extend(failed.map(|(quiet, error)| (quiet.name.clone(), error)));
        }
        let length = self.clock.monotonic().saturating_sub(self.opened);
        let length =
            (!self.quieted.is_empty()).then(|| SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX));
        let heals = |quiet: &&Quiet| {
            let was_well = quiet.has_health_check && quiet.was == ContainerState::Running;
            was_well && quiet.mode == StopMode::Stop && !down.iter().any(|(name, _)| *name == quiet.name)
        };
        let healing = self.quieted.iter().filter(heals).map(|quiet| async {
            let healed = insist(|| self.heal(quiet)).await;
            healed.err().map(|error| (quiet.name.clone(), error))
        });
        let unwell = join_all(healing).await.into_iter().flatten().collect();
        WindowReport { length, down, unwell }
    }

    async fn start_again(&self, quiet: &Quiet) -> Result<()> {
        let container = quiet.name.clone();
        for (needed, error) in wait_for_needs(self.runtime.as_ref(), quiet, &self.quieted).await {
            let container = container.clone();
            self.events.send(RunEvent::StartedAnyway { container, needed, error: error.to_record() });
        }
        let started = insist(|| undo(self.runtime.as_ref(), quiet, RUNNING_TIMEOUT)).await;
        self.events.send(match &started {
            Ok(()) => RunEvent::Resumed { container },
            Err(error) => RunEvent::NotStarted { container, error: error.to_record() },
        });
        started
    }

    async fn heal(&self, quiet: &Quiet) -> Result<()> {
        let id = find_again(self.runtime.as_ref(), quiet).await?.id;
        match self.runtime.wait_until(&id, WaitCondition::Healthy, quiet.start.healthy_timeout.get()).await {
            // It was created anew, without its check.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            healed => healed,
        }
    }

    /// Ends the window and starts nothing; the names of those who stay down.
    pub(super) fn leave_down(self) -> Vec<String> {
        self.quieted.iter().map(|quiet| quiet.name.to_string()).collect()
    }
}

impl WindowReport {
    /// Who of `quieted` ran again and has ended since, and not well: the engine calls a program started that ends a
    /// moment later.
    pub(super) async fn of_later(runtime: &dyn ContainerRuntime, quieted: &[Quiet]) -> Self {
        let mut down = Vec::new();
        let ran = |quiet: &&Quiet| quiet.mode == StopMode::Stop && quiet.was == ContainerState::Running;
        for quiet in quieted.iter().filter(ran) {
            let Ok(container) = find_again(runtime, quiet).await else { continue };
            let code = container.exit_code.unwrap_or_default();
            if container.state == ContainerState::Restarting || (!container.state.is_active() && code != 0) {
                let reason = format!("it started, and ended with code {code}");
                down.push((
                    quiet.name.clone(),
                    Error::new(ErrorKind::ContainerDown, "keep running", quiet.name.as_str(), reason),
                ));
            }
        }
        Self { length: None, down, unwell: Vec::new() }
    }

    /// The error that containers which are down or unwell deserve; none where all came back.
    pub(super) fn into_error(self) -> Option<Error> {
        let names = |of: &[(ContainerName, Error)]| of.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let (down, unwell) = (names(&self.down), names(&self.unwell));
        let gone = |(_, error): &&(ContainerName, Error)| error.kind() == ErrorKind::NotFound;
        let gone: Vec<_> = self.down.iter().filter(gone).map(|(name, _)| name.to_string()).collect();
        let failed = |reason: &str, names: &[String]| {
            Error::new(ErrorKind::ContainerDown, "start again", names.join("`, `"), reason)
        };
        let error = match (down.first(), unwell.first()) {
            (None, None) => return None,
            (None, Some(first)) => failed("it runs again, but its health check is not content", &unwell)
                .with_hint(format!("look at `docker logs {first}`; `--healthy-timeout` gives it more time")),
            (Some(_), _) if gone.len() == down.len() => {
                failed("it was removed meanwhile, and none took its place", &down)
                    .with_hint("create it again, as it was: its volumes are untouched")
            }
            (Some(first), _) => failed("it ran before and does not run now", &down)
                .with_hint(format!("run `docker start {}`, and look at `docker logs {first}`", down.join(" "))),
        };
        let (_, first) = self.down.into_iter().chain(self.unwell).next()?;
        Some(error.with_source(first))
    }
}
