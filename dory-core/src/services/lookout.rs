//! Noticing who starts inside a stop window although nobody asked for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::domain::container::Container;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::id::ContainerId;
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::domain::restore_point::PointMount;
use crate::error::Result;
use crate::ports::{Clock, ContainerAction, ContainerEvent, ContainerRuntime, EventStream};

/// Listens to the runtime from before the first stop until after the last start.
#[derive(Debug)]
pub(super) struct Lookout {
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Vec<ContainerEvent>>>,
    listener: JoinHandle<()>,
    /// From when until when all stood still, by our own clock.
    stillness: Mutex<(Option<Timestamp>, Option<Timestamp>)>,
}

impl Lookout {
    /// Begins to listen.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) async fn begin(runtime: &Arc<dyn ContainerRuntime>, clock: &Arc<dyn Clock>) -> Result<Self> {
        let events = runtime.events().await?;
        let heard = Arc::default();
        let listener = tokio::spawn(listen(events, Arc::clone(&heard)));
        Ok(Self {
            runtime: Arc::clone(runtime),
            clock: Arc::clone(clock),
            heard,
            listener,
            stillness: Mutex::default(),
        })
    }

    /// Everybody stands still from now on.
    pub(super) fn all_stand_still(&self) {
        lock(&self.stillness).0 = Some(self.clock.now());
    }

    /// From now on they start again.
    pub(super) fn all_may_start(&self) {
        lock(&self.stillness).1.get_or_insert(self.clock.now());
    }

    /// What they may have written to who started in between, of `data`, while `quieted` had to stand still. A container
    /// that cannot be asked any more is taken for harmless, for nobody can tell what it saw.
    pub(super) async fn intrusions(self, data: &[PointMount], quieted: &[Quiet]) -> Vec<Warning> {
        self.listener.abort();
        let mut warnings = Vec::new();
        for id in self.started_in_between(quieted) {
            let left_running = |quiet: &Quiet| quiet.id == id && quiet.mode == StopMode::None;
            if quieted.iter().any(left_running) {
                continue;
            }
            let Ok(container) = self.runtime.inspect_container(id.as_str()).await else { continue };
            let written = data.iter().filter(|mount| may_write(&container, mount));
            warnings.extend(written.map(|mount| warning(&container, mount)));
        }
        warnings
    }

    fn started_in_between(&self, quieted: &[Quiet]) -> BTreeSet<ContainerId> {
        let (Some(from), Some(until)) = *lock(&self.stillness) else { return BTreeSet::new() };
        let heard = lock(&self.heard);
        // The engine's clock may not be ours. When its last container ended is when ours saw all stand still.
        let ended = |event: &&ContainerEvent| {
            event.action == ContainerAction::Ended && quieted.iter().any(|quiet| quiet.id == event.id)
        };
        let engines_from = heard.iter().filter(ended).map(|event| event.at).max().unwrap_or(from);
        let engines_until = engines_from.saturating_add(until.duration_since(from)).unwrap_or(until);
        let between = |event: &&ContainerEvent| {
            event.action == ContainerAction::Started && (engines_from..engines_until).contains(&event.at)
        };
        heard.iter().filter(between).map(|event| event.id.clone()).collect()
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Where the connection breaks, nothing more is heard: the calls that open and close the window tell that by themselves.
async fn listen(mut events: EventStream, heard: Arc<Mutex<Vec<ContainerEvent>>>) {
    while let Some(Ok(event)) = events.next().await {
        if matches!(event.action, ContainerAction::Started | ContainerAction::Ended) {
            lock(&heard).push(event);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
