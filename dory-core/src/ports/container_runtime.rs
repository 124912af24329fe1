//! What runs containers.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::Stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::domain::container::{Container, Image, Volume};
use crate::domain::id::{ContainerId, ContainerName, ImageRef, NetworkName, VolumeName};
use crate::domain::server::DiskSpace;
use crate::error::Result;

/// An engine that runs containers on one host.
///
/// # What every implementation promises
/// - `reference` arguments are a name, a full id, or the first characters of one; nothing else is guessed.
/// - State changes are **idempotent**: stopping what is stopped, starting what runs, removing what is gone succeed.
/// - When a state change returns `Ok`, the state has been reached, not merely asked for.
/// - Every call fails with `Unavailable` when the engine cannot be reached and `PermissionDenied` when it refuses us.
/// - Dropping a call's future may or may not let the change happen; ask to find out.
#[async_trait]
pub trait ContainerRuntime: Debug + Send + Sync + 'static {
    /// What the engine is.
    async fn info(&self) -> Result<RuntimeInfo>;

    /// All containers, running or not, helpers left out, sorted by name. One that vanishes meanwhile is left out.
    async fn list_containers(&self) -> Result<Vec<Container>>;

    /// One container.
    ///
    /// # Errors
    /// `NotFound`, whose hint names the containers with the nearest names, and for helpers too; `InvalidInput` where the
    /// ids of several begin so.
    async fn inspect_container(&self, reference: &str) -> Result<Container>;

    /// Asks the container to end, kills it after `grace` (its own where `None`), and waits until it has ended.
    ///
    /// # Errors
    /// `NotFound`; `TimedOut` if it still runs although it was killed.
    async fn stop(&self, id: &ContainerId, grace: Option<Duration>) -> Result<()>;

    /// Starts the container.
    ///
    /// # Errors
    /// `NotFound`; `ContainerDown` if the engine could not start it, with the engine's words as cause.
    async fn start(&self, id: &ContainerId) -> Result<()>;

    /// Freezes the container's processes.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if it does not run; `Unsupported` where the host cannot freeze.
    async fn pause(&self, id: &ContainerId) -> Result<()>;

    /// Thaws the container's processes.
    ///
    /// # Errors
    /// `NotFound`.
    async fn unpause(&self, id: &ContainerId) -> Result<()>;

    /// Waits until the container has reached `condition`.
    ///
    /// # Errors
    /// `NotFound`; `ContainerDown` as soon as it has ended or turned unhealthy instead; `TimedOut` after `timeout`;
    /// `InvalidInput` for the health of one that has no health check.
    async fn wait_until(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()>;

    /// Runs a command inside a running container.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if the container does not run. A command that fails is no error: see [`ExecSession`].
    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<Box<dyn ExecSession>>;

    /// What happens to containers from now on, helpers left out, until dropped. It ends with an error when the
    /// connection breaks.
    async fn events(&self) -> Result<EventStream>;

    /// An image that is on the host; `None` where it is not. It never asks a registry.
    async fn inspect_image(&self, reference: &ImageRef) -> Result<Option<Image>>;

    /// Removes an image; one that is not there is no error.
    ///
    /// # Errors
    /// `Conflict` if a container uses it.
    async fn remove_image(&self, reference: &ImageRef) -> Result<()>;

    /// All volumes, sorted by name.
    async fn list_volumes(&self) -> Result<Vec<Volume>>;

    /// One volume; `None` where there is none.
    async fn inspect_volume(&self, name: &VolumeName) -> Result<Option<Volume>>;

    /// Makes an empty volume.
    ///
    /// # Errors
    /// `AlreadyExists`.
    async fn create_volume(&self, name: &VolumeName, labels: &BTreeMap<String, String>) -> Result<Volume>;

    /// Removes a volume with its data; one that is not there is no error.
    ///
    /// # Errors
    /// `Conflict` if a container uses it.
    async fn remove_volume(&self, name: &VolumeName) -> Result<()>;

    /// The names of all networks, sorted.
    async fn list_networks(&self) -> Result<Vec<NetworkName>>;

    /// The image that helpers run: it holds this very Dory as `/dory`. It is made if it is missing, with no registry.
    ///
    /// # Errors
    /// `Unsupported` with what is missing; `Full`.
    async fn ensure_helper_image(&self) -> Result<ImageRef>;

    /// Starts a helper and hands over its pipes. Its output goes nowhere else, not into the engine's logs.
    ///
    /// The helper drops all capabilities but those in its spec, gains no privileges, and does not restart unless
    /// [`keep_helper`](Self::keep_helper) says so. It is removed by [`remove_helper`](Self::remove_helper); dropping
    /// [`Helper`] only closes its pipes. What else it can do is a matter of its [`HelperRole`].
    ///
    /// A helper of the same name that does not run any more is removed first.
    ///
    /// # Errors
    /// `NotFound` for the image, a volume or a host path, or the engine's socket; `Conflict` while a helper of the same
    /// name runs. Nothing is left behind then.
    async fn launch_helper(&self, spec: &HelperSpec) -> Result<Helper>;

    /// Every helper on the host, whoever launched it, sorted by creation.
    async fn list_helpers(&self) -> Result<Vec<HelperInfo>>;

    /// Whether the engine starts a helper again each time it ends, and whenever the engine itself starts. Nobody feeds
    /// it then: its input ends at once or stays silent, its output goes nowhere. What it wrote outside of its scratch
    /// folder is still there.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for a container that is no helper.
    async fn keep_helper(&self, id: &ContainerId, keep: bool) -> Result<()>;

    /// Kills and removes a helper; one that is gone is no error.
    ///
    /// # Errors
    /// `InvalidInput` for a container that is no helper.
    async fn remove_helper(&self, id: &ContainerId) -> Result<()>;
}

