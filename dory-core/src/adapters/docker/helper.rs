//! Launching a helper, with its pipes in hand from its first word on.

use std::path::PathBuf;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{AttachContainerOptions, CreateContainerOptions};

use super::helper_config::container_for;
use super::helper_removal::force_removal;
use super::pipes::{self, Input};
use super::{DockerAddress, DockerRuntime, error};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Helper, HelperRole, HelperSource, HelperSpec};

const LAUNCH: &str = "launch helper";

/// Where an engine that is reached over the network, or through a forwarded socket, listens on its own host.
const ENGINES_SOCKET: &str = "/var/run/docker.sock";

impl DockerRuntime {
    pub(super) async fn launch(&self, spec: &HelperSpec) -> Result<Helper> {
        let socket = match spec.role {
            HelperRole::Engine => PathBuf::new(),
            HelperRole::Guardian => self.engines_socket().await?,
        };
        let body = container_for(spec, &socket)?;
        // The engine would make a missing volume, whatever way it is mounted.
        for mount in &spec.mounts {
            if let HelperSource::Volume(name) = &mount.source
                && self.find_volume(name).await?.is_none()
            {
                return Err(Error::new(ErrorKind::NotFound, "mount volume", name.as_str(), "there is no such volume"));
            }
        }
        let id = self.create_helper(spec, body).await?;
        let undo = Undo { docker: Some(self.docker.clone()), id: id.clone() };
        match self.attach_and_start(spec, id).await {
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

    /// Where the engine's socket is on the engine's host.
    async fn engines_socket(&self) -> Result<PathBuf> {
        let DockerAddress::Unix(path) = &self.address else { return Ok(ENGINES_SOCKET.into()) };
        match self.host_path(path).await {
            Err(elsewhere) if elsewhere.kind() == ErrorKind::Unsupported => Ok(ENGINES_SOCKET.into()),
            here => here,
        }
    }

    /// Makes the container, in place of an older one of its name that does not run any more.
    async fn create_helper(&self, spec: &HelperSpec, body: ContainerCreateBody) -> Result<ContainerId> {
        let create = async |body| {
            let name = Some(spec.name.to_string());
            let options = CreateContainerOptions { name, ..CreateContainerOptions::default() };
            self.docker.create_container(Some(options), body).await
        };
        let created = match create(body.clone()).await {
            Err(taken) if error::status(&taken) == Some(409) => {
                self.retire_helper(&spec.name).await?;
                create(body).await
            }
            other => other,
        };
        ContainerId::parse(created.map_err(|cause| self.not_created(spec, cause))?.id)
    }

    /// Which part of `spec` the engine did not take.
    fn not_created(&self, spec: &HelperSpec, refused: Bollard) -> Error {
        let words = error::message(&refused);
        if error::status(&refused) == Some(404) {
            let reason = format!("there is no image `{}`", spec.image);
            return Error::new(ErrorKind::NotFound, LAUNCH, spec.name.as_str(), reason).with_source(refused);
        }
        if words.contains("source path does not exist") {
            let named = spec.mounts.iter().find_map(|mount| match &mount.source {
                HelperSource::HostPath(path) if words.ends_with(&*path.to_string_lossy()) => Some(path),
                _ => None,
            });
            // What is not of the spec is the engine's socket, which the engine names last.
            let socket = || words.rsplit(' ').next().unwrap_or_default().to_owned();
            let path = named.map_or_else(socket, |path| path.to_string_lossy().into_owned());
            let reason = "there is no such file or folder on the engine's host";
            return Error::new(ErrorKind::NotFound, "mount", path, reason).with_source(refused);
        }
        self.failed(LAUNCH, spec.name.as_str())(refused)
    }

    async fn attach_and_start(&self, spec: &HelperSpec, id: ContainerId) -> Result<Helper> {
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
        let attached = attached.map_err(|cause| self.not_started(spec, cause))?;
        let (stdout, stderr, drain) = pipes::split(attached.output);
        let stdin = Input::new(attached.input);
        self.docker.start_container(id.as_str(), None).await.map_err(|cause| self.not_started(spec, cause))?;
        self.helpers.insert(id.clone(), drain);
        Ok(Helper { id, stdin: Box::new(stdin), stdout: Box::new(stdout), stderr: Box::new(stderr) })
    }

    fn not_started(&self, spec: &HelperSpec, refused: Bollard) -> Error {
        let name = spec.name.as_str();
        match error::status(&refused) {
            // Nobody removes a helper that has not started yet but a launch of the same name.
            Some(404) if error::message(&refused).contains("No such container") => {
                Error::new(ErrorKind::Conflict, LAUNCH, name, "another launch took its place").with_source(refused)
            }
            Some(400..=599) => {
                Error::new(ErrorKind::ContainerDown, LAUNCH, name, "the engine could not start it").with_source(refused)
            }
            _ => self.failed(LAUNCH, name)(refused),
        }
    }
}

/// Removes a container that did not become a helper, also where its launch is abandoned half-way.
struct Undo {
    docker: Option<Docker>,
    id: ContainerId,
}

impl Undo {
    fn forget(mut self) {
        self.docker = None;
    }

    async fn now(mut self) {
        if let Some(docker) = self.docker.take() {
            remove_leftover(docker, self.id.clone()).await;
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let (Some(docker), Ok(runtime)) = (self.docker.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(remove_leftover(docker, self.id.clone()));
        }
    }
}

async fn remove_leftover(docker: Docker, id: ContainerId) {
    if let Err(cause) = force_removal(&docker, &id).await {
        tracing::warn!(helper = id.short(), %cause, "a helper that did not start was left behind");
    }
}
