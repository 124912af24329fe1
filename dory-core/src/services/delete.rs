//! Deleting points and backups: the record is marked first, the data goes, the record goes last.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::Dory;
use super::cancel::Cancel;
use super::claim::is_in_use;
use super::run_events::RunEvents;
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::id::{BackupId, PointId, SnapshotId};
use crate::domain::keep_rules::KeepRules;
use crate::domain::restore_point::RestorePoint;
use crate::domain::run::RunKind;
use crate::domain::suspect::Suspicion;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// What a deletion takes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeletePlan {
    /// From which backup.
    pub backup: BackupId,
    /// Whether the backup goes as a whole, its history and description included.
    pub whole: bool,
    /// The points that go, oldest first.
    pub points: Vec<DoomedPoint>,
    /// Snapshots that go because they need one of those, and that no point tells of: a run broke off before it was
    /// recorded.
    pub unrecorded: Vec<SnapshotId>,
    /// Bytes that these points had added to the store; what other points share stays.
    pub stored_bytes: u64,
    /// Why nothing of this backup should go before somebody looked at its source, where that is so: a point of it is
    /// suspect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
}

/// Why nothing of a backup should go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frozen {
    /// The suspect point.
    pub point: PointId,
    /// What it lost, since which point.
    pub suspicion: Suspicion,
}

impl Frozen {
    fn of(backup: &Backup) -> Option<Self> {
        let (point, suspicion) = backup.frozen_by()?;
        Some(Self { point: point.id, suspicion: suspicion.clone() })
    }
}

/// A point that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoomedPoint {
    /// Its id.
    pub id: PointId,
    /// The moment its data is from.
    pub taken_at: Timestamp,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it goes only because the engine cannot keep it without one that was asked for.
    pub tied: bool,
}

/// What a deletion did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeleteReport {
    /// What went.
    pub plan: DeletePlan,
    /// Bytes that are gone from the store by now; `None` where the backup went as a whole.
    pub freed_bytes: Option<u64>,
    /// Bytes that a later prune frees, once no concurrent backup can still need them.
    pub later_bytes: u64,
}

/// What one deletion marked; what an earlier one did is not its to take back, for that data may be gone.
#[derive(Debug, Default)]
struct Marks {
    points: BTreeSet<PointId>,
    whole: bool,
}

impl Dory {
    /// What deleting a backup (`point: None`) or one of its points would take away. Touches nothing.
    ///
    /// # Errors
    /// `NotFound`; the store's and the engine's.
    pub async fn plan_delete(&self, reference: &str, point: Option<&PointChoice>) -> Result<DeletePlan> {
        self.open_fleet().await?;
        let backup = self.find_backup(reference).await?;
        let Some(choice) = point else {
            let points: Vec<_> = backup.points.iter().map(|point| doomed(point, false)).collect();
            return Ok(DeletePlan {
                backup: backup.id.clone(),
                whole: true,
                points,
                unrecorded: Vec::new(),
                stored_bytes: backup.stored_bytes(),
                frozen: Frozen::of(&backup),
            });
        };
        let point = backup.find_point(choice)?;
        let tied = self.tied_to(&backup, point).await?;
        let goes = |candidate: &&RestorePoint| {
            candidate.id == point.id || (candidate.engine == point.engine && tied.contains(&candidate.snapshot))
        };
        let going: Vec<_> = backup.points.iter().filter(goes).collect();
        let recorded =
            |snapshot: &SnapshotId| backup.points.iter().any(|p| p.engine == point.engine && p.snapshot == *snapshot);
        Ok(DeletePlan {
            backup: backup.id.clone(),
            whole: false,
            frozen: Frozen::of(&backup),
            stored_bytes: going.iter().map(|point| point.size.stored_bytes).sum(),
            unrecorded: tied.iter().filter(|snapshot| !recorded(snapshot)).cloned().collect(),
            points: going.into_iter().map(|other| doomed(other, other.id != point.id)).collect(),
        })
    }

    /// Deletes what `plan` says. A deletion that was interrupted is finished by calling this again.
    ///
    /// # Errors
    /// `NotFound` if the backup is gone; `Conflict` while it belongs to another server; the store's and the engine's.
    pub async fn run_delete(&self, plan: &DeletePlan) -> Result<DeleteReport> {
        self.run_delete_until(plan, &Cancel::new(), &RunEvents::ignored()).await
    }

