//! Describing a container of the fake.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dory_core::domain::container::{Container, ContainerState, Health, Mount, MountKind};
use dory_core::domain::id::{ContainerName, ImageRef, VolumeName};
use dory_core::domain::identity::compose;
use dory_core::ports::Clock;

use super::FakeRuntime;
use super::state::{HealthScript, Record, Script};
use super::writer::{Killed, WriterProgram, WriterTurn};

/// A container to be: its settings, and how it behaves. Added by [`running`](Self::running) and its like.
#[must_use = "a container is added by `running`, `stopped`, `paused`, `created` or `restarting`"]
pub struct ContainerBuilder {
    runtime: FakeRuntime,
    name: ContainerName,
    image: String,
    mounts: Vec<Mount>,
    labels: BTreeMap<String, String>,
    network_of: Option<String>,
    refers_to: Vec<String>,
    stop_grace: Option<Duration>,
    removed_when_ended: bool,
    script: Script,
}

impl Debug for ContainerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ContainerBuilder {
    pub(super) fn new(runtime: FakeRuntime, name: &str) -> Self {
        Self {
            runtime,
            name: ContainerName::parse(name).expect("a container's name"),
            image: "app:1".to_owned(),
            mounts: Vec::new(),
            labels: BTreeMap::new(),
            network_of: None,
            refers_to: Vec::new(),
            stop_grace: None,
            removed_when_ended: false,
            script: Script::default(),
        }
    }

