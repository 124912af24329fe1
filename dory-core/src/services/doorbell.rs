//! The doorbell that every store has: a small document each server looks at now and then.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Catalog;
use crate::domain::id::ServerName;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, DocumentKey, Doorbell};

/// How often a server looks. One read in five seconds is 520,000 a month: 0.21 USD where 10,000 cost 0.004 USD.
const LOOK: Duration = Duration::from_secs(5);

/// How often a ring is tried anew when others ring at the same moment.
const ATTEMPTS: u32 = 10;

/// A doorbell in the catalog itself: a counter that rings count up, and that its server reads.
pub struct CatalogDoorbell {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    /// The rings that each server has heard.
    heard: Mutex<BTreeMap<ServerName, u64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rings {
    rings: u64,
}

impl CatalogDoorbell {
    /// A doorbell in `catalog`.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Self {
        Self { catalog, clock, heard: Mutex::default() }
    }

    async fn rings(&self, key: &DocumentKey) -> Result<u64> {
        Ok(self.catalog.find_document::<Rings>(key).await?.map_or(0, |found| found.body.rings))
    }
}

#[async_trait]
impl Doorbell for CatalogDoorbell {
    async fn ring(&self, server: &ServerName) -> Result<()> {
        let key = key_of(server)?;
        for _ in 0..ATTEMPTS {
            let rung = match self.catalog.find_document::<Rings>(&key).await? {
                None => self.catalog.create_document(&key, Rings { rings: 1 }).await,
                Some(found) => {
                    let next = Rings { rings: found.body.rings + 1 };
                    self.catalog.replace_document(&key, &found, next).await
                }
            };
            match rung {
                // Somebody else rang: but whether before this server looked last, nobody knows.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                rung => return rung.map(drop),
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "ring for server", server.as_str(), "too many ring at the same time"))
    }

    async fn wait(&self, server: &ServerName, timeout: Duration) -> Result<bool> {
        let (key, begun) = (key_of(server)?, self.clock.monotonic());
        loop {
            let rings = self.rings(&key).await?;
            {
                let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                if heard.get(server).copied().unwrap_or_default() != rings {
                    heard.insert(server.clone(), rings);
                    return Ok(true);
                }
            }
            let left = timeout.saturating_sub(self.clock.monotonic().saturating_sub(begun));
            if left.is_zero() {
                return Ok(false);
            }
            self.clock.sleep(left.min(LOOK)).await;
        }
    }
}

impl Debug for CatalogDoorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogDoorbell").field("catalog", &self.catalog.location()).finish_non_exhaustive()
    }
}

fn key_of(server: &ServerName) -> Result<DocumentKey> {
    DocumentKey::parse(format!("doorbells/{server}.json"))
}
