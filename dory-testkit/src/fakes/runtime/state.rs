//! What is on the fake's host: containers, volumes, images, networks, helpers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use dory_core::domain::container::{Container, ContainerState, Health, Image, Mount, MountKind, Volume};
use dory_core::domain::id::{ContainerId, ImageRef, NetworkName, VolumeName};
use dory_core::ports::{Clock, ContainerAction, ContainerEvent, HelperRole};
use dory_core::{Error, ErrorKind, Result};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::super::{FakeClock, Journal};
use super::exec::ExecScript;
use super::helper::{HelperProgram, HelperRecord};
use super::writer::{Turns, Writer, WriterProgram};

/// The image that [`ensure_helper_image`](dory_core::ports::ContainerRuntime::ensure_helper_image) makes.
pub(super) const HELPER_IMAGE: &str = "dory-helper:fake";

pub(super) struct State {
    // Sorted by name only when listed: the order of creation is what an engine keeps.
    pub(super) containers: Vec<Record>,
    pub(super) volumes: BTreeMap<VolumeName, Volume>,
    pub(super) images: Vec<Image>,
    pub(super) networks: BTreeSet<NetworkName>,
    pub(super) helpers: Vec<HelperRecord>,
    pub(super) program: Option<HelperProgram>,
    pub(super) own_container: Option<ContainerId>,
    pub(super) reachable: bool,
    pub(super) kill_on: Option<&'static str>,
    pub(super) kill_after_output: Option<u64>,
    pub(super) listeners: Vec<mpsc::UnboundedSender<Result<ContainerEvent>>>,
    pub(super) folder: PathBuf,
    pub(super) journal: Journal,
    pub(super) clock: FakeClock,
    /// The threads that the engine was made in, where there were any: what runs on it is no part of whoever uses it.
    pub(super) threads: Option<tokio::runtime::Handle>,
    ids: u64,
}

/// A container and what a test scripted about it.
pub(super) struct Record {
    pub(super) container: Container,
    pub(super) script: Script,
    pub(super) writer: Option<Writer>,
    /// Turns that its writer ended before it last stopped.
    pub(super) turns_before: u64,
    /// Monotonic time of its last start.
    pub(super) started: Duration,
    /// It lives in the network of a container that was stopped since it started.
    pub(super) cut_off: bool,
}

/// How a container behaves.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) stop_takes: Duration,
    pub(super) start_takes: Duration,
    pub(super) survives_kill: bool,
    pub(super) start_refusal: Option<String>,
    pub(super) ends_after: Option<Duration>,
    pub(super) exit_code: i64,
    pub(super) health: Option<HealthScript>,
    pub(super) exec: Option<ExecScript>,
    pub(super) writer: Option<WriterProgram>,
}

/// What a health check says after each start. Until then it says `starting`.
#[derive(Clone, Copy, Debug)]
pub(super) enum HealthScript {
    /// This verdict, so long after the start.
    After(Duration, Health),
    /// Nothing, for ever.
    Never,
    /// What the test sets, when it sets it.
    ByHand,
}

impl Record {
    pub(super) fn turns(&self) -> Turns {
        self.writer.as_ref().map_or_else(|| Turns::at_rest(self.turns_before), Writer::turns)
    }

    /// The next moment at which the script changes something by itself, in monotonic time.
    pub(super) fn next_change(&self) -> Option<Duration> {
        if self.container.state != ContainerState::Running {
            return None;
        }
        let health = match self.script.health {
            Some(HealthScript::After(after, _)) if self.container.health == Health::Starting => Some(after),
            _ => None,
        };
        let times = [self.script.ends_after, health];
        times.into_iter().flatten().map(|after| self.started + after).min()
    }
}

