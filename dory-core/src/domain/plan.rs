//! What a backup or a restore will do, computed from what is there and touching nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::container::{Container, ContainerState, Health, Mount, MountKind};
use super::dump;
use super::id::{BackupId, ContainerId, ContainerName, MountKey, VolumeName};
use super::identity::ComposePlace;
use super::order::{Need, needs_of, shares_network_of, start_order};
use super::patience::Patience;
use super::policy::{Policy, StopMode, label};
use super::restore_point::{Consistency, PointMount};
use crate::error::{Error, ErrorKind, Result};

/// What one backup will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlan {
    /// The backup it belongs to.
    pub backup: BackupId,
    /// Whether this is the backup's first run.
    pub is_new: bool,
    /// The container.
    pub container: ContainerName,
    /// What is read.
    pub mounts: Vec<PointMount>,
    /// What is not, and why.
    pub left_out: Vec<LeftOut>,
    /// Who is quieted, in the order they start again; stopped in reverse.
    pub quiet: Vec<Quiet>,
    /// Who keeps writing, by their own or the policy's choice.
    pub left_running: Vec<ContainerName>,
    /// The policy in force.
    pub policy: Policy,
}

impl BackupPlan {
    /// How far the point's parts can be from one moment if all goes as planned.
    #[must_use]
    pub fn consistency(&self) -> Consistency {
        // Where nothing but a dump is taken, nothing stands still for it.
        if !self.left_running.is_empty() || self.mounts.is_empty() {
            return Consistency::Live;
        }
        if self.quiet.iter().any(|quiet| quiet.mode == StopMode::Pause || quiet.was == ContainerState::Paused) {
            return Consistency::Paused;
        }
        Consistency::Stopped
    }
}

/// A mount that a backup does not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Where the container sees it.
    pub destination: PathBuf,
    /// Why.
    pub reason: String,
}

/// A container that is quieted for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// Its id at plan time.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What it was doing: what it goes back to.
    pub was: ContainerState,
    /// How it is quieted.
    pub mode: StopMode,
    /// Why it is in this list.
    pub why: QuietReason,
    /// Whether it has a health check that is worth waiting for after the start.
    pub has_health_check: bool,
    /// Its place in a compose project, by which it is known again if it is created anew meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposePlace>,
    /// What its start waits for.
    #[serde(default)]
    pub start: StartRules,
}

/// What a container's start waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRules {
    /// Others that are quieted with it, and how far they must be before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// How long others wait for its health, and how long it may still be starting before it is stopped.
    pub healthy_timeout: Patience,
}

impl StartRules {
    /// How long a container may take until it is healthy, unless somebody says otherwise.
    pub const HEALTHY_TIMEOUT: Patience = Patience::seconds(120);
}

impl Default for StartRules {
    fn default() -> Self {
        Self { needs: Vec::new(), healthy_timeout: Self::HEALTHY_TIMEOUT }
    }
}

/// Why a container is quieted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuietReason {
    /// It is the one being backed up or restored.
    Target,
    /// It mounts some of the same data.
    SharesData,
    /// It lives in the network of one that is stopped.
    SharesNetwork,
}

/// Places that are never part of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forbidden {
    /// The runtime's own data folder, on the host.
    pub data_root: Option<PathBuf>,
    /// The store's folder, on the host, where it is one.
    pub store: Option<PathBuf>,
    /// The container Dory itself runs in.
    pub own_container: Option<ContainerId>,
    /// Volumes that are memory.
    pub in_memory: BTreeSet<VolumeName>,
}

