//! The real ways out: mail by SMTP, web servers over HTTP.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::adapters::email::Mailer;
use crate::adapters::webhook::{WebClient, Webhook, ping};
use crate::domain::contact::WebUrl;
use crate::domain::ping::PingSignal;
use crate::error::Result;
use crate::ports::{Channels, Clock, MailAccount, Notifier, WebhookEndpoint};

/// The real ways out.
#[derive(Debug)]
pub(super) struct RealChannels {
    clock: Arc<dyn Clock>,
    allow_private: bool,
    /// Made when it is first needed: it reads the system's authorities, and most runs of Dory tell nobody.
    client: OnceLock<WebClient>,
}

impl RealChannels {
    /// They reach into private networks by HTTP only if `allow_private`.
    pub(super) fn new(clock: Arc<dyn Clock>, allow_private: bool) -> Self {
        Self { clock, allow_private, client: OnceLock::new() }
    }

    fn client(&self) -> Result<WebClient> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = WebClient::new(self.allow_private)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

#[async_trait]
impl Channels for RealChannels {
    fn mail(&self, account: &MailAccount) -> Result<Arc<dyn Notifier>> {
        Ok(Arc::new(Mailer::new(account.clone(), Arc::clone(&self.clock))))
    }

    fn webhook(&self, endpoint: &WebhookEndpoint) -> Result<Arc<dyn Notifier>> {
        Ok(Arc::new(Webhook::new(endpoint.clone(), self.client()?, Arc::clone(&self.clock))))
    }

    async fn ping(&self, address: &WebUrl, _: PingSignal, words: &str) -> Result<()> {
        ping(&self.client()?, self.clock.as_ref(), address, words).await
    }
}
