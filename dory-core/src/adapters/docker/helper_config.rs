//! What a helper's container looks like to the engine: as little as it can do its work with.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
};

use crate::error::{Error, Result};
use crate::ports::{GUARDIAN_SOCKET, HelperMount, HelperNetwork, HelperRole, HelperSource, HelperSpec};

/// The label by which helpers are known.
pub(super) const HELPER_LABEL: &str = "dory.helper";

/// The label that tells what a helper is there for.
const ROLE_LABEL: &str = "dory.helper.role";

/// What that label says of a guardian.
const GUARDIAN: &str = "guardian";

/// The only folder outside its mounts that a helper can write to; it is memory.
const SCRATCH: &str = "/tmp";

/// What a helper with these labels is there for.
pub(super) fn role_of(labels: &HashMap<String, String>) -> HelperRole {
    match labels.get(ROLE_LABEL).map(String::as_str) {
        Some(GUARDIAN) => HelperRole::Guardian,
        _ => HelperRole::Engine,
    }
}

/// The container for `spec`; `socket` is the engine's, on its host.
pub(super) fn container_for(spec: &HelperSpec, socket: &Path) -> Result<ContainerCreateBody> {
    let mut mounts: Vec<Mount> = spec.mounts.iter().map(mount).collect::<Result<_>>()?;
    let mut labels: HashMap<String, String> = spec.labels.clone().into_iter().collect();
    labels.insert(HELPER_LABEL.to_owned(), "true".to_owned());
    labels.remove(ROLE_LABEL);
    let guards = spec.role == HelperRole::Guardian;
    if guards {
        labels.insert(ROLE_LABEL.to_owned(), GUARDIAN.to_owned());
        let source = HelperSource::HostPath(socket.to_owned());
        mounts.push(mount(&HelperMount { source, target: GUARDIAN_SOCKET.into(), writable: true })?);
    }
    // A spec that mounts something there has scratch space of its own.
    let scratch = (!spec.mounts.iter().any(|mount| mount.target == Path::new(SCRATCH)))
        .then(|| HashMap::from([(SCRATCH.to_owned(), "rw,nosuid,nodev,noexec,mode=1777".to_owned())]));
    let host = HostConfig {
        mounts: Some(mounts),
        tmpfs: scratch,
        // What a guardian must not forget has to outlive the engine's restart, which memory does not.
        readonly_rootfs: Some(!guards),
        // Where the engine maps users, root of a container is not the root that may use the engine's socket.
        userns_mode: guards.then(|| "host".to_owned()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(spec.capabilities.iter().map(|&name| name.to_owned()).collect()),
        // Where SELinux is on, volumes carry the labels of the containers they belong to, which no helper can have.
        security_opt: Some(vec!["no-new-privileges:true".to_owned(), "label=disable".to_owned()]),
        network_mode: Some(network(spec.network).to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        // Not removed by the engine when it ends: that would tidy away volumes too, and some are not ours.
        auto_remove: Some(false),
        ..HostConfig::default()
    };
    Ok(ContainerCreateBody {
        image: Some(spec.image.to_string()),
        entrypoint: Some(vec!["/dory".to_owned()]),
        cmd: Some(spec.arguments.clone()),
        user: Some("0".to_owned()),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // The end of our connection, however it comes, is the end of the helper's input.
        stdin_once: Some(true),
        tty: Some(false),
        // The image may be Dory's own, with a check that asks for a server.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

/// A mount that fails where its source is missing; the short form (`binds`) would make an empty one.
fn mount(mount: &HelperMount) -> Result<Mount> {
    let (typ, source, volume_options) = match &mount.source {
        // Without `no_copy`, what the image holds at the target would be copied into an empty volume.
        HelperSource::Volume(name) => (
            MountType::VOLUME,
            name.as_str(),
            Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ),
        HelperSource::HostPath(path) => (MountType::BIND, absolute("host path", path)?, None),
    };
    Ok(Mount {
        typ: Some(typ),
        source: Some(source.to_owned()),
        target: Some(absolute("mount target", &mount.target)?.to_owned()),
        read_only: Some(!mount.writable),
        volume_options,
        ..Mount::default()
    })
}

fn absolute<'a>(field: &str, path: &'a Path) -> Result<&'a str> {
    let text = path
        .to_str()
        .ok_or_else(|| Error::invalid(field, path.to_string_lossy(), "the engine takes only paths that are UTF-8"))?;
    if path.is_absolute() { Ok(text) } else { Err(Error::invalid(field, text, "an absolute path is needed")) }
}

fn network(network: HelperNetwork) -> &'static str {
    match network {
        HelperNetwork::None => "none",
        HelperNetwork::Bridge => "bridge",
        HelperNetwork::Host => "host",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::id::{ContainerName, ImageRef, VolumeName};
    use crate::error::ErrorKind;

    fn spec(mounts: Vec<HelperMount>) -> HelperSpec {
        HelperSpec {
            name: ContainerName::parse("dory-pg").unwrap(),
            role: HelperRole::Engine,
            image: ImageRef::parse("dory-helper:1").unwrap(),
            arguments: vec!["agent".into()],
            mounts,
            network: HelperNetwork::None,
            capabilities: vec!["DAC_READ_SEARCH"],
            labels: BTreeMap::from([("dory.helper".into(), "spoofed".into()), ("dory.run".into(), "r1".into())]),
        }
    }

    const SOCKET: &str = "/run/user/1000/docker.sock";

    fn made(spec: &HelperSpec) -> ContainerCreateBody {
        container_for(spec, Path::new(SOCKET)).unwrap()
    }

    fn volume(target: &str) -> HelperMount {
        let source = HelperSource::Volume(VolumeName::parse("pg").unwrap());
        HelperMount { source, target: target.into(), writable: false }
    }

    #[test]
    fn a_helper_can_do_little() {
        let body = made(&spec(vec![volume("/backup/pg")]));
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop.unwrap(), ["ALL"]);
        assert_eq!(host.cap_add.unwrap(), ["DAC_READ_SEARCH"]);
        assert!(host.security_opt.unwrap().contains(&"no-new-privileges:true".to_owned()));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(host.privileged, None);
        let mounts = host.mounts.unwrap();
        assert_eq!((mounts[0].source.as_deref(), mounts[0].read_only), (Some("pg"), Some(true)));
        assert_eq!(mounts[0].volume_options.as_ref().unwrap().no_copy, Some(true));
        assert_eq!(body.env, None);
    }

    #[test]
    fn a_spec_cannot_hide_its_helper() {
        let labels = made(&spec(vec![])).labels.unwrap();
        assert_eq!(labels["dory.helper"], "true");
        assert_eq!(labels["dory.run"], "r1");
    }

    #[test]
    fn a_guardian_alone_sees_the_engine() {
        let spec = HelperSpec { role: HelperRole::Guardian, ..spec(vec![]) };
        let body = made(&spec);
        let host = body.host_config.unwrap();
        let [socket] = host.mounts.as_deref().unwrap() else { panic!("{:?}", host.mounts) };
        assert_eq!((socket.source.as_deref(), socket.target.as_deref()), (Some(SOCKET), Some(GUARDIAN_SOCKET)));
        assert_eq!(host.readonly_rootfs, Some(false));
        assert_eq!(role_of(&body.labels.unwrap()), HelperRole::Guardian);

        let mut spoofed = HelperSpec { role: HelperRole::Engine, ..spec };
        spoofed.labels.insert(ROLE_LABEL.to_owned(), GUARDIAN.to_owned());
        let body = made(&spoofed);
        assert_eq!(role_of(&body.labels.unwrap()), HelperRole::Engine);
        assert!(body.host_config.unwrap().mounts.unwrap().is_empty());
    }

    #[test]
    fn scratch_space_can_be_a_mount() {
        assert!(made(&spec(vec![])).host_config.unwrap().tmpfs.is_some());
        assert!(made(&spec(vec![volume("/tmp")])).host_config.unwrap().tmpfs.is_none());
    }

    #[test]
    fn relative_paths_are_refused() {
        assert_eq!(
            container_for(&spec(vec![volume("backup")]), Path::new(SOCKET)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let relative = HelperMount { source: HelperSource::HostPath("srv".into()), ..volume("/backup") };
        assert_eq!(
            container_for(&spec(vec![relative]), Path::new(SOCKET)).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}
