//! A server's own mailbox in the store: what waits in it, taking it, and writing down what came of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Dory;
use super::commands::{LARGEST, Part};
use crate::domain::command::{Claim, CommandOutcome, FleetCommand};
use crate::domain::id::CommandId;
use crate::domain::ledger::{CommandLedger, SealedLedger};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// How long commands are kept: thirty days.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The commands of one server that are not over.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// Those that nobody took yet.
    pub(crate) waiting: Vec<CommandId>,
    /// Those that somebody took, and that have no outcome.
    pub(crate) taken: Vec<CommandId>,
    /// What is no command, or cannot be one.
    pub(crate) odd: Vec<DocumentKey>,
}

impl Dory {
    /// What waits for this server, and what it began. Reads names alone.
    pub(crate) async fn inbox(&self) -> Result<Inbox> {
        let mut commands: BTreeMap<CommandId, BTreeSet<Part>> = BTreeMap::new();
        let mut inbox = Inbox::default();
        for stat in self.catalog.list_documents(&format!("commands/{}", self.config.server)).await? {
            match Part::of(&stat.key) {
                Some((_, _, Part::Order)) if stat.bytes > LARGEST => inbox.odd.push(stat.key),
                Some((_, id, part)) => {
                    commands.entry(id).or_default().insert(part);
                }
                None => inbox.odd.push(stat.key),
            }
        }
        for (id, parts) in commands {
            if !parts.contains(&Part::Order) || parts.contains(&Part::Outcome) {
                continue;
            }
            if parts.contains(&Part::Claim) { inbox.taken.push(id) } else { inbox.waiting.push(id) }
        }
        Ok(inbox)
    }

    /// A command of this server that may be carried out now, or why it must not; `None` where there is none, or a damaged
    /// one.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn open_command(&self, id: CommandId) -> Result<Option<Result<FleetCommand>>> {
        let key = self.key_for_commands().await?;
        let sealed = self.sealed_command(&self.config.server, id).await?;
        Ok(sealed.map(|sealed| sealed.open(key, id, &self.config.server, self.clock.now()).cloned()))
    }

    /// Claims a command for `holder`; `false` where somebody else was faster.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn claim_command(&self, id: CommandId, holder: &str) -> Result<bool> {
        let claim = Claim { at: self.clock.now(), withdrawn_by: None, holder: Some(holder.to_owned()) };
        match self.catalog.create_document(&Part::Claim.key(&self.config.server, id)?, claim).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Who took a command of this server.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn claim_on(&self, id: CommandId) -> Result<Option<Claim>> {
        let found = self.catalog.find_document::<Claim>(&Part::Claim.key(&self.config.server, id)?).await?;
        Ok(found.map(|found| found.body))
    }

    /// Writes down how a command of this server went; what was written before stays.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn end_command(&self, id: CommandId, outcome: &CommandOutcome) -> Result<()> {
        match self.catalog.create_document(&Part::Outcome.key(&self.config.server, id)?, outcome.clone()).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            written => written.map(drop),
        }
    }

    /// Writes down that a command which a dead process of this server took was broken off.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn break_off_command(&self, id: CommandId) -> Result<CommandOutcome> {
        let progress = self.progress_of(&self.config.server, id).await?;
        let outcome = CommandOutcome::broken_off(self.clock.now(), id, progress.as_deref());
        self.end_command(id, &outcome).await?;
        Ok(outcome)
    }

    /// What this server remembers of the commands it took, made `holder`'s. Where nothing genuine is there, it remembers
    /// nothing from before now.
    ///
    /// # Errors
    /// `Unsupported` in a fleet without a passphrase; the store's.
    pub(crate) async fn open_ledger(&self, holder: &str) -> Result<CommandLedger> {
        let new = || CommandLedger::new(self.config.server.clone(), holder.to_owned(), self.clock.now());
        let ledger = match self.stored_ledger().await? {
            Some(ledger) => CommandLedger { holder: holder.to_owned(), ..ledger },
            None => new(),
        };
        self.keep_ledger(&ledger, None).await?;
        Ok(ledger)
    }

    /// Notes in `ledger`, in the store first, that a command is taken: from then on nobody carries it out again.
    ///
    /// # Errors
    /// `Conflict` where another process of this server writes it by now; the store's.
    pub(crate) async fn note_taken(&self, ledger: &mut CommandLedger, command: &FleetCommand) -> Result<()> {
        let mut next = ledger.clone();
        next.take(command, self.clock.now());
        self.keep_ledger(&next, Some(&ledger.holder)).await?;
        *ledger = next;
        Ok(())
    }

    async fn stored_ledger(&self) -> Result<Option<CommandLedger>> {
        let key = self.key_for_commands().await?;
        let found = self.catalog.find_document::<SealedLedger>(&self.ledger_key()?).await;
        match found {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => Ok(None),
            found => Ok(found?.and_then(|found| found.body.open(key, &self.config.server).cloned())),
        }
    }

    /// Writes a ledger over whatever is there, but for one that is another process's while `only_of` says whose it must be.
    async fn keep_ledger(&self, ledger: &CommandLedger, only_of: Option<&str>) -> Result<()> {
        let (key, place) = (self.key_for_commands().await?, self.ledger_key()?);
        let sealed = SealedLedger::new(key, ledger.clone())?;
        let found = match self.catalog.find_document::<SealedLedger>(&place).await {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                self.catalog.delete_document(&place).await?;
                None
            }
            found => found?,
        };
        let Some(found) = found else { return self.catalog.create_document(&place, sealed).await.map(drop) };
        let of_another = found
            .body
            .open(key, &self.config.server)
            .is_some_and(|genuine| only_of.is_some_and(|holder| genuine.holder != holder));
        if of_another {
            let reason = "another process of that name carries commands out by now";
            return Err(Error::new(ErrorKind::Conflict, "serve as", self.config.server.as_str(), reason));
        }
        self.catalog.replace_document(&place, &found, sealed).await.map(drop)
    }

    fn ledger_key(&self) -> Result<DocumentKey> {
        DocumentKey::parse(format!("ledgers/{}.json", self.config.server))
    }

    /// Removes commands of this server that are older than a month.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn trim_commands(&self) -> Result<()> {
        let oldest = self.clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        for stat in self.catalog.list_documents(&format!("commands/{}", self.config.server)).await? {
            if Part::of(&stat.key).is_some_and(|(_, id, _)| id.made_at() < oldest) {
                self.catalog.delete_document(&stat.key).await?;
            }
        }
        Ok(())
    }
}
