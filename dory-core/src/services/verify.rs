//! Checking that what a backup keeps can be restored.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde::Serialize;

use super::Dory;
use super::cancel::Cancel;
use super::run_events::{Phase, RunEvents};
use super::run_record::RunStart;
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::id::{BackupId, PointId, RunId};
use crate::domain::policy::EngineKind;
use crate::domain::restore_point::RestorePoint;
use crate::domain::run::RunKind;
use crate::domain::turns::Verified;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Repository, VerifyDepth};

/// How many faults the catalog keeps.
const FAULTS_KEPT: usize = 20;

/// What to check, and how.
#[derive(Clone, Debug, Default)]
pub struct VerifyChoice {
    /// The backup: its id, its name, or its container's name.
    pub backup: String,
    /// One point of it; all of it where `None`.
    pub point: Option<PointChoice>,
    /// Whether every stored byte is read, and not only names and sizes.
    pub read_data: bool,
}

/// What checking will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyPlan {
    /// The backup.
    pub backup: BackupId,
    /// The points that are looked at.
    pub points: Vec<PointId>,
    /// The engines whose repositories are looked into.
    pub engines: Vec<EngineKind>,
    /// Whether every stored byte is read.
    pub read_data: bool,
    /// Bytes that these points added to the store: about what reading costs.
    pub stored_bytes: u64,
}

/// What checking found.
#[derive(Debug, Serialize)]
pub struct VerifyOutcome {
    /// What was planned.
    pub plan: VerifyPlan,
    /// The run.
    pub run: RunId,
    /// One line a fault; none where all is well.
    pub faults: Vec<String>,
    /// How long it took.
    pub elapsed: SignedDuration,
}

impl VerifyOutcome {
    /// What is wrong, as an error; `None` where all is well.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let first = self.faults.first()?;
        let reason = match self.faults.len() {
            1 => first.clone(),
            several => format!("{first}; and {} more", several - 1),
        };
        Some(
            Error::new(ErrorKind::Corrupt, "verify backup", self.plan.backup.as_str(), reason)
                .with_hint("make a new backup now, and look at the store: what is there may not be restorable"),
        )
    }
}

impl Dory {
    /// What checking would do. Touches nothing.
    ///
    /// # Errors
    /// `NotFound` for the backup and the point, and for a backup that keeps nothing yet; the store's.
    pub async fn plan_verify(&self, choice: &VerifyChoice) -> Result<VerifyPlan> {
        self.open_fleet().await?;
        let backup = self.find_backup(&choice.backup).await?;
        let points: Vec<&RestorePoint> = match &choice.point {
            Some(point) => vec![backup.find_whole_point(point)?],
            None => backup.points.iter().filter(|point| !point.deleting).collect(),
        };
        if points.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "verify backup", &backup.name, "it has no restore points yet")
                .with_hint(format!("run `dory backup {}`", backup.identity.container)));
        }
        let engines: BTreeSet<_> = points.iter().map(|point| point.engine).collect();
        Ok(VerifyPlan {
            backup: backup.id.clone(),
            points: points.iter().map(|point| point.id).collect(),
            engines: engines.into_iter().collect(),
            read_data: choice.read_data,
            stored_bytes: points.iter().map(|point| point.size.stored_bytes).sum(),
        })
    }

    /// Checks, and notes in the catalog what was found. Containers are left alone.
    ///
    /// # Errors
    /// As for [`plan_verify`](Self::plan_verify); `Cancelled`; what keeps an engine from checking. What it finds is no
    /// error of this call: see [`VerifyOutcome::error`].
    pub async fn run_verify(
        &self,
        choice: &VerifyChoice,
        cancel: &Cancel,
        events: &RunEvents,
    ) -> Result<VerifyOutcome> {
        let plan = self.plan_verify(choice).await?;
        let run = self.begin_run(RunKind::Verify)?;
        let events = run.listening(events);
        events.phase(Phase::Verify);
        let backup = self.catalog.backup(&plan.backup).await?;
        let found = self.check_all(&backup, &plan, cancel).await;
        let point = choice.point.as_ref().and(plan.points.first().copied());
        match found {
            Ok(faults) => {
                faults.iter().for_each(|fault| run.log.note(fault.clone()));
                let outcome = VerifyOutcome { plan, run: run.id, faults, elapsed: self.elapsed(&run) };
                self.note_verified(&run, &outcome).await?;
                self.end_run(&run, &backup.id, point, true, outcome.error().as_ref()).await;
                Ok(outcome)
            }
            Err(error) => {
                self.end_run(&run, &backup.id, point, false, Some(&error)).await;
                Err(error)
            }
        }
    }

    async fn check_all(&self, backup: &Backup, plan: &VerifyPlan, cancel: &Cancel) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for engine in plan.engines.iter().copied() {
            let of_it = |point: &&RestorePoint| point.engine == engine && plan.points.contains(&point.id);
            let points: Vec<&RestorePoint> = backup.points.iter().filter(of_it).collect();
            let reader = self.open_reader(backup, engine).await?;
            let checked = cancel.or(check(reader.repository(), &points, plan)).await;
            reader.close().await;
            faults.extend(checked?);
        }
        Ok(faults)
    }

    async fn note_verified(&self, run: &RunStart, outcome: &VerifyOutcome) -> Result<()> {
        let verified = Verified {
            at: run.started_at,
            elapsed: outcome.elapsed,
            read_data: outcome.plan.read_data,
            faults: outcome.faults.iter().take(FAULTS_KEPT).cloned().collect(),
        };
        let note = |backup: &mut Backup| {
            backup.verified = Some(verified.clone());
            Ok(())
        };
        self.catalog.update_backup(&outcome.plan.backup, note).await.map(drop)
    }
}

/// Looks at the points one by one, for an engine knows of no point whose snapshot is gone; then at the repository.
async fn check(repository: &dyn Repository, points: &[&RestorePoint], plan: &VerifyPlan) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for point in points {
        let mounts: Vec<_> = point.mounts.iter().map(|mount| mount.key.clone()).collect();
        match repository.check_restorable(&point.snapshot, &mounts).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                faults.push(format!("point {}: {}", point.id, error.reason()));
            }
            checked => checked?,
        }
    }
    let whole = plan.read_data || points.len() > 1;
    if whole {
        let depth = if plan.read_data { VerifyDepth::Data } else { VerifyDepth::Structure };
        faults.extend(repository.verify(depth).await?.faults);
    }
    Ok(faults)
}
