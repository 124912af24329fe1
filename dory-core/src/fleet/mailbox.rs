//! Carrying out what a server is asked to do: each command once, whatever dies when.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::progress::Progress;
use super::server::ServerOptions;
use crate::domain::backup::PointChoice;
use crate::domain::command::{CommandOutcome, FleetCommand, Order};
use crate::domain::id::{CommandId, PointId};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, Doorbell};
use crate::services::{BackupRequest, Cancel, Dory, Loop, MountMap, Part, RestoreChoice, RunEvents};

/// How often the mailbox is looked into, rung for or not.
const LOOK: Duration = Duration::from_secs(60);

/// What a mailbox did, for logs and people.
#[derive(Debug)]
pub enum MailboxNews {
    /// A command was begun.
    Began(FleetCommand),
    /// It is over.
    Over(CommandId, CommandOutcome),
    /// Something in the mailbox is no order, or must not be carried out.
    Refused(String, Error),
    /// The mailbox could not be looked into; it is tried again.
    Blind(Error),
}

pub(super) type News = Arc<dyn Fn(MailboxNews) + Send + Sync>;

/// Carries commands out until it is cancelled.
pub(super) struct Mailbox {
    dory: Dory,
    clock: Arc<dyn Clock>,
    doorbell: Arc<dyn Doorbell>,
    options: ServerOptions,
    holder: String,
    news: News,
    /// What is refused is told once.
    told: BTreeMap<String, String>,
    running: Arc<Mutex<BTreeMap<CommandId, Cancel>>>,
    tasks: JoinSet<(CommandId, CommandOutcome)>,
}

impl Mailbox {
    pub(super) fn new(
        dory: Dory,
        doorbell: Arc<dyn Doorbell>,
        options: ServerOptions,
        holder: String,
        news: News,
    ) -> Self {
        let clock = dory.clock();
        let (told, running, tasks) = (BTreeMap::new(), Arc::default(), JoinSet::new());
        Self { dory, clock, doorbell, options, holder, news, told, running, tasks }
    }

