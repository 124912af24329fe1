//! Which servers fell silent, asked cheaply: a listing tells when each last wrote.

use std::time::Duration;

use jiff::SignedDuration;

use super::Catalog;
use crate::domain::id::ServerName;
use crate::error::Result;
use crate::ports::DocumentKey;

/// How long a server may write nothing: many heartbeats.
const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// How long a look is good for.
const LOOK: Duration = Duration::from_secs(300);

impl Catalog {
    /// The servers that wrote nothing for five minutes before another wrote last, and did not end in order. The store's own
    /// clock tells, and no host's.
    ///
    /// # Errors
    /// The store's.
    pub async fn silent_servers(&self) -> Result<Vec<ServerName>> {
        let mut listed = self.store.list(&DocumentKey::parse("servers")?).await?;
        let Some(newest) = listed.iter().map(|stat| stat.modified).max() else { return Ok(Vec::new()) };
        listed.retain(|stat| newest.duration_since(stat.modified) > SILENT_AFTER);
        let read = self.servers_seen.read_and_keep(&self.store, listed).await?;
        let silent = read.found.into_iter().filter(|(_, server)| !server.lease.released);
        Ok(silent.map(|(_, server)| server.name.clone()).collect())
    }

    /// The same, as it was a few minutes ago at most.
    ///
    /// # Errors
    /// As for [`silent_servers`](Self::silent_servers).
    pub(super) async fn recently_silent(&self) -> Result<Vec<ServerName>> {
        let now = self.clock.monotonic();
        let mut kept = self.silence.lock().await;
        if let Some((at, silent)) = &*kept
            && now.saturating_sub(*at) < LOOK
        {
            return Ok(silent.clone());
        }
        let silent = self.silent_servers().await?;
        *kept = Some((now, silent.clone()));
        Ok(silent)
    }
}
