//! Where the engine is and how to reach it: addresses as values, TLS, and the API version both sides speak.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::SystemVersion;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::error::translate;
use super::image_content::HelperImageSource;
use crate::error::{Error, ErrorKind, Result};

/// Docker 20.10: the oldest engine whose mounts, waits and events are what this adapter relies on.
const OLDEST: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// How to use a Docker engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSettings {
    /// Where it is.
    pub address: DockerAddress,
    /// How long it may take to begin an answer before it counts as gone. Stopping a container gets its grace on top.
    pub answer_within: Duration,
    /// What the helper image is made from where Dory does not run in a container.
    pub helper_image: HelperImageSource,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            address: DockerAddress::default(),
            answer_within: Duration::from_secs(60),
            helper_image: HelperImageSource::default(),
        }
    }
}

/// Where a Docker engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerAddress {
    /// A socket file.
    Unix(PathBuf),
    /// A host and port, in clear text.
    Tcp {
        /// `host:port`.
        authority: String,
    },
    /// A host and port with TLS, each side proving itself to the other.
    Tls {
        /// `host:port`.
        authority: String,
        /// The folder with `ca.pem`, `cert.pem` and `key.pem`.
        certificates: PathBuf,
    },
}

impl Default for DockerAddress {
    fn default() -> Self {
        Self::Unix("/var/run/docker.sock".into())
    }
}

impl DockerAddress {
    /// Reads what `DOCKER_HOST` holds. `certificates` is the folder of `DOCKER_CERT_PATH` where `DOCKER_TLS_VERIFY` is
    /// set, and `None` where it is not.
    ///
    /// # Errors
    /// `InvalidInput` for what is no address, `Unsupported` for `ssh://` and `npipe://`.
    pub fn parse(docker_host: &str, certificates: Option<&Path>) -> Result<Self> {
        let invalid = |reason: &str| Err(Error::invalid("DOCKER_HOST", docker_host, reason));
        let Some((scheme, rest)) = docker_host.split_once("://") else {
            return invalid("`unix:///path`, `tcp://host:port` and `https://host:port` are allowed");
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" => invalid("a socket needs its absolute path, as in `unix:///var/run/docker.sock`"),
            "tcp" | "http" | "https" => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) {
                    return invalid("a host and port are allowed after `://`, and nothing else");
                }
                let port = if certificates.is_some() { 2376 } else { 2375 };
                let authority = if has_port(rest) { rest.to_owned() } else { format!("{rest}:{port}") };
                match certificates {
                    Some(folder) => Ok(Self::Tls { authority, certificates: folder.to_owned() }),
                    None if scheme == "https" => invalid(
                        "TLS needs DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH with `ca.pem`, `cert.pem` and `key.pem`",
                    ),
                    None => Ok(Self::Tcp { authority }),
                }
            }
            "ssh" | "npipe" => Err(Error::new(
                ErrorKind::Unsupported,
                "use DOCKER_HOST",
                docker_host,
                format!("Dory does not speak {scheme}"),
            )
            .with_hint("run Dory on the engine's own host, or forward its socket: `ssh -L /tmp/docker.sock:/var/run/docker.sock host` and DOCKER_HOST=unix:///tmp/docker.sock")),
            _ => invalid("`unix:///path`, `tcp://host:port` and `https://host:port` are allowed"),
        }
    }
}

/// Whether `authority` ends in a port; an IPv6 address in brackets holds colons of its own.
fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for DockerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { authority } => write!(f, "tcp://{authority}"),
            Self::Tls { authority, .. } => write!(f, "https://{authority}"),
        }
    }
}

