//! Sending commands to servers, looking after them, taking them back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Dory, noise};
use crate::domain::command::{Claim, CommandOutcome, CommandState, FleetCommand, Order, SealedCommand};
use crate::domain::id::{CommandId, ServerName};
use crate::domain::keys::MasterKey;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// The largest command that is read, in bytes. What is larger nobody of the fleet wrote.
const LARGEST: u64 = 64 << 10;

/// How long commands are kept: thirty days.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The parts of a command in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Order,
    Claim,
    Progress,
    Outcome,
}

impl Part {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Claim, ".claim"), (Self::Progress, ".progress"), (Self::Outcome, ".outcome"), (Self::Order, ".json")];

    pub(crate) fn key(self, server: &ServerName, id: CommandId) -> Result<DocumentKey> {
        let ending = Self::ALL.iter().find(|(part, _)| *part == self).map_or(".json", |(_, ending)| ending);
        DocumentKey::parse(format!("commands/{server}/{id}{ending}"))
    }

    fn of(key: &DocumentKey) -> Option<(ServerName, CommandId, Self)> {
        let mut parts = key.as_str().strip_prefix("commands/")?.split('/');
        let (server, file) = (parts.next()?, parts.next()?);
        let (part, ending) = Self::ALL.iter().find(|(_, ending)| file.ends_with(ending))?;
        let id = CommandId::parse(file.strip_suffix(ending)?).ok()?;
        Some((ServerName::parse(server).ok()?, id, *part))
    }
}

/// A command, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandStatus {
    /// The command.
    pub command: FleetCommand,
    /// How far it is.
    pub state: CommandState,
}

/// The commands of one server that nobody took yet.
pub(crate) struct Inbox {
    pub(crate) waiting: Vec<CommandId>,
    /// What is no command, or cannot be one.
    pub(crate) odd: Vec<DocumentKey>,
}

