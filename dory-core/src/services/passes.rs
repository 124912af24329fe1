//! The engine's passes over a container's data: ahead of the stop window, in it, and after it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::Dory;
use super::backup::Planned;
use super::helper::{SCRATCH, folder_of};
use super::run_events::{Phase, RunEvents};
use crate::domain::event::Warning;
use crate::domain::id::PointId;
use crate::domain::plan::BackupPlan;
use crate::domain::policy::StopMode;
use crate::domain::restore_point::RestorePoint;
use crate::error::Result;
use crate::ports::{EngineEvent, Events, FreezeReport, Repository, SnapshotReport, SnapshotRequest};

/// How many hot passes there are at most.
const HOT_PASSES: u32 = 3;

/// How little the cold pass may have to read for another hot pass to be of no use, in bytes: a tenth of a second.
const LITTLE: u64 = 64 << 20;

/// What a read gave.
pub(super) struct ReadReport {
    pub(super) snapshot: SnapshotReport,
    pub(super) frozen: Option<FreezeReport>,
    pub(super) gathered: Gathered,
}

/// What an engine has to do for one restore point.
pub(super) struct Pass<'a> {
    repository: &'a dyn Repository,
    request: SnapshotRequest,
    freezes: bool,
    gathered: Arc<Mutex<Gathered>>,
    events: &'a RunEvents,
}

/// A pass whose stop window may open.
pub(super) struct Warmed<'a>(Pass<'a>);

/// A pass whose stop window may close.
pub(super) struct StoodStill<'a> {
    pass: Pass<'a>,
    done: Done,
}

enum Done {
    Read(SnapshotReport),
    Frozen(FreezeReport),
}

impl Dory {
    /// Whether the data is kept aside in the stop window and stored after it: where there is a window, and the engine
    /// can.
    pub(super) fn freezes(&self, plan: &BackupPlan) -> Result<bool> {
        let opens_a_window = plan.quiet.iter().any(|quiet| quiet.mode != StopMode::None);
        Ok(opens_a_window && self.engine(plan.policy.engine)?.freezes(&plan.policy.engine_options))
    }

    /// Whether a helper needs a place to keep things aside. An engine may need one for a dump, too.
    pub(super) fn needs_scratch(&self, plan: &BackupPlan) -> Result<bool> {
        Ok(plan.policy.hooks.dump.is_some() || self.freezes(plan)?)
    }

    /// What the engine has to do for the point `id` of `planned`.
    pub(super) fn pass<'a>(
        &self,
        planned: &Planned,
        repository: &'a dyn Repository,
        id: PointId,
        events: &'a RunEvents,
    ) -> Result<Pass<'a>> {
        let plan = &planned.plan;
        let freezes = self.freezes(plan)?;
        let newest = planned.known.as_ref().and_then(|known| {
            known.points.iter().rev().find(|point| point.engine == plan.policy.engine && !point.deleting)
        });
        let request = SnapshotRequest {
            sources: plan.mounts.iter().map(folder_of).collect(),
            exclude: plan.policy.exclude.clone(),
            taken_at: self.clock.now(),
            host: self.config.server.to_string(),
            tags: vec![format!("dory:{id}"), plan.container.to_string()],
            parent: newest.map(|point| point.snapshot.clone()),
            scratch: freezes.then(|| PathBuf::from(SCRATCH)),
        };
        Ok(Pass { repository, request, freezes, gathered: Arc::default(), events })
    }
}

impl<'a> Pass<'a> {
    /// Reads ahead with everything running, again as long as that shortens what is left noticeably.
    pub(super) async fn warm_up(self) -> Result<Warmed<'a>> {
        if self.freezes {
            self.events.phase(Phase::Warm);
            let mut expected = None;
            for _ in 0..HOT_PASSES {
                let report = self.repository.warm(&self.request, &self.events.for_engine(|_| ())).await?;
                let before = expected.replace(report.bytes_left).unwrap_or(report.bytes);
                tracing::debug!(left = report.bytes_left, before, "a hot pass ended");
                if report.bytes_left <= LITTLE || report.bytes_left > before / 2 {
                    break;
                }
            }
        }
        Ok(Warmed(self))
    }

    fn engine_events(&self) -> Events {
        let sink = Arc::clone(&self.gathered);
        self.events.for_engine(move |event| {
            if let EngineEvent::Warning(warning) = event {
                sink.lock().unwrap_or_else(PoisonError::into_inner).add(warning);
            }
        })
    }

    async fn snapshot(&self, taken_at: Timestamp) -> Result<SnapshotReport> {
        let request = SnapshotRequest { taken_at, ..self.request.clone() };
        self.repository.backup(&request, &self.engine_events()).await
    }
}

impl<'a> Warmed<'a> {
    /// Does what takes that everything stands still.
    pub(super) async fn stand_still(self, taken_at: Timestamp) -> Result<StoodStill<'a>> {
        let Self(pass) = self;
        let done = if pass.freezes {
            pass.events.phase(Phase::Freeze);
            let frozen = pass.repository.freeze(&pass.engine_events()).await?;
            tracing::debug!(?frozen, "the freeze ended");
            Done::Frozen(frozen)
        } else {
            pass.events.phase(Phase::Read);
            Done::Read(pass.snapshot(taken_at).await?)
        };
        Ok(StoodStill { pass, done })
    }
}

impl StoodStill<'_> {
    /// Completes the snapshot of the moment `taken_at`.
    pub(super) async fn finish(self, taken_at: Timestamp) -> Result<ReadReport> {
        let Self { pass, done } = self;
        let (snapshot, frozen) = match done {
            Done::Read(snapshot) => (snapshot, None),
            Done::Frozen(frozen) => {
                pass.events.phase(Phase::Store);
                (pass.snapshot(taken_at).await?, Some(frozen))
            }
        };
        let gathered = std::mem::take(&mut *pass.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(ReadReport { snapshot, frozen, gathered })
    }
}

/// What fell short while data was read.
#[derive(Default)]
pub(super) struct Gathered {
    /// The warnings, up to a number.
    pub(super) kept: Vec<Warning>,
    /// How many there were in all.
    pub(super) count: u64,
    /// Whether something was written to the data while it was read.
    pub(super) written_meanwhile: bool,
}

impl Gathered {
    pub(super) fn add(&mut self, warning: &Warning) {
        self.count += 1;
        self.written_meanwhile |= warning.kind.mixes_moments();
        if self.kept.len() < RestorePoint::WARNINGS_KEPT {
            self.kept.push(warning.clone());
        } else if warning.kind.loses_data()
            && let Some(lesser) = self.kept.iter_mut().find(|kept| !kept.kind.loses_data())
        {
            // What lost data must not drown in what did not.
            *lesser = warning.clone();
        }
    }
}