impl State {
    pub(super) fn new(folder: &Path, clock: &FakeClock, journal: &Journal) -> Self {
        let name = |text: &str| NetworkName::parse(text).expect("a network's name");
        Self {
            containers: Vec::new(),
            volumes: BTreeMap::new(),
            images: Vec::new(),
            networks: ["bridge", "host", "none"].map(name).into(),
            helpers: Vec::new(),
            program: None,
            own_container: None,
            reachable: true,
            kill_on: None,
            kill_after_output: None,
            listeners: Vec::new(),
            folder: folder.to_path_buf(),
            journal: journal.clone(),
            clock: clock.clone(),
            threads: tokio::runtime::Handle::try_current().ok(),
            ids: 0,
        }
    }

    pub(super) fn data_root(&self) -> PathBuf {
        self.folder.join("engine")
    }

    /// An id that no other thing here has, the same in every run of a test.
    pub(super) fn new_id(&mut self, name: &str) -> ContainerId {
        self.ids += 1;
        let digest = Sha256::digest(format!("{} {name}", self.ids));
        ContainerId::parse(HEXLOWER.encode(&digest)).expect("hex digits")
    }

    pub(super) fn ensure_volume(&mut self, name: &VolumeName) -> PathBuf {
        if !self.volumes.contains_key(name) {
            self.add_volume(name, BTreeMap::new());
        }
        self.volumes[name].mountpoint.clone()
    }

    pub(super) fn add_volume(&mut self, name: &VolumeName, labels: BTreeMap<String, String>) -> Volume {
        let mountpoint = self.data_root().join("volumes").join(name.as_str()).join("_data");
        std::fs::create_dir_all(&mountpoint).expect("a volume's folder");
        let volume = Volume { name: name.clone(), driver: "local".to_owned(), mountpoint, in_memory: false, labels };
        self.volumes.insert(name.clone(), volume.clone());
        volume
    }

    pub(super) fn ensure_image(&mut self, tag: &str) -> ImageRef {
        if let Some(image) = self.find_image(tag) {
            return image.id.clone();
        }
        let digest = HEXLOWER.encode(&Sha256::digest(tag));
        let id = ImageRef::parse(format!("sha256:{digest}")).expect("an image's id");
        let image = Image { id: id.clone(), tags: vec![full_tag(tag)], bytes: 1 << 20, labels: BTreeMap::new() };
        self.images.push(image);
        id
    }

    pub(super) fn find_image(&self, reference: &str) -> Option<&Image> {
        let tag = full_tag(reference);
        self.images.iter().find(|image| image.id.as_str() == reference || image.tags.contains(&tag))
    }

    /// The container that a test means; tests may not mean one that is not there.
    pub(super) fn named(&mut self, name: &str) -> &mut Record {
        let names: Vec<_> = self.containers.iter().map(|record| record.container.name.to_string()).collect();
        let found = self.containers.iter_mut().find(|record| record.container.name.as_str() == name);
        found.unwrap_or_else(|| panic!("the test names container `{name}`, but there are {names:?}"))
    }

