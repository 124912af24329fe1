//! What plain restic and duplicity need to open a backup's repositories without Dory.

use serde::Serialize;

use super::Dory;
use crate::domain::policy::EngineKind;
use crate::domain::secret::Secret;
use crate::error::Result;

/// What opens one repository.
#[derive(Clone, Debug, Serialize)]
pub struct RepositoryKey {
    /// Which engine wrote it.
    pub engine: EngineKind,
    /// Where it is: the store's URL and the folder below it.
    pub place: String,
    /// Its password; `None` where it is not encrypted.
    pub password: Option<Secret>,
}

impl Dory {
    /// What opens a backup's repositories. The passwords are secrets: show them only to whoever asked.
    ///
    /// # Errors
    /// `NotFound`; `WrongKey`; the store's.
    pub async fn repository_keys(&self, reference: &str) -> Result<Vec<RepositoryKey>> {
        let (_, key) = self.open_fleet().await?;
        let backup = self.find_backup(reference).await?;
        let key_of = |engine: &EngineKind| RepositoryKey {
            engine: *engine,
            place: format!("{}/data/{}/{engine}", self.catalog.location(), backup.id),
            password: key.as_ref().map(|key| key.repository_password(&backup.id, *engine)),
        };
        Ok(backup.engines.iter().map(key_of).collect())
    }
}
