//! Changing what the catalog says about backups and points.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dory;
use crate::domain::backup::{Backup, PointChoice, SealedHooks};
use crate::domain::dump::DumpSettings;
use crate::domain::hook::{HookMoment, HookOverrides, HookSettings};
use crate::domain::id::{BackupId, PointId, ServerName};
use crate::domain::keys::MasterKey;
use crate::domain::point_name::check_point_name;
use crate::domain::policy::{EngineKind, Policy, PolicyOverrides};
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
    /// What to set of its policy. An engine option with an empty value is removed; another engine than before drops the
    /// options of the one before. Hooks are kept with the seal of the
    /// fleet's passphrase.
    pub policy: PolicyOverrides,
    /// Parts of the policy that the catalog is to leave open again, before those of the policy are set.
    pub inherit: Vec<PolicyPart>,
    /// Hooks to remove, before those of the policy are set.
    pub remove_hooks: Vec<HookMoment>,
    /// Whether to remove its dump, before that of the policy is set.
    pub remove_dump: bool,
}

/// A part of a policy that the catalog can leave to the container's label, or to the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyPart {
    /// How containers are quieted.
    Stop,
    /// The engine, with its options.
    Engine,
    /// What is left out.
    Exclude,
    /// How long containers may take until they are healthy.
    HealthyTimeout,
    /// When a point is suspect.
    SuspectBelow,
    /// The schedule.
    Schedule,
    /// What stays.
    Keep,
}

impl PolicyPart {
    fn leave_open(self, policy: &mut PolicyOverrides) {
        match self {
            Self::Stop => policy.stop = None,
            Self::Engine => {
                policy.engine = None;
                policy.engine_options.clear();
            }
            Self::Exclude => policy.exclude = None,
            Self::HealthyTimeout => policy.healthy_timeout = None,
            Self::SuspectBelow => policy.suspect_below = None,
            Self::Schedule => policy.schedule = None,
            Self::Keep => policy.keep = None,
        }
    }
}

/// What to change about a point; `None` leaves a thing as it is, and empty words remove it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointEdit {
    /// Its name.
    pub name: Option<String>,
    /// The words about it.
    pub description: Option<String>,
    /// Whether no rule may remove it.
    pub protected: Option<bool>,
}

impl Dory {
    /// Changes a backup, and gives the result.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyExists` if its server has another backup of the new name; `InvalidInput` for a name that
    /// cannot be one, and for options that the engine in force does not take; the store's.
    pub async fn edit_backup(&self, reference: &str, edit: &BackupEdit) -> Result<Backup> {
        let backup = self.find_backup(reference).await?;
        if edit.name.is_some() || edit.server.is_some() {
            self.check_name_is_free(&backup, edit).await?;
        }
        let by_label = if edit.policy.engine_options.is_empty() { None } else { self.engine_by_label(&backup).await };
        let touches_hooks = backup.hooks.is_some() || edit.policy.hooks != HookOverrides::default();
        // Names and words can be changed by who does not know the passphrase.
        let key = if touches_hooks { self.open_fleet().await?.1.as_ref() } else { None };
        let now = self.clock.now();
        let change = |backup: &mut Backup| {
            let hooks = edited_hooks(edit, backup, key)?;
            apply(edit, by_label, backup);
            if edit.policy.schedule.is_some() || edit.inherit.contains(&PolicyPart::Schedule) {
                // What a new schedule would have meant for the time before is nothing to make up for.
                backup.turns.end(now);
            }
            backup.hooks = sealed(hooks, backup, key)?;
            if edit.policy == PolicyOverrides::default() {
                return Ok(());
            }
            let Policy { engine, engine_options, .. } = backup.policy.clone().into_policy();
            self.engine(engine)?.check_options(&engine_options)
        };
        let edited = self.catalog.update_backup(&backup.id, change).await?;
        self.tell_of_change(&edited.server).await;
        Ok(edited)
    }

