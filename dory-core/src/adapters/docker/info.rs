//! What the engine is, where it is, and what networks it has.

use std::path::{Path, PathBuf};

use bollard::query_parameters::ListNetworksOptions;
use rustix::fs::statvfs;

use super::DockerRuntime;
use crate::domain::id::NetworkName;
use crate::domain::server::DiskSpace;
use crate::error::Result;
use crate::ports::RuntimeInfo;

impl DockerRuntime {
    pub(super) async fn describe(&self) -> Result<RuntimeInfo> {
        let engine = self.docker.info().await.map_err(self.failed("describe docker at", &self.host()))?;
        let own_container = self.own_container().await?;
        let host = engine.name.unwrap_or_default();
        // A container that the engine knows as ours is proof. Outside, only an engine on this very kernel sees our
        // paths: a socket may be forwarded from another machine, and Docker Desktop's engine sits in a virtual one.
        let is_local = own_container.is_some()
            || (engine.kernel_version.is_some_and(|kernel| kernel == from_kernel("osrelease"))
                && host == from_kernel("hostname"));
        let data_root = PathBuf::from(engine.docker_root_dir.unwrap_or_default());
        // The root of a container on one of these lies on the file system that holds all of the engine's data.
        let layered = matches!(engine.driver.as_deref(), Some("overlay2" | "overlayfs" | "vfs"));
        let seen = match &own_container {
            Some(_) => layered.then(|| PathBuf::from("/")),
            None => is_local.then(|| data_root.clone()),
        };
        let disk = match seen.filter(|path| path.is_absolute()) {
            Some(path) => tokio::task::spawn_blocking(move || room_at(&path)).await.ok().flatten(),
            None => None,
        };
        Ok(RuntimeInfo {
            name: format!("docker {}", engine.server_version.unwrap_or_default()),
            api_version: self.api_version.to_string(),
            host,
            data_root,
            own_container,
            is_local,
            disk,
        })
    }

    pub(super) async fn all_networks(&self) -> Result<Vec<NetworkName>> {
        let networks = self.docker.list_networks(None::<ListNetworksOptions>).await;
        let networks = networks.map_err(self.failed("list networks of", &self.host()))?;
        let mut names: Vec<NetworkName> =
            networks.into_iter().filter_map(|network| NetworkName::parse(network.name?).ok()).collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn room_at(path: &Path) -> Option<DiskSpace> {
    let found = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(DiskSpace { free_bytes: bytes(found.f_bavail), total_bytes: bytes(found.f_blocks) })
}

/// What the kernel says of itself; nothing where there is no such file.
fn from_kernel(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned()
}
