//! Clearing up after runs that were broken off: what they left on this host, and what they left unsaid.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Dory;
use super::settled::{Settled, SettledContainer, Standing};
use crate::agent::bring_back::find_again;
use crate::agent::guard::Rescue;
use crate::domain::guard::{GuardEnd, GuardPlan, label};
use crate::domain::id::{BackupId, RunId};
use crate::domain::plan::Quiet;
use crate::domain::restore_point::{PointOrigin, RestorePoint};
use crate::domain::run::{Outcome, Run, RunKind};
use crate::error::{ErrorKind, Result};
use crate::ports::{ContainerRuntime, HelperInfo, HelperRole};

/// How long a helper that ended by itself is left to the Dory that launched it.
const LEFT_TO_ITS_DORY: Duration = Duration::from_secs(5);

/// How long something may be there without ever having run, on its way to it.
const LEFT_TO_START: Duration = Duration::from_secs(60);

impl Dory {
    /// Looks for what runs of this server left behind when Dory or its host died: guardians that ended, helpers that
    /// nobody holds, volumes of theirs. Removes them, writes the runs down as interrupted, and tells how their
    /// containers are. Where a guardian was ended from outside, it first does that guardian's work.
    ///
    /// Whatever belongs to a run that is under way is left alone.
    ///
    /// # Errors
    /// The container runtime's and the store's. What was not settled then is found again by the next call.
    pub async fn settle(&self) -> Result<Vec<Settled>> {
        let runtime = self.runtime()?;
        let mut by_run: BTreeMap<RunId, Vec<HelperInfo>> = BTreeMap::new();
        for helper in runtime.list_helpers().await? {
            if let Some(run) = self.run_of(&helper.labels) {
                by_run.entry(run).or_default().push(helper);
            }
        }
        let (mut all, mut under_way, mut over) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (run, helpers) in by_run {
            match self.settle_run(&runtime, run, helpers).await? {
                Verdict::UnderWay => {
                    under_way.insert(run);
                }
                Verdict::Settled(settled) => {
                    over.insert(run);
                    all.extend(settled);
                }
            }
        }
        self.remove_leftover_volumes(runtime.as_ref(), &under_way, &over).await?;
        Ok(all)
    }

    async fn settle_run(
        &self,
        runtime: &Arc<dyn ContainerRuntime>,
        run: RunId,
        helpers: Vec<HelperInfo>,
    ) -> Result<Verdict> {
        let (guardians, others): (Vec<_>, Vec<_>) =
            helpers.into_iter().partition(|helper| helper.role == HelperRole::Guardian);
        if guardians.iter().any(|guardian| !self.is_over(guardian, Duration::ZERO)) {
            return Ok(Verdict::UnderWay);
        }
        // A dead Dory's helper ends with its pipe. One that works is a living Dory's, whatever became of the guardian.
        if others.iter().any(|helper| helper.running) {
            return Ok(Verdict::UnderWay);
        }
        let told = |guardian: &HelperInfo| GuardEnd::of_code(guardian.exit_code.unwrap_or_default());
        let acted = |guardian: &&HelperInfo| !matches!(told(guardian), Some(GuardEnd::Disarmed | GuardEnd::NeverArmed));
        let guardian = guardians.iter().find(acted);
        if guardian.is_none() && others.iter().any(|helper| !self.is_over(helper, LEFT_TO_ITS_DORY)) {
            return Ok(Verdict::UnderWay);
        }
        let settled = match (guardian, self.how_it_went(run).await) {
            (Some(guardian), None) => self.settle_guarded(runtime, run, guardian, told(guardian)).await?,
            // Its Dory came to its end without the guardian, which did its part nevertheless: news where something is
            // down, and where its Dory had told that it was.
            (Some(guardian), Some(said)) if told(guardian).is_some() => {
                let settled = self.settle_guarded(runtime, run, guardian, told(guardian)).await?;
                let said_down = said.error.is_some_and(|error| error.kind == ErrorKind::ContainerDown);
                let settled = settled.filter(|settled| said_down || settled.leaves_something_down());
                settled.map(|settled| Settled { run_ended: true, ..settled })
            }
            (_, Some(_)) => None,
            (None, None) => match others.first().and_then(|helper| settled_by_labels(run, &helper.labels)) {
                Some(settled) => Some(self.with_its_safety_point(settled).await),
                None => None,
            },
        };
        if let Some(settled) = &settled {
            if settled.left_data_whole() {
                self.take_notes_away(run, None).await?;
            }
            self.record_interrupted(settled).await?;
        }
        // The guardian goes last: as long as it is there, all this is done again if it fails half-way.
        for helper in others.iter().chain(&guardians) {
            runtime.remove_helper(&helper.id).await?;
        }
        Ok(Verdict::Settled(settled))
    }

