//! Docker, through its API.
//!
//! [`DockerRuntime`] implements [`ContainerRuntime`]; each file beside this one is one part of that, and only
//! `error.rs` knows how bollard's errors become Dory's.

mod connect;
mod container_view;
mod containers;
mod elf;
mod error;
mod events;
mod exec;
mod helper;
mod helper_config;
mod helper_image;
mod helper_list;
mod helper_removal;
mod image_content;
mod images;
mod info;
mod lifecycle;
mod nearest;
mod own_container;
mod pipes;
mod tar_stream;
mod volumes;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::{ClientVersion, Docker};
use tokio::sync::{Mutex, OnceCell};

pub use connect::{DockerAddress, DockerSettings};
pub use image_content::HelperImageSource;

use crate::domain::container::{Container, Image, Volume};
use crate::domain::id::{ContainerId, ImageRef, NetworkName, VolumeName};
use crate::error::{Error, Result};
use crate::ports::{
    ContainerRuntime, EventStream, ExecRequest, ExecSession, Helper, HelperInfo, HelperSpec, RuntimeInfo, WaitCondition,
};

/// A Docker engine. Copies share one connection's settings and what was learned about the engine.
#[derive(Clone, Debug)]
pub struct DockerRuntime {
    docker: Docker,
    address: DockerAddress,
    api_version: ClientVersion,
    helper_source: HelperImageSource,
    helper_content: Arc<Mutex<Option<image_content::ImageContent>>>,
    own_container: Arc<OnceCell<Option<ContainerId>>>,
    helpers: Arc<helper_removal::LaunchedHelpers>,
}

impl DockerRuntime {
    /// Finds the engine and agrees with it on a version of its API.
    ///
    /// # Errors
    /// `Unavailable` if nothing listens there, `PermissionDenied` if this user may not use it, `Unsupported` if it is
    /// older than Docker 20.10; `InvalidInput` for certificates that cannot be used.
    pub async fn connect(settings: DockerSettings) -> Result<Self> {
        let (docker, api_version) = connect::connect(&settings).await?;
        Ok(Self {
            docker,
            address: settings.address,
            api_version,
            helper_source: settings.helper_image,
            helper_content: Arc::default(),
            own_container: Arc::default(),
            helpers: Arc::default(),
        })
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    /// Translates an error that came up while doing `operation` on `subject`.
    fn failed<'a>(&'a self, operation: &'a str, subject: &'a str) -> impl FnOnce(bollard::errors::Error) -> Error {
        move |cause| error::translate(&self.address, operation, subject, cause)
    }
}

#[async_trait]
impl ContainerRuntime for DockerRuntime {
    async fn info(&self) -> Result<RuntimeInfo> {
        self.describe().await
    }

    async fn list_containers(&self) -> Result<Vec<Container>> {
        self.all_containers().await
    }

    async fn inspect_container(&self, reference: &str) -> Result<Container> {
        self.find_container(reference).await
    }

    async fn stop(&self, id: &ContainerId, grace: Option<Duration>) -> Result<()> {
        self.stop_container(id, grace).await
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.start_container(id).await
    }

    async fn pause(&self, id: &ContainerId) -> Result<()> {
        self.pause_container(id).await
    }

    async fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.unpause_container(id).await
    }

    async fn wait_until(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()> {
        self.wait_for(id, condition, timeout).await
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<Box<dyn ExecSession>> {
        self.run_in(id, request).await
    }

    async fn events(&self) -> Result<EventStream> {
        self.container_events().await
    }

    async fn inspect_image(&self, reference: &ImageRef) -> Result<Option<Image>> {
        self.find_image(reference).await
    }

    async fn remove_image(&self, reference: &ImageRef) -> Result<()> {
        self.delete_image(reference).await
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>> {
        self.all_volumes().await
    }

    async fn inspect_volume(&self, name: &VolumeName) -> Result<Option<Volume>> {
        self.find_volume(name).await
    }

    async fn create_volume(&self, name: &VolumeName, labels: &BTreeMap<String, String>) -> Result<Volume> {
        self.make_volume(name, labels).await
    }

    async fn remove_volume(&self, name: &VolumeName) -> Result<()> {
        self.delete_volume(name).await
    }

    async fn list_networks(&self) -> Result<Vec<NetworkName>> {
        self.all_networks().await
    }

    async fn ensure_helper_image(&self) -> Result<ImageRef> {
        self.helper_image().await
    }

    async fn launch_helper(&self, spec: &HelperSpec) -> Result<Helper> {
        self.launch(spec).await
    }

    async fn list_helpers(&self) -> Result<Vec<HelperInfo>> {
        self.all_helpers().await
    }

    async fn keep_helper(&self, id: &ContainerId, keep: bool) -> Result<()> {
        self.set_kept(id, keep).await
    }

    async fn remove_helper(&self, id: &ContainerId) -> Result<()> {
        self.delete_helper(id).await
    }
}
