//! Notices and pings for web servers.

mod client;
mod ping;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use self::client::Request;
pub use self::client::WebClient;
pub use self::ping::ping;
use self::signature::signature;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, Notice, Notifier, WebhookEndpoint};

/// How long a web server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The waits between attempts, where trying again may help.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Tells a web server: a POST of JSON, signed as [Standard Webhooks](https://www.standardwebhooks.com) has it.
#[derive(Debug)]
pub struct Webhook {
    endpoint: WebhookEndpoint,
    client: WebClient,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

/// What is posted.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: String,
    data: &'a Notice,
}

impl Webhook {
    /// Tells `endpoint`.
    #[must_use]
    pub fn new(endpoint: WebhookEndpoint, client: WebClient, clock: Arc<dyn Clock>) -> Self {
        Self { endpoint, client, clock, patience: PATIENCE }
    }

    /// Waits so long for each answer, instead of ten seconds.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn attempt(&self, notice: &Notice) -> Result<()> {
        let now = self.clock.now();
        let message = Message { r#type: "dory.notice", timestamp: now.to_string(), data: notice };
        let body = serde_json::to_vec(&message).map_err(|error| {
            Error::new(ErrorKind::Internal, "write notice", &notice.id, "it cannot be put into JSON").with_source(error)
        })?;
        let seconds = now.as_second().to_string();
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", notice.id.clone()),
            ("webhook-timestamp", seconds.clone()),
        ];
        if let Some(secret) = &self.endpoint.secret {
            headers.push(("webhook-signature", signature(secret, &notice.id, &seconds, &body)));
        }
        self.client.send(&self.endpoint.url, Request { headers, body: Some(body), patience: self.patience }).await
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, notice: &Notice) -> Result<()> {
        retrying(self.clock.as_ref(), || self.attempt(notice)).await
    }
}

/// Does `attempt` until it succeeds, trying again will not help, or it was tried often enough.
async fn retrying<F: Future<Output = Result<()>>>(clock: &dyn Clock, attempt: impl Fn() -> F) -> Result<()> {
    for wait in AGAIN_AFTER {
        match attempt().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => clock.sleep(wait).await,
            answered => return answered,
        }
    }
    attempt().await
}
