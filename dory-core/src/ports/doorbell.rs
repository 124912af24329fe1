//! Waking a server sooner than its next poll.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::id::ServerName;
use crate::error::Result;

/// Wakes a server that waits. It carries nothing: what there is to do stands in the catalog.
#[async_trait]
pub trait Doorbell: Debug + Send + Sync + 'static {
    /// Wakes `server`, now or at its next wait. A lost ring is allowed: the server polls too.
    ///
    /// # Errors
    /// `Unavailable` if the bell cannot be reached.
    async fn ring(&self, server: &ServerName) -> Result<()>;

    /// Waits until somebody rang for `server`, or `timeout` passed; tells which: `true` for a ring.
    ///
    /// A ring from before the call counts once. Dropping the future loses no ring.
    ///
    /// # Errors
    /// `Unavailable` if the bell cannot be reached.
    async fn wait(&self, server: &ServerName, timeout: Duration) -> Result<bool>;
}
