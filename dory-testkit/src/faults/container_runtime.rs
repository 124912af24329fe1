//! A container engine that fails when a test says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dory_core::Result;
use dory_core::domain::container::{Container, Image, Volume};
use dory_core::domain::id::{ContainerId, ImageRef, NetworkName, VolumeName};
use dory_core::ports::{
    ContainerRuntime, EventStream, ExecRequest, ExecSession, Helper, HelperInfo, HelperSpec, RuntimeInfo, WaitCondition,
};

use super::{Faulty, FaultyPort};

impl FaultyPort for dyn ContainerRuntime {
    const METHODS: &'static [&'static str] = &[
        "info",
        "list_containers",
        "inspect_container",
        "stop",
        "start",
        "pause",
        "unpause",
        "wait_until",
        "exec",
        "events",
        "inspect_image",
        "remove_image",
        "list_volumes",
        "inspect_volume",
        "create_volume",
        "remove_volume",
        "list_networks",
        "ensure_helper_image",
        "launch_helper",
        "list_helpers",
        "keep_helper",
        "remove_helper",
    ];
}

impl Faulty<dyn ContainerRuntime> {
    /// This engine as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn ContainerRuntime> {
        Arc::new(self.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ContainerRuntime for Faulty<dyn ContainerRuntime> {
    async fn info(&self) -> Result<RuntimeInfo> {
        self.run("info", || self.inner.info()).await
    }

    async fn list_containers(&self) -> Result<Vec<Container>> {
        self.run("list_containers", || self.inner.list_containers()).await
    }

    async fn inspect_container(&self, reference: &str) -> Result<Container> {
        self.run("inspect_container", || self.inner.inspect_container(reference)).await
    }

    async fn stop(&self, id: &ContainerId, grace: Option<Duration>) -> Result<()> {
        self.run("stop", || self.inner.stop(id, grace)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.run("start", || self.inner.start(id)).await
    }

    async fn pause(&self, id: &ContainerId) -> Result<()> {
        self.run("pause", || self.inner.pause(id)).await
    }

    async fn unpause(&self, id: &ContainerId) -> Result<()> {
        self.run("unpause", || self.inner.unpause(id)).await
    }

    async fn wait_until(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()> {
        self.run("wait_until", || self.inner.wait_until(id, condition, timeout)).await
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<Box<dyn ExecSession>> {
        self.run("exec", || self.inner.exec(id, request)).await
    }

    async fn events(&self) -> Result<EventStream> {
        self.run("events", || self.inner.events()).await
    }

    async fn inspect_image(&self, reference: &ImageRef) -> Result<Option<Image>> {
        self.run("inspect_image", || self.inner.inspect_image(reference)).await
    }

    async fn remove_image(&self, reference: &ImageRef) -> Result<()> {
        self.run("remove_image", || self.inner.remove_image(reference)).await
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>> {
        self.run("list_volumes", || self.inner.list_volumes()).await
    }

    async fn inspect_volume(&self, name: &VolumeName) -> Result<Option<Volume>> {
        self.run("inspect_volume", || self.inner.inspect_volume(name)).await
    }

    async fn create_volume(&self, name: &VolumeName, labels: &BTreeMap<String, String>) -> Result<Volume> {
        self.run("create_volume", || self.inner.create_volume(name, labels)).await
    }

    async fn remove_volume(&self, name: &VolumeName) -> Result<()> {
        self.run("remove_volume", || self.inner.remove_volume(name)).await
    }

    async fn list_networks(&self) -> Result<Vec<NetworkName>> {
        self.run("list_networks", || self.inner.list_networks()).await
    }

    async fn ensure_helper_image(&self) -> Result<ImageRef> {
        self.run("ensure_helper_image", || self.inner.ensure_helper_image()).await
    }

    async fn launch_helper(&self, spec: &HelperSpec) -> Result<Helper> {
        self.run("launch_helper", || self.inner.launch_helper(spec)).await
    }

    async fn list_helpers(&self) -> Result<Vec<HelperInfo>> {
        self.run("list_helpers", || self.inner.list_helpers()).await
    }

    async fn keep_helper(&self, id: &ContainerId, keep: bool) -> Result<()> {
        self.run("keep_helper", || self.inner.keep_helper(id, keep)).await
    }

    async fn remove_helper(&self, id: &ContainerId) -> Result<()> {
        self.run("remove_helper", || self.inner.remove_helper(id)).await
    }
}
