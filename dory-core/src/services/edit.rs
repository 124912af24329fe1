//! Changing what the catalog says about backups and points.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dory;
use crate::domain::backup::{Backup, PointChoice, SealedHooks};
use crate::domain::hook::{HookMoment, HookOverrides, HookSettings};
use crate::domain::id::{PointId, ServerName};
use crate::domain::keys::MasterKey;
use crate::domain::policy::PolicyOverrides;
use crate::error::{Error, ErrorKind, Result};

/// What to change about a backup; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupEdit {
    /// Its name.
    pub name: Option<String>,
    /// Its server.
    pub server: Option<ServerName>,
    /// The words about it; empty ones remove them.
    pub description: Option<String>,
    /// Keys to set, or with `None` to remove.
    pub metadata: BTreeMap<String, Option<String>>,
    /// Whether `backup --all` takes it: `Some(None)` leaves it to the label.
    pub marked: Option<Option<bool>>,
    /// What to set of its policy. Hooks are kept with the seal of the fleet's passphrase.
    pub policy: PolicyOverrides,
    /// Hooks to remove, before those of the policy are set.
    pub remove_hooks: Vec<HookMoment>,
}

/// What to change about a point; `None` leaves a thing as it is, and empty words remove it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointEdit {
    /// Its name.
    pub name: Option<String>,
    /// The words about it.
    pub description: Option<String>,
}

impl Dory {
    /// Changes a backup, and gives the result.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` if its server has another backup of the new name; `InvalidInput` for a name that
    /// cannot be one; the store's.
    pub async fn edit_backup(&self, reference: &str, edit: &BackupEdit) -> Result<Backup> {
        let backup = self.find_backup(reference).await?;
        if edit.name.is_some() || edit.server.is_some() {
            self.check_name_is_free(&backup, edit).await?;
        }
        if let Some(engine) = edit.policy.engine.or(backup.policy.engine) {
            self.engine(engine)?.check_options(&edit.policy.engine_options)?;
        }
        let key = self.open_fleet().await?.1.as_ref();
        self.catalog
            .update_backup(&backup.id, |backup| {
                let hooks = edited_hooks(edit, backup, key)?;
                apply(edit, backup);
                backup.hooks = sealed(hooks, backup, key)?;
                Ok(())
            })
            .await
    }

    /// What the catalog says about how a backup is made, its hooks proven.
    ///
    /// # Errors
    /// As for [`Backup::proven_hooks`].
    pub(super) async fn policy_of(&self, backup: Option<&Backup>) -> Result<PolicyOverrides> {
        let Some(backup) = backup else { return Ok(PolicyOverrides::default()) };
        let hooks = match backup.hooks {
            Some(_) => backup.proven_hooks(self.open_fleet().await?.1.as_ref())?,
            None => HookOverrides::default(),
        };
        Ok(PolicyOverrides { hooks, ..backup.policy.clone() })
    }

    /// Changes a point, and gives its id.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` if another point of the backup has the new name; the store's.
    pub async fn edit_point(&self, reference: &str, choice: &PointChoice, edit: &PointEdit) -> Result<PointId> {
        let found = self.find_backup(reference).await?;
        let id = found.find_point(choice)?.id;
        let change = |backup: &mut Backup| {
            if let Some(name) = edit.name.as_deref().filter(|name| !name.is_empty()) {
                check_point_name(name)?;
                if backup.points.iter().any(|point| point.id != id && point.name.as_deref() == Some(name)) {
                    let reason = "another point of this backup has that name";
                    return Err(Error::new(ErrorKind::AlreadyExists, "name restore point", name, reason));
                }
            }
            let Some(point) = backup.points.iter_mut().find(|point| point.id == id) else {
                return Err(Error::new(ErrorKind::NotFound, "change restore point", id.to_string(), "it is gone"));
            };
            set(&mut point.name, edit.name.as_deref());
            set(&mut point.description, edit.description.as_deref());
            Ok(())
        };
        self.catalog.update_backup(&found.id, change).await?;
        Ok(id)
    }

