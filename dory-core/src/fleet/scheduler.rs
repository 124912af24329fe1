//! Running what is due: one backup a container at a time, and not too many at once.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::due::{Due, Turns};
use super::server::ServerOptions;
use crate::domain::id::ContainerName;
use crate::domain::restore_point::PointOrigin;
use crate::domain::server::NextRun;
use crate::error::{Error, Result};
use crate::ports::{Clock, ContainerAction, EventStream};
use crate::services::{BackupReport, BackupRequest, Cancel, DeleteReport, Dory, Guarding, Loop, RunEvents, Timetable};

/// How often a timetable is read anew, even if nothing happened.
const LOOK: Duration = Duration::from_secs(30);

/// How many backups run at once, and how many containers they may have down together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Backups at once; at least one.
    pub parallel: usize,
    /// Containers that stand still at once; a single backup that needs more runs alone.
    pub containers_down: usize,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        Self { parallel: 2, containers_down: 10 }
    }
}

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

/// What came of a turn.
type Ended = (Due, Result<Box<BackupReport>>);

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
    limits: SchedulerLimits,
    guarding: Guarding,
    news: News,
    outlook: watch::Sender<Outlook>,
    turns: Turns,
    /// The containers that are being backed up, and how many each has down at most.
    running: BTreeMap<ContainerName, usize>,
    /// Whose trouble was told already.
    told: BTreeMap<ContainerName, String>,
    tasks: JoinSet<Ended>,
}

impl Scheduler {
    pub(super) fn new(dory: Dory, options: ServerOptions, news: News, outlook: watch::Sender<Outlook>) -> Self {
        let clock = dory.clock();
        let (turns, running, told, tasks) = (Turns::default(), BTreeMap::new(), BTreeMap::new(), JoinSet::new());
        let ServerOptions { limits, guarding } = options;
        Self { dory, clock, limits, guarding, news, outlook, turns, running, told, tasks }
    }

    /// Runs what is due until `cancel` says otherwise; then runs that are under way end in order, containers first.
    pub(super) async fn run(mut self, cancel: Cancel) {
        let mut events = self.listen().await;
        while !cancel.is_cancelled() {
            let table = self.dory.timetable().await;
            self.dory.pulse().turn(Loop::Scheduler, table.is_ok());
            let wait = match table {
                Ok(table) => self.start_due(table, &cancel).await,
                Err(error) => {
                    (self.news)(SchedulerNews::Blind { error });
                    LOOK
                }
            };
            tokio::select! {
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended).await,
                heard = next_change(&mut events) => if !heard {
                    events = self.listen().await;
                },
                () = self.clock.sleep(wait) => {}
                _ = cancel.or(std::future::pending::<Result<()>>()) => {}
            }
            if events.is_none() {
                events = self.listen().await;
            }
        }
        while !self.tasks.is_empty() {
            let ended = self.tasks.join_next().await;
            self.ended(ended).await;
        }
    }

    /// What happens to containers wakes the scheduler sooner. Without it, it looks by itself now and then.
    async fn listen(&self) -> Option<EventStream> {
        let runtime = self.dory.runtime().ok()?;
        runtime.events().await.ok()
    }

    /// Starts what is due and may run; tells how long nothing else will be.
    async fn start_due(&mut self, table: Timetable, cancel: &Cancel) -> Duration {
        for (container, error) in table.unclear {
            let words = error.to_string();
            if self.told.get(&container) != Some(&words) {
                self.told.insert(container.clone(), words);
                (self.news)(SchedulerNews::Unclear { container, error });
            }
        }
        let now = self.clock.now();
        let idle: Vec<_> =
            table.entries.into_iter().filter(|entry| !self.running.contains_key(&entry.container)).collect();
        let (due, next) = self.turns.due(&idle, now, self.dory.zone());
        for due in due {
            self.start(due, cancel).await;
        }
        let wait = next.as_ref().map(|next| next.at.duration_since(now).max(SignedDuration::ZERO));
        self.outlook.send_replace(Outlook { next, running: self.running.keys().cloned().collect() });
        wait.and_then(|wait| Duration::try_from(wait).ok()).map_or(LOOK, |wait| wait.min(LOOK))
    }

    async fn start(&mut self, due: Due, cancel: &Cancel) {
        if self.running.len() >= self.limits.parallel.max(1) {
            return;
        }
        let request = BackupRequest {
            container: due.container.to_string(),
            origin: PointOrigin::Schedule,
            guarding: self.guarding,
            ..BackupRequest::default()
        };
        // What is wrong with it, its run says.
        let down = self.dory.plan_backup(&request).await.map_or(0, |plan| plan.quiet.len());
        let down_now: usize = self.running.values().sum();
        if down_now > 0 && down_now + down > self.limits.containers_down {
            return;
        }
        self.running.insert(due.container.clone(), down);
        (self.news)(SchedulerNews::Began { container: due.container.clone() });
        let (dory, cancel) = (self.dory.clone(), cancel.clone());
        self.tasks.spawn(async move {
            let result = dory.run_backup(&request, &cancel, &RunEvents::ignored()).await.map(Box::new);
            (due, result)
        });
    }

    async fn ended(&mut self, ended: Option<std::result::Result<Ended, JoinError>>) {
        let Some(Ok((due, result))) = ended else { return };
        let container = due.container.clone();
        self.running.remove(&container);
        self.turns.over(due, result.as_ref().err().map(Error::kind), self.clock.now());
        let backup = result.as_ref().ok().map(|report| report.backup.clone());
        (self.news)(SchedulerNews::Ended { container: container.clone(), result });
        if let Some(backup) = backup {
            self.prune(&container, backup.as_str()).await;
        }
    }

    /// Removes what the rules do not keep, now that there is a newer point.
    async fn prune(&self, container: &ContainerName, backup: &str) {
        let pruned = async {
            let plans = self.dory.plan_prune(Some(backup), None).await?;
            match plans.first().filter(|plan| plan.going() > 0) {
                Some(plan) => self.dory.run_prune(plan).await.map(Box::new).map(Some),
                None => Ok(None),
            }
        };
        if let Some(result) = pruned.await.transpose() {
            (self.news)(SchedulerNews::Pruned { container: container.clone(), result });
        }
    }
}

impl Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("running", &self.running).finish_non_exhaustive()
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
