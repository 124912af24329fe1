//! The container that this process runs in, and what its paths are called on the host.

use std::path::{Path, PathBuf};

use bollard::models::{ContainerInspectResponse, MountPoint};

use super::{DockerRuntime, error};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};

impl DockerRuntime {
    /// The container this process runs in; `None` outside of one, and in one of another engine.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn own_container(&self) -> Result<Option<ContainerId>> {
        // It does not change while the process lives.
        self.own_container.get_or_try_init(|| self.find_own_container()).await.cloned()
    }

    async fn find_own_container(&self) -> Result<Option<ContainerId>> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let [mountinfo, cgroup, hostname] =
            ["/proc/self/mountinfo", "/proc/self/cgroup", "/proc/sys/kernel/hostname"].map(read);
        for candidate in candidates(&mountinfo, &cgroup, hostname.trim()) {
            match self.docker.inspect_container(&candidate, None).await {
                Ok(ContainerInspectResponse { id: Some(id), .. }) if id.starts_with(&candidate) => {
                    return ContainerId::parse(id).map(Some);
                }
                Ok(_) => {}
                Err(gone) if error::status(&gone).is_some() => {}
                Err(other) => return Err(self.failed("inspect container", &candidate)(other)),
            }
        }
        Ok(None)
    }

    /// What `path` is called on the engine's host, so that a helper can mount it.
    ///
    /// Outside of a container it is called the same. Inside, it must lie in something mounted from the host.
    ///
    /// # Errors
    /// `InvalidInput`, whose hint names the mount that is missing; `Unsupported` if the engine is on another machine.
    pub async fn host_path(&self, path: &Path) -> Result<PathBuf> {
        let operation = "find on the engine's host";
        let subject = path.to_string_lossy().into_owned();
        let real =
            resolved(path).ok_or_else(|| Error::invalid("path", subject.as_str(), "an absolute path is needed"))?;
        let Some(own) = self.own_container().await? else {
            if self.describe().await?.is_local {
                return Ok(real);
            }
            let reason = format!("the engine at {} is on another machine", self.address);
            return Err(Error::new(ErrorKind::Unsupported, operation, subject, reason)
                .with_hint("use a bucket as the store, or run Dory on the engine's own host"));
        };
        let mut mounts = self.inspect_for(operation, &own).await?.mounts.unwrap_or_default();
        // The engine tells where mounts were asked to be: `/var/run/docker.sock` is in `/run`.
        for destination in mounts.iter_mut().filter_map(|mount| mount.destination.as_mut()) {
            if let Some(real) = resolved(Path::new(destination.as_str())) {
                *destination = real.to_string_lossy().into_owned();
            }
        }
        on_host(&real, &mounts).ok_or_else(|| {
            let reason = "it is inside Dory's own container, where no helper can see it";
            Error::new(ErrorKind::InvalidInput, operation, subject, reason)
                .with_hint(format!("run Dory with `-v {0}:{0}`", path.display()))
        })
    }
}

/// `path` with its links followed as far as it exists; `None` if it is not absolute.
fn resolved(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        return None;
    }
    path.ancestors().find_map(|parent| {
        let rest = path.strip_prefix(parent).ok()?;
        let real = parent.canonicalize().ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })
}

/// The host's name for `path`, by the innermost mount that holds it.
fn on_host(path: &Path, mounts: &[MountPoint]) -> Option<PathBuf> {
    let (rest, mount) = mounts
        .iter()
        .filter_map(|mount| Some((path.strip_prefix(mount.destination.as_deref()?).ok()?, mount)))
        .min_by_key(|(rest, _)| rest.components().count())?;
    // Memory is not on the host.
    if !matches!(mount.typ.as_deref(), Some("bind" | "volume")) {
        return None;
    }
    let source = Path::new(mount.source.as_deref().filter(|source| !source.is_empty())?);
    Some(if rest.as_os_str().is_empty() { source.to_owned() } else { source.join(rest) })
}

/// The ids that this process's container may have, likeliest first.
fn candidates(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // The engine mounts files that it keeps for each container. A host's own table holds such paths too, but not at
    // these places.
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(root), Some(target)) = (fields.next(), fields.next()) else { continue };
        if matches!(target, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf")
            && let Some((_, rest)) = root.split_once("/containers/")
        {
            found.extend(rest.split('/').next().map(str::to_owned));
        }
    }
    // `/docker/<id>`, or `/system.slice/docker-<id>.scope`; nothing where control groups have a namespace.
    for part in cgroup.lines().filter_map(|line| line.rsplit(['/', ':']).next()) {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        found.push(part.rsplit('-').next().unwrap_or(part).to_owned());
    }
    found.retain(|id| id.len() == 64);
    // Docker's default: the first characters of the id.
    found.push(hostname.to_owned());
    found.retain(|id| id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|id| seen.insert(id.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4fa6e0f0c6786287e131c3852c58a2e01cc697a68231826813597e4994f1d6e2";

    #[test]
    fn a_container_is_known_by_the_files_its_engine_mounts() {
        let mountinfo = format!(
            "1039 1026 0:72 / / rw,relatime master:301 - overlay overlay rw,lowerdir=/x\n\
             1052 1039 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n\
             1053 1039 254:1 /srv/dory /srv/dory rw - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(candidates(&mountinfo, "0::/\n", "dory"), [ID]);
    }

    #[test]
    fn a_host_that_runs_containers_is_in_none() {
        let mountinfo = format!(
            "510 26 0:54 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n\
             511 26 0:55 / /var/lib/docker/overlay2/{ID}/merged rw - overlay overlay rw\n"
        );
        assert!(candidates(&mountinfo, "0::/user.slice/session-2.scope\n", "vm").is_empty());
    }

    #[test]
    fn control_groups_and_the_host_name_tell_too() {
        assert_eq!(candidates("", &format!("12:pids:/docker/{ID}\n11:cpu:/docker/{ID}\n"), "web"), [ID]);
        assert_eq!(candidates("", &format!("0::/system.slice/docker-{ID}.scope\n"), "web"), [ID]);
        assert_eq!(candidates("", "0::/\n", &ID[..12]), [&ID[..12]]);
    }

    #[test]
    fn paths_are_translated_by_the_innermost_mount() {
        let mount = |typ: &str, source: &str, destination: &str| MountPoint {
            typ: Some(typ.into()),
            source: Some(source.into()),
            destination: Some(destination.into()),
            ..MountPoint::default()
        };
        let mounts = [
            mount("bind", "/home/me/data", "/srv"),
            mount("volume", "/var/lib/docker/volumes/v/_data", "/srv/dory"),
            mount("tmpfs", "", "/srv/memory"),
        ];
        let translated = |path: &str| on_host(Path::new(path), &mounts);
        assert_eq!(translated("/srv").unwrap(), Path::new("/home/me/data"));
        assert_eq!(translated("/srv/a/b").unwrap(), Path::new("/home/me/data/a/b"));
        assert_eq!(translated("/srv/dory/x").unwrap(), Path::new("/var/lib/docker/volumes/v/_data/x"));
        assert_eq!(translated("/srv/memory/x"), None);
        assert_eq!(translated("/srvx"), None);
    }

    #[test]
    fn links_are_followed_as_far_as_a_path_exists() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(resolved(&link.join("to/come")).unwrap(), real.join("to/come"));
        assert_eq!(resolved(Path::new("relative")), None);
        assert_eq!(resolved(Path::new("/srv/../etc")), None);
    }
}