    /// Carries out what comes until `cancel` says otherwise; then what is under way ends in order.
    pub(super) async fn run(mut self, cancel: Cancel) {
        if let Err(error) = self.dory.trim_commands().await {
            (self.news)(MailboxNews::Blind(error));
        }
        while !cancel.is_cancelled() {
            let looked = self.look(&cancel).await;
            self.dory.pulse().turn(Loop::Mailbox, looked.is_ok());
            if let Err(error) = looked {
                (self.news)(MailboxNews::Blind(error));
            }
            let doorbell = Arc::clone(&self.doorbell);
            let server = self.dory.server().clone();
            tokio::select! {
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended).await,
                rang = doorbell.wait(&server, LOOK) => match rang {
                    // Whoever changed a backup of this server rings too.
                    Ok(true) => self.dory.catalog().look_anew(),
                    Ok(false) => {}
                    Err(_) => self.clock.sleep(LOOK).await,
                },
                _ = cancel.or(std::future::pending::<Result<()>>()) => {}
            }
        }
        for its in self.running.lock().unwrap_or_else(PoisonError::into_inner).values() {
            its.cancel();
        }
        while !self.tasks.is_empty() {
            let ended = self.tasks.join_next().await;
            self.ended(ended).await;
        }
    }

    async fn look(&mut self, cancel: &Cancel) -> Result<()> {
        let inbox = self.dory.inbox().await?;
        for key in inbox.odd {
            let error =
                Error::new(ErrorKind::InvalidInput, "read command", key.as_str(), "it is no command, or too large");
            self.refuse(key.to_string(), error);
        }
        for id in inbox.waiting {
            match self.dory.claim_command(id, &self.holder).await {
                Ok(Some(command)) => self.begin(command, cancel).await,
                Ok(None) => {}
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::TimedOut) => {
                    self.refuse(id.to_string(), error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, what: String, error: Error) {
        let words = error.to_string();
        if self.told.get(&what) != Some(&words) {
            self.told.insert(what.clone(), words);
            (self.news)(MailboxNews::Refused(what, error));
        }
    }

    async fn begin(&mut self, command: FleetCommand, cancel: &Cancel) {
        (self.news)(MailboxNews::Began(command.clone()));
        let its_cancel = Cancel::new();
        if cancel.is_cancelled() {
            its_cancel.cancel();
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(command.id, its_cancel.clone());
        drop(running);
        let (dory, options, running) = (self.dory.clone(), self.options, Arc::clone(&self.running));
        self.tasks.spawn(async move {
            let progress = Progress::of(&dory, command.id);
            let done = carry_out(&dory, options, &command.order, &running, &its_cancel, &progress.events()).await;
            progress.end().await;
            let at = dory.now();
            let outcome = match done {
                Ok(Done { point, words, error }) => {
                    CommandOutcome { at, point, words, error: error.map(|error| error.to_record()) }
                }
                Err(error) => {
                    CommandOutcome { at, point: None, words: "it failed".to_owned(), error: Some(error.to_record()) }
                }
            };
            (command.id, outcome)
        });
    }

    async fn ended(&mut self, ended: Option<std::result::Result<(CommandId, CommandOutcome), JoinError>>) {
        let Some(Ok((id, outcome))) = ended else { return };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let catalog = self.dory.shared_catalog();
        let written = async {
            let key = Part::Outcome.key(self.dory.server(), id)?;
            catalog.create_document(&key, outcome.clone()).await
        };
        if let Err(error) = written.await.map(drop) {
            tracing::warn!(command = %id, %error, "how a command went could not be written down");
        }
        (self.news)(MailboxNews::Over(id, outcome));
    }
}

impl Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// What was done.
struct Done {
    point: Option<PointId>,
    words: String,
    error: Option<Error>,
}

impl Done {
    fn well(point: Option<PointId>, words: impl Into<String>) -> Self {
        Self { point, words: words.into(), error: None }
    }
}

async fn carry_out(
    dory: &Dory,
    options: ServerOptions,
    order: &Order,
    running: &Mutex<BTreeMap<CommandId, Cancel>>,
    cancel: &Cancel,
    events: &RunEvents,
) -> Result<Done> {
    match order {
        Order::Backup { container, name, description } => {
            let request = BackupRequest {
                container: container.clone(),
                point_name: name.clone(),
                point_description: description.clone(),
                guarding: options.guarding,
                ..BackupRequest::default()
            };
            let report = dory.run_backup(&request, cancel, events).await?;
            let words = format!("made point {} of {}", report.point.id, report.backup);
            Ok(Done { point: Some(report.point.id), words, error: report.containers_down })
        }
        Order::Restore { backup, point, into, maps, safety } => {
            let maps = maps.iter().map(|map| map.parse()).collect::<Result<Vec<MountMap>>>()?;
            let choice = RestoreChoice {
                point: PointChoice::Named(point.to_string()),
                into: into.clone(),
                maps,
                safety: *safety,
                guarding: options.guarding,
                ..RestoreChoice::newest_of(backup.as_str())
            };
            let outcome = dory.run_restore(&choice, cancel, events).await?;
            let undo = outcome.undo_command().map(|undo| format!("; `{undo}` undoes it")).unwrap_or_default();
            Ok(Done {
                point: Some(*point),
                words: format!("restored point {point}{undo}"),
                error: outcome.containers_down,
            })
        }
        Order::Prune { backup } => {
            let plans = dory.plan_prune(Some(backup.as_str()), None).await?;
            let mut gone = 0;
            for plan in &plans {
                gone += dory.run_prune(plan).await?.plan.points.len();
            }
            Ok(Done::well(None, format!("deleted {gone} points of {backup}")))
        }
        Order::DeletePoint { backup, point } => {
            let plan = dory.plan_delete(backup.as_str(), Some(&PointChoice::Named(point.to_string()))).await?;
            let report = dory.run_delete(&plan).await?;
            Ok(Done::well(None, format!("deleted {} points of {backup}", report.plan.points.len())))
        }
        Order::Mark { container, marked } => {
            let backup = dory.mark(container, *marked).await?;
            Ok(Done::well(None, format!("backup {} is {}", backup.id, if *marked { "marked" } else { "not marked" })))
        }
        Order::Cancel { command } => {
            match running.lock().unwrap_or_else(PoisonError::into_inner).get(command) {
                Some(other) => other.cancel(),
                None => {
                    let reason = "it is not under way here";
                    return Err(Error::new(ErrorKind::NotFound, "cancel command", command.to_string(), reason));
                }
            }
            Ok(Done::well(None, format!("{command} ends in order")))
        }
    }
}
