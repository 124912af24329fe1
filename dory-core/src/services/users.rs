//! Reading and changing who may come in.

use super::{Dory, noise};
use crate::domain::id::TokenId;
use crate::domain::keys::MasterKey;
use crate::domain::password::PasswordHash;
use crate::domain::secret::Secret;
use crate::domain::user::{ApiToken, SealedUsers, Users};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// How often a change is tried anew when somebody else changed the same document meanwhile.
const ATTEMPTS: u32 = 10;

impl Dory {
    /// Whether the store can hold users: without a passphrase, whoever can write to it could add themselves.
    ///
    /// # Errors
    /// As for [`open_fleet`](Self::open_fleet).
    pub async fn can_keep_users(&self) -> Result<bool> {
        Ok(self.open_fleet().await?.1.is_some())
    }

    /// Everybody who may come in.
    ///
    /// # Errors
    /// `PermissionDenied` for a document that nobody who knows the passphrase wrote; `Unsupported` in a fleet without
    /// one; the store's.
    pub async fn users(&self) -> Result<Users> {
        let key = self.key_for_users().await?;
        match self.catalog.find_document::<SealedUsers>(&document()?).await? {
            Some(found) => found.body.open(key),
            None => Ok(Users::default()),
        }
    }

    /// Changes who may come in, however many others do so at the same time, and gives the result.
    ///
    /// # Errors
    /// As for [`users`](Self::users); what `change` returns, and then nothing was written; `Conflict` after many
    /// attempts.
    pub async fn change_users(&self, mut change: impl FnMut(&mut Users) -> Result<()> + Send) -> Result<Users> {
        let key = self.key_for_users().await?;
        for _ in 0..ATTEMPTS {
            let found = self.catalog.find_document::<SealedUsers>(&document()?).await?;
            let mut users = match &found {
                Some(found) => found.body.clone().open(key)?,
                None => Users::default(),
            };
            change(&mut users)?;
            let sealed = SealedUsers::new(key, users.clone())?;
            let written = match &found {
                Some(found) => self.catalog.replace_document(&document()?, found, sealed).await,
                None => self.catalog.create_document(&document()?, sealed).await,
            };
            match written {
                Ok(_) => return Ok(users),
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
        let reason = "others kept changing it at the same time";
        Err(Error::new(ErrorKind::Conflict, "change document", "users.json", reason))
    }

    /// What is to be kept of a new password.
    ///
    /// # Errors
    /// As for [`PasswordHash::of`]; `Internal` without randomness.
    pub fn hash_password(&self, password: &Secret) -> Result<PasswordHash> {
        PasswordHash::of(password, &noise()?.to_le_bytes())
    }

    /// A new token's id and text. The text is shown once, and only its hash kept.
    ///
    /// # Errors
    /// `Internal` without randomness.
    pub fn new_token(&self) -> Result<(TokenId, Secret)> {
        let (a, b) = (noise()?.to_le_bytes(), noise()?.to_le_bytes());
        let mut entropy = [0; ApiToken::ENTROPY];
        entropy[..16].copy_from_slice(&a);
        entropy[16..].copy_from_slice(&b);
        Ok((TokenId::new(self.clock.now(), noise()?), ApiToken::text_from(&entropy)))
    }

    async fn key_for_users(&self) -> Result<&MasterKey> {
        self.open_fleet().await?.1.as_ref().ok_or_else(|| {
            let reason = "without a passphrase, whoever can write to the store could add themselves";
            Error::new(ErrorKind::Unsupported, "keep users in", self.catalog.location(), reason)
                .with_hint("make a store with a passphrase: `dory init`")
        })
    }
}

fn document() -> Result<DocumentKey> {
    DocumentKey::parse("users.json")
}
