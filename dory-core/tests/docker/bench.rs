//! The real engine as a bench: small containers of busybox, and everything gone at the end.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, ListContainersOptions, ListVolumesOptions, RemoveContainerOptions,
    RemoveImageOptions, RemoveVolumeOptions,
};
use dory_core::adapters::docker::{DockerAddress, DockerRuntime, DockerSettings, HelperImageSource};
use dory_core::domain::id::{ContainerId, ContainerName, ImageRef};
use dory_core::ports::{ContainerRuntime, HelperNetwork, HelperRole, HelperSpec};
use dory_testkit::contracts::container_runtime::{BenchContainer, BenchHealth, Program, RuntimeBench};
use dory_testkit::live;
use futures_util::TryStreamExt;
use tar::{Builder, EntryType, Header};

const SOCKET: &str = "/var/run/docker.sock";

/// A shell with all its tools in one static file: Debian's package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

const TOOLS: [&str; 6] = ["cat", "false", "grep", "sh", "sleep", "true"];

/// The engine of this machine, with an image of its own to make containers from.
pub(crate) struct DockerBench {
    pub(crate) runtime: DockerRuntime,
    pub(crate) docker: Docker,
    pub(crate) image: ImageRef,
    unique: String,
    folder: tempfile::TempDir,
}

impl DockerBench {
    /// `None` where there is no engine, or no busybox to put into it.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_at(DockerAddress::default()).await
    }

    /// The same, with another way to the engine for the runtime under test.
    pub(crate) async fn start_at(address: DockerAddress) -> Option<Self> {
        let mut noise = [0; 4];
        getrandom::fill(&mut noise).unwrap();
        let unique = format!("dory-test-{}", data_encoding::HEXLOWER.encode(&noise));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hello"), "world").unwrap();
        // Like no other, so that tests do not share the image that is made of it.
        let program = folder.path().join("program");
        std::fs::write(&program, &unique).unwrap();
        let settings = DockerSettings {
            address,
            helper_image: HelperImageSource::StaticExecutable(program),
            ..DockerSettings::default()
        };
        let engine = DockerRuntime::connect(DockerSettings::default()).await.ok();
        live::or_skip("docker", engine.filter(|_| PathBuf::from(BUSYBOX).is_file()))?;
        // The engine is there: not to reach it in the way that is under test is a failure and no skip.
        let runtime = DockerRuntime::connect(settings).await.unwrap();
        let docker = Docker::connect_with_unix(SOCKET, 60, bollard::API_DEFAULT_VERSION).unwrap();
        let bench =
            Self { runtime, docker, image: ImageRef::parse(format!("{unique}:latest")).unwrap(), unique, folder };
        bench.make_image().await;
        Some(bench)
    }

    /// A helper that runs `command` in this bench's image.
    pub(crate) fn helper_spec(&self, stem: &str, command: &[&str]) -> HelperSpec {
        HelperSpec {
            name: ContainerName::parse(format!("{}-{stem}", self.unique)).unwrap(),
            role: HelperRole::Engine,
            image: self.image.clone(),
            arguments: command.iter().map(|&word| word.to_owned()).collect(),
            mounts: Vec::new(),
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Whether the engine lists the helper as running.
    pub(crate) async fn runs(&self, id: &ContainerId) -> bool {
        let helpers = self.runtime.list_helpers().await.unwrap();
        helpers.iter().any(|helper| helper.id == *id && helper.running)
    }

    async fn make_image(&self) {
        let mut archive = Builder::new(Vec::new());
        let header = |mode, kind| {
            let mut header = Header::new_gnu();
            header.set_mode(mode);
            header.set_entry_type(kind);
            header
        };
        let busybox = std::fs::read(BUSYBOX).unwrap();
        let files: [(&str, &[u8]); 2] = [("bin/busybox", &busybox), ("dory", b"#!/bin/sh\nexec \"$@\"\n")];
        for (path, content) in files {
            let mut header = header(0o755, EntryType::Regular);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content).unwrap();
        }
        for tool in TOOLS {
            let mut header = header(0o777, EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, format!("bin/{tool}"), "busybox").unwrap();
        }
        let options = CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some(self.unique.clone()),
            tag: Some("latest".into()),
            ..CreateImageOptions::default()
        };
        let layer = bollard::body_full(archive.into_inner().unwrap().into());
        let steps = self.docker.create_image(Some(options), Some(layer), None);
        steps.try_collect::<Vec<_>>().await.unwrap();
    }
}

