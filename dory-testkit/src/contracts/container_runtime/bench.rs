//! What the suite asks of an implementation beside the port: things to try it on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dory_core::domain::id::{ContainerId, ContainerName, ImageRef, VolumeName};
use dory_core::ports::{
    ContainerRuntime, Helper, HelperInfo, HelperMount, HelperNetwork, HelperRole, HelperSource, HelperSpec,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An engine with which a test can do as it likes.
///
/// What was made on it goes when the bench is dropped: everything whose name begins with [`unique`](Self::unique).
#[async_trait]
pub trait RuntimeBench: Send + Sync + 'static {
    /// The engine.
    fn runtime(&self) -> Arc<dyn ContainerRuntime>;

    /// What begins every name of this bench and of nothing else on the engine.
    fn unique(&self) -> &str;

    /// Makes a container and does not start it.
    async fn make_container(&self, container: BenchContainer) -> ContainerId;

    /// Removes a container, running or not, as a person would do it behind Dory's back.
    async fn remove_container(&self, id: &ContainerId);

    /// The command that runs `program` in a container.
    fn command(&self, program: &Program) -> Vec<String>;

    /// The image, and the arguments to its `/dory`, that run `program` in a helper.
    async fn helper(&self, program: &Program) -> (ImageRef, Vec<String>);

    /// A folder of the engine's host that holds a file `hello` with the text `world`.
    async fn host_folder(&self) -> PathBuf;
}

/// A container to be.
#[derive(Clone, Debug)]
pub struct BenchContainer {
    /// Its name.
    pub name: ContainerName,
    /// What it runs: [`Program::Idle`], [`Program::Stubborn`], [`Program::Exit`] or [`Program::Missing`].
    pub program: Program,
    /// Volumes it mounts, where, and whether it may write to them.
    pub volumes: Vec<(VolumeName, PathBuf, bool)>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its health check will say.
    pub health: BenchHealth,
}

/// What a container's health check says, soon after each start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BenchHealth {
    /// It has none.
    #[default]
    None,
    /// That it is well.
    Healthy,
    /// That it is not.
    Unhealthy,
    /// Nothing, for as long as a test lasts.
    Undecided,
}

/// What runs in a container, as a command in one, or in a helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Runs until it is asked to end.
    Idle,
    /// Runs, and does not end when it is asked to.
    Stubborn,
    /// Ends at once with this code.
    Exit(i64),
    /// A program that is not there.
    Missing,
    /// Copies its input to its output until that ends.
    Copy,
    /// Writes to its output without end.
    Flood,
    /// Writes this to its standard error and ends with this code.
    Complain(String, i64),
    /// Writes the value of this environment variable to its output.
    Variable(String),
    /// Writes a file to its output; ends with another code than 0 if it cannot.
    Read(PathBuf),
    /// Writes text to a file; complains and ends with another code than 0 if it cannot.
    Write(PathBuf, String),
}

/// A bench, and what every promise needs to say about it.
pub struct Subject {
    bench: Box<dyn RuntimeBench>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("unique", &self.bench.unique()).finish_non_exhaustive()
    }
}

impl Subject {
    /// Tries `bench`.
    pub fn new(bench: impl RuntimeBench) -> Self {
        Self { bench: Box::new(bench) }
    }

    pub(super) fn bench(&self) -> &dyn RuntimeBench {
        self.bench.as_ref()
    }

    pub(super) fn runtime(&self) -> Arc<dyn ContainerRuntime> {
        self.bench.runtime()
    }

    pub(super) fn name(&self, stem: &str) -> String {
        format!("{}-{stem}", self.bench.unique())
    }

    pub(super) fn container_name(&self, stem: &str) -> ContainerName {
        ContainerName::parse(self.name(stem)).unwrap()
    }

    pub(super) fn volume_name(&self, stem: &str) -> VolumeName {
        VolumeName::parse(self.name(stem)).unwrap()
    }

