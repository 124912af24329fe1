//! A helper with an engine in it, from launch to removal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::claim::{Claim, HOLDS_LABEL};
use super::{Dory, insist, noise};
use crate::agent::{self, AgentConnection, RemoteEngine};
use crate::domain::container::MountKind;
use crate::domain::guard::label;
use crate::domain::id::{BackupId, ContainerId, ContainerName, ImageRef, RunId, ServerName, VolumeName};
use crate::domain::policy::EngineKind;
use crate::domain::restore_point::PointMount;
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{
    BackupEngine, ContainerRuntime, Helper, HelperInfo, HelperMount, HelperRole, HelperSource, HelperSpec, MountFolder,
    OpenMode, Repository,
};

/// Where a helper sees the volumes.
const BACKUP_ROOT: &str = "/backup";

/// Where a helper keeps things aside.
pub(super) const SCRATCH: &str = "/scratch";

/// The capabilities a helper keeps: to read and write files whoever owns them, and to give them their owners, modes,
/// devices and attributes. Without any of them a restore is not faithful.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP"];

/// What a helper is for; it stands on its labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct HelperPurpose<'a> {
    /// The backup of the container whose data it touches.
    pub(super) backup: &'a BackupId,
    pub(super) run: RunId,
    /// What the run does, where the catalog keeps a record of it.
    pub(super) kind: Option<RunKind>,
    /// What no other run may touch while it runs.
    pub(super) holds: Option<&'a Claim>,
    /// Whether it may write to the volumes.
    pub(super) writes: bool,
    /// Whether it needs a place to keep things aside: [`SCRATCH`].
    pub(super) scratch: bool,
}

impl<'a> HelperPurpose<'a> {
    /// One that reads and needs nothing else.
    pub(super) fn reading(backup: &'a BackupId, run: RunId) -> Self {
        Self { backup, run, kind: None, holds: None, writes: false, scratch: false }
    }

    /// The labels of what belongs to a run of `server`, by which it is found again if the run is broken off.
    pub(super) fn labels(&self, server: &ServerName) -> BTreeMap<String, String> {
        let holds = self.holds.map(Claim::to_label);
        let labels = [
            (label::SERVER, Some(server.to_string())),
            (label::BACKUP, Some(self.backup.to_string())),
            (label::RUN, Some(self.run.to_string())),
            (label::KIND, self.kind.map(|kind| kind.as_str().to_owned())),
            (HOLDS_LABEL, holds),
        ];
        labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// A helper that runs an agent. [`close`](Self::close) removes it; so does dropping it, a little later.
#[derive(Debug)]
pub(super) struct RunningHelper {
    connection: Arc<AgentConnection>,
    guard: RemovedOnDrop,
}

impl Dory {
    /// The image that helpers run. Making it may take a while.
    pub(super) async fn helper_image(&self) -> Result<ImageRef> {
        self.runtime()?.ensure_helper_image().await
    }

    /// Launches a helper that sees `mounts`, and waits until its agent answers.
    pub(super) async fn launch_helper(
        &self,
        purpose: HelperPurpose<'_>,
        mounts: &[PointMount],
    ) -> Result<RunningHelper> {
        let runtime = self.runtime()?;
        let image = self.helper_image().await?;
        let mut helper_mounts: Vec<_> = mounts
            .iter()
            .map(|mount| HelperMount {
                source: match &mount.kind {
                    MountKind::Volume { name, .. } => HelperSource::Volume(name.clone()),
                    _ => HelperSource::HostPath(mount.source.clone()),
                },
                target: folder_of(mount).path,
                writable: purpose.writes,
            })
            .collect();
        helper_mounts.extend(self.config.helper.store_mount.clone());
        let scratch = if purpose.scratch { Some(self.make_scratch(runtime.as_ref(), &purpose).await?) } else { None };
        helper_mounts.extend(scratch.iter().map(|volume| HelperMount {
            source: HelperSource::Volume(volume.clone()),
            target: PathBuf::from(SCRATCH),
            writable: true,
        }));
        let mut guard = RemovedOnDrop { runtime: Arc::clone(&runtime), id: None, scratch };
        let spec = HelperSpec {
            name: ContainerName::parse(format!("dory-{}", purpose.backup))?,
            role: HelperRole::Engine,
            image,
            arguments: vec![agent::COMMAND.to_owned()],
            mounts: helper_mounts,
            network: self.config.helper.network,
            capabilities: CAPABILITIES.to_vec(),
            labels: purpose.labels(&self.config.server),
        };
        let launched = launch(runtime.as_ref(), &spec).await.map_err(|error| match error.kind() {
            ErrorKind::Conflict => busy(purpose.backup, error),
            _ => error,
        });
        let connected = async {
            let helper = launched?;
            guard.id = Some(helper.id.clone());
            if let Some(holds) = purpose.holds {
                holds.prove(runtime.as_ref(), helper.id.as_str()).await?;
            }
            AgentConnection::connect(helper).await
        };
        match connected.await {
            Ok(connection) => Ok(RunningHelper { connection, guard }),
            Err(error) => {
                guard.remove().await;
                Err(error)
            }
        }
    }

    /// Makes the volume that one helper of a backup keeps things aside in. What an earlier run left of it goes.
    async fn make_scratch(&self, runtime: &dyn ContainerRuntime, purpose: &HelperPurpose<'_>) -> Result<VolumeName> {
        let name = VolumeName::parse(format!("dory-scratch-{}", purpose.backup))?;
        let labels = purpose.labels(&self.config.server);
        let made = match runtime.create_volume(&name, &labels).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                remove_leftover(runtime, &name, purpose.backup).await?;
                runtime.create_volume(&name, &labels).await
            }
            made => made,
        };
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
            // It may be there all the same. Nobody else makes one while ours may be.
            let _ = runtime.remove_volume(&name).await;
        }
        made.map(|_| name)
    }

    /// Launches a helper that sees no volumes, and has it reach for the store.
    ///
    /// # Errors
    /// Whatever would keep a backup from beginning: the image, the network, the store, the key.
    pub async fn try_helper(&self) -> Result<()> {
        self.open_fleet().await?;
        let backup = BackupId::parse("doctor")?;
        let run = RunId::new(self.clock.now(), noise()?);
        let helper = self.launch_helper(HelperPurpose::reading(&backup, run), &[]).await?;
        let options = BTreeMap::new();
        let opened = self.open_in_helper(&helper, &backup, EngineKind::Restic, &options, OpenMode::Existing).await;
        helper.close().await;
        match opened {
            // There is no such repository: finding that out takes all that a backup needs.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            opened => opened.map(drop),
        }
    }

    /// Opens a backup's repository in a helper.
    pub(super) async fn open_in_helper(
        &self,
        helper: &RunningHelper,
        backup: &BackupId,
        engine: EngineKind,
        options: &BTreeMap<String, String>,
        mode: OpenMode,
    ) -> Result<Arc<dyn Repository>> {
        let here = self.engine(engine)?;
        let spec = self.repository_spec(&self.config.helper.store, backup, engine, options).await?;
        RemoteEngine::new(here, Arc::clone(&helper.connection)).open(&spec, mode).await
    }
}

