//! What a run holds on its host: while it does, no other run touches the same data or stops the same containers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::container::{Container, MountKind};
use crate::domain::guard::label;
use crate::domain::id::BackupId;
use crate::domain::plan::Quiet;
use crate::domain::restore_point::PointMount;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ContainerRuntime, HelperInfo};

/// The label on a helper that tells what its run holds.
pub(super) const HOLDS_LABEL: &str = "dory.helper.holds";

/// Names of what a run holds: the backups it reads or writes, the data it works on, and every container that uses it or
/// stands still for it.
///
/// The containers that do not run count as well: one that stands still for another run looks just like that, and starts
/// in the middle of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Claim(BTreeSet<String>);

impl Claim {
    /// What a run of `backups` holds that works on `data` and quiets `quiet`, on a host with the containers `all`.
    pub(super) fn on(backups: &[&BackupId], data: &[PointMount], quiet: &[Quiet], all: &[Container]) -> Self {
        let uses = |container: &&Container| {
            container.mounts.iter().any(|mount| data.iter().any(|ours| mount.shares_data_with(&ours.as_mount())))
        };
        let users = all.iter().filter(uses).map(|container| format!("container {}", container.id));
        let stopped = quiet.iter().map(|quiet| format!("container {}", quiet.id));
        let places = data.iter().map(|mount| match &mount.kind {
            MountKind::Volume { name, .. } => format!("volume {name}"),
            _ => format!("folder {}", mount.source.display()),
        });
        let backups = backups.iter().map(|backup| backup_entry(backup));
        Self(users.chain(stopped).chain(places).chain(backups).collect())
    }

    /// The same, and a container whose data is none of its mounts': a program in it dumps or loads.
    pub(super) fn and(mut self, container: &Container) -> Self {
        self.0.insert(format!("container {}", container.id));
        self
    }

    /// Whether it holds all of these containers.
    pub(super) fn covers(&self, quiet: &[Quiet]) -> bool {
        quiet.iter().all(|quiet| self.0.contains(&format!("container {}", quiet.id)))
    }

    /// The names.
    pub(super) fn into_names(self) -> BTreeSet<String> {
        self.0
    }

    /// The claim as a label's value.
    pub(super) fn to_label(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn of_helper(helper: &HelperInfo) -> Self {
        let label = helper.labels.get(HOLDS_LABEL).map(String::as_str).unwrap_or_default();
        Self(label.lines().map(str::to_owned).collect())
    }

    /// Whether this run, whose helper is `own`, may go on: no other run holds any of the same.
    ///
    /// The helper is there already, so of two runs that begin at once at least one sees the other. Where both do, none
    /// goes on: no clock can be trusted to tell who was first.
    ///
    /// # Errors
    /// `Conflict`, naming the other run's backup; the runtime's.
    pub(super) async fn prove(&self, runtime: &dyn ContainerRuntime, own: &str) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let helpers = runtime.list_helpers().await?;
        let run = helpers.iter().find(|helper| helper.id.as_str() == own).and_then(|own| own.labels.get(label::RUN));
        // A guardian that is still bringing back what a dead run stopped is in the way as much as the run itself was.
        let in_the_way = |helper: &&HelperInfo| {
            helper.running
                && helper.id.as_str() != own
                && (run.is_none() || helper.labels.get(label::RUN) != run)
                && !Self::of_helper(helper).0.is_disjoint(&self.0)
        };
        let Some(other) = helpers.iter().find(in_the_way) else { return Ok(()) };
        let backup = other.labels.get(label::BACKUP).map_or("another backup", String::as_str);
        let reason = "a run works at this moment on the same data, or with the same containers";
        Err(Error::new(ErrorKind::Conflict, "begin a run beside backup", backup, reason)
            .with_hint("wait for its end, and run the command again"))
    }
}

/// Whether a run on this host works with `backup`, as what it writes or as what it reads from.
pub(super) async fn is_in_use(runtime: &dyn ContainerRuntime, backup: &BackupId) -> Result<bool> {
    let entry = backup_entry(backup);
    let helpers = runtime.list_helpers().await?;
    Ok(helpers.iter().any(|helper| helper.running && Claim::of_helper(helper).0.contains(&entry)))
}

fn backup_entry(backup: &BackupId) -> String {
    format!("backup {backup}")
}
