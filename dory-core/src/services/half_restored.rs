//! Noting that a restore is about to write, and what a backup makes of data that a broken-off one left.

use std::sync::Arc;

use super::Dory;
use super::restore_plan::PlannedRestore;
use super::run_record::RunStart;
use crate::domain::backup::Backup;
use crate::domain::container::Container;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::half_restored::HalfRestored;
use crate::domain::id::{PointId, RunId};
use crate::domain::restore_point::PointMount;
use crate::error::{Error, ErrorKind, Result};

/// Data of which nobody knows whether it is whole.
#[derive(Clone, Debug)]
pub(super) struct Mixture {
    note: HalfRestored,
    ways_on: String,
}

impl Mixture {
    /// Why a container is not backed up now.
    pub(super) fn to_error(&self, container: &Container) -> Error {
        let reason = format!(
            "a restore began to write to its data at {} and did not end, so what is there may be neither old nor new",
            self.note.since.strftime("%Y-%m-%d %H:%M UTC")
        );
        Error::new(ErrorKind::Conflict, "back up container", container.name.as_str(), reason)
            .with_hint(self.ways_on.clone())
    }

    /// What a point of `data` is worth nevertheless.
    pub(super) fn warnings(&self, data: &[PointMount]) -> Vec<Warning> {
        let touched = data.iter().filter(|mount| self.note.touches(&self.note.server, std::slice::from_ref(*mount)));
        let warning = |mount: &PointMount| Warning {
            kind: WarningKind::HalfRestored,
            path: EntryPath::new(mount.key.as_str()),
            detail: format!("restore {} did not end; {}", self.note.run, self.ways_on),
        };
        touched.map(warning).collect()
    }
}

impl Dory {
    /// Notes on the target's backup that a restore is about to write: with everything up, for nothing that can fail may
    /// happen later. Not to be abandoned half-way; [`data_is_whole`](Self::data_is_whole) takes it away.
    ///
    /// # Errors
    /// The store's. One that cannot be written to can be restored from, without a safety point.
    pub(super) async fn note_restore(
        &self,
        planned: &PlannedRestore,
        run: &RunStart,
        safety_point: Option<PointId>,
    ) -> Result<()> {
        let note = HalfRestored {
            run: run.id,
            server: self.config.server.clone(),
            since: self.clock.now(),
            safety_point,
            mounts: planned.targets(),
        };
        let add = |backup: &mut Backup| {
            backup.half_restored.push(note.clone());
            Ok(())
        };
        let noted = match self.catalog.update_backup(&planned.plan.home, add).await {
            // The target was never backed up.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.catalog.update_backup(&planned.backup.id, add).await
            }
            noted => noted,
        };
        match noted {
            Err(error)
                if safety_point.is_none() && matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Full) =>
            {
                tracing::warn!(%error, "the store cannot note that a restore is about to write");
                Ok(())
            }
            noted => noted.map(drop),
        }
    }

    /// Takes away the note of `run`, which left its data whole. Where it `restored` data, that data is whole whatever
    /// earlier restores left of it. What cannot be taken away stays, and is told.
    pub(super) async fn data_is_whole(&self, run: RunId, restored: Option<&[PointMount]>) {
        if let Err(error) = self.take_notes_away(run, restored).await {
            tracing::warn!(%run, %error, "the store still says that a restore did not end");
        }
    }

    pub(super) async fn take_notes_away(&self, run: RunId, restored: Option<&[PointMount]>) -> Result<()> {
        let is_over = |note: &HalfRestored| {
            note.run == run || restored.is_some_and(|data| note.is_within(&self.config.server, data))
        };
        for backup in self.catalog.backups().await?.backups {
            if backup.half_restored.iter().any(is_over) {
                let remove = |backup: &mut Backup| {
                    backup.half_restored.retain(|note| !is_over(note));
                    Ok(())
                };
                self.catalog.update_backup(&backup.id, remove).await?;
            }
        }
        Ok(())
    }

    /// What a restore that did not end left of `data`, by the word of all `backups`: containers share data, and are
    /// created anew.
    pub(super) fn mixture_in(&self, data: &[PointMount], backups: &[Arc<Backup>]) -> Option<Mixture> {
        backups.iter().find_map(|backup| {
            let touches = |note: &&HalfRestored| note.touches(&self.config.server, data);
            let note = backup.half_restored.iter().filter(touches).find(|note| backup.may_have_written(note))?;
            Some(Mixture { note: note.clone(), ways_on: backup.ways_on(note) })
        })
    }
}
