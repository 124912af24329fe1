//! Stopping, starting, freezing and thawing, each checked before it counts as done.

use std::time::Duration;

use bollard::models::SystemInfoCgroupDriverEnum;
use bollard::query_parameters::StopContainerOptions;

use super::{DockerRuntime, container_view, error};
use crate::domain::container::{Container, ContainerState};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};

/// What the engine gives a container that does not say how long it needs.
const ENGINES_GRACE: Duration = Duration::from_secs(10);

impl DockerRuntime {
    pub(super) async fn stop_container(&self, id: &ContainerId, grace: Option<Duration>) -> Result<()> {
        let operation = "stop container";
        let container = self.container_for(operation, id).await?;
        if is_down(container.state) {
            return Ok(());
        }
        // Whole seconds is what the engine takes: rounded up, so that nobody gets less than they were promised.
        let seconds = grace.map(|grace| grace.as_secs() + u64::from(grace.subsec_nanos() > 0));
        let longest = seconds.map(Duration::from_secs).or(container.stop_grace).unwrap_or(ENGINES_GRACE);
        let t = seconds.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
        let patient = self.docker.clone().with_timeout(longest.saturating_add(self.docker.timeout()));
        let asked = patient.stop_container(id.as_str(), Some(StopContainerOptions { t, signal: None })).await;

        // One that is removed when it ends (`--rm`) may be gone already, and that is an end too.
        let now = match self.docker.inspect_container(id.as_str(), None).await {
            Err(gone) if error::status(&gone) == Some(404) => return Ok(()),
            Err(other) => return Err(self.container_failed(operation, id)(other)),
            Ok(raw) => container_view::container(raw)?,
        };
        match asked {
            _ if is_down(now.state) => Ok(()),
            Err(refused) if matches!(error::status(&refused), Some(401 | 403)) => {
                Err(self.container_failed(operation, id)(refused))
            }
            Ok(()) => Err(still_runs(&now)),
            Err(cause) => Err(still_runs(&now).with_source(cause)),
        }
    }

    pub(super) async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let operation = "start container";
        // The engine answers once the first process runs.
        let Err(refused) = self.docker.start_container(id.as_str(), None).await else { return Ok(()) };
        let Some(status) = error::status(&refused) else { return Err(self.container_failed(operation, id)(refused)) };
        if matches!(status, 401 | 403) {
            return Err(self.container_failed(operation, id)(refused));
        }
        // `not found` may mean the container or its program.
        let container = self.container_for(operation, id).await?;
        let name = container.name.as_str();
        Err(match container.state {
            ContainerState::Paused => Error::new(ErrorKind::Conflict, operation, name, "it is paused")
                .with_hint(format!("docker unpause {name}")),
            ContainerState::Removing => Error::new(ErrorKind::Conflict, operation, name, "it is being removed"),
            _ => Error::new(ErrorKind::ContainerDown, operation, name, "the engine could not start it"),
        }
        .with_source(refused))
    }

    pub(super) async fn pause_container(&self, id: &ContainerId) -> Result<()> {
        let operation = "pause container";
        let container = self.container_for(operation, id).await?;
        match container.state {
            ContainerState::Paused => return Ok(()),
            ContainerState::Running => {}
            other => return Err(does_not_run(operation, &container, other)),
        }
        let Err(refused) = self.docker.pause_container(id.as_str()).await else { return Ok(()) };
        let now = self.container_for(operation, id).await?;
        match now.state {
            ContainerState::Paused => Ok(()),
            ContainerState::Running if error::status(&refused) == Some(500) && self.cannot_freeze(&refused).await => {
                let reason = "the engine's host cannot freeze processes";
                Err(Error::new(ErrorKind::Unsupported, operation, now.name.as_str(), reason)
                    .with_hint("stop the container instead: set the label `dory.stop=stop`")
                    .with_source(refused))
            }
            ContainerState::Running => Err(self.container_failed(operation, id)(refused)),
            other => Err(does_not_run(operation, &now, other)),
        }
    }

    pub(super) async fn unpause_container(&self, id: &ContainerId) -> Result<()> {
        let operation = "unpause container";
        if self.container_for(operation, id).await?.state != ContainerState::Paused {
            return Ok(());
        }
        let Err(refused) = self.docker.unpause_container(id.as_str()).await else { return Ok(()) };
        match self.container_for(operation, id).await?.state {
            ContainerState::Paused => Err(self.container_failed(operation, id)(refused)),
            _ => Ok(()),
        }
    }

    /// The container `id`; `operation` names what that is for.
    pub(super) async fn container_for(&self, operation: &str, id: &ContainerId) -> Result<Container> {
        container_view::container(self.inspect_for(operation, id).await?)
    }

    /// Whether the host lacks the freezer that pausing needs, as rootless engines on older kernels do.
    async fn cannot_freeze(&self, refused: &bollard::errors::Error) -> bool {
        error::message(refused).contains("freezer")
            || self.docker.info().await.is_ok_and(|info| info.cgroup_driver == Some(SystemInfoCgroupDriverEnum::NONE))
    }
}

/// Whether nothing of it runs or is about to.
pub(super) fn is_down(state: ContainerState) -> bool {
    !state.is_active() && state != ContainerState::Paused
}

fn still_runs(container: &Container) -> Error {
    let reason = format!("it is still {}, although it was killed", container.state.as_str());
    Error::new(ErrorKind::TimedOut, "stop container", container.name.as_str(), reason)
}

fn does_not_run(operation: &str, container: &Container, state: ContainerState) -> Error {
    Error::new(ErrorKind::Conflict, operation, container.name.as_str(), format!("it is {}", state.as_str()))
}
