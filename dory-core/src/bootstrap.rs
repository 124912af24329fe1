//! Brings services and adapters together: the only file that names both.

mod channels;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

use self::channels::RealChannels;
use crate::adapters::docker::{DockerAddress, DockerRuntime, DockerSettings};
use crate::adapters::duplicity::{DuplicityEngine, DuplicitySettings};
use crate::adapters::object_store::{
    BucketState, connect as connect_store, ensure_bucket, open_catalog, refuse_foreign_folder,
};
use crate::adapters::restic::ResticEngine;
use crate::agent::guard::{self, GuardOptions, Reach};
use crate::agent::{self, AgentOptions};
use crate::config::{DockerChoice, Settings};
use crate::domain::backup::Backup;
use crate::domain::guard::GuardEnd;
use crate::domain::id::{RunId, ServerName};
use crate::domain::store_url::{StoreAccess, StoreScheme, StoreUrl};
use crate::error::{Error, ErrorKind, ErrorRecord, Result};
use crate::ports::{
    BackupEngine, Clock, ContainerRuntime, GUARDIAN_SOCKET, HelperMount, HelperNetwork, HelperSource, SystemClock,
};
use crate::services::{self, Catalog, Dory, DoryConfig, HelperConfig, InitReport};

/// Where a helper sees a store that is a folder.
const STORE_IN_HELPER: &str = "/store";

/// Where an engine in a helper may put what it needs for a while: memory, gone with the helper.
const SCRATCH: &str = "/tmp/dory";

/// A Dory with everything real. A container engine that cannot be reached is no error here: see [`Dory::new`].
///
/// # Errors
/// `InvalidInput` for settings that do not fit each other; `NotFound` for a store's folder that is not there;
/// `Unsupported` for one on a network file system, or with a container engine on another host.
pub async fn connect(settings: Settings) -> Result<Dory> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let docker = connect_docker(&settings.docker).await;
    let store = match open_catalog(&settings.store) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(missing_mount(&settings, docker.ok().as_ref()).await.unwrap_or(error));
        }
        store => store?,
    };
    let (runtime, helper) = match docker {
        Ok(docker) => {
            let helper = helper_config(&settings, &docker).await?;
            (Ok(Arc::new(docker) as Arc<dyn ContainerRuntime>), helper)
        }
        Err(error) => {
            let network = HelperNetwork::None;
            (Err(error), HelperConfig { store: settings.store.clone(), store_mount: None, network })
        }
    };
    let server = match &runtime {
        Ok(runtime) if settings.server_by_default => name_of_host(runtime.as_ref(), settings.server).await?,
        _ => settings.server,
    };
    let channels = Arc::new(RealChannels::new(Arc::clone(&clock), settings.private_targets));
    let Settings { store: access, encryption, zone, minimum_stay_days, .. } = settings;
    let config = DoryConfig { server, store: access, encryption, helper, zone, minimum_stay_days };
    Ok(Dory::new(config, runtime, engines(&clock), store, clock).with_channels(channels))
}

/// As [`connect`], but first makes the bucket where it is missing and the user named the project to make it in: the
/// first backup needs no `dory init`.
///
/// # Errors
/// As for [`connect`], and for a bucket that cannot be made or belongs to somebody else; `AlreadyExists` for a folder that
/// holds other things than a store.
pub async fn connect_for_backup(settings: Settings) -> Result<Dory> {
    refuse_foreign_folder(&settings.store)?;
    if settings.project.is_some() && settings.store.url.scheme == StoreScheme::Gs {
        let catalog = Catalog::new(open_catalog(&settings.store)?, Arc::new(SystemClock::new()));
        match catalog.fleet().await {
            // Without a word about the key nothing is made: the backup itself will say so.
            Err(error) if error.kind() == ErrorKind::NotFound && settings.encryption.is_some() => {
                ensure_bucket(&settings.store, settings.project.as_deref()).await?;
            }
            _ => {}
        }
    }
    connect(settings).await
}

/// Whether the store is set up already, as far as it can be asked.
pub async fn is_set_up(settings: &Settings) -> bool {
    let Ok(store) = open_catalog(&settings.store) else { return false };
    matches!(Catalog::new(store, Arc::new(SystemClock::new())).fleet().await, Ok(Some(_)))
}

