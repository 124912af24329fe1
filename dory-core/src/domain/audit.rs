//! Who did what.

use serde::{Deserialize, Serialize};

use super::id::AuditId;
use crate::error::ErrorRecord;

/// One thing that somebody did, or tried to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Names it, and tells when.
    pub id: AuditId,
    /// Who: a user's name, `token <name>`, or nobody known.
    pub by: String,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What, in words: `restore`.
    pub action: String,
    /// To what.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Why it was not done, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}
