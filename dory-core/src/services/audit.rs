//! Keeping who did what.

use jiff::{SignedDuration, Timestamp};

use super::{Dory, noise};
use crate::domain::audit::AuditEntry;
use crate::domain::id::AuditId;
use crate::error::{ErrorKind, ErrorRecord, Result};
use crate::ports::DocumentKey;

/// How long entries are kept: a year.
const KEPT: SignedDuration = SignedDuration::from_hours(366 * 24);

impl Dory {
    /// Writes down who did what.
    ///
    /// # Errors
    /// The store's.
    pub async fn record_audit(
        &self,
        by: &str,
        from: Option<String>,
        action: &str,
        subject: &str,
        error: Option<ErrorRecord>,
    ) -> Result<AuditEntry> {
        let id = AuditId::new(self.clock.now(), noise()?);
        let entry =
            AuditEntry { id, by: by.to_owned(), from, action: action.to_owned(), subject: subject.to_owned(), error };
        Ok(self.catalog.create_document(&key(id)?, entry).await?.body)
    }

    /// The newest entries about who did what, the newest first; older than `before`, where given. What is damaged is
    /// left out.
    ///
    /// # Errors
    /// The store's.
    pub async fn audit(&self, before: Option<AuditId>, count: usize) -> Result<Vec<AuditEntry>> {
        let mut ids: Vec<AuditId> = self.audit_ids().await?;
        ids.retain(|id| before.is_none_or(|before| *id < before));
        ids.sort_unstable();
        let mut entries = Vec::new();
        for id in ids.into_iter().rev().take(count) {
            match self.catalog.find_document::<AuditEntry>(&key(id)?).await {
                Ok(found) => entries.extend(found.map(|found| found.body)),
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                    tracing::warn!(%error, "an audit entry cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    /// Removes entries that are older than a year.
    ///
    /// # Errors
    /// The store's.
    pub async fn trim_audit(&self) -> Result<()> {
        let oldest = self.clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        for id in self.audit_ids().await?.into_iter().filter(|id| id.made_at() < oldest) {
            self.catalog.delete_document(&key(id)?).await?;
        }
        Ok(())
    }

    async fn audit_ids(&self) -> Result<Vec<AuditId>> {
        let id = |key: &DocumentKey| {
            let file = key.as_str().strip_prefix("audit/")?.strip_suffix(".json")?;
            AuditId::parse(file).ok()
        };
        Ok(self.catalog.list_documents("audit").await?.iter().filter_map(|stat| id(&stat.key)).collect())
    }
}

fn key(id: AuditId) -> Result<DocumentKey> {
    DocumentKey::parse(format!("audit/{id}.json"))
}
