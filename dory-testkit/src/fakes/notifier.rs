//! A notifier that keeps what it is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dory_core::ports::{Notice, Notifier};
use dory_core::{Error, ErrorKind, Result};

use super::{FakeClock, Journal};
use crate::contracts::notifier::Receiver;

pub(crate) const PORT: &str = "notifier";

/// A [`Notifier`] that people read in tests. Clones share one letter box.
#[derive(Clone, Debug)]
pub struct FakeNotifier {
    state: Arc<Mutex<State>>,
    journal: Journal,
}

#[derive(Debug, Default)]
struct State {
    deliveries: Vec<Notice>,
    refusal: Option<ErrorKind>,
}

impl FakeNotifier {
    /// An empty letter box with a journal of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Journal::new(&FakeClock::new()))
    }

    /// An empty letter box that writes its calls into `journal`.
    #[must_use]
    pub fn with(journal: &Journal) -> Self {
        Self { state: Arc::default(), journal: journal.clone() }
    }

    /// This notifier as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Notifier> {
        Arc::new(self.clone())
    }

    /// What people see: each notice once, whichever was first of those with the same id.
    #[must_use]
    pub fn received(&self) -> Vec<Notice> {
        let mut received: Vec<Notice> = Vec::new();
        for notice in &self.lock().deliveries {
            if received.iter().all(|known| known.id != notice.id) {
                received.push(notice.clone());
            }
        }
        received
    }

    /// Every notice that was taken, repetitions included.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Notice> {
        self.lock().deliveries.clone()
    }

    /// Refuses every notice from now on.
    pub fn refuse(&self, kind: ErrorKind) {
        self.lock().refusal = Some(kind);
    }

    /// Takes notices again.
    pub fn accept(&self) {
        self.lock().refusal = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeNotifier {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Notifier for FakeNotifier {
    async fn send(&self, notice: &Notice) -> Result<()> {
        let call = self.journal.begin(PORT, "send", &notice.subject, "");
        let mut state = self.lock();
        let changed = state.deliveries.iter().find(|known| known.id == notice.id).is_some_and(|known| known != notice);
        if changed {
            self.journal.complain(format!("notice `{}` was sent again with other words", notice.id));
        }
        if let Some(kind) = state.refusal {
            return call.end(Err(Error::new(kind, "send notice", &notice.subject, "the test refuses it")));
        }
        state.deliveries.push(notice.clone());
        call.end(Ok(()))
    }
}

#[async_trait]
impl Receiver for FakeNotifier {
    async fn taken(&self) -> Vec<Notice> {
        self.deliveries()
    }

    async fn refuse(&self, kind: ErrorKind) {
        Self::refuse(self, kind);
    }

    async fn accept(&self) {
        Self::accept(self);
    }
}