    /// Its image, put on the host if it is missing; `app:1` unless said otherwise.
    pub fn image(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.image);
        self
    }

    /// Mounts a volume, which is made if it is missing.
    pub fn volume(self, name: &str, destination: &str) -> Self {
        self.mount_volume(name, destination, true)
    }

    /// Mounts a volume that the container may only read.
    pub fn read_only_volume(self, name: &str, destination: &str) -> Self {
        self.mount_volume(name, destination, false)
    }

    fn mount_volume(self, name: &str, destination: &str, writable: bool) -> Self {
        let source = self.runtime.volume(name);
        let name = VolumeName::parse(name).expect("a volume's name");
        self.mount(MountKind::Volume { name, driver: "local".to_owned() }, source, destination, writable)
    }

    /// Mounts a folder or file of the host, which must be there: see [`FakeRuntime::host_folder`].
    pub fn bind(self, source: impl AsRef<Path>, destination: &str) -> Self {
        self.mount(MountKind::Bind, source.as_ref().to_path_buf(), destination, true)
    }

    /// Mounts a folder or file of the host that the container may only read.
    pub fn read_only_bind(self, source: impl AsRef<Path>, destination: &str) -> Self {
        self.mount(MountKind::Bind, source.as_ref().to_path_buf(), destination, false)
    }

    /// Mounts memory.
    pub fn tmpfs(self, destination: &str) -> Self {
        self.mount(MountKind::Tmpfs, PathBuf::new(), destination, true)
    }

    /// Mounts anything else.
    pub fn mount(mut self, kind: MountKind, source: PathBuf, destination: &str, writable: bool) -> Self {
        self.mounts.push(Mount { kind, source, destination: PathBuf::from(destination), writable });
        self
    }

    /// Adds a label.
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Makes it the first container of a service of a compose project.
    pub fn compose(self, project: &str, service: &str) -> Self {
        self.label(compose::PROJECT, project).label(compose::SERVICE, service).label(compose::NUMBER, "1")
    }

    /// Makes it depend on other services of its compose project.
    pub fn depends_on(self, services: &[&str]) -> Self {
        let entries: Vec<_> = services.iter().map(|service| format!("{service}:service_started:false")).collect();
        self.label(compose::DEPENDS_ON, &entries.join(","))
    }

    /// Makes it wait for another service of its compose project: `service_healthy`, `service_completed_successfully`.
    pub fn waits_for(self, service: &str, condition: &str) -> Self {
        let before = self.labels.get(compose::DEPENDS_ON).map(|entries| format!("{entries},")).unwrap_or_default();
        self.label(compose::DEPENDS_ON, &format!("{before}{service}:{condition}:false"))
    }

    /// Lets it live in another container's network. It then cannot start unless that one runs.
    pub fn network_of(mut self, container: &str) -> Self {
        self.network_of = Some(container.to_owned());
        self
    }

    /// Lets it name another container as a link or take its volumes.
    pub fn refers_to(mut self, container: &str) -> Self {
        self.refers_to.push(container.to_owned());
        self
    }

    /// How long it may take to shut down, by its own word.
    pub fn stop_grace(mut self, grace: Duration) -> Self {
        self.stop_grace = Some(grace);
        self
    }

    /// Lets the engine remove it as soon as it has ended, as `docker run --rm` does.
    pub fn removed_when_ended(mut self) -> Self {
        self.removed_when_ended = true;
        self
    }

    /// How much time passes until it has shut down after it was asked to; killed, if that is more than its grace.
    pub fn stop_takes(mut self, duration: Duration) -> Self {
        self.script.stop_takes = duration;
        self
    }

    /// How much time passes until the engine has started it.
    pub fn start_takes(mut self, duration: Duration) -> Self {
        self.script.start_takes = duration;
        self
    }

    /// Lets it go on running although it was killed, if it comes to that.
    pub fn survives_kill(mut self) -> Self {
        self.script.survives_kill = true;
        self
    }

    /// Lets the engine refuse to start it, with these words.
    pub fn refuses_to_start(mut self, words: &str) -> Self {
        self.script.start_refusal = Some(words.to_owned());
        self
    }

    /// Lets it crash so long after each start.
    pub fn crashes_after(mut self, duration: Duration) -> Self {
        self.script.ends_after = Some(duration);
        self.script.exit_code = 137;
        self
    }

    /// Lets it end with this code so long after each start.
    pub fn ends_after(mut self, duration: Duration, code: i64) -> Self {
        self.script.ends_after = Some(duration);
        self.script.exit_code = code;
        self
    }

    /// Gives it a health check that succeeds so long after each start.
    pub fn healthy_after(mut self, duration: Duration) -> Self {
        self.script.health = Some(HealthScript::After(duration, Health::Healthy));
        self
    }

    /// Gives it a health check that gives up so long after each start.
    pub fn unhealthy_after(mut self, duration: Duration) -> Self {
        self.script.health = Some(HealthScript::After(duration, Health::Unhealthy));
        self
    }

    /// Gives it a health check that never answers.
    pub fn never_healthy(mut self) -> Self {
        self.script.health = Some(HealthScript::Never);
        self
    }

    /// Gives it a health check that says nothing after each start until [`FakeRuntime::set_health`].
    pub fn health_by_hand(mut self) -> Self {
        self.script.health = Some(HealthScript::ByHand);
        self
    }

    /// Lets it change its files: `step` is called over and over while it runs, in a thread of its own. See
    /// [`WriterTurn`] for what a stop, a pause and a kill do to a turn.
    pub fn writer(mut self, step: impl FnMut(&WriterTurn) -> Result<(), Killed> + Send + 'static) -> Self {
        self.script.writer = Some(WriterProgram { step: Arc::new(Mutex::new(step)), shutdown: None });
        self
    }

    /// Lets its writer do something last when it is stopped in order, as a database does that flushes.
    ///
    /// # Panics
    /// If it has no writer.
    pub fn on_shutdown(mut self, step: impl FnMut(&WriterTurn) -> Result<(), Killed> + Send + 'static) -> Self {
        let writer = self.script.writer.as_mut().expect("a writer comes before what it does at shutdown");
        writer.shutdown = Some(Arc::new(Mutex::new(step)));
        self
    }

    /// Adds it, running.
    pub fn running(self) -> Container {
        self.add(ContainerState::Running)
    }

    /// Adds it, ended after it ran.
    pub fn stopped(self) -> Container {
        self.add(ContainerState::Exited)
    }

    /// Adds it, frozen.
    pub fn paused(self) -> Container {
        self.add(ContainerState::Paused)
    }

    /// Adds it, never started.
    pub fn created(self) -> Container {
        self.add(ContainerState::Created)
    }

    /// Adds it while the engine is about to start it again.
    pub fn restarting(self) -> Container {
        self.add(ContainerState::Restarting)
    }

    fn add(self, container_state: ContainerState) -> Container {
        for mount in self.mounts.iter().filter(|mount| mount.kind == MountKind::Bind) {
            assert!(mount.source.exists(), "the test binds `{}`, which is not there", mount.source.display());
        }
        let mut mounts = self.mounts;
        mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
        self.runtime.clone().change(|state| {
            let container = Container {
                removed_when_ended: self.removed_when_ended,
                id: state.new_id(self.name.as_str()),
                name: self.name,
                image: ImageRef::parse(self.image.as_str()).expect("an image's name"),
                image_id: state.ensure_image(&self.image),
                state: ContainerState::Created,
                health: self.script.health.map_or(Health::None, |_| Health::Starting),
                exit_code: None,
                mounts,
                labels: self.labels,
                network_of: self.network_of,
                refers_to: self.refers_to,
                stop_grace: self.stop_grace,
                created_at: state.clock.now(),
                started_at: None,
            };
            let added = state.add(Record::new(container, self.script), container_state);
            state.settle();
            added
        })
    }
}
