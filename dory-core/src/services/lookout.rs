//! Noticing who starts inside a stop window although nobody asked for it.

use std::collections::{BTreeMap, BTreeSet};
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

/// Listens to the runtime from before it is known who has to stand still until after the last start.
#[derive(Debug)]
pub(super) struct Lookout {
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Heard>>,
    listener: JoinHandle<()>,
    /// From when until when all stood still, by our own clock.
    stillness: Mutex<(Option<Timestamp>, Option<Timestamp>)>,
}

#[derive(Debug, Default)]
struct Heard {
    /// Starts and ends.
    events: Vec<ContainerEvent>,
    /// How many of these there were when all might start again.
    until_then: usize,
    /// Who need not be asked when it appears.
    known: BTreeSet<ContainerId>,
    /// Who appeared, as it was then: one that removes itself cannot be asked later.
    met: BTreeMap<ContainerId, JoinHandle<Option<Container>>>,
    /// Since when nothing is heard any more, by our own clock, and why.
    deaf: Option<(Timestamp, String)>,
}

impl Lookout {
    /// Begins to listen. Whoever starts from now on is noticed; who has to stand still is to be asked after this.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) async fn begin(runtime: &Arc<dyn ContainerRuntime>, clock: &Arc<dyn Clock>) -> Result<Self> {
        let events = runtime.events().await?;
        let heard = Arc::default();
        let listener = tokio::spawn(listen(events, Arc::clone(runtime), Arc::clone(clock), Arc::clone(&heard)));
        Ok(Self {
            runtime: Arc::clone(runtime),
            clock: Arc::clone(clock),
            heard,
            listener,
            stillness: Mutex::default(),
        })
    }

    /// These have to stand still. Nobody removes them, so they can be asked later.
    pub(super) fn watch_for(&self, quieted: &[Quiet]) {
        lock(&self.heard).known = quieted.iter().map(|quiet| quiet.id.clone()).collect();
    }

    /// Everybody stands still from now on.
    pub(super) fn all_stand_still(&self) {
        lock(&self.stillness).0 = Some(self.clock.now());
    }

    /// From now on they start again.
    pub(super) fn all_may_start(&self) {
        let mut stillness = lock(&self.stillness);
        if stillness.1.is_none() {
            stillness.1 = Some(self.clock.now());
            let mut heard = lock(&self.heard);
            heard.until_then = heard.events.len();
        }
    }

    /// What they may have written to who ran in between, of `data`, while `quieted` had to stand still. A container that
    /// was gone before it could be asked is taken for harmless, for nobody can tell what it saw. Where the engine fell
    /// silent meanwhile, all of `data` may have been written to.
    pub(super) async fn intrusions(self, data: &[PointMount], quieted: &[Quiet]) -> Vec<Warning> {
        self.listener.abort();
        let mut warnings = Vec::new();
        if let Some(why) = self.was_deaf() {
            warnings.extend(data.iter().map(|mount| unheard(mount, &why)));
        }
        for id in self.intruders(quieted) {
            let left_running = |quiet: &Quiet| quiet.id == id && quiet.mode == StopMode::None;
            if quieted.iter().any(left_running) {
                continue;
            }
            let Some(container) = self.ask(&id).await else { continue };
            let written = data.iter().filter(|mount| may_write(&container, mount));
            warnings.extend(written.map(|mount| warning(&container, mount)));
        }
        warnings
    }

    async fn ask(&self, id: &ContainerId) -> Option<Container> {
        let met = lock(&self.heard).met.remove(id);
        if let Some(met) = met
            && let Ok(Some(container)) = met.await
        {
            return Some(container);
        }
        self.runtime.inspect_container(id.as_str()).await.ok()
    }

    /// Why nobody was heard at a moment at which all had to stand still.
    fn was_deaf(&self) -> Option<String> {
        let (_, Some(until)) = *lock(&self.stillness) else { return None };
        let heard = lock(&self.heard);
        heard.deaf.as_ref().filter(|(since, _)| *since <= until).map(|(_, why)| why.clone())
    }

    /// Who started and was not told to, and did not end again before all stood still.
    fn intruders(&self, quieted: &[Quiet]) -> BTreeSet<ContainerId> {
        let (Some(from), Some(until)) = *lock(&self.stillness) else { return BTreeSet::new() };
        let heard = lock(&self.heard);
        let is_quieted = |id: &ContainerId| quieted.iter().any(|quiet| quiet.id == *id);
        // The engine's clock may not be ours. When its last container ended is when ours saw all stand still.
        let last_end = |event: &&ContainerEvent| event.action == ContainerAction::Ended && is_quieted(&event.id);
        let in_the_window = heard.events.iter().take(heard.until_then);
        let engines_from = in_the_window.filter(last_end).map(|event| event.at).max().unwrap_or(from);
        let engines_until = engines_from.saturating_add(until.duration_since(from)).unwrap_or(until);
        // In the order in which they were heard, for two of them can be of the same moment.
        let ended_in_time = |(at, started): (usize, &ContainerEvent)| {
            let mut later = heard.events[at..].iter();
            later.any(|end| end.action == ContainerAction::Ended && end.id == started.id && end.at <= engines_from)
        };
        let intrudes = |(at, event): &(usize, &ContainerEvent)| {
            event.action == ContainerAction::Started
                && event.at < engines_until
                // Who was to be quieted may have started before that: it was quieted all the same.
                && if is_quieted(&event.id) { event.at >= engines_from } else { !ended_in_time((*at, event)) }
        };
        heard.events.iter().enumerate().filter(intrudes).map(|(_, event)| event.id.clone()).collect()
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Notes who starts and ends, and asks about everyone who appears at once.
async fn listen(
    mut events: EventStream,
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    heard: Arc<Mutex<Heard>>,
) {
    let why = loop {
        let event = match events.next().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => break error.to_string(),
            None => break "its events ended".to_owned(),
        };
        let mut heard = lock(&heard);
        let appeared = matches!(event.action, ContainerAction::Created | ContainerAction::Started);
        if appeared && !heard.known.contains(&event.id) {
            heard.met.entry(event.id.clone()).or_insert_with(|| {
                let (runtime, id) = (Arc::clone(&runtime), event.id.clone());
                tokio::spawn(async move { runtime.inspect_container(id.as_str()).await.ok() })
            });
        }
        if matches!(event.action, ContainerAction::Started | ContainerAction::Ended) {
            heard.events.push(event);
        }
    };
    tracing::warn!(why, "the container engine does not tell any more who starts");
    lock(&heard).deaf = Some((clock.now(), why));
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

fn unheard(mount: &PointMount, why: &str) -> Warning {
    Warning {
        kind: WarningKind::WriterStarted,
        path: EntryPath::new(mount.key.as_str()),
        detail: format!("nobody knows whether a container was started meanwhile, for the engine fell silent: {why}"),
    }
}
