//! What all requests share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dory_core::Result;
use dory_core::services::{Cancel, Dory};
use tokio::sync::Mutex as AsyncMutex;

use crate::accounts::Accounts;
use crate::attempts::Attempts;
use crate::idempotency::Idempotency;
use crate::jobs::Jobs;
use crate::look::Look;
use crate::options::WebOptions;
use crate::sessions::Sessions;

/// For how long a look counts: a page that many look at lists the store once.
const FRESH: Duration = Duration::from_secs(3);

/// What all requests share. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dory: Dory,
    pub(crate) options: WebOptions,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) attempts: Attempts,
    pub(crate) jobs: Jobs,
    pub(crate) idempotency: Idempotency,
    /// What opens the door to a new admin, once.
    pub(crate) first: Mutex<Option<FirstLink>>,
    /// Set when everything is to end.
    pub(crate) ending: Cancel,
    look: AsyncMutex<Option<(Duration, Arc<Look>)>>,
}

/// A link by which somebody becomes an admin.
#[derive(Clone, Debug)]
pub(crate) struct FirstLink {
    pub(crate) token: String,
    /// Whether it holds although there is an admin.
    pub(crate) although_there_is_one: bool,
}

impl App {
    pub(crate) fn new(dory: Dory, options: WebOptions) -> Result<Self> {
        Ok(Self(Arc::new(Shared {
            accounts: Accounts::new(dory.clone())?,
            sessions: Sessions::new()?,
            attempts: Attempts::default(),
            jobs: Jobs::new(dory.clone()),
            idempotency: Idempotency::default(),
            first: Mutex::default(),
            ending: Cancel::new(),
            look: AsyncMutex::default(),
            dory,
            options,
        })))
    }

    /// The fleet, as it was a few seconds ago at most.
    pub(crate) async fn look(&self) -> Result<Arc<Look>> {
        let mut kept = self.look.lock().await;
        let now = self.dory.clock().monotonic();
        if let Some((at, look)) = &*kept
            && now.saturating_sub(*at) < FRESH
        {
            return Ok(Arc::clone(look));
        }
        let look = Arc::new(Look::of(&self.dory).await?);
        *kept = Some((now, Arc::clone(&look)));
        Ok(look)
    }

    /// Forgets what was seen: somebody changed it.
    pub(crate) async fn look_anew(&self) {
        *self.look.lock().await = None;
    }

    /// The link's token, if it still opens a door.
    pub(crate) async fn first_link(&self) -> Result<Option<String>> {
        let link = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(link) = link else { return Ok(None) };
        let taken = !link.although_there_is_one && self.accounts.users().await?.has_admin();
        Ok((!taken).then_some(link.token))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
