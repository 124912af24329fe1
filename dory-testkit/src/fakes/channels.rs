//! Ways out that lead to letter boxes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dory_core::domain::contact::WebUrl;
use dory_core::domain::ping::PingSignal;
use dory_core::ports::{Channels, MailAccount, Notifier, WebhookEndpoint};
use dory_core::{Error, ErrorKind, Result};

use super::Journal;

pub(crate) const PORT: &str = "channels";

/// [`Channels`] that lead to two notifiers, one for mail and one for webhooks, and keep pings. Clones share all of it.
#[derive(Clone, Debug)]
pub struct FakeChannels {
    mail: Arc<dyn Notifier>,
    webhooks: Arc<dyn Notifier>,
    state: Arc<Mutex<State>>,
    journal: Journal,
}

#[derive(Debug, Default)]
struct State {
    accounts: Vec<MailAccount>,
    endpoints: Vec<WebhookEndpoint>,
    pings: Vec<(PingSignal, String, String)>,
    pings_refused: Option<ErrorKind>,
}

impl FakeChannels {
    /// Ways out to these two, which write their calls into `journal`.
    #[must_use]
    pub fn to(mail: Arc<dyn Notifier>, webhooks: Arc<dyn Notifier>, journal: &Journal) -> Self {
        Self { mail, webhooks, state: Arc::default(), journal: journal.clone() }
    }

    /// These ways out as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Channels> {
        Arc::new(self.clone())
    }

    /// By which accounts mail was sent, or was to be.
    #[must_use]
    pub fn accounts(&self) -> Vec<MailAccount> {
        self.lock().accounts.clone()
    }

    /// Which web servers were told, or were to be.
    #[must_use]
    pub fn endpoints(&self) -> Vec<WebhookEndpoint> {
        self.lock().endpoints.clone()
    }

    /// What was pinged: the signal, the address, the words.
    #[must_use]
    pub fn pings(&self) -> Vec<(PingSignal, String, String)> {
        self.lock().pings.clone()
    }

    /// Refuses every ping from now on.
    pub fn refuse_pings(&self, kind: ErrorKind) {
        self.lock().pings_refused = Some(kind);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Channels for FakeChannels {
    fn mail(&self, account: &MailAccount) -> Result<Arc<dyn Notifier>> {
        self.lock().accounts.push(account.clone());
        Ok(Arc::clone(&self.mail))
    }

    fn webhook(&self, endpoint: &WebhookEndpoint) -> Result<Arc<dyn Notifier>> {
        self.lock().endpoints.push(endpoint.clone());
        Ok(Arc::clone(&self.webhooks))
    }

    async fn ping(&self, address: &WebUrl, signal: PingSignal, words: &str) -> Result<()> {
        let call = self.journal.begin(PORT, "ping", address.as_str(), "");
        let mut state = self.lock();
        if let Some(kind) = state.pings_refused {
            return call.end(Err(Error::new(kind, "ping", address.place(), "the test refuses it")));
        }
        state.pings.push((signal, address.to_string(), words.to_owned()));
        call.end(Ok(()))
    }
}