    async fn settle_guarded(
        &self,
        runtime: &Arc<dyn ContainerRuntime>,
        run: RunId,
        guardian: &HelperInfo,
        end: Option<GuardEnd>,
    ) -> Result<Option<Settled>> {
        let Ok(plan) = GuardPlan::from_labels(&guardian.labels) else {
            return Ok(settled_by_labels(run, &guardian.labels));
        };
        let end = match end {
            Some(end) => end,
            None => {
                let rescue = Rescue { runtime: runtime.as_ref(), clock: self.clock.as_ref(), run, plan: &plan };
                // Whether a restore had begun to write died with its guardian.
                rescue.act(plan.kind == RunKind::Restore).await?
            }
        };
        let mut containers = Vec::new();
        for quiet in &plan.containers {
            let standing = standing_of(runtime.as_ref(), quiet).await?;
            containers.push(SettledContainer { name: quiet.name.clone(), standing });
        }
        let Some(settled) = settled_by_labels(run, &guardian.labels) else { return Ok(None) };
        let settled = self.with_its_safety_point(Settled { kind: plan.kind, ..settled }).await;
        Ok(Some(Settled { noticed_at: guardian.ended_at, end: Some(end), containers, ..settled }))
    }

    /// What a run wrote down itself of how it went, where it got as far. A store that does not answer is no reason to
    /// leave containers down.
    async fn how_it_went(&self, run: RunId) -> Option<Run> {
        let record = self.catalog.run(&self.config.server, run).await.ok().flatten();
        record.filter(|record| record.outcome != Outcome::Interrupted)
    }

    /// `settled` with the point that a restore made of what was there before it. A catalog that does not tell is no
    /// reason to leave everything else unsettled.
    async fn with_its_safety_point(&self, settled: Settled) -> Settled {
        if settled.kind != RunKind::Restore {
            return settled;
        }
        let Ok(backup) = self.catalog.backup(&settled.backup).await else { return settled };
        let made = |point: &&RestorePoint| point.run == settled.run && point.origin == PointOrigin::Safety;
        let Some(point) = backup.points.iter().find(made) else { return settled };
        // What was loaded was a dump where that is all it keeps.
        let safety_dump = point.dumps.first().filter(|_| point.mounts.is_empty()).map(|dump| dump.name.clone());
        Settled { safety_point: Some(point.id), safety_dump, ..settled }
    }

    async fn record_interrupted(&self, settled: &Settled) -> Result<()> {
        let started_at = settled.run.made_at();
        let until = settled.noticed_at.unwrap_or_else(|| self.clock.now());
        let record = Run {
            id: settled.run,
            server: self.config.server.clone(),
            kind: settled.kind,
            backup: settled.backup.clone(),
            started_at,
            elapsed: until.duration_since(started_at).max(SignedDuration::ZERO),
            outcome: Outcome::Interrupted,
            point: settled.safety_point,
            error: Some(settled.to_error().to_record()),
            log: Vec::new(),
        };
        match self.catalog.record_run(&record).await {
            // It got as far as saying itself how it went.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            recorded => recorded,
        }
    }

    /// Volumes that a run made for itself, and that no run uses any more.
    async fn remove_leftover_volumes(
        &self,
        runtime: &dyn ContainerRuntime,
        under_way: &BTreeSet<RunId>,
        over: &BTreeSet<RunId>,
    ) -> Result<()> {
        for volume in runtime.list_volumes().await? {
            let Some(run) = self.run_of(&volume.labels) else { continue };
            // A run makes its volumes shortly before it mounts them.
            let young = !over.contains(&run) && !self.is_past(run.made_at(), LEFT_TO_START);
            if young || under_way.contains(&run) {
                continue;
            }
            match runtime.remove_volume(&volume.name).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// The run of this server that labels name.
    fn run_of(&self, labels: &BTreeMap<String, String>) -> Option<RunId> {
        let own = labels.get(label::SERVER).is_some_and(|server| server == self.config.server.as_str());
        RunId::parse(labels.get(label::RUN).filter(|_| own)?).ok()
    }

    /// Whether a helper ended at least `grace` ago, or never got as far as running.
    fn is_over(&self, helper: &HelperInfo, grace: Duration) -> bool {
        match helper.ended_at {
            _ if helper.running => false,
            Some(ended_at) => self.is_past(ended_at, grace),
            None => self.is_past(helper.created_at, LEFT_TO_START),
        }
    }

    fn is_past(&self, moment: Timestamp, grace: Duration) -> bool {
        let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        self.clock.now().duration_since(moment) >= grace
    }
}

enum Verdict {
    UnderWay,
    Settled(Option<Settled>),
}

/// What the labels tell of a run; `None` for one that the catalog keeps no record of.
fn settled_by_labels(run: RunId, labels: &BTreeMap<String, String>) -> Option<Settled> {
    let kind =
        RunKind::ALL.into_iter().find(|kind| labels.get(label::KIND).is_some_and(|word| word == kind.as_str()))?;
    let backup = BackupId::parse(labels.get(label::BACKUP)?).ok()?;
    Some(Settled {
        run,
        backup,
        kind,
        noticed_at: None,
        end: None,
        containers: Vec::new(),
        safety_point: None,
        safety_dump: None,
        run_ended: false,
    })
}

async fn standing_of(runtime: &dyn ContainerRuntime, quiet: &Quiet) -> Result<Standing> {
    use crate::domain::container::ContainerState::{Paused, Restarting, Running};
    let container = match find_again(runtime, quiet).await {
        Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(Standing::Gone),
        found => found?,
    };
    Ok(match (quiet.was, container.state) {
        (Running | Restarting, Running | Restarting) | (Paused, Paused) if container.id == quiet.id => Standing::Back,
        (Running | Restarting, Running | Restarting) | (Paused, Paused) => Standing::Anew,
        (_, other) => Standing::Down(other),
    })
}