/// Sets up the store: its bucket or folder, the fleet in it, a passphrase where none was set. `known` is the fleet's id
/// from a recovery sheet, for a store that lost its `dory.json`.
///
/// # Errors
/// As for the store: it belongs to somebody else, holds other things, cannot be made, cannot be reached; and as for
/// [`services::init`].
pub async fn init(settings: &Settings, known: Option<&str>) -> Result<InitReport> {
    refuse_foreign_folder(&settings.store)?;
    let state = ensure_bucket(&settings.store, settings.project.as_deref()).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let now = clock.now();
    let catalog = Catalog::new(open_catalog(&settings.store)?, clock);
    let report = services::init(&catalog, settings.encryption.as_ref(), known, now).await?;
    Ok(InitReport { owner_unknown: state == BucketState::PresentOwnerUnknown, ..report })
}

/// Works as the agent in a helper until `input` ends.
///
/// # Errors
/// As for [`agent::serve`].
pub async fn serve_agent(
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin,
) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = AgentOptions { engines: engines(&clock), clock, root: PathBuf::from("/") };
    agent::serve(input, output, options).await
}

/// Works as the guardian of `run`, with the engine at the socket that a guardian sees. `folder` must live as long as its
/// container.
///
/// # Errors
/// As for [`guard::serve`].
pub async fn guard(
    run: RunId,
    folder: PathBuf,
    input: impl AsyncRead + Send + Unpin + 'static,
    output: impl AsyncWrite + Send + Unpin,
) -> Result<GuardEnd> {
    let address = DockerAddress::Unix(GUARDIAN_SOCKET.into());
    let settings = DockerSettings { address, ..DockerSettings::default() };
    let reach: Reach = Arc::new(move || {
        let settings = settings.clone();
        Box::pin(async move { Ok(Arc::new(DockerRuntime::connect(settings).await?) as Arc<dyn ContainerRuntime>) })
    });
    guard::serve(input, output, GuardOptions { run, reach, clock: Arc::new(SystemClock::new()), folder }).await
}

/// One thing that [`check`] looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub subject: &'static str,
    /// What was found, in words.
    pub finding: String,
    /// What is wrong with it.
    pub error: Option<ErrorRecord>,
    /// Whether it was not looked at, since something before it failed.
    pub skipped: bool,
}

/// Looks at everything a backup needs, and goes on past what fails.
pub async fn check(settings: Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let place = settings.store.url.to_string();
    let dory = match connect(settings).await {
        Ok(dory) => dory,
        Err(error) => return vec![failed("store", &error)],
    };
    let opened = dory.open_fleet().await;
    let is_open = opened.is_ok();
    checks.push(match opened {
        Ok((fleet, key)) => {
            let key = if key.is_some() { "the key fits" } else { "without encryption" };
            found("store", format!("{place}, fleet {}, {key}", fleet.id))
        }
        Err(error) => failed("store", &error),
    });
    checks.push(if is_open {
        match dory.catalog().prove_writable().await {
            Ok(()) => found("writing", "the store takes a document, and lets it be removed".to_owned()),
            Err(error) => failed("writing", &error),
        }
    } else {
        skipped("writing", "not tried: the store could not be opened")
    });
    match dory.catalog().backups().await {
        Ok(list) => {
            checks.push(found("catalog", format!("{} backups can be read", list.backups.len())));
            checks.extend(list.damaged.iter().map(|error| failed("catalog", error)));
            checks.extend(list.backups.iter().filter_map(|backup| half_restored(backup, dory.server())));
        }
        Err(error) => checks.push(failed("catalog", &error)),
    }
    let runtime = match dory.runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            checks.push(failed("container engine", &error));
            return checks;
        }
    };
    checks.push(match runtime.info().await {
        Ok(info) => found("container engine", format!("{}, API {}, on {}", info.name, info.api_version, info.host)),
        Err(error) => failed("container engine", &error),
    });
    checks.push(match dory.try_guardian().await {
        Ok(()) => found("guardian", "it reaches the container engine".to_owned()),
        Err(error) => failed("guardian", &error),
    });
    if !is_open {
        checks.push(skipped("helper", "not tried: the store could not be opened"));
        return checks;
    }
    checks.push(match dory.try_helper().await {
        Ok(()) => found("helper", "it starts, and reaches the store".to_owned()),
        Err(error) => failed("helper", &error),
    });
    checks
}