    /// Wakes whoever a backup belongs to, for a server asks but rarely what others changed.
    async fn tell_of_change(&self, server: &ServerName) {
        if let Err(error) = self.doorbell().ring(server).await {
            tracing::warn!(%server, %error, "the server could not be told of the change, and will find it by itself");
        }
    }

    /// The engine that the label of a backup's container asks for, as far as the container can be asked.
    async fn engine_by_label(&self, backup: &Backup) -> Option<EngineKind> {
        let all = self.runtime().ok()?.list_containers().await.ok()?;
        let own = all.iter().find(|container| self.is_made_from(backup, container))?;
        PolicyOverrides::from_labels(&own.labels).ok()?.engine
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
            point.protected = edit.protected.unwrap_or(point.protected);
            Ok(())
        };
        self.catalog.update_backup(&found.id, change).await?;
        Ok(id)
    }

    /// Chooses a container for `backup --all`, or takes it out, and gives its backup, which comes into being with it. A
    /// backup whose container is gone can be taken out too.
    ///
    /// # Errors
    /// `NotFound` for the container; `Conflict` where it only looks like that of a known backup; the store's.
    pub async fn mark(&self, reference: &str, marked: bool) -> Result<Backup> {
        let container = match self.runtime()?.inspect_container(reference).await {
            Err(error) if error.kind() == ErrorKind::NotFound && !marked => {
                let backup = self.find_backup(reference).await.map_err(|_| error)?;
                return self.set_marked(&backup.id, marked).await;
            }
            container => container?,
        };
        let id = self.record_for(&container).await?;
        self.set_marked(&id, marked).await
    }

    async fn set_marked(&self, id: &BackupId, marked: bool) -> Result<Backup> {
        let change = |backup: &mut Backup| {
            backup.marked = Some(marked);
            Ok(())
        };
        let marked = self.catalog.update_backup(id, change).await?;
        self.tell_of_change(&marked.server).await;
        Ok(marked)
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

/// The hooks as they are to be. What nobody can prove may be removed and replaced, but not built upon.
fn edited_hooks(edit: &BackupEdit, backup: &Backup, key: Option<&MasterKey>) -> Result<HookOverrides> {
    let removed = |moment| edit.remove_hooks.contains(&moment);
    let has_dump = backup.hooks.as_ref().is_some_and(|sealed| !sealed.hooks.dump.are_open());
    let anew = removed(HookMoment::Pre) && removed(HookMoment::Post) && (edit.remove_dump || !has_dump);
    let mut hooks = if anew { HookOverrides::default() } else { backup.proven_hooks(key)? };
    if removed(HookMoment::Pre) {
        hooks.pre = HookSettings::default();
    }
    if removed(HookMoment::Post) {
        hooks.post = HookSettings::default();
    }
    if edit.remove_dump {
        hooks.dump = DumpSettings::default();
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
            .with_hint("set the labels `dory.pre`, `dory.post` and `dory.dump` on the container instead"));
    };
    SealedHooks::new(key, &backup.id, &backup.server, hooks).map(Some)
}

fn apply(edit: &BackupEdit, engine_by_label: Option<EngineKind>, backup: &mut Backup) {
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
    let policy = &mut backup.policy;
    edit.inherit.iter().for_each(|part| part.leave_open(policy));
    *policy = PolicyOverrides { hooks: HookOverrides::default(), ..edit.policy.clone() }.or(std::mem::take(policy));
    policy.engine_options.retain(|_, value| !value.is_empty());
    if policy.engine.is_none() && !policy.engine_options.is_empty() {
        // Options without their engine would become those of whichever engine comes next.
        policy.engine = Some(engine_by_label.unwrap_or_default());
    }
}

fn set(field: &mut Option<String>, to: Option<&str>) {
    if let Some(text) = to {
        *field = (!text.is_empty()).then(|| text.to_owned());
    }
}