    /// A container that runs `program`, made but not started.
    pub(super) async fn made(&self, stem: &str, program: Program) -> ContainerId {
        self.made_with(stem, program, |_| {}).await
    }

    pub(super) async fn made_with(
        &self,
        stem: &str,
        program: Program,
        change: impl FnOnce(&mut BenchContainer),
    ) -> ContainerId {
        let mut container = BenchContainer {
            name: self.container_name(stem),
            program,
            volumes: Vec::new(),
            labels: BTreeMap::new(),
            health: BenchHealth::None,
        };
        change(&mut container);
        self.bench.make_container(container).await
    }

    /// A container that runs until it is asked to end, started.
    pub(super) async fn idle(&self, stem: &str) -> ContainerId {
        let id = self.made(stem, Program::Idle).await;
        self.runtime().start(&id).await.unwrap();
        id
    }

    pub(super) async fn volume(&self, stem: &str) -> VolumeName {
        let name = self.volume_name(stem);
        self.runtime().create_volume(&name, &BTreeMap::new()).await.unwrap().name
    }

    /// A helper that runs `program` and sees `mounts`.
    pub(super) async fn helper_spec(&self, stem: &str, program: Program, mounts: Vec<HelperMount>) -> HelperSpec {
        let (image, arguments) = self.bench.helper(&program).await;
        HelperSpec {
            name: self.container_name(stem),
            role: HelperRole::Engine,
            image,
            arguments,
            mounts,
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels: BTreeMap::from([("dory.test.helper".to_owned(), self.name(stem))]),
        }
    }

    pub(super) async fn launch(&self, stem: &str, program: Program, mounts: Vec<HelperMount>) -> Helper {
        let spec = self.helper_spec(stem, program, mounts).await;
        self.runtime().launch_helper(&spec).await.unwrap()
    }

    /// Runs a helper to its end without any input: what it wrote to its output and its standard error.
    pub(super) async fn run(&self, stem: &str, program: Program, mounts: Vec<HelperMount>) -> (String, String) {
        let mut helper = self.launch(stem, program, mounts).await;
        helper.stdin.shutdown().await.unwrap();
        let (mut said, mut complained) = (String::new(), String::new());
        let reading = async {
            tokio::join!(helper.stdout.read_to_string(&mut said), helper.stderr.read_to_string(&mut complained))
        };
        let (stdout, stderr) = in_time(reading).await;
        stdout.unwrap();
        stderr.unwrap();
        self.runtime().remove_helper(&helper.id).await.unwrap();
        (said, complained)
    }

    /// What the engine lists of one helper.
    pub(super) async fn listed(&self, id: &ContainerId) -> Option<HelperInfo> {
        self.runtime().list_helpers().await.unwrap().into_iter().find(|helper| helper.id == *id)
    }

    /// Waits until a helper runs.
    ///
    /// # Panics
    /// If it does not within twenty seconds.
    pub(super) async fn until_running(&self, id: &ContainerId) {
        for _ in 0..400 {
            if self.listed(id).await.is_some_and(|helper| helper.running) {
                return;
            }
            // The port tells of no helper's start.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the helper does not start again");
    }

    /// Waits until a helper has ended.
    ///
    /// # Panics
    /// If it does not within twenty seconds.
    pub(super) async fn until_ended(&self, id: &ContainerId) {
        for _ in 0..400 {
            if self.listed(id).await.is_none_or(|helper| !helper.running) {
                return;
            }
            // The port tells of no helper's end.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the helper still runs");
    }
}

/// What `future` gives.
///
/// # Panics
/// If it takes longer than anything here may: it hangs.
pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

/// A volume as a helper sees it.
pub(super) fn volume_mount(name: &VolumeName, target: &str, writable: bool) -> HelperMount {
    HelperMount { source: HelperSource::Volume(name.clone()), target: target.into(), writable }
}