    /// Chooses a container for `backup --all`, or takes it out, and gives its backup, which comes into being with it.
    ///
    /// # Errors
    /// `NotFound` for the container; `Conflict` where it only looks like that of a known backup; the store's.
    pub async fn mark(&self, container: &str, marked: bool) -> Result<Backup> {
        let container = self.runtime()?.inspect_container(container).await?;
        let backups = self.catalog.backups().await?.backups;
        let id = match self.backup_of(&container, &backups)? {
            Some(backup) => backup.id.clone(),
            None => {
                let id = self.id_for_new(&container, &backups)?;
                self.create_or_meet(&id, &container, self.clock.now()).await?;
                id
            }
        };
        let change = |backup: &mut Backup| {
            backup.marked = Some(marked);
            Ok(())
        };
        self.catalog.update_backup(&id, change).await
    }

    async fn check_name_is_free(&self, backup: &Backup, edit: &BackupEdit) -> Result<()> {
        let name = edit.name.as_deref().unwrap_or(&backup.name);
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(Error::invalid(
                "backup name",
                name,
                "at least one visible character and no control characters are expected",
            ));
        }
        let server = edit.server.as_ref().unwrap_or(&backup.server);
        let list = self.catalog.backups().await?;
        let taken = |other: &&Arc<Backup>| other.id != backup.id && other.name == name && other.server == *server;
        match list.backups.iter().find(taken) {
            None => Ok(()),
            Some(other) => {
                let reason = format!("backup `{}` on server `{server}` has that name", other.id);
                Err(Error::new(ErrorKind::AlreadyExists, "name backup", name, reason))
            }
        }
    }
}

/// What a point's name may be: it must not read like a time or an id, and stand on one line.
pub(super) fn check_point_name(name: &str) -> Result<()> {
    let plain = !name.trim().is_empty() && name.len() <= 200 && !name.chars().any(char::is_control);
    if plain && name != "latest" {
        Ok(())
    } else {
        Err(Error::invalid("point name", name, "1 to 200 characters on one line, other than `latest`, are allowed"))
    }
}

/// The hooks as they are to be. What nobody can prove may be removed and replaced, but not built upon.
fn edited_hooks(edit: &BackupEdit, backup: &Backup, key: Option<&MasterKey>) -> Result<HookOverrides> {
    let removed = |moment| edit.remove_hooks.contains(&moment);
    let mut hooks = if removed(HookMoment::Pre) && removed(HookMoment::Post) {
        HookOverrides::default()
    } else {
        backup.proven_hooks(key)?
    };
    if removed(HookMoment::Pre) {
        hooks.pre = HookSettings::default();
    }
    if removed(HookMoment::Post) {
        hooks.post = HookSettings::default();
    }
    Ok(edit.policy.hooks.clone().or(hooks))
}

fn sealed(hooks: HookOverrides, backup: &Backup, key: Option<&MasterKey>) -> Result<Option<SealedHooks>> {
    if hooks == HookOverrides::default() {
        return Ok(None);
    }
    let Some(key) = key else {
        let reason = "without a passphrase, whoever can write to the store could run commands in containers";
        return Err(Error::new(ErrorKind::Unsupported, "keep hooks for backup", backup.id.as_str(), reason)
            .with_hint("set the labels `dory.pre` and `dory.post` on the container instead"));
    };
    SealedHooks::new(key, &backup.id, &backup.server, hooks).map(Some)
}

fn apply(edit: &BackupEdit, backup: &mut Backup) {
    if let Some(name) = &edit.name {
        backup.name.clone_from(name);
    }
    if let Some(server) = &edit.server {
        backup.server.clone_from(server);
    }
    set(&mut backup.description, edit.description.as_deref());
    for (key, value) in &edit.metadata {
        match value {
            Some(value) => backup.metadata.insert(key.clone(), value.clone()),
            None => backup.metadata.remove(key),
        };
    }
    if let Some(marked) = edit.marked {
        backup.marked = marked;
    }
    let policy = PolicyOverrides { hooks: HookOverrides::default(), ..edit.policy.clone() };
    backup.policy = policy.or(std::mem::take(&mut backup.policy));
}

fn set(field: &mut Option<String>, to: Option<&str>) {
    if let Some(text) = to {
        *field = (!text.is_empty()).then(|| text.to_owned());
    }
}