/// Data of this host that a restore left half written.
fn half_restored(backup: &Backup, server: &ServerName) -> Option<Check> {
    let note = backup.half_restored_by().filter(|note| note.server == *server)?;
    let reason =
        format!("restore {} writes to {}, or broke off: it may be neither old nor new", note.run, note.place());
    let error = Error::new(ErrorKind::Incomplete, "vouch for the data of backup", backup.name.as_str(), reason);
    Some(failed("restored data", &error.with_hint(backup.ways_on(note))))
}

fn found(subject: &'static str, finding: String) -> Check {
    Check { subject, finding, error: None, skipped: false }
}

fn skipped(subject: &'static str, finding: &str) -> Check {
    Check { subject, finding: finding.to_owned(), error: None, skipped: true }
}

fn failed(subject: &'static str, error: &Error) -> Check {
    Check { subject, finding: error.to_string(), error: Some(error.to_record()), skipped: false }
}

fn engines(clock: &Arc<dyn Clock>) -> Vec<Arc<dyn BackupEngine>> {
    vec![
        Arc::new(ResticEngine::new(Arc::new(connect_store))),
        Arc::new(DuplicityEngine::new(DuplicitySettings::new(SCRATCH, Arc::clone(clock)))),
    ]
}

async fn connect_docker(choice: &DockerChoice) -> Result<DockerRuntime> {
    let mut settings = DockerSettings::default();
    if let Some(host) = &choice.host {
        settings.address = DockerAddress::parse(host, choice.certificates.as_deref())?;
    }
    DockerRuntime::connect(settings).await
}

/// Why a folder may be missing where Dory runs in a container: nobody mounted it.
async fn missing_mount(settings: &Settings, docker: Option<&DockerRuntime>) -> Option<Error> {
    let folder = settings.store.url.as_folder()?;
    docker?.own_container().await.ok()??;
    docker?.host_path(&folder).await.err()
}

/// A container has another name each time: a server in one is called as the engine's host is.
async fn name_of_host(runtime: &dyn ContainerRuntime, here: ServerName) -> Result<ServerName> {
    let info = runtime.info().await?;
    if info.own_container.is_none() {
        return Ok(here);
    }
    ServerName::parse(info.host).map_err(|error| error.with_hint("set DORY_SERVER to a name for this server"))
}

/// How helpers of this container engine reach the store.
async fn helper_config(settings: &Settings, docker: &DockerRuntime) -> Result<HelperConfig> {
    let Some(folder) = settings.store.url.as_folder() else {
        let network = settings.helper_network.unwrap_or_else(|| network_to(&settings.store));
        return Ok(HelperConfig { store: settings.store.clone(), store_mount: None, network });
    };
    if !docker.info().await?.is_local {
        let reason = "the container engine is on another host, and helpers there cannot see a folder here";
        return Err(Error::new(ErrorKind::Unsupported, "use store", settings.store.url.to_string(), reason)
            .with_hint("use a bucket as the store, or run Dory on the engine's host"));
    }
    let source = HelperSource::HostPath(docker.host_path(&folder).await?);
    let url = StoreUrl { scheme: StoreScheme::File, bucket: String::new(), path: STORE_IN_HELPER.to_owned() };
    Ok(HelperConfig {
        store: StoreAccess { url, ..settings.store.clone() },
        store_mount: Some(HelperMount { source, target: STORE_IN_HELPER.into(), writable: true }),
        network: settings.helper_network.unwrap_or(HelperNetwork::None),
    })
}

/// A store on this host's own loopback can only be reached from its network.
fn network_to(store: &StoreAccess) -> HelperNetwork {
    let host = store.endpoint.as_ref().and_then(|endpoint| endpoint.parse::<Uri>().ok());
    let host = host.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_loopback { HelperNetwork::Host } else { HelperNetwork::Bridge }
}