/// A connection, and the API version that it speaks.
pub(super) async fn connect(settings: &DockerSettings) -> Result<(Docker, ClientVersion)> {
    let address = &settings.address;
    let seconds = settings.answer_within.as_secs().max(1);
    let failed = |error| translate(address, "reach docker", &address.to_string(), error);
    let docker = match address {
        DockerAddress::Unix(path) => {
            let Some(path) = path.to_str() else {
                return Err(Error::invalid("DOCKER_HOST", path.to_string_lossy(), "the path must be UTF-8"));
            };
            Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)
        }
        DockerAddress::Tcp { authority } => Docker::connect_with_http(authority, seconds, API_DEFAULT_VERSION),
        DockerAddress::Tls { authority, certificates } => Docker::connect_with_ssl(
            authority,
            &certificates.join("key.pem"),
            &certificates.join("cert.pem"),
            &certificates.join("ca.pem"),
            seconds,
            API_DEFAULT_VERSION,
        ),
    }
    .map_err(failed)?;

    let version = negotiate(address, &docker.version().await.map_err(failed)?)?;
    Ok((docker.with_request_modifier(move |request| pinned(request, version)), version))
}

/// The newest API version that both sides know.
fn negotiate(address: &DockerAddress, engine: &SystemVersion) -> Result<ClientVersion> {
    let newest = engine.api_version.as_deref().and_then(parse_version).ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            "reach docker",
            address.to_string(),
            "what answers there is no Docker engine",
        )
    })?;
    let oldest = engine.min_api_version.as_deref().and_then(parse_version);
    let name = engine.version.as_deref().unwrap_or("of unknown version");
    if newest < OLDEST {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "use docker",
            name,
            format!("it speaks API {newest}, and Dory needs {OLDEST} or later"),
        )
        .with_hint("update Docker to 20.10 or later"));
    }
    if oldest.is_some_and(|oldest| oldest > *API_DEFAULT_VERSION) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "use docker",
            name,
            format!("it no longer speaks API {API_DEFAULT_VERSION}, the newest that Dory knows"),
        )
        .with_hint("update Dory"));
    }
    Ok(if newest < *API_DEFAULT_VERSION { newest } else { *API_DEFAULT_VERSION })
}

fn parse_version(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: minor.parse().ok()? })
}

/// Puts the version into the path. bollard negotiates one and then leaves it out of its URLs, which asks the engine
/// for whatever its newest behaviour is.
fn pinned(mut request: bollard::BollardRequest, version: ClientVersion) -> bollard::BollardRequest {
    let uri = request.uri();
    let (Some(scheme), Some(authority), Some(path)) = (uri.scheme_str(), uri.authority(), uri.path_and_query()) else {
        return request;
    };
    if let Ok(versioned) = format!("{scheme}://{authority}/v{version}{path}").parse() {
        *request.uri_mut() = versioned;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parse = |host, tls| DockerAddress::parse(host, tls).unwrap();
        let certificates = Path::new("/root/.docker");
        assert_eq!(parse("unix:///run/user/1000/docker.sock", None).to_string(), "unix:///run/user/1000/docker.sock");
        assert_eq!(parse("tcp://10.0.0.5:4243", None), DockerAddress::Tcp { authority: "10.0.0.5:4243".into() });
        assert_eq!(parse("tcp://[::1]/", None), DockerAddress::Tcp { authority: "[::1]:2375".into() });
        assert_eq!(
            parse("tcp://build.example", Some(certificates)),
            DockerAddress::Tls { authority: "build.example:2376".into(), certificates: certificates.into() }
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for host in ["", "docker", "unix://docker.sock", "tcp://", "tcp://host/path", "ftp://host", "https://host:1"] {
            let error = DockerAddress::parse(host, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{host}");
        }
        let error = DockerAddress::parse("ssh://root@host", None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains("ssh -L"));
    }

    #[test]
    fn both_sides_must_know_the_version() {
        let engine = |newest: &str, oldest: &str| SystemVersion {
            version: Some("x".into()),
            api_version: Some(newest.into()),
            min_api_version: Some(oldest.into()),
            ..SystemVersion::default()
        };
        let spoken = |engine| negotiate(&DockerAddress::default(), &engine).map(|version| version.to_string());
        assert_eq!(spoken(engine("1.41", "1.12")).unwrap(), "1.41");
        assert_eq!(spoken(engine("1.99", "1.44")).unwrap(), API_DEFAULT_VERSION.to_string());
        assert_eq!(spoken(engine("1.40", "1.12")).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(spoken(engine("1.99", "1.98")).unwrap_err().hint(), Some("update Dory"));
        assert!(spoken(SystemVersion::default()).unwrap_err().reason().contains("no Docker engine"));
    }
}