/// Folders of a host that no bind mount of is data.
const SYSTEM_PATHS: [&str; 9] = ["/bin", "/boot", "/dev", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr"];

/// Files that programs bind for the host's clock, names and users.
const SYSTEM_FILES: [&str; 8] = [
    "/etc/hostname",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/group",
    "/etc/resolv.conf",
    "/etc/timezone",
];

/// Which mounts of a container hold data, and which are left out and why.
#[must_use]
pub fn choose_mounts(container: &Container, forbidden: &Forbidden) -> (Vec<PointMount>, Vec<LeftOut>) {
    let mut chosen: Vec<PointMount> = Vec::new();
    let mut left_out = Vec::new();
    for mount in &container.mounts {
        if let Some(reason) = reason_to_leave_out(mount, forbidden) {
            left_out.push(LeftOut { destination: mount.destination.clone(), reason });
            continue;
        }
        chosen.push(PointMount {
            key: mount_key(&mount.destination, &chosen),
            kind: mount.kind.clone(),
            destination: mount.destination.clone(),
            source: mount.source.clone(),
        });
    }
    (chosen, left_out)
}

fn reason_to_leave_out(mount: &Mount, forbidden: &Forbidden) -> Option<String> {
    let source = mount.source.as_path();
    let within = |place: &Option<PathBuf>| place.as_deref().is_some_and(|place| source.starts_with(place));
    let around = |place: &Option<PathBuf>| place.as_deref().is_some_and(|place| place.starts_with(source));
    match &mount.kind {
        MountKind::Volume { .. } if within(&forbidden.store) || around(&forbidden.store) => {
            Some("the store itself is in it".to_owned())
        }
        MountKind::Volume { name, .. } if forbidden.in_memory.contains(name) => {
            Some("it is memory (a volume of type tmpfs)".to_owned())
        }
        MountKind::Volume { .. } => None,
        MountKind::Tmpfs => Some("it is memory (tmpfs)".to_owned()),
        MountKind::Other { name } => Some(format!("Dory does not know mounts of type {name}")),
        MountKind::Bind => {
            if source == Path::new("/") {
                Some("it is the host's root folder".to_owned())
            } else if source.extension().is_some_and(|extension| extension == "sock") {
                Some("it is a socket".to_owned())
            } else if within(&forbidden.store) || around(&forbidden.store) {
                Some("the store itself is in it".to_owned())
            } else if within(&forbidden.data_root) || around(&forbidden.data_root) {
                Some("it holds the container runtime's own data".to_owned())
            } else if SYSTEM_PATHS.iter().any(|path| source.starts_with(path)) || source.starts_with("/var/run") {
                Some("it is part of the host's system".to_owned())
            } else if SYSTEM_FILES.iter().any(|path| source == Path::new(path)) {
                Some("it is a system file of the host".to_owned())
            } else {
                None
            }
        }
    }
}

/// A folder name for a destination, unlike those of the mounts `before` it and the dumps': `/var/lib/mysql` gives
/// `var-lib-mysql`.
#[must_use]
pub fn mount_key(destination: &Path, before: &[PointMount]) -> MountKey {
    let mut base: String = destination
        .to_string_lossy()
        .trim_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' })
        .take(100)
        .collect();
    if !base.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        base.insert_str(0, "root");
    }
    let taken =
        |candidate: &str| candidate == dump::FOLDER || before.iter().any(|mount| mount.key.as_str() == candidate);
    let mut candidate = base.clone();
    let mut number = 2;
    while taken(&candidate) {
        candidate = format!("{base}-{number}");
        number += 1;
    }
    MountKey::parse(candidate).unwrap_or_else(|_| unreachable!("only allowed characters are left"))
}

/// Whose data is about to be read or written, and how its users are to be quieted.
#[derive(Clone, Copy, Debug)]
pub struct DataUse<'a> {
    /// The container it is about, where there is one.
    pub target: Option<&'a Container>,
    /// The data.
    pub data: &'a [PointMount],
    /// What happens to it.
    pub access: Access,
    /// How long its users may take until they are healthy, unless their own labels say otherwise.
    pub healthy_timeout: Patience,
}

/// What happens to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is read: the target is quieted in this way, and so are other users, unless their own `dory.stop` label says
    /// otherwise.
    Read(StopMode),
    /// It is written: its users are stopped, whatever their labels say.
    Write,
}

/// Who is quieted while data is used, in start order, and who keeps writing to it meanwhile.
///
/// # Errors
/// `InvalidInput` where a label holds nonsense; `Conflict` where Dory itself would have to be stopped, or a container that
/// vanishes when it ends.
pub fn choose_quiet(
    data_use: DataUse<'_>,
    all: &[Container],
    forbidden: &Forbidden,
) -> Result<(Vec<Quiet>, Vec<ContainerName>)> {
    let mut chosen: Vec<(Container, StopMode, QuietReason)> = Vec::new();
    let mut left_running = Vec::new();
    for container in all.iter().filter(|c| c.state.is_active() || c.state == ContainerState::Paused) {
        let is_target = data_use.target.is_some_and(|target| target.id == container.id);
        let shared = shared_mounts(container, data_use.data);
        if shared.is_empty() && !is_target {
            continue;
        }
        if Some(&container.id) == forbidden.own_container.as_ref() {
            return Err(runs_dory(container));
        }
        let why = if is_target { QuietReason::Target } else { QuietReason::SharesData };
        match mode_for(container, is_target, data_use.access)? {
            StopMode::None if shared.iter().any(|mount| mount.writable) => left_running.push(container.name.clone()),
            StopMode::None => {}
            StopMode::Stop if container.removed_when_ended => return Err(vanishes(container)),
            mode => chosen.push((container.clone(), mode, why)),
        }
    }
    add_network_guests(&mut chosen, all, forbidden)?;
    let ordered = start_order(chosen.iter().map(|(container, ..)| container.clone()).collect());
    let mut quiet = Vec::with_capacity(ordered.len());
    for container in &ordered {
        let Some((_, mode, why)) = chosen.iter().find(|(other, ..)| other.id == container.id) else { continue };
        let own_timeout = healthy_timeout_label(container)?;
        quiet.push(Quiet {
            id: container.id.clone(),
            name: container.name.clone(),
            was: container.state,
            mode: *mode,
            why: *why,
            // What was ill before is not expected to be well after.
            has_health_check: matches!(container.health, Health::Starting | Health::Healthy),
            compose: ComposePlace::of(&container.labels),
            start: StartRules {
                needs: needs_of(container, &ordered),
                healthy_timeout: own_timeout.unwrap_or(data_use.healthy_timeout),
            },
        });
    }
    Ok((quiet, left_running))
}

