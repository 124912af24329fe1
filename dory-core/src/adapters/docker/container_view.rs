//! From the engine's words about containers to the domain's.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum, HostConfig, MountPoint};
use jiff::Timestamp;

use crate::domain::container::{Container, ContainerState, Health, Mount, MountKind};
use crate::domain::id::{ContainerId, ContainerName, ImageRef, VolumeName};
use crate::error::{Error, ErrorKind, Result};

/// The container that an inspection describes.
pub(super) fn container(raw: ContainerInspectResponse) -> Result<Container> {
    let id = ContainerId::parse(raw.id.unwrap_or_default())?;
    let state = raw.state.unwrap_or_default();
    let config = raw.config.unwrap_or_default();
    let host = raw.host_config.unwrap_or_default();
    let image_id = raw.image.unwrap_or_default();
    let image = config.image.filter(|image| !image.is_empty()).unwrap_or_else(|| image_id.clone());
    Ok(Container {
        name: ContainerName::parse(raw.name.unwrap_or_default().trim_start_matches('/'))?,
        image: ImageRef::parse(image)?,
        image_id: ImageRef::parse(image_id)?,
        state: state_of(state.status),
        exit_code: exit_code(&state),
        health: health_of(state.health.and_then(|health| health.status)),
        mounts: mounts(raw.mounts.unwrap_or_default()),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        network_of: host.network_mode.as_deref().and_then(container_mode).map(str::to_owned),
        refers_to: references(&host),
        removed_when_ended: host.auto_remove.unwrap_or(false),
        // Less than nothing is for ever.
        stop_grace: config
            .stop_timeout
            .map(|seconds| u64::try_from(seconds).map_or(Container::ENDLESS_GRACE, Duration::from_secs)),
        created_at: raw.created.as_deref().and_then(moment).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "inspect container",
                id.as_str(),
                "the engine does not say when it was made",
            )
        })?,
        started_at: state.started_at.as_deref().and_then(moment),
        id,
    })
}

/// The engine tells a code of 0 for what never ran, and for what runs.
fn exit_code(state: &bollard::models::ContainerState) -> Option<i64> {
    let ended = matches!(state.status, Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD));
    state.exit_code.filter(|_| ended)
}

fn state_of(status: Option<ContainerStateStatusEnum>) -> ContainerState {
    match status {
        Some(ContainerStateStatusEnum::CREATED) => ContainerState::Created,
        // One that is being stopped still runs.
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => ContainerState::Running,
        Some(ContainerStateStatusEnum::PAUSED) => ContainerState::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerState::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerState::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerState::Exited,
        Some(ContainerStateStatusEnum::DEAD | ContainerStateStatusEnum::EMPTY) | None => ContainerState::Dead,
    }
}

fn health_of(status: Option<HealthStatusEnum>) -> Health {
    match status {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

fn mount(raw: MountPoint) -> Mount {
    let kind = match raw.typ.as_deref() {
        // Only the local driver keeps its names to what a volume name may hold.
        Some("volume") => match VolumeName::parse(raw.name.unwrap_or_default()) {
            Ok(name) => MountKind::Volume { name, driver: raw.driver.unwrap_or_default() },
            Err(_) => MountKind::Other { name: format!("volume of {}", raw.driver.unwrap_or_default()) },
        },
        Some("bind") => MountKind::Bind,
        Some("tmpfs") => MountKind::Tmpfs,
        other => MountKind::Other { name: other.unwrap_or("unknown").to_owned() },
    };
    Mount {
        kind,
        source: raw.source.unwrap_or_default().into(),
        destination: raw.destination.unwrap_or_default().into(),
        writable: raw.rw.unwrap_or(true),
    }
}

/// The engine gives them in another order each time.
fn mounts(raw: Vec<MountPoint>) -> Vec<Mount> {
    let mut mounts: Vec<_> = raw.into_iter().map(mount).collect();
    mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
    mounts
}

/// Containers that this one names in its settings, its network's apart: it cannot start without them.
fn references(host: &HostConfig) -> Vec<String> {
    let first = |entry: &String| entry.split(':').next().unwrap_or_default().trim_start_matches('/').to_owned();
    let links = host.links.iter().flatten().map(first);
    let volumes = host.volumes_from.iter().flatten().map(first);
    let namespaces = [&host.pid_mode, &host.ipc_mode];
    let namespaces = namespaces.into_iter().filter_map(|mode| container_mode(mode.as_deref()?)).map(str::to_owned);
    let mut references: Vec<String> = links.chain(volumes).chain(namespaces).collect();
    references.sort_unstable();
    references.dedup();
    references
}

/// The container in `container:<name or id>`.
fn container_mode(mode: &str) -> Option<&str> {
    mode.strip_prefix("container:")
}

/// A moment as the engine writes it; the year 1 is its word for never.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|moment| *moment > Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(json: &str) -> Container {
        container(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn an_inspection_becomes_a_container() {
        let container = inspected(
            r#"{
            "Id": "4fa6e0f0c6786287e131c3852c58a2e01cc697a68231826813597e4994f1d6e2",
            "Created": "2024-05-01T10:00:00.123456789Z", "Name": "/shop-db-1", "Image": "sha256:abc",
            "State": {"Status": "running", "StartedAt": "2024-05-01T10:00:01Z", "Health": {"Status": "starting"}},
            "HostConfig": {"NetworkMode": "container:vpn", "Links": ["/cache:/shop-db-1/cache"],
                "VolumesFrom": ["data:ro"], "AutoRemove": true, "PidMode": "container:vpn", "IpcMode": "private"},
            "Mounts": [
                {"Type": "volume", "Name": "pg", "Source": "/var/lib/docker/volumes/pg/_data",
                 "Destination": "/var/lib/postgresql", "Driver": "local", "Mode": "z", "RW": true},
                {"Type": "bind", "Source": "/srv/conf", "Destination": "/etc/conf", "RW": false},
                {"Type": "volume", "Name": "nfs/share", "Driver": "nfs", "Destination": "/n", "RW": true}],
            "Config": {"Image": "postgres:17", "Labels": {"dory.backup": "true"}, "StopTimeout": 30}}"#,
        );
        assert_eq!(container.name.as_str(), "shop-db-1");
        assert_eq!((container.state, container.health), (ContainerState::Running, Health::Starting));
        assert_eq!(container.network_of.as_deref(), Some("vpn"));
        assert_eq!(container.refers_to, ["cache", "data", "vpn"]);
        assert_eq!(container.stop_grace, Some(Duration::from_secs(30)));
        assert!(container.removed_when_ended);
        assert_eq!(container.label("dory.backup"), Some("true"));
        let [conf, nfs, pg] = &container.mounts[..] else { panic!("{:?}", container.mounts) };
        assert_eq!((&conf.kind, conf.writable), (&MountKind::Bind, false));
        assert_eq!(nfs.kind, MountKind::Other { name: "volume of nfs".into() });
        assert_eq!(pg.volume().unwrap().as_str(), "pg");
    }

    #[test]
    fn one_that_never_started_says_so() {
        let container = inspected(
            r#"{"Id": "4fa6", "Created": "2024-05-01T10:00:00Z", "Name": "/x", "Image": "sha256:abc",
            "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}, "Config": {"StopTimeout": -1}}"#,
        );
        assert_eq!((container.state, container.started_at), (ContainerState::Created, None));
        assert_eq!(container.image.as_str(), "sha256:abc");
        assert_eq!(container.stop_grace, Some(Container::ENDLESS_GRACE));
    }
}
