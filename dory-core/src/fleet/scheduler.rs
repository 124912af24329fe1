//! Running what is due: one backup a container at a time, and not too many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::due::{Due, Turns};
use super::gate::Gate;
use super::live_run::Showing;
use super::under_way::UnderWay;
use crate::domain::id::{BackupId, ContainerName};
use crate::domain::pulse::Loop;
use crate::domain::restore_point::PointOrigin;
use crate::domain::run::RunKind;
use crate::domain::server::NextRun;
use crate::error::{Error, Result};
use crate::ports::{Clock, ContainerAction, EventStream};
use crate::services::{BackupReport, BackupRequest, Cancel, DeleteReport, Dory, Guarding, Timetable};

/// How often a timetable is read anew, even if nothing happened.
const LOOK: Duration = Duration::from_secs(30);

/// When what the rules do not keep is looked for the first time, and how often then: some of it goes by time alone, and
/// of backups that nothing is added to.
const FIRST_PRUNING: Duration = Duration::from_secs(3600);
const PRUNING: Duration = Duration::from_secs(24 * 3600);

/// What a scheduler did, for logs and people.
#[derive(Debug)]
pub enum SchedulerNews {
    /// A backup began.
    Began {
        /// Of which container.
        container: ContainerName,
    },
    /// A backup ended.
    Ended {
        /// Of which container.
        container: ContainerName,
        /// How.
        result: Result<Box<BackupReport>>,
    },
    /// Points went that the rules do not keep.
    Pruned {
        /// Of which container's backup.
        container: ContainerName,
        /// Which, or why none.
        result: Result<Box<DeleteReport>>,
    },
    /// Nobody can tell whether a container is to be backed up.
    Unclear {
        /// Which.
        container: ContainerName,
        /// Why.
        error: Error,
    },
    /// The timetable could not be read; it is tried again.
    Blind {
        /// Why.
        error: Error,
    },
}

/// Where a scheduler's news go.
pub(super) type News = Arc<dyn Fn(SchedulerNews) + Send + Sync>;

/// What came of a task.
enum Ended {
    /// A backup that was due.
    Backup(Due, Result<Box<BackupReport>>),
    /// One that did not begin, for the server ends; or what was told already.
    Nothing,
    /// The backups of which something is to go.
    ToPrune(Result<Vec<(ContainerName, BackupId)>>),
}

/// What a scheduler is about to do, and does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outlook {
    pub(super) next: Option<NextRun>,
    pub(super) running: Vec<ContainerName>,
}

/// Runs what is due, until it is cancelled.
pub(super) struct Scheduler {
    dory: Dory,
    clock: Arc<dyn Clock>,
    gate: Gate,
    under_way: UnderWay,
    guarding: Guarding,
    news: News,
    outlook: watch::Sender<Outlook>,
    turns: Turns,
    /// The containers whose backup is under way or waits its turn.
    begun: BTreeSet<ContainerName>,
    /// Whose trouble was told already.
    told: BTreeMap<ContainerName, String>,
    /// When all backups are pruned next, by the monotonic clock.
    prune_at: Duration,
    tasks: JoinSet<Ended>,
}

impl Scheduler {
    pub(super) fn new(
        dory: Dory,
        guarding: Guarding,
        gate: Gate,
        under_way: UnderWay,
        news: News,
        outlook: watch::Sender<Outlook>,
    ) -> Self {
        let clock = dory.clock();
        let (turns, begun, told, tasks) = (Turns::default(), BTreeSet::new(), BTreeMap::new(), JoinSet::new());
        let prune_at = clock.monotonic() + FIRST_PRUNING;
        Self { dory, clock, gate, under_way, guarding, news, outlook, turns, begun, told, prune_at, tasks }
    }

