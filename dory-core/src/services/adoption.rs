//! Adopting a backup by hand: its history goes on with another container, on this server.

use jiff::Timestamp;
use serde::Serialize;

use super::Dory;
use super::claim::is_in_use;
use crate::domain::backup::{Backup, SealedHooks};
use crate::domain::container::Container;
use crate::domain::hook::HookOverrides;
use crate::domain::id::{BackupId, ContainerName, ServerName};
use crate::error::{Error, ErrorKind, Result};

/// What an adoption does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdoptionPlan {
    /// The backup whose history goes on.
    pub backup: BackupId,
    /// Its name.
    pub name: String,
    /// How many points it has.
    pub points: usize,
    /// When the newest one was taken.
    pub latest: Option<Timestamp>,
    /// The container it was made from until now.
    pub was: ContainerName,
    /// The container it goes on with.
    pub container: ContainerName,
    /// The server it comes from, where that is another one: nobody here can tell whether its container is gone there.
    pub from_server: Option<ServerName>,
    /// The container's own record, which goes: it says whether the container is marked, and holds no data.
    pub replaces: Option<BackupId>,
}

/// What a plan was made from.
struct Planned {
    plan: AdoptionPlan,
    container: Container,
}

impl Dory {
    /// What adopting would do. Touches nothing.
    ///
    /// # Errors
    /// `NotFound` for the backup or the container; `Conflict` where the backup is no orphan, where the container has a
    /// history of its own, or while a run works with either; the store's and the runtime's.
    pub async fn plan_adopt(&self, backup: &str, container: &str) -> Result<AdoptionPlan> {
        self.open_fleet().await?;
        Ok(self.plan_adoption(backup, container).await?.plan)
    }

    /// Lets the history of a backup go on with another container of this server, and gives the backup as it is then.
    ///
    /// # Errors
    /// As for [`plan_adopt`](Self::plan_adopt); `PermissionDenied` where nobody who knows the passphrase set its hooks.
    pub async fn run_adopt(&self, plan: &AdoptionPlan) -> Result<Backup> {
        let (_, key) = self.open_fleet().await?;
        let Planned { plan: now, container } =
            self.plan_adoption(plan.backup.as_str(), plan.container.as_str()).await?;
        if now != *plan {
            let reason = "it is not as it was when it was looked at";
            return Err(refused(&plan.backup, reason.to_owned()).with_hint("run the command again"));
        }
        if let Some(empty) = &plan.replaces {
            self.catalog.delete_backup(empty).await?;
        }
        let (server, at) = (self.config.server.clone(), self.clock.now());
        let adopt = |backup: &mut Backup| {
            let hooks = backup.proven_hooks(key.as_ref())?;
            backup.server = server.clone();
            backup.follow(&container, at);
            backup.hooks = match key {
                Some(key) if hooks != HookOverrides::default() => {
                    Some(SealedHooks::new(key, &backup.id, &backup.server, hooks)?)
                }
                _ => None,
            };
            // What was due while it had no container is nothing to make up for.
            backup.turns.end(at);
            Ok(())
        };
        self.catalog.update_backup(&plan.backup, adopt).await
    }

    async fn plan_adoption(&self, reference: &str, container: &str) -> Result<Planned> {
        let backup = self.find_backup(reference).await?;
        let container = self.runtime()?.inspect_container(container).await?;
        let (all, backups) = (self.runtime()?.list_containers().await?, self.catalog.backups().await?.backups);
        if backup.deleting_since.is_some() {
            return Err(refused(&backup.id, "it is being deleted".to_owned()));
        }
        if let Some(own) = all.iter().find(|one| self.is_made_from(&backup, one)) {
            let reason = match own.id == container.id {
                true => format!("it is made from container `{}` already", own.name),
                false => format!("it is no orphan: its container `{}` is on this host", own.name),
            };
            return Err(refused(&backup.id, reason));
        }
        let of_container = backups.iter().find(|other| other.id != backup.id && self.is_made_from(other, &container));
        if let Some(other) = of_container.filter(|other| !other.points.is_empty() || !other.engines.is_empty()) {
            let reason = format!("container `{}` has a history of its own, in backup `{}`", container.name, other.id);
            return Err(refused(&backup.id, reason)
                .with_hint(format!("delete that one first, if nobody wants it: `dory delete {}`", other.id)));
        }
        let clash = |other: &&std::sync::Arc<Backup>| {
            let goes = of_container.is_some_and(|gone| gone.id == other.id);
            other.id != backup.id && !goes && other.server == self.config.server && other.name == backup.name
        };
        if let Some(other) = backups.iter().find(clash) {
            let reason = format!("backup `{}` on this server has the same name, `{}`", other.id, other.name);
            return Err(
                refused(&backup.id, reason).with_hint(format!("rename it first: `dory edit {} --name …`", backup.id))
            );
        }
        for one in [Some(&backup.id), of_container.map(|other| &other.id)].into_iter().flatten() {
            if is_in_use(self.runtime()?.as_ref(), one).await? {
                return Err(refused(one, "a run works with it at this moment".to_owned())
                    .with_hint("wait for its end, and run the command again"));
            }
        }
        let from_server = (backup.server != self.config.server).then(|| backup.server.clone());
        let plan = AdoptionPlan {
            backup: backup.id.clone(),
            name: backup.name.clone(),
            points: backup.points.len(),
            latest: backup.latest().map(|point| point.taken_at),
            was: backup.identity.container.clone(),
            container: container.name.clone(),
            from_server,
            replaces: of_container.map(|other| other.id.clone()),
        };
        Ok(Planned { plan, container })
    }
}

fn refused(backup: &BackupId, reason: String) -> Error {
    Error::new(ErrorKind::Conflict, "adopt backup", backup.as_str(), reason)
}