impl Dory {
    /// Asks a server to do something. It begins as soon as it looks into its mailbox.
    ///
    /// # Errors
    /// `NotFound` for a server that has never shown itself; `Unsupported` in a fleet without a passphrase, where anybody
    /// who can write to the store could give orders; the store's.
    pub async fn send_command(&self, server: &ServerName, order: Order, by: &str) -> Result<FleetCommand> {
        let servers = self.catalog.servers().await?;
        if !servers.iter().any(|known| known.name == *server) {
            let names: Vec<_> = servers.iter().map(|known| format!("`{}`", known.name)).collect();
            let known = if names.is_empty() { "none has shown itself yet".to_owned() } else { names.join(", ") };
            return Err(Error::new(ErrorKind::NotFound, "send a command to server", server.as_str(), "there is none")
                .with_hint(format!("run `dory servers`: {known}")));
        }
        let issued_at = self.clock.now();
        let command = FleetCommand {
            id: CommandId::new(issued_at, noise()?),
            server: server.clone(),
            order,
            by: by.to_owned(),
            issued_at,
            expires_at: issued_at.checked_add(FleetCommand::LIFETIME).unwrap_or(Timestamp::MAX),
        };
        let sealed = SealedCommand::new(self.key_for_commands().await?, command)?;
        let key = Part::Order.key(server, sealed.command.id)?;
        let command = self.catalog.create_document(&key, sealed).await?.body.command;
        // It looks by itself too, a little later.
        if let Err(error) = self.doorbell.ring(server).await {
            tracing::warn!(%server, %error, "the server could not be woken");
        }
        Ok(command)
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

    /// Every command in the store, newest first, and how far each is. What nobody of the fleet wrote is left out.
    ///
    /// # Errors
    /// The store's.
    pub async fn commands(&self) -> Result<Vec<CommandStatus>> {
        let key = self.key_for_commands().await?;
        let mut parts: BTreeMap<(CommandId, ServerName), Vec<Part>> = BTreeMap::new();
        for stat in self.catalog.list_documents("commands").await? {
            if let Some((server, id, part)) = Part::of(&stat.key) {
                parts.entry((id, server)).or_default().push(part);
            }
        }
        let mut all = Vec::new();
        for ((id, server), parts) in parts.into_iter().rev().filter(|(_, parts)| parts.contains(&Part::Order)) {
            let Some(sealed) = self.sealed_command(&server, id).await? else { continue };
            // One that expired is still somebody's of the fleet.
            if sealed.open(key, id, &server, sealed.command.issued_at).is_err() {
                continue;
            }
            let state = self.state_of(&sealed.command, &parts).await?;
            all.push(CommandStatus { command: sealed.command, state });
        }
        Ok(all)
    }

    /// One command, and how far it is.
    ///
    /// # Errors
    /// `NotFound`; the store's.
    pub async fn command(&self, id: CommandId) -> Result<CommandStatus> {
        let found = self.commands().await?.into_iter().find(|status| status.command.id == id);
        found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find command", id.to_string(), "there is none of that id")
                .with_hint("run `dory commands`")
        })
    }

    /// Takes a command back that its server has not begun.
    ///
    /// # Errors
    /// `Conflict` if the server, or somebody else, was faster; `NotFound`; the store's.
    pub async fn withdraw_command(&self, id: CommandId, by: &str) -> Result<FleetCommand> {
        let status = self.command(id).await?;
        let claim = Claim { at: self.clock.now(), withdrawn_by: Some(by.to_owned()), holder: None };
        match self.catalog.create_document(&Part::Claim.key(&status.command.server, id)?, claim).await {
            Ok(_) => Ok(status.command),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let reason = "it was begun, or taken back, a moment before";
                Err(Error::new(ErrorKind::Conflict, "withdraw command", id.to_string(), reason)
                    .with_hint(format!("`dory commands` shows how far it is; `dory cancel {id}` ends what it does")))
            }
            Err(error) => Err(error),
        }
    }

    /// What waits for this server.
    pub(crate) async fn inbox(&self) -> Result<Inbox> {
        let mut waiting = BTreeMap::new();
        let mut odd = Vec::new();
        for stat in self.catalog.list_documents(&format!("commands/{}", self.config.server)).await? {
            match Part::of(&stat.key) {
                Some((_, id, Part::Order)) if stat.bytes <= LARGEST => {
                    waiting.entry(id).or_insert(true);
                }
                Some((_, id, Part::Claim)) => {
                    waiting.insert(id, false);
                }
                Some((_, _, Part::Progress | Part::Outcome)) => {}
                _ => odd.push(stat.key),
            }
        }
        let waiting = waiting.into_iter().filter_map(|(id, waits)| waits.then_some(id)).collect();
        Ok(Inbox { waiting, odd })
    }

    /// Reads a command of this server that may be carried out, and claims it for `holder`; `None` where somebody else was
    /// faster.
    ///
    /// # Errors
    /// As for [`SealedCommand::open`]; the store's.
    pub(crate) async fn claim_command(&self, id: CommandId, holder: &str) -> Result<Option<FleetCommand>> {
        let key = self.key_for_commands().await?;
        let Some(sealed) = self.sealed_command(&self.config.server, id).await? else { return Ok(None) };
        let command = sealed.open(key, id, &self.config.server, self.clock.now())?.clone();
        let claim = Claim { at: self.clock.now(), withdrawn_by: None, holder: Some(holder.to_owned()) };
        match self.catalog.create_document(&Part::Claim.key(&self.config.server, id)?, claim).await {
            Ok(_) => Ok(Some(command)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn sealed_command(&self, server: &ServerName, id: CommandId) -> Result<Option<SealedCommand>> {
        let found = self.catalog.find_document::<SealedCommand>(&Part::Order.key(server, id)?).await;
        match found {
            // What is damaged, or of another version, is no order.
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                tracing::warn!(%error, "a command cannot be read");
                Ok(None)
            }
            found => Ok(found?.map(|found| found.body)),
        }
    }

    async fn state_of(&self, command: &FleetCommand, parts: &[Part]) -> Result<CommandState> {
        let (server, id) = (&command.server, command.id);
        if parts.contains(&Part::Outcome)
            && let Some(found) = self.catalog.find_document::<CommandOutcome>(&Part::Outcome.key(server, id)?).await?
        {
            return Ok(CommandState::Over(found.body));
        }
        if parts.contains(&Part::Claim)
            && let Some(found) = self.catalog.find_document::<Claim>(&Part::Claim.key(server, id)?).await?
        {
            let claim = found.body;
            if let Some(by) = claim.withdrawn_by {
                return Ok(CommandState::Withdrawn { by });
            }
            let progress = match parts.contains(&Part::Progress) {
                true => self.catalog.find_document::<String>(&Part::Progress.key(server, id)?).await?,
                false => None,
            };
            return Ok(CommandState::Running { since: claim.at, progress: progress.map(|found| found.body) });
        }
        Ok(if self.clock.now() >= command.expires_at { CommandState::Expired } else { CommandState::Waiting })
    }

    async fn key_for_commands(&self) -> Result<&MasterKey> {
        self.open_fleet().await?.1.as_ref().ok_or_else(|| {
            let reason = "without a passphrase, whoever can write to the store could give orders";
            Error::new(ErrorKind::Unsupported, "use commands in", self.catalog.location(), reason)
                .with_hint("run the same on the server itself")
        })
    }
}
