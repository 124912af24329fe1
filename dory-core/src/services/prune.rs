//! Removing the points that a backup's rules do not keep.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::Dory;
use super::cancel::Cancel;
use super::delete::{DeletePlan, DeleteReport, doomed};
use super::run_events::RunEvents;
use crate::domain::backup::Backup;
use crate::domain::id::{BackupId, PointId, SnapshotId};
use crate::domain::keep_rules::KeepRules;
use crate::domain::policy::PolicyOverrides;
use crate::domain::restore_point::RestorePoint;
use crate::domain::retention::{Circumstances, KeepReason, Verdict, keep_chains, retention};
use crate::domain::run::RunKind;
use crate::error::Result;

/// What pruning one backup would take away, and why the rest stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PrunePlan {
    /// The backup's name.
    pub name: String,
    /// The rules that count for it.
    pub rules: KeepRules,
    /// Every point of it, oldest first.
    pub points: Vec<PointVerdict>,
    /// What goes.
    pub delete: DeletePlan,
}

/// What becomes of one point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PointVerdict {
    /// Which.
    pub id: PointId,
    /// The moment its data is from.
    pub taken_at: Timestamp,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes that it added to the store.
    pub stored_bytes: u64,
    /// Why it stays; without any reason it goes.
    pub reasons: Vec<KeepReason>,
}

impl PrunePlan {
    /// The backup.
    #[must_use]
    pub fn backup(&self) -> &BackupId {
        &self.delete.backup
    }

    /// How many points go.
    #[must_use]
    pub fn going(&self) -> usize {
        self.delete.points.len()
    }
}

impl Dory {
    /// What pruning would take away of one backup, or of all that belong to this server. Touches nothing.
    ///
    /// The rules are `keep`, else those of the catalog, else those of the label of the backup's container, else those of
    /// the fleet's settings; without any, everything stays.
    ///
    /// # Errors
    /// `NotFound`; the store's and the engine's.
    pub async fn plan_prune(&self, reference: Option<&str>, keep: Option<&KeepRules>) -> Result<Vec<PrunePlan>> {
        self.open_fleet().await?;
        let backups = match reference {
            Some(reference) => vec![self.find_backup(reference).await?],
            None => {
                let all = self.catalog.backups().await?.backups;
                all.into_iter().filter(|backup| backup.server == self.config.server).collect()
            }
        };
        let mut plans = Vec::with_capacity(backups.len());
        for backup in backups.iter().filter(|backup| backup.deleting_since.is_none()) {
            plans.push(self.plan_prune_of(backup, keep).await?);
        }
        Ok(plans)
    }

    /// Carries out what `plan` says, and frees what earlier deletions left marked.
    ///
    /// # Errors
    /// As for [`run_delete`](Self::run_delete); `Conflict` where a point that was to go stays by now, and then none goes.
    pub async fn run_prune(&self, plan: &PrunePlan) -> Result<DeleteReport> {
        self.run_prune_until(plan, &Cancel::new(), &RunEvents::ignored()).await
    }

