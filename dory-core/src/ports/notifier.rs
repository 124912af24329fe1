//! Telling people.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Sends notices to people or to what watches for them: mail, a webhook.
#[async_trait]
pub trait Notifier: Debug + Send + Sync + 'static {
    /// Hands `notice` over. `Ok` means that the other side took it, not that anybody read it.
    ///
    /// Sending the same [`Notice::id`] twice must be harmless: implementations pass it on (a Message-ID, an
    /// idempotency key) so that receivers can tell.
    ///
    /// # Errors
    /// `Unavailable` if trying again later may help; `PermissionDenied` or `InvalidInput` if it will not.
    async fn send(&self, notice: &Notice) -> Result<()>;
}

/// Something people should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for every attempt to send it.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// One line.
    pub subject: String,
    /// The whole, as plain text.
    pub text: String,
    /// The whole, as HTML, where there is such a form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// All is well; here is how it went.
    Report,
    /// Something needs a look.
    Warning,
    /// Something is down or lost.
    Alarm,
}