impl RunningHelper {
    /// Itself, if it still runs; else it is removed.
    pub(super) async fn unless_it_ended(self) -> Option<Self> {
        if !self.connection.has_ended() {
            return Some(self);
        }
        self.close().await;
        None
    }

    /// Ends and removes the helper, whatever it is doing.
    pub(super) async fn close(self) {
        self.guard.remove().await;
    }
}

/// A helper that is removed now, or a little after this was dropped.
#[derive(Debug)]
pub(super) struct RemovedOnDrop {
    runtime: Arc<dyn ContainerRuntime>,
    id: Option<ContainerId>,
    scratch: Option<VolumeName>,
}

impl RemovedOnDrop {
    pub(super) fn new(runtime: Arc<dyn ContainerRuntime>, id: ContainerId) -> Self {
        Self { runtime, id: Some(id), scratch: None }
    }

    /// Lets it live.
    pub(super) fn forget(mut self) {
        (self.id, self.scratch) = (None, None);
    }

    pub(super) async fn remove(mut self) {
        remove(self.runtime.as_ref(), self.id.take(), self.scratch.take()).await;
    }
}

impl Drop for RemovedOnDrop {
    fn drop(&mut self) {
        let (id, scratch) = (self.id.take(), self.scratch.take());
        if id.is_none() && scratch.is_none() {
            return;
        }
        let runtime = Arc::clone(&self.runtime);
        if let Ok(handle) = tokio::runtime::Handle::try_current() {
            handle.spawn(async move { remove(runtime.as_ref(), id, scratch).await });
        }
    }
}

/// Launches a helper. Where the answer was lost it may be there all the same, with nobody at its pipes: it is removed.
pub(super) async fn launch(runtime: &dyn ContainerRuntime, spec: &HelperSpec) -> Result<Helper> {
    let launched = runtime.launch_helper(spec).await;
    if launched.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)
        && let Ok(helpers) = runtime.list_helpers().await
    {
        let (run, is_same) = (spec.labels.get(label::RUN), |helper: &&HelperInfo| helper.role == spec.role);
        for helper in helpers.iter().filter(is_same).filter(|helper| helper.labels.get(label::RUN) == run) {
            remove(runtime, Some(helper.id.clone()), None).await;
        }
    }
    launched
}

async fn remove(runtime: &dyn ContainerRuntime, helper: Option<ContainerId>, scratch: Option<VolumeName>) {
    if let Some(id) = helper
        && let Err(error) = insist(|| runtime.remove_helper(&id)).await
    {
        tracing::warn!(helper = id.short(), %error, "a helper could not be removed");
    }
    if let Some(volume) = scratch
        && let Err(error) = insist(|| runtime.remove_volume(&volume)).await
    {
        tracing::warn!(%volume, %error, "a scratch volume could not be removed");
    }
}

/// Removes an earlier run's scratch volume, and that run's helper, which holds it even when it has ended.
async fn remove_leftover(runtime: &dyn ContainerRuntime, volume: &VolumeName, backup: &BackupId) -> Result<()> {
    let Err(in_use) = runtime.remove_volume(volume).await else { return Ok(()) };
    if in_use.kind() != ErrorKind::Conflict {
        return Err(in_use);
    }
    let helpers = runtime.list_helpers().await?;
    let of_backup =
        |helper: &&HelperInfo| helper.labels.get(label::BACKUP).is_some_and(|name| *name == backup.as_str());
    for helper in helpers.iter().filter(of_backup).filter(|helper| helper.role == HelperRole::Engine) {
        if helper.running {
            return Err(busy(backup, in_use));
        }
        runtime.remove_helper(&helper.id).await?;
    }
    runtime.remove_volume(volume).await.map_err(|error| match error.kind() {
        ErrorKind::Conflict => busy(backup, error),
        _ => error,
    })
}

fn busy(backup: &BackupId, error: Error) -> Error {
    let reason = "another run is working on it at this moment";
    Error::new(ErrorKind::Conflict, "begin a run of backup", backup.as_str(), reason).with_source(error)
}

/// Where a helper sees a mount.
pub(super) fn folder_of(mount: &PointMount) -> MountFolder {
    MountFolder { key: mount.key.clone(), path: PathBuf::from(BACKUP_ROOT).join(mount.key.as_str()) }
}
