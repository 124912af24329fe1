//! Which backup, or which container, a user means.

use std::sync::Arc;

use jiff::Timestamp;

use super::Dory;
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::id::BackupId;
use crate::domain::identity::{Identity, Likeness};
use crate::error::{Error, ErrorKind, Result};

impl Dory {
    /// The backup that `reference` means: by id, by name, or by its container's name; this server's first.
    ///
    /// # Errors
    /// `NotFound`, naming what there is; `InvalidInput` if it fits several; the store's.
    pub async fn find_backup(&self, reference: &str) -> Result<Arc<Backup>> {
        let list = self.catalog.backups().await?;
        let here = |backup: &&Arc<Backup>| backup.server == self.config.server;
        let by_id = list.backups.iter().filter(|backup| backup.id.as_str() == reference);
        let by_name = || list.backups.iter().filter(|backup| backup.name == reference);
        let by_container = || list.backups.iter().filter(|backup| backup.identity.container.as_str() == reference);
        let candidates: [Vec<&Arc<Backup>>; 5] = [
            by_id.collect(),
            by_name().filter(here).collect(),
            by_container().filter(here).collect(),
            by_name().collect(),
            by_container().collect(),
        ];
        match candidates.iter().find(|found| !found.is_empty()).map(Vec::as_slice) {
            Some([backup]) => Ok(Arc::clone(backup)),
            Some(several) => {
                let ids: Vec<_> = several.iter().map(|b| format!("`{}` on server `{}`", b.id, b.server)).collect();
                Err(Error::invalid("backup", reference, format!("it fits {}", ids.join(", ")))
                    .with_hint("name it by its id"))
            }
            None => Err(no_backup(reference, &list.backups, list.damaged)),
        }
    }

    /// Whether a backup is made from `container` by now.
    pub(super) fn is_made_from(&self, backup: &Backup, container: &Container) -> bool {
        backup.server == self.config.server
            && (backup.containers.iter().any(|seen| seen.id == container.id)
                || backup.identity.likeness(container) == Likeness::Same)
    }

    /// The backup that already holds `container`'s data, if any.
    ///
    /// # Errors
    /// `Conflict` where only a name or a label ties them: a user must decide whether the history goes on.
    pub(super) fn backup_of(&self, container: &Container, backups: &[Arc<Backup>]) -> Result<Option<Arc<Backup>>> {
        let here = || backups.iter().filter(|b| b.server == self.config.server && b.deleting_since.is_none());
        if let Some(backup) = here().find(|backup| self.is_made_from(backup, container)) {
            return Ok(Some(Arc::clone(backup)));
        }
        let claimed = |b: &&Arc<Backup>| b.identity.likeness(container) == Likeness::Claimed;
        match here().find(claimed) {
            None => Ok(None),
            Some(backup) => {
                let what = tie(&backup.identity, container);
                Err(Error::new(
                    ErrorKind::Conflict,
                    "back up container",
                    container.name.as_str(),
                    format!("it has {what} of backup `{}`, but none of its volumes", backup.id),
                )
                .with_hint(format!(
                    "add `--new` to begin a new backup, or `--continue {}` if it is the same data's next home",
                    backup.id
                )))
            }
        }
    }

    /// The id of a backup that `container` begins: like no other's of the fleet.
    ///
    /// # Errors
    /// `Conflict` where another server backs up this very container, under another name for the same host.
    pub(super) fn id_for_new(&self, container: &Container, backups: &[Arc<Backup>]) -> Result<BackupId> {
        let seen = |b: &&Arc<Backup>| b.containers.iter().any(|seen| seen.id == container.id);
        let elsewhere = |b: &&Arc<Backup>| b.server != self.config.server && b.deleting_since.is_none();
        if let Some(other) = backups.iter().filter(elsewhere).find(seen) {
            let reason = format!("server `{}` backs it up, and this is `{}`", other.server, self.config.server);
            return Err(Error::new(ErrorKind::Conflict, "back up container", container.name.as_str(), reason)
                .with_hint(format!(
                    "move the backup here with `dory edit {} --to-server {}`",
                    other.id, self.config.server
                )));
        }
        let base = BackupId::first_made_from(container);
        let free = |id: &BackupId| backups.iter().all(|backup| backup.id != *id);
        if free(&base) {
            return Ok(base);
        }
        let numbered = (2_u32..).map(|number| BackupId::parse(format!("{base}-{number}")));
        numbered.filter_map(Result::ok).find(free).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "name a backup of container", container.name.as_str(), "no name is free")
        })
    }

    /// Writes the record of a new backup; one that another run of this server wrote meanwhile is met.
    ///
    /// # Errors
    /// `Conflict` where another server wrote it; the store's.
    pub(super) async fn create_or_meet(&self, id: &BackupId, container: &Container, now: Timestamp) -> Result<()> {
        let backup = Backup { id: id.clone(), ..Backup::first_of(container, self.config.server.clone(), now) };
        match self.catalog.create_backup(&backup).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let found = self.catalog.backup(id).await?;
                if found.server == self.config.server {
                    return Ok(());
                }
                let reason = format!("server `{}` began it at this moment", found.server);
                Err(Error::new(ErrorKind::Conflict, "begin backup", id.as_str(), reason))
            }
            created => created,
        }
    }
}

fn tie(identity: &Identity, container: &Container) -> &'static str {
    let other = Identity::of(container);
    if identity.compose.is_some() && identity.compose == other.compose {
        "the compose service"
    } else if identity.container == other.container {
        "the name"
    } else {
        "the `dory.id` label"
    }
}

fn no_backup(reference: &str, backups: &[Arc<Backup>], damaged: Vec<Error>) -> Error {
    let mut names: Vec<_> = backups.iter().map(|backup| format!("`{}`", backup.name)).collect();
    names.sort();
    names.dedup();
    let hint = match names.len() {
        0 => "there are no backups yet: run `dory backup <container>`".to_owned(),
        1..=8 => format!("there are {}", names.join(", ")),
        _ => "run `dory list` to see all backups".to_owned(),
    };
    let error = Error::new(ErrorKind::NotFound, "find backup", reference, "no backup has that id, name or container");
    match damaged.into_iter().next() {
        // It may be the very one that cannot be read.
        Some(cause) => error.with_hint(hint).with_source(cause),
        None => error.with_hint(hint),
    }
}
