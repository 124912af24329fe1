//! A notifier and a doorbell that fail when a test says so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dory_core::Result;
use dory_core::domain::id::ServerName;
use dory_core::ports::{Doorbell, Notice, Notifier};

use super::{Faulty, FaultyPort};

impl FaultyPort for dyn Notifier {
    const METHODS: &'static [&'static str] = &["send"];
}

impl Faulty<dyn Notifier> {
    /// This notifier as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Notifier> {
        Arc::new(self.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Notifier for Faulty<dyn Notifier> {
    async fn send(&self, notice: &Notice) -> Result<()> {
        self.run("send", || self.inner.send(notice)).await
    }
}

impl FaultyPort for dyn Doorbell {
    const METHODS: &'static [&'static str] = &["ring", "wait"];
}

impl Faulty<dyn Doorbell> {
    /// This bell as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Doorbell> {
        Arc::new(self.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Doorbell for Faulty<dyn Doorbell> {
    async fn ring(&self, server: &ServerName) -> Result<()> {
        self.run("ring", || self.inner.ring(server)).await
    }

    async fn wait(&self, server: &ServerName, timeout: Duration) -> Result<bool> {
        self.run("wait", || self.inner.wait(server, timeout)).await
    }
}
