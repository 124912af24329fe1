//! The fleet's settings: reading them, changing them one by one.

use serde_json::Value;

use super::document::carry_over;
use super::{Dory, noise};
use crate::domain::keys::MasterKey;
use crate::domain::policy::PolicyOverrides;
use crate::domain::secret::Secret;
use crate::domain::setting_key::SettingKey;
use crate::domain::settings::{FleetSettings, LockedSecret, SealedSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// How often a change is tried anew when somebody else changed settings meanwhile.
const ATTEMPTS: u32 = 5;

/// What is done to a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingChange {
    /// It is set to this.
    Set(String),
    /// It is a secret, and set to this.
    SetSecret(Secret),
    /// It is taken back.
    Unset,
}

impl Dory {
    /// The fleet's settings; all is open where nobody set anything.
    ///
    /// # Errors
    /// `PermissionDenied` where they were written by somebody who does not know the fleet's passphrase; `Unsupported` for
    /// words of a newer Dory; as for [`open_fleet`](Self::open_fleet); the store's.
    pub async fn fleet_settings(&self) -> Result<FleetSettings> {
        match self.catalog.find_document::<SealedSettings>(&settings_key()?).await? {
            Some(found) => found.body.open(self.open_fleet().await?.1.as_ref()),
            None => Ok(FleetSettings::default()),
        }
    }

    /// Changes one setting, and gives what holds now.
    ///
    /// # Errors
    /// As for [`fleet_settings`](Self::fleet_settings); `InvalidInput` naming the setting and what it may hold;
    /// `Unsupported` for a secret in a fleet without a passphrase, which has nothing to lock it with.
    pub async fn change_setting(&self, key: &SettingKey, change: &SettingChange) -> Result<FleetSettings> {
        let document = settings_key()?;
        let master = self.open_fleet().await?.1.as_ref();
        for _ in 0..ATTEMPTS {
            let found = self.catalog.find_document::<SealedSettings>(&document).await?;
            let before = match &found {
                Some(found) => found.body.open(master)?,
                None => FleetSettings::default(),
            };
            let mut after = before.clone();
            apply(key, change, &mut after, master)?;
            let mut value = as_json(&after)?;
            if let Some(found) = &found {
                carry_over(&found.body.settings, &as_json(&before)?, &mut value);
            }
            let sealed = SealedSettings::new(master, value);
            let written = match &found {
                Some(found) => self.catalog.replace_document(&document, found, sealed).await,
                None => self.catalog.create_document(&document, sealed).await,
            };
            match written {
                Ok(_) => return Ok(after),
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "change setting",
            key.to_string(),
            "others kept changing settings at the same time",
        ))
    }

    /// What holds for backups where nothing else was said. Settings that nobody can trust set nothing, and keep no backup
    /// from being made.
    pub(super) async fn default_policy(&self) -> Result<PolicyOverrides> {
        match self.fleet_settings().await {
            Ok(settings) => Ok(settings.defaults),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::Corrupt
                ) =>
            {
                tracing::warn!(%error, "the fleet's settings are left out");
                Ok(PolicyOverrides::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a secret of the settings.
    pub(super) async fn open_secret(&self, key: &SettingKey, locked: Option<&LockedSecret>) -> Result<Option<Secret>> {
        let Some(LockedSecret(locked)) = locked else { return Ok(None) };
        let master = self.open_fleet().await?.1.as_ref().ok_or_else(|| no_lock(key))?;
        let hint = format!("set it anew with `dory settings set {key}`");
        master.unlock(&key.purpose(), locked).map(Some).map_err(|error| error.with_hint(hint))
    }
}

fn settings_key() -> Result<DocumentKey> {
    DocumentKey::parse("settings.json")
}

fn apply(key: &SettingKey, change: &SettingChange, to: &mut FleetSettings, master: Option<&MasterKey>) -> Result<()> {
    match change {
        SettingChange::Unset => {
            key.unset(to);
            Ok(())
        }
        SettingChange::Set(text) => key.set(to, text),
        SettingChange::SetSecret(secret) if secret.is_empty() => {
            Err(Error::invalid(&format!("setting {key}"), "", "it is empty")
                .with_hint("`dory settings unset` takes it away"))
        }
        SettingChange::SetSecret(secret) => {
            let master = master.ok_or_else(|| no_lock(key))?;
            let locked = master.lock(&key.purpose(), noise()?.to_le_bytes(), secret)?;
            key.set_secret(to, LockedSecret(locked))
        }
    }
}

fn no_lock(key: &SettingKey) -> Error {
    let reason = "without a passphrase, whoever can read the store could read it";
    Error::new(ErrorKind::Unsupported, "keep", key.to_string(), reason)
        .with_hint("use a mail server that needs no password from this network, or a store with a passphrase")
}

fn as_json(settings: &FleetSettings) -> Result<Value> {
    serde_json::to_value(settings).map_err(|error| {
        Error::new(ErrorKind::Internal, "write", "settings.json", "it cannot be put into JSON").with_source(error)
    })
}
