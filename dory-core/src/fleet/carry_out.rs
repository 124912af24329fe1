//! Doing what one command asks for, once it is this server's to do.

use std::time::Duration;

use super::gate::Gate;
use super::live_run::Showing;
use super::server::ServerOptions;
use super::under_way::UnderWay;
use crate::domain::backup::PointChoice;
use crate::domain::command::{BackupHow, Order, Shortfall};
use crate::domain::id::{BackupId, PointId};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind, Result};
use crate::services::{
    BackupReport, BackupRequest, Cancel, DeletePlan, Dory, DumpChoice, History, MountMap, RestoreChoice,
    RestoreOutcome, RunNeeds, VerifyChoice,
};

/// How long a run waits that met one of another process on this host: first, second and third time.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) point: Option<PointId>,
    pub(super) words: String,
    pub(super) error: Option<Error>,
    pub(super) shortfalls: Vec<Shortfall>,
}

impl Done {
    fn well(words: impl Into<String>) -> Self {
        Self { words: words.into(), ..Self::default() }
    }
}

/// What a command is carried out with.
pub(super) struct Bench<'a> {
    pub(super) dory: &'a Dory,
    pub(super) options: ServerOptions,
    pub(super) gate: &'a Gate,
    pub(super) under_way: &'a UnderWay,
    pub(super) cancel: &'a Cancel,
    pub(super) showing: &'a Showing,
}

impl Bench<'_> {
    pub(super) async fn carry_out(&self, order: &Order) -> Result<Done> {
        let (dory, events) = (self.dory, self.showing.events());
        match order {
            Order::Backup { container, name, description, how } => {
                let request = BackupRequest {
                    container: container.clone(),
                    point_name: name.clone(),
                    point_description: description.clone(),
                    guarding: self.options.guarding,
                    ..as_asked(how)
                };
                let run = || dory.run_backup(&request, self.cancel, &events);
                self.in_turn(|| dory.needs_of_backup(&request), run).await.map(of_backup)
            }
            Order::Restore { backup, point, into, maps, safety, delete_extra } => {
                let choice = RestoreChoice {
                    point: PointChoice::Named(point.to_string()),
                    into: into.clone(),
                    maps: maps.iter().map(|map| map.parse()).collect::<Result<Vec<MountMap>>>()?,
                    safety: *safety,
                    delete_extra_from_binds: *delete_extra,
                    guarding: self.options.guarding,
                    ..RestoreChoice::newest_of(backup.as_str())
                };
                let run = || dory.run_restore(&choice, self.cancel, &events);
                self.in_turn(|| dory.needs_of_restore(&choice), run).await.map(|outcome| of_restore(*point, outcome))
            }
            Order::LoadDump { backup, point, name, into, safety } => {
                let choice = DumpChoice {
                    backup: backup.to_string(),
                    point: PointChoice::Named(point.to_string()),
                    name: name.clone(),
                    into: into.clone(),
                    safety: *safety,
                };
                let run = || dory.run_load_dump(&choice, self.cancel, &events);
                let outcome = self.in_turn(|| dory.needs_of_load(&choice), run).await?;
                let undo = outcome.undo_command().map(|undo| format!("; `{undo}` undoes it")).unwrap_or_default();
                let words = format!("loaded {} bytes into {}{undo}", outcome.bytes, outcome.plan.target);
                Ok(Done { point: Some(*point), ..Done::well(words) })
            }
            Order::Verify { backup, read_data } => {
                let choice = VerifyChoice { backup: backup.to_string(), point: None, read_data: *read_data };
                let run = || dory.run_verify(&choice, self.cancel, &events);
                let outcome = self.in_turn(|| self.upkeep_of(backup), run).await?;
                let words = match outcome.faults.len() {
                    0 => format!("checked {} points of {backup}: all is well", outcome.plan.points.len()),
                    faults => format!("checked {backup}: {faults} faults"),
                };
                Ok(Done { error: outcome.error(), ..Done::well(words) })
            }
            Order::Prune { backup, keep } => {
                let run = || async {
                    let mut gone = 0;
                    for plan in dory.plan_prune(Some(backup.as_str()), keep.as_ref()).await? {
                        let report = dory.run_prune_until(&plan, self.cancel, &self.showing.events()).await?;
                        gone += report.plan.points.len();
                    }
                    Ok(Done::well(format!("deleted {gone} points of {backup}")))
                };
                self.in_turn(|| self.upkeep_by_owner_of(backup), run).await
            }
            Order::DeletePoint { backup, point, expected } => {
                let named = PointChoice::Named(point.to_string());
                let shown = if expected.is_empty() { std::slice::from_ref(point) } else { expected.as_slice() };
                self.delete_as_shown(backup, Some(&named), shown).await
            }
            Order::DeleteBackup { backup, expected } => self.delete_as_shown(backup, None, expected).await,
            Order::Mark { container, marked } => {
                let backup = dory.mark(container, *marked).await?;
                Ok(Done::well(format!("backup {} is {}", backup.id, if *marked { "marked" } else { "not marked" })))
            }
            Order::Cancel { command } => self.end(command.to_string(), "command"),
            Order::CancelRun { run } => self.end(run.to_string(), "run"),
        }
    }

    async fn upkeep_of(&self, backup: &BackupId) -> Result<RunNeeds> {
        Ok(self.dory.needs_of_upkeep(backup))
    }

    /// The same for what its own server alone may do.
    async fn upkeep_by_owner_of(&self, backup: &BackupId) -> Result<RunNeeds> {
        self.dory.check_owned(&*self.dory.find_backup(backup.as_str()).await?)?;
        self.upkeep_of(backup).await
    }

    /// Does `run` once it is its turn. One that meets a run of another process on this host waits and tries again; what
    /// the plan itself finds in the way is final.
    async fn in_turn<T, N, R>(
        &self,
        needs: impl Fn() -> N + Send + Sync,
        run: impl Fn() -> R + Send + Sync,
    ) -> Result<T>
    where
        N: Future<Output = Result<RunNeeds>> + Send,
        R: Future<Output = Result<T>> + Send,
    {
        let clock = self.dory.clock();
        for wait in AGAIN_AFTER {
            let pass = self.gate.enter(&needs, self.cancel, |wait| self.showing.say(wait.to_string())).await?;
            match run().await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    drop(pass);
                    self.showing.say(format!("waits to try again: {error}"));
                    let waited = async {
                        clock.sleep(wait).await;
                        Ok(())
                    };
                    self.cancel.or(waited).await?;
                }
                done => return done,
            }
        }
        let _pass = self.gate.enter(&needs, self.cancel, |wait| self.showing.say(wait.to_string())).await?;
        run().await
    }

    /// Deletes, if that takes away just what whoever asked was shown.
    async fn delete_as_shown(&self, backup: &BackupId, point: Option<&PointChoice>, shown: &[PointId]) -> Result<Done> {
        let plan = || async {
            let plan = self.dory.plan_delete(backup.as_str(), point).await?;
            if plan.points.iter().map(|doomed| doomed.id).eq(shown.iter().copied()) {
                return Ok(plan);
            }
            let others: Vec<_> = plan.points.iter().map(|doomed| format!("`{}`", doomed.id)).collect();
            let reason = format!("other points would go by now than were shown: {}", others.join(", "));
            Err(Error::new(ErrorKind::Conflict, "delete from backup", backup.as_str(), reason)
                .with_hint("look at it again, and ask again"))
        };
        let needs = || async {
            plan().await?;
            self.upkeep_by_owner_of(backup).await
        };
        let run = || async {
            let plan = plan().await?;
            let events = self.showing.events();
            let gone = self.dory.run_delete_until(&plan, self.cancel, &events).await?.plan.points.len();
            Ok(Done::well(match plan.whole {
                true => format!("deleted {backup} with its {gone} points"),
                false => format!("deleted {gone} points of {backup}"),
            }))
        };
        self.in_turn(needs, run).await
    }

    fn end(&self, id: String, what: &str) -> Result<Done> {
        if !self.under_way.cancel(&id) {
            let reason = "it is not under way here";
            return Err(Error::new(ErrorKind::NotFound, format!("cancel {what}"), id, reason)
                .with_hint("see `dory runs` and `dory commands`"));
        }
        Ok(Done::well(format!("{id} ends in order")))
    }
}