/// How long a container may take until it is healthy, by its own label.
fn healthy_timeout_label(container: &Container) -> Result<Option<Patience>> {
    let Some(text) = container.label(label::HEALTHY_TIMEOUT) else { return Ok(None) };
    text.parse().map(Some).map_err(|error: Error| {
        Error::invalid(
            &format!("label {} of container {}", label::HEALTHY_TIMEOUT, container.name),
            text,
            error.reason(),
        )
    })
}

/// Containers in the network namespace of one that stops lose their network for good; they stop and start with it.
fn add_network_guests(
    chosen: &mut Vec<(Container, StopMode, QuietReason)>,
    all: &[Container],
    forbidden: &Forbidden,
) -> Result<()> {
    loop {
        let guest = all.iter().filter(|c| c.state.is_active()).find(|guest| {
            chosen.iter().all(|(known, ..)| known.id != guest.id)
                && chosen.iter().any(|(host, mode, _)| *mode == StopMode::Stop && shares_network_of(guest, host))
        });
        let Some(guest) = guest else { return Ok(()) };
        if Some(&guest.id) == forbidden.own_container.as_ref() {
            return Err(runs_dory(guest));
        }
        if guest.removed_when_ended {
            return Err(vanishes(guest));
        }
        chosen.push((guest.clone(), StopMode::Stop, QuietReason::SharesNetwork));
    }
}

fn mode_for(container: &Container, is_target: bool, access: Access) -> Result<StopMode> {
    let Access::Read(policy) = access else { return Ok(StopMode::Stop) };
    // The target's own label is part of the policy already, below what the user said.
    let mode = match container.label(label::STOP).filter(|_| !is_target) {
        None => policy,
        Some(text) => text.parse().map_err(|error: Error| {
            Error::invalid(&format!("label dory.stop of container {}", container.name), text, error.reason())
        })?,
    };
    // What is frozen writes nothing: there is no need to thaw and stop it.
    Ok(if container.state == ContainerState::Paused && mode == StopMode::Stop { StopMode::Pause } else { mode })
}

fn shared_mounts<'a>(container: &'a Container, data: &[PointMount]) -> Vec<&'a Mount> {
    let shares = |theirs: &&Mount| data.iter().any(|ours| theirs.shares_data_with(&ours.as_mount()));
    container.mounts.iter().filter(shares).collect()
}

/// What a stop would do to a container that its runtime removes when it ends.
fn vanishes(container: &Container) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "stop container",
        container.name.as_str(),
        "it would be removed with its unnamed volumes, since it was made with `--rm`",
    )
    .with_hint("use `--stop pause`, or make the container without `--rm`")
}

fn runs_dory(container: &Container) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "stop container",
        container.name.as_str(),
        "it uses the data, and it is the one Dory runs in",
    )
    .with_hint("run Dory from the host, or give it no mount of that data")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::id::ImageRef;

    /// A running container without anything special.
    pub(in super::super) fn container(name: &str) -> Container {
        let id: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
        Container {
            id: ContainerId::parse(id).unwrap(),
            name: ContainerName::parse(name).unwrap(),
            image: ImageRef::parse("postgres").unwrap(),
            image_id: ImageRef::parse("sha256:00").unwrap(),
            state: ContainerState::Running,
            health: Health::None,
            exit_code: None,
            mounts: Vec::new(),
            labels: BTreeMap::new(),
            network_of: None,
            refers_to: Vec::new(),
            stop_grace: None,
            removed_when_ended: false,
            created_at: jiff::Timestamp::UNIX_EPOCH,
            started_at: None,
        }
    }

    #[test]
    fn a_container_that_would_vanish_is_not_stopped() {
        let container = Container { removed_when_ended: true, ..container("db") };
        let quiet = |access| {
            let healthy_timeout = StartRules::HEALTHY_TIMEOUT;
            let data_use = DataUse { target: Some(&container), data: &[], access, healthy_timeout };
            choose_quiet(data_use, std::slice::from_ref(&container), &Forbidden::default())
        };
        assert_eq!(quiet(Access::Read(StopMode::Stop)).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(quiet(Access::Write).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(quiet(Access::Read(StopMode::Pause)).is_ok());
    }
}