#[async_trait]
impl RuntimeBench for DockerBench {
    fn runtime(&self) -> Arc<dyn ContainerRuntime> {
        Arc::new(self.runtime.clone())
    }

    fn unique(&self) -> &str {
        &self.unique
    }

    async fn make_container(&self, container: BenchContainer) -> ContainerId {
        let mounts = container.volumes.iter().map(|(name, target, writable)| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name.to_string()),
            target: Some(target.display().to_string()),
            read_only: Some(!writable),
            ..Mount::default()
        });
        let body = ContainerCreateBody {
            image: Some(self.image.to_string()),
            cmd: Some(self.command(&container.program)),
            labels: Some(container.labels.into_iter().collect()),
            // The first process of a container hears no SIGTERM that it does not ask for.
            stop_signal: (container.program == Program::Idle).then(|| "SIGKILL".to_owned()),
            healthcheck: health_check(container.health),
            host_config: Some(HostConfig { mounts: Some(mounts.collect()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options =
            CreateContainerOptions { name: Some(container.name.to_string()), ..CreateContainerOptions::default() };
        ContainerId::parse(self.docker.create_container(Some(options), body).await.unwrap().id).unwrap()
    }

    async fn remove_container(&self, id: &ContainerId) {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        self.docker.remove_container(id.as_str(), Some(options)).await.unwrap();
    }

    fn command(&self, program: &Program) -> Vec<String> {
        let shell = |script: &str, arguments: &[&str]| {
            ["sh", "-c", script, "sh"].iter().chain(arguments).map(|&word| word.to_owned()).collect()
        };
        match program {
            Program::Idle | Program::Stubborn => shell("exec sleep 100000", &[]),
            Program::Exit(code) => shell("exit $1", &[&code.to_string()]),
            Program::Missing => vec!["/no/such/program".to_owned()],
            Program::Copy => vec!["cat".to_owned()],
            Program::Flood => shell("exec cat /dev/zero", &[]),
            Program::Complain(text, code) => shell("printf %s \"$1\" >&2; exit $2", &[text, &code.to_string()]),
            Program::Variable(name) => shell(&format!("printf %s \"${name}\""), &[]),
            Program::Read(path) => vec!["cat".to_owned(), path.display().to_string()],
            Program::Write(path, text) => shell("printf %s \"$2\" > \"$1\"", &[&path.display().to_string(), text]),
        }
    }

    async fn helper(&self, program: &Program) -> (ImageRef, Vec<String>) {
        (self.image.clone(), self.command(program))
    }

    async fn host_folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

impl Drop for DockerBench {
    fn drop(&mut self) {
        let unique = self.unique.clone();
        // The runtime of the test may be about to end, and cannot be waited for here.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(clean_up(&unique));
        });
        if cleaner.join().is_err() && !std::thread::panicking() {
            panic!("a test's containers could not be removed, see above");
        }
    }
}

async fn clean_up(unique: &str) {
    let docker = Docker::connect_with_unix(SOCKET, 60, bollard::API_DEFAULT_VERSION).unwrap();
    let named = || Some(HashMap::from([("name".to_owned(), vec![unique.to_owned()])]));
    let options = ListContainersOptions { all: true, filters: named(), ..ListContainersOptions::default() };
    for container in docker.list_containers(Some(options)).await.unwrap() {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        // Its helper may be removing itself at this moment.
        drop(docker.remove_container(&container.id.unwrap(), Some(options)).await);
    }
    let volumes = docker.list_volumes(Some(ListVolumesOptions { filters: named() })).await.unwrap();
    for volume in volumes.volumes.unwrap_or_default() {
        docker.remove_volume(&volume.name, Some(RemoveVolumeOptions { force: true })).await.unwrap();
    }
    let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
    docker.remove_image(&format!("{unique}:latest"), Some(options), None).await.unwrap();
}

fn health_check(health: BenchHealth) -> Option<HealthConfig> {
    let (command, start_period) = match health {
        BenchHealth::None => return None,
        BenchHealth::Healthy => ("true", 0),
        BenchHealth::Unhealthy => ("false", 0),
        // Failures during the start do not count.
        BenchHealth::Undecided => ("false", 3_600_000_000_000),
    };
    Some(HealthConfig {
        test: Some(vec!["CMD".to_owned(), command.to_owned()]),
        interval: Some(200_000_000),
        retries: Some(1),
        start_period: Some(start_period),
        ..HealthConfig::default()
    })
}