    /// As [`run_prune`](Self::run_prune), until `cancel` says otherwise.
    ///
    /// # Errors
    /// As for [`run_prune`](Self::run_prune); `Cancelled`.
    pub(crate) async fn run_prune_until(
        &self,
        plan: &PrunePlan,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<DeleteReport> {
        self.run_deletion(RunKind::Prune, &plan.delete, Some(&plan.rules), cancel, events).await
    }

    /// What becomes of each point of a backup by `rules`, at this moment.
    pub(super) fn verdicts(&self, backup: &Backup, rules: &KeepRules) -> Vec<Verdict> {
        let circumstances = Circumstances {
            now: self.clock.now(),
            zone: self.config.zone.clone(),
            minimum_stay: self.config.minimum_stay_days.map(|days| SignedDuration::from_hours(i64::from(days) * 24)),
        };
        let mut verdicts = retention(&backup.points, rules, &circumstances);
        for (point, verdict) in backup.points.iter().zip(&mut verdicts).filter(|(point, _)| !point.deleting) {
            if backup.half_restored.iter().any(|note| note.safety_point == Some(point.id)) {
                verdict.reasons.push(KeepReason::WayBack);
            }
        }
        verdicts
    }

    async fn plan_prune_of(&self, backup: &Backup, keep: Option<&KeepRules>) -> Result<PrunePlan> {
        let rules = match keep {
            Some(rules) => rules.clone(),
            None => self.keep_rules_of(backup).await,
        };
        let mut verdicts = self.verdicts(backup, &rules);
        let mut unrecorded = Vec::new();
        if verdicts.iter().any(|verdict| verdict.goes()) {
            let tied = self.ties_of(backup).await?;
            keep_chains(&mut verdicts, &backup.points, &tied);
            let goes = |snapshot: &SnapshotId| {
                let of_it = |(point, _): &(&RestorePoint, _)| point.snapshot == *snapshot;
                backup.points.iter().zip(&verdicts).find(of_it).is_none_or(|(_, verdict)| verdict.goes())
            };
            let recorded: BTreeSet<_> = backup.points.iter().map(|point| &point.snapshot).collect();
            let of_chains_that_go = tied.iter().filter(|(snapshot, with)| goes(snapshot) && with.iter().all(goes));
            let all: BTreeSet<_> =
                of_chains_that_go.flat_map(|(snapshot, with)| with.iter().chain([snapshot])).collect();
            unrecorded = all.into_iter().filter(|snapshot| !recorded.contains(snapshot)).cloned().collect();
        }
        let going: Vec<&RestorePoint> =
            backup.points.iter().zip(&verdicts).filter(|(_, verdict)| verdict.goes()).map(|(point, _)| point).collect();
        if going.is_empty() {
            unrecorded.clear();
        }
        let delete = DeletePlan {
            backup: backup.id.clone(),
            whole: false,
            stored_bytes: going.iter().map(|point| point.size.stored_bytes).sum(),
            points: going.into_iter().map(|point| doomed(point, false)).collect(),
            unrecorded,
            frozen: None,
        };
        let verdict_of = |(point, verdict): (&RestorePoint, Verdict)| PointVerdict {
            id: point.id,
            taken_at: point.taken_at,
            name: point.name.clone(),
            stored_bytes: point.size.stored_bytes,
            reasons: verdict.reasons,
        };
        let points = backup.points.iter().zip(verdicts).map(verdict_of).collect();
        Ok(PrunePlan { name: backup.name.clone(), rules, points, delete })
    }

    /// The rules of a backup whose container says by a label what the catalog leaves open. One that is gone, or that
    /// cannot be asked, said so before; one whose label makes no sense says nothing: then more stays, never less.
    async fn keep_rules_of(&self, backup: &Backup) -> KeepRules {
        if let Some(rules) = &backup.policy.keep {
            return rules.clone();
        }
        let here = match self.runtime() {
            Ok(runtime) => runtime.list_containers().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let by_label = match here.iter().find(|container| self.is_made_from(backup, container)) {
            None => backup.label_rules.keep.clone(),
            Some(own) => match PolicyOverrides::from_labels(&own.labels) {
                Ok(labels) => labels.keep,
                Err(_) => return KeepRules::default(),
            },
        };
        match (by_label, self.default_policy().await) {
            (Some(rules), _) => rules,
            (None, Ok(by_fleet)) => by_fleet.keep.unwrap_or_default(),
            (None, Err(_)) => KeepRules::default(),
        }
    }

    /// Which snapshots go only together, of every engine that cannot remove them one by one.
    async fn ties_of(&self, backup: &Backup) -> Result<BTreeMap<SnapshotId, BTreeSet<SnapshotId>>> {
        let mut ties = BTreeMap::new();
        for engine in backup.engines.iter().copied() {
            if self.engine(engine)?.capabilities().forgets_single_snapshots {
                continue;
            }
            let reader = self.open_reader(backup, engine).await?;
            let snapshots = reader.repository().list_snapshots().await;
            reader.close().await;
            ties.extend(snapshots?.into_iter().map(|snapshot| (snapshot.id, snapshot.tied_to.into_iter().collect())));
        }
        Ok(ties)
    }
}
