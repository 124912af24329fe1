//! Removing helpers, and nothing but them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::query_parameters::{RemoveContainerOptions, WaitContainerOptions};
use futures_util::StreamExt;

use super::helper_config::HELPER_LABEL;
use super::lifecycle::is_down;
use super::pipes::Drain;
use super::{DockerRuntime, container_view, error};
use crate::domain::container::ContainerState;
use crate::domain::id::{ContainerId, ContainerName};
use crate::error::{Error, ErrorKind, Result};

/// How long a removal that somebody else began may take.
const REMOVAL: Duration = Duration::from_secs(60);

const REMOVE: &str = "remove helper";

impl DockerRuntime {
    pub(super) async fn delete_helper(&self, id: &ContainerId) -> Result<()> {
        match self.check_helper(REMOVE, id).await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(()),
            checked => checked?,
        }
        self.helpers.let_go(id);
        match force_removal(&self.docker, id).await {
            Ok(()) => Ok(()),
            // Somebody else is at it already.
            Err(busy) if error::status(&busy) == Some(409) => self.await_removal(id).await,
            Err(other) => Err(self.container_failed(REMOVE, id)(other)),
        }
    }

    /// Frees `name` for a new helper, if its owner is a helper that does not run.
    pub(super) async fn retire_helper(&self, name: &ContainerName) -> Result<()> {
        let operation = "launch helper";
        let taken = |reason: &str| Error::new(ErrorKind::Conflict, operation, name.as_str(), reason);
        let owner = match self.docker.inspect_container(name.as_str(), None).await {
            Ok(raw) => container_view::container(raw)?,
            Err(gone) if error::status(&gone) == Some(404) => return Ok(()),
            Err(other) => return Err(self.failed(operation, name.as_str())(other)),
        };
        if !owner.labels.contains_key(HELPER_LABEL) {
            return Err(taken("a container that is no helper has its name")
                .with_hint(format!("docker rename {name} <another name>")));
        }
        match owner.state {
            ContainerState::Removing => return self.await_removal(&owner.id).await,
            state if !is_down(state) => return Err(taken("a helper of that name runs")),
            _ => {}
        }
        // Not by force: if somebody started it just now, it is theirs.
        let options = RemoveContainerOptions { force: false, v: false, link: false };
        match self.docker.remove_container(owner.id.as_str(), Some(options)).await {
            Ok(()) => Ok(()),
            Err(gone) if error::status(&gone) == Some(404) => Ok(()),
            Err(busy) if error::status(&busy) == Some(409) => {
                Err(taken("a helper of that name runs").with_source(busy))
            }
            Err(other) => Err(self.failed(operation, name.as_str())(other)),
        }
    }

    async fn await_removal(&self, id: &ContainerId) -> Result<()> {
        let options = WaitContainerOptions { condition: "removed".to_owned() };
        let docker = self.docker.clone().with_timeout(REMOVAL);
        let mut waiting = Box::pin(docker.wait_container(id.as_str(), Some(options)));
        match tokio::time::timeout(REMOVAL, waiting.next()).await {
            Err(_) => Err(Error::new(ErrorKind::TimedOut, REMOVE, id.short(), "the engine does not get it done")),
            // An exit code other than zero is an error to bollard; to us both it and `not found` mean that it is gone.
            Ok(Some(Err(Bollard::DockerContainerWaitError { .. }) | Ok(_)) | None) => Ok(()),
            Ok(Some(Err(gone))) if error::status(&gone) == Some(404) => Ok(()),
            Ok(Some(Err(other))) => Err(self.container_failed(REMOVE, id)(other)),
        }
    }
}

/// The pipes of helpers that this process launched.
#[derive(Debug, Default)]
pub(super) struct LaunchedHelpers(Mutex<HashMap<ContainerId, Drain>>);

impl LaunchedHelpers {
    pub(super) fn insert(&self, id: ContainerId, drain: Drain) {
        let mut helpers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        helpers.retain(|_, drain| !drain.is_dry());
        helpers.insert(id, drain);
    }

    /// Makes sure that unread output does not keep the helper from ending.
    fn let_go(&self, id: &ContainerId) {
        if let Some(drain) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            drain.open();
        }
    }
}

/// Kills and removes a container, and leaves its volumes alone.
pub(super) async fn force_removal(docker: &Docker, id: &ContainerId) -> Result<(), Bollard> {
    let options = RemoveContainerOptions { force: true, v: false, link: false };
    match docker.remove_container(id.as_str(), Some(options)).await {
        Err(gone) if error::status(&gone) == Some(404) => Ok(()),
        other => other,
    }
}