fn as_asked(how: &BackupHow) -> BackupRequest {
    let history = match (&how.continue_backup, how.new) {
        (Some(backup), _) => History::Continue(backup.clone()),
        (None, true) => History::New,
        (None, false) => History::Ask,
    };
    let BackupHow { policy, no_hooks, no_dump, .. } = how.clone();
    BackupRequest { policy, no_hooks, no_dump, history, ..BackupRequest::default() }
}

fn of_backup(report: BackupReport) -> Done {
    let point = &report.point;
    let mut shortfalls = Vec::new();
    if point.lost_data() {
        shortfalls.push(Shortfall::LostData { warnings: point.warning_count });
    }
    if point.is_suspect() {
        shortfalls.push(Shortfall::Suspect);
    }
    shortfalls.extend(report.hook_failed.iter().map(|error| Shortfall::HookFailed { error: error.to_record() }));
    shortfalls.extend(report.containers_down.iter().map(|error| Shortfall::ContainerDown { error: error.to_record() }));
    shortfalls.extend(report.guardian_lost.map(|reason| Shortfall::GuardianLost { reason }));
    let words = format!("made point {} of {}", point.id, report.backup);
    Done { point: Some(point.id), words, error: None, shortfalls }
}

fn of_restore(point: PointId, outcome: RestoreOutcome) -> Done {
    let undo = outcome.undo_command().map(|undo| format!("; `{undo}` undoes it")).unwrap_or_default();
    let warnings = outcome.warnings.len() as u64;
    let short = if warnings > 0 { format!(", {warnings} paths fell short") } else { String::new() };
    let mut shortfalls = Vec::new();
    if outcome.was_disturbed() {
        shortfalls.push(Shortfall::LostData { warnings });
    }
    shortfalls
        .extend(outcome.containers_down.iter().map(|error| Shortfall::ContainerDown { error: error.to_record() }));
    shortfalls.extend(outcome.guardian_lost.map(|reason| Shortfall::GuardianLost { reason }));
    Done { point: Some(point), words: format!("restored point {point}{short}{undo}"), error: None, shortfalls }
}
