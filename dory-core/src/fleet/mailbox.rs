//! Taking what a server is asked to do: each command once, whatever dies when, and whoever tampers with the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::carry_out::{Bench, Done};
use super::gate::Gate;
use super::live_run::Showing;
use super::server::ServerOptions;
use super::under_way::UnderWay;
use crate::domain::command::{CommandOutcome, FleetCommand};
use crate::domain::id::CommandId;
use crate::domain::ledger::CommandLedger;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, Doorbell};
use crate::services::{Cancel, Dory};

/// How often the mailbox is looked into, rung for or not.
const LOOK: Duration = Duration::from_secs(60);

/// How often a server that ends tries to write down what came of commands, and the pause before each time.
const LAST_ATTEMPTS: u32 = 3;
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// How often what is old is removed.
const TRIM: Duration = Duration::from_secs(24 * 3600);

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
    gate: Gate,
    under_way: UnderWay,
    holder: String,
    news: News,
    /// What this server took, as the store knows it too; `None` until it was read.
    ledger: Option<CommandLedger>,
    /// What is refused is told once.
    told: BTreeMap<String, String>,
    /// What this process has nothing more to do about.
    done_with: BTreeSet<CommandId>,
    /// What this process began.
    begun: BTreeSet<CommandId>,
    /// What is over and not written down yet.
    unwritten: BTreeMap<CommandId, CommandOutcome>,
    trimmed_at: Option<Duration>,
    tasks: JoinSet<(CommandId, CommandOutcome)>,
}

impl Mailbox {
    pub(super) fn new(
        dory: Dory,
        options: ServerOptions,
        gate: Gate,
        under_way: UnderWay,
        holder: String,
        news: News,
    ) -> Self {
        let (clock, doorbell) = (dory.clock(), dory.doorbell());
        Self {
            dory,
            clock,
            doorbell,
            options,
            gate,
            under_way,
            holder,
            news,
            ledger: None,
            told: BTreeMap::new(),
            done_with: BTreeSet::new(),
            begun: BTreeSet::new(),
            unwritten: BTreeMap::new(),
            trimmed_at: None,
            tasks: JoinSet::new(),
        }
    }

    /// Carries out what comes until `cancel` says otherwise; then what is under way ends in order.
    pub(super) async fn run(mut self, cancel: Cancel) {
        while !cancel.is_cancelled() {
            let its = cancel.clone();
            if let Err(error) = its.or(self.look(&cancel)).await
                && !cancel.is_cancelled()
            {
                (self.news)(MailboxNews::Blind(error));
            }
            let (doorbell, clock) = (Arc::clone(&self.doorbell), Arc::clone(&self.clock));
            let server = self.dory.server().clone();
            let woken = async {
                if doorbell.wait(&server, LOOK).await.is_err() {
                    clock.sleep(LOOK).await;
                }
            };
            tokio::select! {
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => self.ended(ended).await,
                () = woken => {}
                () = cancel.spoken() => {}
            }
        }
        // What is under way has heard it too.
        while !self.tasks.is_empty() {
            let ended = self.tasks.join_next().await;
            self.ended(ended).await;
        }
        for _ in 0..LAST_ATTEMPTS {
            self.write_outcomes().await;
            if self.unwritten.is_empty() {
                break;
            }
            self.clock.sleep(LAST_PAUSE).await;
        }
    }

    async fn look(&mut self, cancel: &Cancel) -> Result<()> {
        match self.dory.open_fleet().await {
            // Without a passphrase nobody can give orders.
            Ok((_, None)) => return Ok(()),
            opened => opened.map(drop)?,
        }
        if self.ledger.is_none() {
            self.ledger = Some(self.dory.open_ledger(&self.holder).await?);
        }
        self.write_outcomes().await;
        let inbox = self.dory.inbox().await?;
        for key in inbox.odd {
            let error =
                Error::new(ErrorKind::InvalidInput, "read command", key.as_str(), "it is no command, or too large");
            self.refuse(key.to_string(), error);
        }
        let mut trouble = None;
        for id in inbox.waiting {
            if !self.done_with.contains(&id) {
                trouble = self.take(id, cancel).await.err().or(trouble);
            }
        }
        for id in inbox.taken {
            if !self.done_with.contains(&id) && !self.begun.contains(&id) {
                trouble = self.go_on(id, cancel).await.err().or(trouble);
            }
        }
        // One that cannot be read keeps no other waiting.
        trouble.map_or(Ok(()), Err)?;
        self.trim().await
    }

