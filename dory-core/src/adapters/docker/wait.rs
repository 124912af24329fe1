//! Waiting for a container, by the engine's events.

use std::time::Duration;

use futures_util::StreamExt;

use super::lifecycle::is_down;
use super::{DockerRuntime, container_view, error};
use crate::domain::container::{Container, ContainerState, Health};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::WaitCondition;

/// The engine's words for what can change the answer.
const ACTIONS: [&str; 6] = ["start", "die", "destroy", "health_status", "pause", "unpause"];

impl DockerRuntime {
    pub(super) async fn wait_for(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()> {
        let operation = operation(condition);
        let watched = tokio::time::timeout(timeout, self.watch(id, condition)).await;
        watched.unwrap_or_else(|_| {
            let reason = format!("it took longer than {} s", timeout.as_secs_f64());
            Err(Error::new(ErrorKind::TimedOut, operation, id.short(), reason))
        })
    }

    async fn watch(&self, id: &ContainerId, condition: WaitCondition) -> Result<()> {
        let operation = operation(condition);
        let mut container = self.container_for(operation, id).await?;
        // Usually it is so already, and a stop window is no time to ask for more.
        if let Some(verdict) = verdict(&container, condition) {
            return verdict;
        }
        // First the ears, then the question again: what changes in between is heard.
        let mut events = Box::pin(self.subscribe(Some(id), &ACTIONS).await?);
        loop {
            container = match self.docker.inspect_container(id.as_str(), None).await {
                Ok(raw) => container_view::container(raw)?,
                Err(gone) if error::status(&gone) == Some(404) => return removed(&container, condition),
                Err(other) => return Err(self.container_failed(operation, id)(other)),
            };
            if let Some(verdict) = verdict(&container, condition) {
                return verdict;
            }
            if let Some(event) = events.next().await {
                event?;
            }
        }
    }
}

fn operation(condition: WaitCondition) -> &'static str {
    match condition {
        WaitCondition::Running => "wait for the start of container",
        WaitCondition::Healthy => "wait for the health of container",
        WaitCondition::Stopped => "wait for the end of container",
    }
}

/// Whether `container` has reached `condition`, or never will; `None` while both are open.
fn verdict(container: &Container, condition: WaitCondition) -> Option<Result<()>> {
    let runs = container.state == ContainerState::Running;
    let down = |reason: String| {
        Some(Err(Error::new(ErrorKind::ContainerDown, operation(condition), container.name.as_str(), reason)
            .with_hint(format!("docker logs --tail 50 {}", container.name))))
    };
    match condition {
        WaitCondition::Stopped => is_down(container.state).then_some(Ok(())),
        _ if matches!(container.state, ContainerState::Exited | ContainerState::Dead | ContainerState::Removing) => {
            down(format!("it is {}", container.state.as_str()))
        }
        WaitCondition::Running => runs.then_some(Ok(())),
        WaitCondition::Healthy if container.health == Health::None => {
            let name = container.name.as_str();
            Some(Err(Error::new(ErrorKind::InvalidInput, operation(condition), name, "it has no health check")))
        }
        WaitCondition::Healthy if runs => match container.health {
            Health::Healthy => Some(Ok(())),
            Health::Unhealthy => down("its health check fails".to_owned()),
            Health::Starting | Health::None => None,
        },
        WaitCondition::Healthy => None,
    }
}

/// What it means that a container was removed while it was waited for.
fn removed(container: &Container, condition: WaitCondition) -> Result<()> {
    match condition {
        WaitCondition::Stopped => Ok(()),
        _ => Err(Error::new(ErrorKind::ContainerDown, operation(condition), container.name.as_str(), "it was removed")),
    }
}