/// What an engine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    /// `docker 20.10.24`.
    pub name: String,
    /// The API version that is spoken.
    pub api_version: String,
    /// The engine's host, by its own word.
    pub host: String,
    /// Where the engine keeps its data, on its host.
    pub data_root: PathBuf,
    /// The container that this very process runs in, if it does.
    pub own_container: Option<ContainerId>,
    /// Whether the engine runs on this machine, so that paths here are paths there.
    pub is_local: bool,
    /// Room where the engine keeps its data; `None` where it cannot be seen from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSpace>,
}

/// What [`ContainerRuntime::wait_until`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// Its processes run.
    Running,
    /// Its health check says so.
    Healthy,
    /// It has ended.
    Stopped,
}

/// A command to run inside a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// As which user; the container's own where `None`.
    pub user: Option<String>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

/// A command that runs inside a container.
#[async_trait]
pub trait ExecSession: Send {
    /// Takes its input; closing it is the command's end of file.
    fn stdin(&mut self) -> Option<Box<dyn AsyncWrite + Send + Unpin>>;

    /// Takes its output. It must be read, or the command blocks.
    fn stdout(&mut self) -> Option<Box<dyn AsyncRead + Send + Unpin>>;

    /// Waits for its end: its exit code and the last 64 KiB of what it wrote to standard error.
    ///
    /// # Errors
    /// `Unavailable` if the engine went away, so that nobody knows.
    async fn wait(self: Box<Self>) -> Result<ExecOutcome>;
}

/// How a command inside a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Its exit code.
    pub code: i64,
    /// The last of what it wrote to standard error.
    pub stderr: String,
}

/// See [`ContainerRuntime::events`].
pub type EventStream = Pin<Box<dyn Stream<Item = Result<ContainerEvent>> + Send>>;

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Which container.
    pub id: ContainerId,
    /// Its name then.
    pub name: Option<ContainerName>,
    /// What happened.
    pub action: ContainerAction,
    /// When, by the engine's clock.
    pub at: Timestamp,
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerAction {
    /// It was made.
    Created,
    /// It started.
    Started,
    /// It ended.
    Ended,
    /// It was removed.
    Removed,
    /// It got another name.
    Renamed,
    /// Its health check changed its mind.
    HealthChanged,
}

/// A short-lived container that does a part of Dory's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperSpec {
    /// Its name. Only one helper of a name runs at a time: that is what keeps two runs off the same data.
    pub name: ContainerName,
    /// What it is there for.
    pub role: HelperRole,
    /// What it runs from.
    pub image: ImageRef,
    /// What it runs: arguments to the image's `/dory`.
    pub arguments: Vec<String>,
    /// What it sees.
    pub mounts: Vec<HelperMount>,
    /// What it can reach.
    pub network: HelperNetwork,
    /// The capabilities it keeps, without their `CAP_`.
    pub capabilities: Vec<&'static str>,
    /// Labels; the runtime adds its own, by which helpers are known.
    pub labels: BTreeMap<String, String>,
}

/// What a helper is there for, and so what it can do beside its spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperRole {
    /// It works on volumes. It cannot reach the container engine, and writes to nothing but its mounts and a scratch
    /// folder in memory.
    #[default]
    Engine,
    /// It starts containers again if Dory dies. It sees the engine's socket as [`GUARDIAN_SOCKET`], and may write to
    /// its own file system, which lives as long as the container.
    Guardian,
}

/// Where a guardian sees the engine's socket.
pub const GUARDIAN_SOCKET: &str = "/dory.sock";

/// Something a helper sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperMount {
    /// What.
    pub source: HelperSource,
    /// Where in the helper.
    pub target: PathBuf,
    /// Whether the helper may write to it.
    pub writable: bool,
}

/// What a helper can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelperSource {
    /// A volume that exists; it is never made by mounting it.
    Volume(VolumeName),
    /// A folder or file of the host that exists; it is never made by mounting it.
    HostPath(PathBuf),
}

/// What a helper can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HelperNetwork {
    /// Nothing.
    #[default]
    None,
    /// What any container can.
    Bridge,
    /// What the host can, its own loopback included.
    Host,
}

/// A helper that runs. Its pipes close when this is dropped, and an agent ends when its input closes.
pub struct Helper {
    /// Its id.
    pub id: ContainerId,
    /// Its standard input.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
}

impl Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A helper as its engine lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperInfo {
    /// Its id.
    pub id: ContainerId,
    /// What it is there for.
    pub role: HelperRole,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether it has not ended for good: it runs, or is about to.
    pub running: bool,
    /// When it ended; `None` while it runs, and if it never ran.
    pub ended_at: Option<Timestamp>,
    /// The code it ended with; `None` while it runs, and if it never ran.
    pub exit_code: Option<i64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}