    /// Takes a command that waits.
    async fn take(&mut self, id: CommandId, cancel: &Cancel) -> Result<()> {
        if self.ledger.as_ref().is_some_and(|ledger| ledger.knows(id)) {
            let reason = "it was carried out before, and somebody removed the record of that";
            self.give_up(id, CommandLedger::denied(id, reason));
            return Ok(());
        }
        match self.dory.open_command(id).await? {
            Some(Ok(command)) => match self.dory.claim_command(id, &self.holder).await? {
                true => self.begin(command, cancel).await,
                false => Ok(()),
            },
            Some(Err(error)) => {
                self.give_up(id, error);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Sees to a command that somebody took and nobody ended: this process, and the answer was lost; one of this server's
    /// name before it, which is dead; or somebody took it back.
    async fn go_on(&mut self, id: CommandId, cancel: &Cancel) -> Result<()> {
        let Some(claim) = self.dory.claim_on(id).await? else { return Ok(()) };
        if claim.withdrawn_by.is_some() {
            self.done_with.insert(id);
            return Ok(());
        }
        if claim.holder.as_ref() == Some(&self.holder) {
            match self.dory.open_command(id).await? {
                Some(Ok(command)) => self.begin(command, cancel).await?,
                Some(Err(error)) => self.give_up(id, error),
                None => {}
            }
            return Ok(());
        }
        let outcome = self.dory.break_off_command(id).await?;
        self.done_with.insert(id);
        (self.news)(MailboxNews::Over(id, outcome));
        Ok(())
    }

    fn give_up(&mut self, id: CommandId, error: Error) {
        self.done_with.insert(id);
        self.refuse(id.to_string(), error);
    }

    fn refuse(&mut self, what: String, error: Error) {
        let words = error.to_string();
        if self.told.get(&what) != Some(&words) {
            self.told.insert(what.clone(), words);
            (self.news)(MailboxNews::Refused(what, error));
        }
    }

    /// Begins a command that is claimed. From the moment it is in the ledger nobody carries it out again.
    async fn begin(&mut self, command: FleetCommand, cancel: &Cancel) -> Result<()> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        if let Err(error) = ledger.check(&command) {
            let (id, at) = (command.id, self.dory.now());
            self.give_up(id, error.to_record().into());
            self.unwritten.insert(id, outcome_of(at, Err(error)));
            self.write_outcomes().await;
            return Ok(());
        }
        self.dory.note_taken(ledger, &command).await?;
        self.begun.insert(command.id);
        (self.news)(MailboxNews::Began(command.clone()));
        let (dory, options, gate) = (self.dory.clone(), self.options, self.gate.clone());
        let (under_way, cancel) = (self.under_way.clone(), cancel.of_part());
        // From here on it can be cancelled: by the next command already.
        let entry = under_way.enter(command.id, &cancel);
        self.tasks.spawn(async move {
            let what = command.order.words();
            let showing = Showing::begin(&dory, what, Some(command.clone()), &under_way, &cancel);
            let bench =
                Bench { dory: &dory, options, gate: &gate, under_way: &under_way, cancel: &cancel, showing: &showing };
            let done = bench.carry_out(&command.order).await;
            let run = showing.run();
            showing.end().await;
            drop(entry);
            (command.id, CommandOutcome { run, ..outcome_of(dory.now(), done) })
        });
        Ok(())
    }

    async fn ended(&mut self, ended: Option<std::result::Result<(CommandId, CommandOutcome), JoinError>>) {
        let Some(Ok((id, outcome))) = ended else { return };
        self.unwritten.insert(id, outcome.clone());
        self.write_outcomes().await;
        (self.news)(MailboxNews::Over(id, outcome));
    }

    /// Writes down what is over; what cannot be written is tried again with the next look.
    async fn write_outcomes(&mut self) {
        for (id, outcome) in std::mem::take(&mut self.unwritten) {
            if let Err(error) = self.dory.end_command(id, &outcome).await {
                tracing::warn!(command = %id, %error, "how a command went could not be written down yet");
                self.unwritten.insert(id, outcome);
            }
        }
    }

    /// Removes old commands and records of runs, once a day.
    async fn trim(&mut self) -> Result<()> {
        let now = self.clock.monotonic();
        if self.trimmed_at.is_some_and(|trimmed_at| now.saturating_sub(trimmed_at) < TRIM) {
            return Ok(());
        }
        self.dory.trim_commands().await?;
        self.dory.trim_runs().await?;
        self.trimmed_at = Some(now);
        Ok(())
    }
}

fn outcome_of(at: jiff::Timestamp, done: Result<Done>) -> CommandOutcome {
    let done =
        done.unwrap_or_else(|error| Done { words: "it failed".to_owned(), error: Some(error), ..Done::default() });
    let Done { point, words, error, shortfalls } = done;
    CommandOutcome { at, run: None, point, words, error: error.map(|error| error.to_record()), shortfalls }
}

impl Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("holder", &self.holder).finish_non_exhaustive()
    }
}