    /// Runs what is due until `cancel` says otherwise; then runs that are under way end in order, containers first.
    pub(super) async fn run(mut self, cancel: Cancel) {
        let mut events = self.listen(&cancel).await;
        while !cancel.is_cancelled() {
            self.look_for_prunable(&cancel);
            let table = cancel.or(self.dory.timetable()).await;
            self.dory.pulse().turn(Loop::Scheduler, table.is_ok());
            let wait = match table {
                Ok(table) => self.start_due(table, &cancel),
                Err(_) if cancel.is_cancelled() => break,
                Err(error) => {
                    (self.news)(SchedulerNews::Blind { error });
                    LOOK
                }
            };
            tokio::select! {
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended, &cancel).await,
                heard = next_change(&mut events) => if !heard {
                    events = self.listen(&cancel).await;
                },
                () = self.clock.sleep(wait) => {}
                () = cancel.spoken() => {}
            }
            if events.is_none() {
                events = self.listen(&cancel).await;
            }
        }
        while !self.tasks.is_empty() {
            let ended = self.tasks.join_next().await;
            self.ended(ended, &cancel).await;
        }
    }

    /// What happens to containers wakes the scheduler sooner. Without it, it looks by itself now and then.
    async fn listen(&self, cancel: &Cancel) -> Option<EventStream> {
        let runtime = self.dory.runtime().ok()?;
        cancel.or(runtime.events()).await.ok()
    }

    /// Starts what is due; tells how long nothing else will be.
    fn start_due(&mut self, table: Timetable, cancel: &Cancel) -> Duration {
        for (container, error) in table.unclear {
            let words = error.to_string();
            if self.told.get(&container) != Some(&words) {
                self.told.insert(container.clone(), words);
                (self.news)(SchedulerNews::Unclear { container, error });
            }
        }
        let now = self.clock.now();
        let idle: Vec<_> = table.entries.into_iter().filter(|entry| !self.begun.contains(&entry.container)).collect();
        let (due, next) = self.turns.due(&idle, now, self.dory.zone());
        for due in due {
            self.start(due, cancel);
        }
        let wait = next.as_ref().map(|next| next.at.duration_since(now).max(SignedDuration::ZERO));
        self.outlook.send_modify(|outlook| outlook.next = next);
        wait.and_then(|wait| Duration::try_from(wait).ok()).map_or(LOOK, |wait| wait.min(LOOK))
    }

    fn start(&mut self, due: Due, cancel: &Cancel) {
        self.begun.insert(due.container.clone());
        let request = BackupRequest {
            container: due.container.to_string(),
            origin: PointOrigin::Schedule,
            guarding: self.guarding,
            ..BackupRequest::default()
        };
        let (dory, gate, under_way) = (self.dory.clone(), self.gate.clone(), self.under_way.clone());
        let (news, outlook, cancel) = (Arc::clone(&self.news), self.outlook.clone(), cancel.of_part());
        self.tasks.spawn(async move {
            // What is wrong with it, its run says.
            let needs = || async { Ok(dory.needs_of_backup(&request).await.unwrap_or_default()) };
            let container = &due.container;
            let Ok(pass) = gate.enter(needs, &cancel, |_| ()).await else { return Ended::Nothing };
            news(SchedulerNews::Began { container: container.clone() });
            outlook.send_modify(|outlook| outlook.running.push(container.clone()));
            let showing = Showing::begin(&dory, format!("back up {container}"), None, &under_way, &cancel);
            let result = dory.run_backup(&request, &cancel, &showing.events()).await.map(Box::new);
            showing.end().await;
            outlook.send_modify(|outlook| outlook.running.retain(|running| running != container));
            drop(pass);
            Ended::Backup(due, result)
        });
    }

    async fn ended(&mut self, ended: Option<std::result::Result<Ended, JoinError>>, cancel: &Cancel) {
        let (due, result) = match ended {
            Some(Ok(Ended::Backup(due, result))) => (due, result),
            Some(Ok(Ended::ToPrune(found))) if !cancel.is_cancelled() => {
                match found {
                    Ok(all) => all.into_iter().for_each(|(container, backup)| self.prune(container, backup, cancel)),
                    Err(error) => (self.news)(SchedulerNews::Blind { error }),
                }
                return;
            }
            Some(Ok(Ended::Nothing | Ended::ToPrune(_)) | Err(_)) | None => return,
        };
        let container = due.container.clone();
        self.begun.remove(&container);
        let (backup, moment) = (due.backup.clone(), due.moment);
        let failure = result.as_ref().err().map(Error::kind);
        // A server that ends leaves what it did not do to the one that comes after it.
        if !cancel.is_cancelled() {
            let again = self.turns.over(due, failure, self.clock.now());
            if failure.is_some()
                && !again
                && let Some(backup) = backup
                && let Err(error) = self.dory.end_turn(&backup, moment).await
            {
                tracing::warn!(%backup, %error, "that a turn is over could not be written down");
            }
        }
        let made = result.as_ref().ok().map(|report| report.backup.clone());
        (self.news)(SchedulerNews::Ended { container: container.clone(), result });
        if let Some(backup) = made.filter(|_| !cancel.is_cancelled()) {
            self.prune(container, backup, cancel);
        }
    }

    /// Looks once a day at all backups of this server, orphans included.
    fn look_for_prunable(&mut self, cancel: &Cancel) {
        let now = self.clock.monotonic();
        if now < self.prune_at {
            return;
        }
        self.prune_at = now + PRUNING;
        let (dory, cancel) = (self.dory.clone(), cancel.of_part());
        self.tasks.spawn(async move { Ended::ToPrune(cancel.or(prunable(&dory)).await) });
    }

    /// Removes what the rules do not keep.
    fn prune(&mut self, container: ContainerName, backup: BackupId, cancel: &Cancel) {
        let (dory, gate, under_way) = (self.dory.clone(), self.gate.clone(), self.under_way.clone());
        let (news, cancel) = (Arc::clone(&self.news), cancel.of_part());
        self.tasks.spawn(async move {
            let pruned = async {
                let _pass = gate.enter(|| async { Ok(dory.needs_of_upkeep(&backup)) }, &cancel, |_| ()).await?;
                let plans = cancel.or(dory.plan_prune(Some(backup.as_str()), None)).await?;
                let Some(plan) = plans.first().filter(|plan| plan.going() > 0) else { return Ok(None) };
                let showing = Showing::begin(&dory, format!("prune {backup}"), None, &under_way, &cancel);
                let report = dory.run_prune_until(plan, &cancel, &showing.events()).await;
                showing.end().await;
                report.map(Box::new).map(Some)
            };
            if let Some(result) = pruned.await.transpose() {
                news(SchedulerNews::Pruned { container, result });
            }
            Ended::Nothing
        });
    }
}

/// The backups of this server of which something is to go.
async fn prunable(dory: &Dory) -> Result<Vec<(ContainerName, BackupId)>> {
    let (plans, backups) = (dory.plan_prune(None, None).await?, dory.catalog().backups().await?.backups);
    let container =
        |id: &BackupId| backups.iter().find(|backup| backup.id == *id).map(|backup| backup.identity.container.clone());
    let going = plans.iter().filter(|plan| plan.going() > 0).map(|plan| plan.backup());
    Ok(going.filter_map(|backup| Some((container(backup)?, backup.clone()))).collect())
}

impl Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Waits until a container came, went or got another name; `false` once nothing more is heard.
async fn next_change(events: &mut Option<EventStream>) -> bool {
    let Some(stream) = events else { return std::future::pending().await };
    loop {
        match stream.next().await {
            Some(Ok(event)) => match event.action {
                ContainerAction::Created | ContainerAction::Removed | ContainerAction::Renamed => return true,
                ContainerAction::Started | ContainerAction::Ended | ContainerAction::HealthChanged => {}
            },
            Some(Err(_)) | None => {
                *events = None;
                return false;
            }
        }
    }
}