    /// As [`run_delete`](Self::run_delete), until `cancel` says otherwise: what is gone then is gone, and what is not is
    /// marked and goes with the next deletion.
    ///
    /// # Errors
    /// As for [`run_delete`](Self::run_delete); `Cancelled`.
    pub(crate) async fn run_delete_until(
        &self,
        plan: &DeletePlan,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<DeleteReport> {
        self.run_deletion(RunKind::Delete, plan, None, cancel, events).await
    }

    /// Deletes as a run of `kind`. With `rules`, nothing goes that they keep by now.
    pub(super) async fn run_deletion(
        &self,
        kind: RunKind,
        plan: &DeletePlan,
        rules: Option<&KeepRules>,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<DeleteReport> {
        cancel.or(async { Ok(()) }).await?;
        let run = self.begin_run(kind)?;
        run.listening(events);
        let result = self.delete(kind, plan, rules, cancel).await;
        let point = plan.points.first().filter(|_| !plan.whole).map(|point| point.id);
        self.end_run(&run, &plan.backup, point, true, result.as_ref().err()).await;
        result
    }

    async fn delete(
        &self,
        kind: RunKind,
        plan: &DeletePlan,
        rules: Option<&KeepRules>,
        cancel: &Cancel,
    ) -> Result<DeleteReport> {
        let backup = self.catalog.backup(&plan.backup).await?;
        self.check_owned(&backup)?;
        let marks = self.mark_deleting(plan, rules).await?;
        // The mark keeps new runs away; one that began before it is seen here.
        if let Err(error) = self.refuse_beside_a_run(&plan.backup).await {
            self.take_back(&plan.backup, &marks).await?;
            return Err(error);
        }
        if plan.whole { self.delete_whole(plan).await } else { self.delete_points(kind, plan, &backup, cancel).await }
    }

    /// Refuses what only a backup's own server may do.
    ///
    /// # Errors
    /// `Conflict`, naming that server.
    pub(crate) fn check_owned(&self, backup: &Backup) -> Result<()> {
        if backup.server != self.config.server {
            let reason = format!("it belongs to server `{}`, and this is `{}`", backup.server, self.config.server);
            return Err(Error::new(ErrorKind::Conflict, "delete backup", &backup.name, reason).with_hint(format!(
                "run it there, or take the backup over first: `dory edit {} --to-server {}`",
                backup.id, self.config.server
            )));
        }
        Ok(())
    }

    /// Writes into the catalog that what `plan` says is being deleted.
    async fn mark_deleting(&self, plan: &DeletePlan, rules: Option<&KeepRules>) -> Result<Marks> {
        let now = self.clock.now();
        let mut marks = Marks::default();
        let mark = |backup: &mut Backup| {
            // Somebody else may have been faster, and then this begins anew.
            marks = Marks::default();
            let planned = |point: &RestorePoint| plan.points.iter().any(|doomed| doomed.id == point.id);
            if plan.whole && !backup.points.iter().all(planned) {
                let reason = "it has got a new point since it was looked at";
                return Err(Error::new(ErrorKind::Conflict, "delete backup", &backup.name, reason)
                    .with_hint("run the command again"));
            }
            if plan.whole {
                marks.whole = backup.deleting_since.is_none();
                backup.deleting_since.get_or_insert(now);
                return Ok(());
            }
            if let Some(rules) = rules {
                self.refuse_what_is_kept(backup, rules, planned)?;
            }
            for point in backup.points.iter_mut().filter(|point| planned(point) && !point.deleting) {
                point.deleting = true;
                marks.points.insert(point.id);
            }
            Ok(())
        };
        self.catalog.update_backup(&plan.backup, mark).await?;
        Ok(marks)
    }

    /// Somebody may have named or protected a point since `planned` was looked at, or a suspect one freezes all.
    fn refuse_what_is_kept(
        &self,
        backup: &Backup,
        rules: &KeepRules,
        planned: impl Fn(&RestorePoint) -> bool,
    ) -> Result<()> {
        let verdicts = self.verdicts(backup, rules);
        let kept = backup.points.iter().zip(&verdicts).find(|(point, verdict)| planned(point) && !verdict.goes());
        let Some((point, verdict)) = kept else { return Ok(()) };
        let why = verdict.reasons.first().map(ToString::to_string).unwrap_or_default();
        let reason = format!("it stays by now ({why}), and was to go when it was looked at");
        Err(Error::new(ErrorKind::Conflict, "prune point", point.id.to_string(), reason)
            .with_hint("run the command again: the rules then look at what is there now"))
    }

    async fn take_back(&self, backup: &BackupId, marks: &Marks) -> Result<()> {
        let unmark = |backup: &mut Backup| {
            if marks.whole {
                backup.deleting_since = None;
            }
            let marked = |point: &&mut RestorePoint| marks.points.contains(&point.id);
            backup.points.iter_mut().filter(marked).for_each(|point| point.deleting = false);
            Ok(())
        };
        self.catalog.update_backup(backup, unmark).await.map(drop)
    }

    /// A run on this host works with the very data that is about to go. Without a container engine there is no run.
    async fn refuse_beside_a_run(&self, backup: &BackupId) -> Result<()> {
        let Ok(runtime) = self.runtime() else { return Ok(()) };
        if is_in_use(runtime.as_ref(), backup).await? {
            let reason = "a run is working with it at this moment";
            return Err(Error::new(ErrorKind::Conflict, "delete from backup", backup.as_str(), reason)
                .with_hint("wait for its end, or interrupt it"));
        }
        Ok(())
    }

    async fn delete_whole(&self, plan: &DeletePlan) -> Result<DeleteReport> {
        self.catalog.delete_data(&DocumentKey::parse(format!("data/{}", plan.backup))?).await?;
        self.catalog.delete_backup(&plan.backup).await?;
        Ok(DeleteReport { plan: plan.clone(), freed_bytes: None, later_bytes: 0 })
    }

    /// Pruning frees what earlier deletions left marked, so it looks into every engine's repository.
    async fn delete_points(
        &self,
        kind: RunKind,
        plan: &DeletePlan,
        backup: &Backup,
        cancel: &Cancel,
    ) -> Result<DeleteReport> {
        let going = |point: &RestorePoint| plan.points.iter().any(|doomed| doomed.id == point.id);
        let (mut freed, mut later) = (0, 0);
        for engine in backup.engines.iter().copied() {
            let mut snapshots: Vec<SnapshotId> = backup
                .points
                .iter()
                .filter(|point| going(point) && point.engine == engine)
                .map(|point| point.snapshot.clone())
                .collect();
            if snapshots.is_empty() && kind == RunKind::Delete {
                continue;
            }
            // Another engine's are not there, which is no error.
            snapshots.extend(plan.unrecorded.iter().cloned());
            let reader = self.open_reader(backup, engine).await?;
            let removed = cancel.or(async {
                reader.repository().forget(&snapshots).await?;
                reader.repository().prune().await
            });
            let removed = removed.await;
            reader.close().await;
            let removed = removed?;
            freed += removed.removed_bytes;
            later += removed.marked_bytes;
        }
        let remove = |backup: &mut Backup| {
            let gone = |id: PointId| plan.points.iter().any(|doomed| doomed.id == id);
            // Without the way back the data is still what a restore left of it.
            let notes = backup.half_restored.iter_mut();
            notes.for_each(|note| note.safety_point = note.safety_point.filter(|id| !gone(*id)));
            backup.points.retain(|point| !going(point));
            Ok(())
        };
        self.catalog.update_backup(&backup.id, remove).await?;
        Ok(DeleteReport { plan: plan.clone(), freed_bytes: Some(freed), later_bytes: later })
    }

    /// The snapshots that can only go together with `point`'s.
    async fn tied_to(&self, backup: &Backup, point: &RestorePoint) -> Result<Vec<SnapshotId>> {
        if self.engine(point.engine)?.capabilities().forgets_single_snapshots {
            return Ok(Vec::new());
        }
        let reader = self.open_reader(backup, point.engine).await?;
        let snapshots = reader.repository().list_snapshots().await;
        reader.close().await;
        Ok(snapshots?.into_iter().find(|snapshot| snapshot.id == point.snapshot).map(|s| s.tied_to).unwrap_or_default())
    }
}

pub(super) fn doomed(point: &RestorePoint, tied: bool) -> DoomedPoint {
    DoomedPoint { id: point.id, taken_at: point.taken_at, name: point.name.clone(), tied }
}