    /// The position of the container with this id. A helper's id is misuse.
    pub(super) fn position(&self, id: &ContainerId, operation: &str) -> Result<usize> {
        if self.helpers.iter().any(|helper| helper.id == *id) {
            self.journal.complain(format!("`{operation}` was called for helper {}", id.short()));
            let reason = "it is a helper, which only `remove_helper` may end";
            return Err(Error::new(ErrorKind::InvalidInput, operation, id.short(), reason));
        }
        let found = self.containers.iter().position(|record| record.container.id == *id);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, operation, id.short(), "no such container"))
    }

    /// What people call a container: its name, or where it is gone the short form of its id.
    pub(super) fn name_of(&self, id: &ContainerId) -> String {
        let found = self.containers.iter().find(|record| record.container.id == *id);
        found.map_or_else(|| id.short().to_owned(), |record| record.container.name.to_string())
    }

    /// The container that `reference` means: its name, its id, or the first characters of one.
    pub(super) fn resolve(&self, reference: &str) -> Result<&Container> {
        let operation = "find container";
        let all = || self.containers.iter().map(|record| &record.container);
        if let Some(exact) = all().find(|c| c.name.as_str() == reference || c.id.as_str() == reference) {
            return Ok(exact);
        }
        let fits: Vec<_> = all().filter(|container| container.answers_to(reference)).collect();
        match fits.as_slice() {
            [container] => Ok(container),
            [] => {
                let error = Error::new(ErrorKind::NotFound, operation, reference, "no such container");
                let near = nearest(reference, all().map(|container| container.name.as_str()));
                Err(if near.is_empty() { error } else { error.with_hint(format!("there is {}", near.join(", "))) })
            }
            several => {
                let ids: Vec<_> = several.iter().map(|container| container.id.short()).collect();
                Err(Error::invalid("container", reference, format!("it fits {}", ids.join(", "))))
            }
        }
    }

    /// Who mounts a volume: containers, running or not, and helpers.
    pub(super) fn users_of(&self, volume: &VolumeName) -> Vec<String> {
        let mounts = |mounts: &[Mount]| mounts.iter().any(|mount| mount.volume() == Some(volume));
        let containers = self.containers.iter().filter(|record| mounts(&record.container.mounts));
        let helpers = self.helpers.iter().filter(|helper| helper.mounts_volume(volume));
        containers
            .map(|record| format!("container `{}`", record.container.name))
            .chain(helpers.map(|helper| format!("helper {}", helper.id.short())))
            .collect()
    }

    /// Real folders by where a container sees them, and whether it may write.
    pub(super) fn folders_of(container: &Container) -> BTreeMap<PathBuf, (PathBuf, bool)> {
        let real = |mount: &&Mount| matches!(mount.kind, MountKind::Volume { .. } | MountKind::Bind);
        let mounts = container.mounts.iter().filter(real);
        mounts.map(|mount| (mount.destination.clone(), (mount.source.clone(), mount.writable))).collect()
    }

    pub(super) fn tell(&mut self, container: &Container, action: ContainerAction) {
        self.tell_after(container, action, Duration::ZERO);
    }

    /// Tells what will have happened when the clock is moved on by `took`.
    pub(super) fn tell_after(&mut self, container: &Container, action: ContainerAction, took: Duration) {
        let at = self.clock.now().saturating_add(took).unwrap_or(Timestamp::MAX);
        let event = ContainerEvent { id: container.id.clone(), name: Some(container.name.clone()), action, at };
        self.listeners.retain(|listener| listener.send(Ok(event.clone())).is_ok());
    }

    pub(super) fn break_events(&mut self) {
        for listener in self.listeners.drain(..) {
            // Whoever stopped listening does not care.
            let _ = listener.send(Err(unreachable_engine()));
        }
    }

    pub(super) fn kill_helpers(&self, role: HelperRole) {
        for helper in self.helpers.iter().filter(|helper| helper.role() == role) {
            helper.kill();
        }
    }

    pub(super) fn end_guardians(&self) {
        for helper in self.helpers.iter().filter(|helper| helper.role() == HelperRole::Guardian) {
            helper.end();
        }
    }

    /// Containers have no restart policy here, so they stay down.
    pub(super) fn lose_power(&mut self) {
        for at in 0..self.containers.len() {
            self.end_at(at, true);
        }
        self.break_events();
        self.kill_helpers(HelperRole::Engine);
        self.kill_helpers(HelperRole::Guardian);
    }

    pub(super) fn program(&self) -> Option<HelperProgram> {
        self.program.as_ref().map(Arc::clone)
    }
}

/// What every call says while the fake is disconnected.
pub(super) fn unreachable_engine() -> Error {
    Error::new(ErrorKind::Unavailable, "reach the container engine", "fake", "the test disconnected it")
}

fn full_tag(tag: &str) -> String {
    let last = tag.rsplit('/').next().unwrap_or(tag);
    if last.contains(':') { tag.to_owned() } else { format!("{tag}:latest") }
}

/// The names that are most like `wanted`, in backticks: at most three, and none that is not like it at all.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<_> = names.map(|name| (distance(wanted, name), name)).collect();
    scored.sort_unstable();
    let near = scored.into_iter().filter(|(score, name)| *score <= 2 || name.contains(wanted));
    near.take(3).map(|(_, name)| format!("`{name}`")).collect()
}

/// How many characters must be added, removed or changed to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, c) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(c != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
