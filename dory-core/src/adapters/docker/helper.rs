//! Helpers: launched with their pipes in hand, listed, and removed.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use jiff::Timestamp;

use super::helper_config::{HELPER_LABEL, container_for};
use super::pipes::{self, Input};
use super::{DockerRuntime, error};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Helper, HelperInfo, HelperSource, HelperSpec};

/// How long a removal that somebody else began may take.
const REMOVAL: Duration = Duration::from_secs(60);

const LAUNCH: &str = "launch helper from";

impl DockerRuntime {
    pub(super) async fn launch(&self, spec: &HelperSpec) -> Result<Helper> {
        let body = container_for(spec)?;
        // The engine would make a missing volume, whatever way it is mounted.
        for mount in &spec.mounts {
            if let HelperSource::Volume(name) = &mount.source
                && self.find_volume(name).await?.is_none()
            {
                return Err(Error::new(ErrorKind::NotFound, "mount volume", name.as_str(), "there is no such volume"));
            }
        }

        // Named before it is made, so that it can be removed even if nobody hears the engine's answer.
        let name = format!("dory-helper-{}", random_word(spec)?);
        let undo = Undo { docker: Some(self.docker.clone()), name: name.clone() };
        match self.create_and_start(spec, name, body).await {
            Ok(helper) => {
                undo.forget();
                Ok(helper)
            }
            Err(error) => {
                undo.now().await;
                Err(error)
            }
        }
    }

    async fn create_and_start(
        &self,
        spec: &HelperSpec,
        name: String,
        body: bollard::models::ContainerCreateBody,
    ) -> Result<Helper> {
        let options = CreateContainerOptions { name: Some(name), ..CreateContainerOptions::default() };
        let created = self.docker.create_container(Some(options), body).await;
        let id = ContainerId::parse(created.map_err(|cause| self.not_created(spec, cause))?.id)?;

        // Attached before it starts: nothing that it says is lost.
        let options = AttachContainerOptions {
            stream: true,
            stdin: true,
            stdout: true,
            stderr: true,
            logs: false,
            detach_keys: None,
        };
        let attached = self.docker.attach_container(id.as_str(), Some(options)).await;
        let attached = attached.map_err(self.failed(LAUNCH, spec.image.as_str()))?;
        let (stdout, stderr) = pipes::split(attached.output);
        let stdin = Input::new(attached.input);

        if let Err(refused) = self.docker.start_container(id.as_str(), None).await {
            return Err(match error::status(&refused) {
                Some(_) => {
                    Error::new(ErrorKind::ContainerDown, LAUNCH, spec.image.as_str(), "the engine could not start it")
                        .with_source(refused)
                }
                None => self.failed(LAUNCH, spec.image.as_str())(refused),
            });
        }
        Ok(Helper { id, stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) })
    }

    /// Which part of `spec` the engine did not find.
    fn not_created(&self, spec: &HelperSpec, refused: Bollard) -> Error {
        if error::status(&refused) == Some(404) {
            return Error::new(ErrorKind::NotFound, LAUNCH, spec.image.as_str(), "there is no such image")
                .with_source(refused);
        }
        let words = error::message(&refused);
        if words.contains("source path does not exist") {
            let named = spec.mounts.iter().find_map(|mount| match &mount.source {
                HelperSource::HostPath(path) if words.ends_with(&*path.to_string_lossy()) => Some(path),
                _ => None,
            });
            let path = named.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            let reason = "there is no such file or folder on the engine's host";
            return Error::new(ErrorKind::NotFound, "mount", path, reason).with_source(refused);
        }
        self.failed(LAUNCH, spec.image.as_str())(refused)
    }

    pub(super) async fn all_helpers(&self) -> Result<Vec<HelperInfo>> {
        let mut helpers: Vec<HelperInfo> = self
            .summaries(Some(HELPER_LABEL))
            .await?
            .into_iter()
            .map(|raw| {
                Ok(HelperInfo {
                    id: ContainerId::parse(raw.id.unwrap_or_default())?,
                    created_at: raw.created.and_then(|at| Timestamp::from_second(at).ok()).unwrap_or_default(),
                    running: raw.state == Some(ContainerSummaryStateEnum::RUNNING),
                    labels: raw.labels.unwrap_or_default().into_iter().collect(),
                })
            })
            .collect::<Result<_>>()?;
        helpers.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(helpers)
    }

    pub(super) async fn delete_helper(&self, id: &ContainerId) -> Result<()> {
        let operation = "remove helper";
        let labels = match self.docker.inspect_container(id.as_str(), None).await {
            Ok(raw) => raw.config.and_then(|config| config.labels).unwrap_or_default(),
            Err(gone) if error::status(&gone) == Some(404) => return Ok(()),
            Err(other) => return Err(self.container_failed(operation, id)(other)),
        };
        if !labels.contains_key(HELPER_LABEL) {
            return Err(Error::new(ErrorKind::InvalidInput, operation, id.short(), "that container is no helper"));
        }
        match force_removal(&self.docker, id.as_str()).await {
            Ok(()) => Ok(()),
            // Somebody else is at it already.
            Err(busy) if error::status(&busy) == Some(409) => self.await_removal(id).await,
            Err(other) => Err(self.container_failed(operation, id)(other)),
        }
    }

    async fn await_removal(&self, id: &ContainerId) -> Result<()> {
        let options = WaitContainerOptions { condition: "removed".to_owned() };
        let mut waiting =
            Box::pin(self.docker.clone().with_timeout(REMOVAL).wait_container(id.as_str(), Some(options)));
        match tokio::time::timeout(REMOVAL, waiting.next()).await {
            Err(_) => {
                Err(Error::new(ErrorKind::TimedOut, "remove helper", id.short(), "the engine does not get it done"))
            }
            // An exit code other than zero is an error to bollard, and so is a container that is gone already.
            Ok(Some(Err(other)))
                if !matches!(other, Bollard::DockerContainerWaitError { .. }) && error::status(&other) != Some(404) =>
            {
                Err(self.container_failed("remove helper", id)(other))
            }
            Ok(_) => Ok(()),
        }
    }
}

/// Kills and removes a container, and leaves its volumes alone.
async fn force_removal(docker: &Docker, name: &str) -> Result<(), Bollard> {
    let options = RemoveContainerOptions { force: true, v: false, link: false };
    match docker.remove_container(name, Some(options)).await {
        Err(gone) if error::status(&gone) == Some(404) => Ok(()),
        other => other,
    }
}

/// What makes a helper's name its own.
fn random_word(spec: &HelperSpec) -> Result<String> {
    let mut noise = [0; 6];
    getrandom::fill(&mut noise).map_err(|cause| {
        Error::new(ErrorKind::Internal, LAUNCH, spec.image.as_str(), "the system gives no random numbers")
            .with_source(cause)
    })?;
    Ok(data_encoding::HEXLOWER.encode(&noise))
}

/// Removes a container that did not become a helper, also where its launch is abandoned half-way.
struct Undo {
    docker: Option<Docker>,
    name: String,
}

impl Undo {
    fn forget(mut self) {
        self.docker = None;
    }

    async fn now(mut self) {
        if let Some(docker) = self.docker.take() {
            remove_leftover(docker, std::mem::take(&mut self.name)).await;
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let (Some(docker), Ok(runtime)) = (self.docker.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(remove_leftover(docker, std::mem::take(&mut self.name)));
        }
    }
}

async fn remove_leftover(docker: Docker, name: String) {
    if let Err(cause) = force_removal(&docker, &name).await {
        tracing::warn!(helper = name, %cause, "a helper that did not start was left behind");
    }
}
