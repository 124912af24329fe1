//! Showing from anywhere how far a command is: a small document, written every few seconds at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::domain::id::CommandId;
use crate::error::ErrorKind;
use crate::services::{Dory, Part, RunEvent, RunEvents};

/// How often it is written at most: object stores take one write a second of an object, and each costs.
const EVERY: Duration = Duration::from_secs(5);

/// What one command says while it is under way.
pub(super) struct Progress {
    latest: Arc<(Mutex<Option<String>>, Notify)>,
    writer: JoinHandle<()>,
}

impl Progress {
    pub(super) fn of(dory: &Dory, id: CommandId) -> Self {
        let latest = Arc::<(Mutex<Option<String>>, Notify)>::default();
        let writer = tokio::spawn(write(dory.clone(), id, Arc::clone(&latest)));
        Self { latest, writer }
    }

    /// Where the run's events go.
    pub(super) fn events(&self) -> RunEvents {
        let latest = Arc::clone(&self.latest);
        RunEvents::new(move |event| {
            let Some(words) = words(&event) else { return };
            *latest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
            latest.1.notify_one();
        })
    }

    /// Writes nothing any more.
    pub(super) async fn end(self) {
        self.writer.abort();
        // It was told to end.
        let _ = self.writer.await;
    }
}

async fn write(dory: Dory, id: CommandId, latest: Arc<(Mutex<Option<String>>, Notify)>) {
    let (catalog, clock) = (dory.shared_catalog(), dory.clock());
    let Ok(key) = Part::Progress.key(dory.server(), id) else { return };
    loop {
        latest.1.notified().await;
        let Some(words) = latest.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { continue };
        let written = match catalog.find_document::<String>(&key).await {
            Ok(Some(found)) => catalog.replace_document(&key, &found, words).await.map(drop),
            Ok(None) => catalog.create_document(&key, words).await.map(drop),
            Err(error) => Err(error),
        };
        // Nobody misses a word that the next one replaces.
        if let Err(error) = written
            && error.kind() != ErrorKind::Unavailable
        {
            tracing::debug!(command = %id, %error, "a command's progress could not be written");
        }
        clock.sleep(EVERY).await;
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
