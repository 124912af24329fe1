//! Taking stock of this host, for the rest of the fleet: written when it changed, and only then.

use jiff::SignedDuration;

use super::catalog::inventory_key;
use super::inventory::ContainerOverview;
use super::own_backups::LISTED_FOR;
use super::{Dory, FoundDocument};
use crate::domain::backup::Backup;
use crate::domain::container::Volume;
use crate::domain::coverage::{Cared, gaps};
use crate::domain::guard::label;
use crate::domain::inventory::{Inventory, StockedContainer, StockedVolume};
use crate::error::{ErrorKind, Result};

/// For how long containers that came and went are told of, unless somebody says otherwise.
pub const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The inventory as this server wrote it last.
#[derive(Debug, Default)]
pub(crate) struct SharedStock(Option<FoundDocument<Inventory>>);

impl Dory {
    /// What this host has now, and what of it nothing covers. What only time tells, since when containers are there and
    /// which went, is taken from what this server wrote down last.
    ///
    /// # Errors
    /// The runtime's and the store's.
    pub async fn take_stock(&self) -> Result<Inventory> {
        self.catalog.look_anew();
        let before = self.catalog.inventory(&self.config.server).await?;
        self.stock(before.as_ref()).await
    }

    /// Writes down what this host has, if that changed since `shared`; tells whether it did.
    ///
    /// # Errors
    /// The runtime's and the store's; nothing is lost then, and it can be tried again.
    pub(crate) async fn share_stock(&self, shared: &mut SharedStock) -> Result<bool> {
        let key = inventory_key(&self.config.server)?;
        if shared.0.is_none() {
            shared.0 = self.catalog.find_document(&key).await?;
        }
        let stock = self.stock(shared.0.as_ref().map(|found| &found.body)).await?;
        let written = match &shared.0 {
            Some(found) if found.body.tells_the_same_as(&stock) => return Ok(false),
            Some(found) => self.catalog.replace_document(&key, found, stock).await,
            None => self.catalog.create_document(&key, stock).await,
        };
        match written {
            Ok(found) => {
                shared.0 = Some(found);
                Ok(true)
            }
            Err(error) => {
                if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) {
                    // An earlier write of ours happened although it seemed to fail.
                    shared.0 = None;
                }
                Err(error)
            }
        }
    }

    async fn stock(&self, before: Option<&Inventory>) -> Result<Inventory> {
        let backups = self.own_backups(LISTED_FOR).await?;
        let overviews = self.overviews(&backups).await?;
        let mut volumes = self.runtime()?.list_volumes().await?;
        // What a run keeps aside for a while is its own.
        volumes.retain(|volume| !volume.labels.contains_key(label::RUN));
        let cared: Vec<_> = overviews.iter().map(cared).collect();
        let backups: Vec<&Backup> = backups.iter().map(AsRef::as_ref).collect();
        let inventory = Inventory {
            server: self.config.server.clone(),
            at: self.clock.now(),
            gaps: gaps(&cared, &volumes, &backups),
            containers: overviews.iter().map(stocked).collect(),
            volumes: volumes.iter().map(|volume| stocked_volume(volume, &overviews)).collect(),
            removed: Vec::new(),
        };
        Ok(match before {
            Some(before) => inventory.after(before),
            None => inventory,
        })
    }
}

fn cared(overview: &ContainerOverview) -> Cared<'_> {
    Cared {
        container: &overview.container,
        mounts: &overview.mounts,
        backup: overview.backup.as_deref(),
        chosen: overview.marked || overview.scheduled,
        dumped: overview.dumped,
    }
}

fn stocked(overview: &ContainerOverview) -> StockedContainer {
    StockedContainer {
        mounts: overview.mounts.clone(),
        left_out: overview.left_out.clone(),
        marked: overview.marked,
        scheduled: overview.scheduled,
        backup: overview.backup_id().cloned(),
        covered: overview.is_covered(),
        problem: overview.problem.clone(),
        ..StockedContainer::of(&overview.container)
    }
}

fn stocked_volume(volume: &Volume, all: &[ContainerOverview]) -> StockedVolume {
    let mounts = |one: &&ContainerOverview| one.container.mounts.iter().any(|m| m.volume() == Some(&volume.name));
    StockedVolume {
        name: volume.name.clone(),
        driver: volume.driver.clone(),
        used_by: all.iter().filter(mounts).map(|one| one.container.name.clone()).collect(),
    }
}
