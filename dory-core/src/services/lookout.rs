//! Noticing who starts inside a stop window although nobody asked for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::domain::container::Container;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::id::ContainerId;
use crate::domain::plan::Quiet;
use crate::domain::restore_point::PointMount;
use crate::error::Result;
use crate::ports::{ContainerAction, ContainerRuntime, EventStream};

/// Listens to the runtime from before the first stop until the first start.
#[derive(Debug)]
pub(super) struct Lookout {
    runtime: Arc<dyn ContainerRuntime>,
    heard: Arc<Mutex<Heard>>,
    listener: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Whether whoever starts now does so in the window.
    standing_still: bool,
    started: BTreeSet<ContainerId>,
}

impl Lookout {
    /// Begins to listen.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) async fn begin(runtime: &Arc<dyn ContainerRuntime>) -> Result<Self> {
        let events = runtime.events().await?;
        let heard = Arc::default();
        let listener = tokio::spawn(listen(events, Arc::clone(&heard)));
        Ok(Self { runtime: Arc::clone(runtime), heard, listener })
    }

    /// Everybody stands still from now on.
    pub(super) fn all_stand_still(&self) {
        lock(&self.heard).standing_still = true;
    }

    /// From now on they start again.
    pub(super) fn all_may_start(&self) {
        lock(&self.heard).standing_still = false;
    }

    /// What they may have written to who started in between: of `data`, beside what `expected` may write anyway. A
    /// container that cannot be asked any more is taken for harmless, for its end was heard of in the same breath.
    pub(super) async fn intrusions(self, data: &[PointMount], expected: &[Quiet]) -> Vec<Warning> {
        self.listener.abort();
        let started = std::mem::take(&mut lock(&self.heard).started);
        let mut warnings = Vec::new();
        for id in started {
            let Ok(container) = self.runtime.inspect_container(id.as_str()).await else { continue };
            let left_running = |quiet: &Quiet| quiet.id == id && quiet.mode == crate::domain::policy::StopMode::None;
            if !expected.iter().any(left_running) {
                warnings.extend(
                    data.iter().filter(|mount| may_write(&container, mount)).map(|mount| warning(&container, mount)),
                );
            }
        }
        warnings
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Where the connection breaks, nothing more is heard: the calls that open and close the window tell that by themselves.
async fn listen(mut events: EventStream, heard: Arc<Mutex<Heard>>) {
    while let Some(Ok(event)) = events.next().await {
        let mut heard = lock(&heard);
        if heard.standing_still && event.action == ContainerAction::Started {
            heard.started.insert(event.id);
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn may_write(container: &Container, mount: &PointMount) -> bool {
    let ours = mount.as_mount();
    container.mounts.iter().any(|other| other.writable && other.shares_data_with(&ours))
}

fn warning(container: &Container, mount: &PointMount) -> Warning {
    Warning {
        kind: WarningKind::WriterStarted,
        path: EntryPath::new(mount.key.as_str()),
        detail: format!("container `{}` was started by somebody else while it had to stand still", container.name),
    }
}
