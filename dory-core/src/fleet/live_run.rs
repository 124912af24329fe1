//! Showing from anywhere what a server has under way: small documents, written every few seconds at most.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::under_way::{Entry, UnderWay};
use crate::domain::command::FleetCommand;
use crate::domain::id::RunId;
use crate::domain::run::{LiveRun, RunKind};
use crate::services::{Cancel, Dory, Part, RunEvent, RunEvents, lines_of};

/// How often each is written at most: object stores take one write a second of an object, and each costs.
const EVERY: Duration = Duration::from_secs(5);

/// How many log lines are shown.
const LINES_SHOWN: usize = 100;

/// One thing that a server does, as it shows itself while it is under way: its run, and the command it is done for.
pub(super) struct Showing {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    dory: Dory,
}

struct Shared {
    what: String,
    command: Option<FleetCommand>,
    under_way: UnderWay,
    cancel: Cancel,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    run: Option<(RunId, RunKind, Timestamp)>,
    entry: Option<Entry>,
    progress: String,
    lines_before: u64,
    log: VecDeque<String>,
    /// Whether it came as far as being written.
    shown: bool,
}

impl Showing {
    /// Begins to show `what`; the runs of it can be ended by `under_way`, which speaks `cancel`.
    pub(super) fn begin(
        dory: &Dory,
        what: String,
        command: Option<FleetCommand>,
        under_way: &UnderWay,
        cancel: &Cancel,
    ) -> Self {
        let (under_way, cancel) = (under_way.clone(), cancel.clone());
        let (state, changed) = (Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { what, command, under_way, cancel, state, changed });
        let writer = tokio::spawn(write(dory.clone(), Arc::clone(&shared)));
        Self { shared, writer, dory: dory.clone() }
    }

    /// Says how far it is, in words.
    pub(super) fn say(&self, words: impl Into<String>) {
        self.shared.lock().progress = words.into();
        self.shared.changed.notify_one();
    }

    /// Where the run's events go.
    pub(super) fn events(&self) -> RunEvents {
        let (shared, clock) = (Arc::clone(&self.shared), self.dory.clock());
        RunEvents::new(move |event| shared.note(&event, clock.now()))
    }

    /// The run that was begun last.
    pub(super) fn run(&self) -> Option<RunId> {
        self.shared.lock().run.map(|(run, ..)| run)
    }

    /// Shows nothing any more.
    pub(super) async fn end(self) {
        self.writer.abort();
        // It was told to end.
        let _ = self.writer.await;
        if let Some(run) = self.shared.end()
            && let Err(error) = self.dory.hide_live_run(run).await
        {
            tracing::debug!(%run, %error, "what a run showed of itself could not be removed");
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run whose document is to go, where it came as far as having one.
    fn end(&self) -> Option<RunId> {
        let mut state = self.lock();
        state.entry = None;
        state.run.filter(|_| state.shown).map(|(run, ..)| run)
    }

    /// What is to be shown now: of the run, where one was begun, and in words.
    fn look(&self, dory: &Dory) -> (Option<LiveRun>, String) {
        let mut state = self.lock();
        state.shown |= state.run.is_some();
        let live = state.run.map(|(id, kind, started_at)| LiveRun {
            id,
            server: dory.server().clone(),
            kind,
            what: self.what.clone(),
            started_at,
            at: dory.now(),
            progress: state.progress.clone(),
            lines_before: state.lines_before,
            log: state.log.iter().cloned().collect(),
        });
        (live, state.progress.clone())
    }

    fn note(&self, event: &RunEvent, now: Timestamp) {
        let mut state = self.lock();
        if let RunEvent::Began { run, kind } = event {
            state.run = Some((*run, *kind, now));
            state.entry = Some(self.under_way.enter(run, &self.cancel));
        }
        state.log.extend(lines_of(event));
        while state.log.len() > LINES_SHOWN {
            state.log.pop_front();
            state.lines_before += 1;
        }
        if let Some(words) = words(event) {
            state.progress = words;
        }
        drop(state);
        self.changed.notify_one();
    }
}

async fn write(dory: Dory, shared: Arc<Shared>) {
    let mut said = String::new();
    loop {
        shared.changed.notified().await;
        let (live, progress) = shared.look(&dory);
        // Nobody misses a word that the next one replaces.
        if let Some(live) = live
            && let Err(error) = dory.show_live_run(live).await
        {
            tracing::debug!(%error, "how far a run is could not be shown");
        }
        if let Some(command) = shared.command.as_ref().filter(|_| progress != said) {
            match tell_asker(&dory, command, progress.clone()).await {
                Ok(()) => said = progress,
                Err(error) => tracing::debug!(command = %command.id, %error, "a command's progress could not be shown"),
            }
        }
        dory.clock().sleep(EVERY).await;
    }
}

async fn tell_asker(dory: &Dory, command: &FleetCommand, words: String) -> crate::error::Result<()> {
    let (catalog, key) = (dory.shared_catalog(), Part::Progress.key(dory.server(), command.id)?);
    match catalog.find_document::<String>(&key).await? {
        Some(found) => catalog.replace_document(&key, &found, words).await.map(drop),
        None => catalog.create_document(&key, words).await.map(drop),
    }
}

/// A line about an event; `None` for what changes too little.
fn words(event: &RunEvent) -> Option<String> {
    Some(match event {
        RunEvent::Phase { phase } => phase.as_str().to_owned(),
        RunEvent::Quieting { container, .. } => format!("stopping {container}"),
        RunEvent::Resumed { container } => format!("{container} runs again"),
        RunEvent::Progress(progress) => match progress.bytes_total {
            Some(total) if total > 0 => {
                format!("{} %, {} of {total} bytes", progress.bytes.saturating_mul(100) / total, progress.bytes)
            }
            _ => format!("{} bytes", progress.bytes),
        },
        _ => return None,
    })
}
