//! The ways out to people and to what watches for them.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::Notifier;
use crate::domain::contact::{MailAddress, SmtpUrl, WebUrl};
use crate::domain::ping::PingSignal;
use crate::domain::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Makes notifiers out of what the fleet's settings say, and pings.
///
/// Making one asks nobody: what is wrong with an address shows when something is sent.
#[async_trait]
pub trait Channels: Debug + Send + Sync + 'static {
    /// Who sends mail.
    ///
    /// # Errors
    /// `InvalidInput` for what can never work; `Unsupported` where this Dory was built without mail.
    fn mail(&self, account: &MailAccount) -> Result<Arc<dyn Notifier>>;

    /// Who tells a web server.
    ///
    /// # Errors
    /// As for [`mail`](Self::mail).
    fn webhook(&self, endpoint: &WebhookEndpoint) -> Result<Arc<dyn Notifier>>;

    /// Pings: tells `signal` to `address`, which has it in its path already, with a few `words` about it. It waits for an
    /// answer for some seconds at most, and tries again in them; a ping that comes twice must be harmless.
    ///
    /// # Errors
    /// `Unavailable` if nobody answered; `PermissionDenied` or `InvalidInput` if trying again will not help; `Unsupported`
    /// where this Dory was built without.
    async fn ping(&self, address: &WebUrl, signal: PingSignal, words: &str) -> Result<()>;
}

/// What it takes to send mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAccount {
    /// The server that takes it.
    pub smtp: SmtpUrl,
    /// The password for it.
    pub password: Option<Secret>,
    /// Who it is from.
    pub from: MailAddress,
    /// Who gets it: one mail to all of them. At least one.
    pub to: Vec<MailAddress>,
}

/// What it takes to tell a web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// Where.
    pub url: WebUrl,
    /// What it can check signatures with; nothing is signed where `None`.
    pub secret: Option<Secret>,
}

/// No way out at all: what there is until somebody brings one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoChannels;

#[async_trait]
impl Channels for NoChannels {
    fn mail(&self, account: &MailAccount) -> Result<Arc<dyn Notifier>> {
        Err(no_way("send mail by", account.smtp.host.as_str()))
    }

    fn webhook(&self, endpoint: &WebhookEndpoint) -> Result<Arc<dyn Notifier>> {
        Err(no_way("tell", endpoint.url.place()))
    }

    async fn ping(&self, address: &WebUrl, _: PingSignal, _: &str) -> Result<()> {
        Err(no_way("ping", address.place()))
    }
}

fn no_way(operation: &str, subject: &str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, subject, "this Dory was built without it")
}
