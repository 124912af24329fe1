//! A doorbell within one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dory_core::Result;
use dory_core::domain::id::ServerName;
use dory_core::ports::{Clock, Doorbell};
use tokio::sync::Notify;

use super::{FakeClock, Journal};

pub(crate) const PORT: &str = "doorbell";

/// A [`Doorbell`] that loses no ring. Clones share one bell. A wait times out by the fake clock.
#[derive(Clone, Debug)]
pub struct FakeDoorbell {
    bells: Arc<Mutex<BTreeMap<ServerName, Arc<Notify>>>>,
    clock: FakeClock,
    journal: Journal,
}

impl FakeDoorbell {
    /// A bell whose waits time out by `clock`, and which writes its calls into `journal`.
    #[must_use]
    pub fn with(clock: &FakeClock, journal: &Journal) -> Self {
        Self { bells: Arc::default(), clock: clock.clone(), journal: journal.clone() }
    }

    /// This bell as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Doorbell> {
        Arc::new(self.clone())
    }

    fn bell(&self, server: &ServerName) -> Arc<Notify> {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(bells.entry(server.clone()).or_default())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Doorbell for FakeDoorbell {
    async fn ring(&self, server: &ServerName) -> Result<()> {
        let call = self.journal.begin(PORT, "ring", server.as_str(), "");
        // Keeps one permit, however often nobody was there to take it; passes it on if its taker is dropped.
        self.bell(server).notify_one();
        call.end(Ok(()))
    }

    async fn wait(&self, server: &ServerName, timeout: Duration) -> Result<bool> {
        let call = self.journal.begin(PORT, "wait", server.as_str(), "");
        let bell = self.bell(server);
        let rung = tokio::select! {
            biased;
            () = bell.notified() => true,
            () = self.clock.sleep(timeout) => false,
        };
        call.end(Ok(rung))
    }
}
