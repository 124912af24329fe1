//! Sending commands to servers, looking after them, taking them back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Dory, noise};
use crate::domain::command::{Claim, CommandOutcome, CommandState, FleetCommand, Order, SealedCommand};
use crate::domain::id::{CommandId, ServerName};
use crate::domain::keys::MasterKey;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// The largest command that is read, in bytes. What is larger nobody of the fleet wrote.
pub(super) const LARGEST: u64 = 64 << 10;

/// The parts of a command in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    pub(super) fn of(key: &DocumentKey) -> Option<(ServerName, CommandId, Self)> {
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

impl Dory {
    /// Asks a server to do something. It begins as soon as it looks into its mailbox.
    ///
    /// # Errors
    /// `NotFound` for a server that has never shown itself; `Unsupported` in a fleet without a passphrase, where anybody
    /// who can write to the store could give orders; the store's.
    pub async fn send_command(&self, server: &ServerName, order: Order, by: &str) -> Result<FleetCommand> {
        if self.catalog.server(server).await?.is_none() {
            let servers = self.catalog.servers().await?;
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
        let bytes = serde_json::to_vec_pretty(&sealed).map_or(0, |text| text.len() as u64);
        // The envelope around it takes some too.
        if bytes > LARGEST - 1024 {
            let reason = format!("it takes {bytes} bytes, and {} are the most that a server reads", LARGEST - 1024);
            return Err(Error::new(ErrorKind::InvalidInput, "send a command to server", server.as_str(), reason)
                .with_hint("set what is so long with `dory edit`, or run the command on the server itself"));
        }
        let key = Part::Order.key(server, sealed.command.id)?;
        let command = self.catalog.create_document(&key, sealed).await?.body.command;
        // It looks by itself too, a little later.
        if let Err(error) = self.doorbell.ring(server).await {
            tracing::warn!(%server, %error, "the server could not be woken");
        }
        Ok(command)
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
            let state = self.state_of(&sealed.command, Some(&parts)).await?;
            all.push(CommandStatus { command: sealed.command, state });
        }
        Ok(all)
    }

    /// One command, and how far it is. Of all others only the names are read.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied` for one that nobody of the fleet wrote; the store's.
    pub async fn command(&self, id: CommandId) -> Result<CommandStatus> {
        let key = self.key_for_commands().await?;
        let missing = || {
            Error::new(ErrorKind::NotFound, "find command", id.to_string(), "there is none of that id")
                .with_hint("run `dory commands`")
        };
        let all = self.catalog.list_documents("commands").await?;
        let server = all.iter().find_map(|stat| match Part::of(&stat.key) {
            Some((server, of, Part::Order)) if of == id => Some(server),
            _ => None,
        });
        let server = server.ok_or_else(missing)?;
        let sealed = self.sealed_command(&server, id).await?.ok_or_else(missing)?;
        sealed.open(key, id, &server, sealed.command.issued_at)?;
        self.look_after(&sealed.command).await
    }

    /// How far a command is by now: reads what belongs to it, and nothing else.
    ///
    /// # Errors
    /// The store's.
    pub async fn look_after(&self, command: &FleetCommand) -> Result<CommandStatus> {
        let state = self.state_of(command, None).await?;
        Ok(CommandStatus { command: command.clone(), state })
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

    pub(super) async fn sealed_command(&self, server: &ServerName, id: CommandId) -> Result<Option<SealedCommand>> {
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

    /// How far a command is; `parts` are those that it has, where that is known.
    async fn state_of(&self, command: &FleetCommand, parts: Option<&[Part]>) -> Result<CommandState> {
        let (server, id) = (&command.server, command.id);
        let may_have = |part| parts.is_none_or(|parts| parts.contains(&part));
        // What is not begun is asked for most.
        let claim = match may_have(Part::Claim) {
            true => self.catalog.find_document::<Claim>(&Part::Claim.key(server, id)?).await?,
            false => None,
        };
        let Some(claim) = claim.map(|found| found.body) else {
            // Somebody may have removed the claim of one that is over.
            return Ok(match self.outcome_of(server, id, may_have(Part::Outcome)).await? {
                Some(outcome) => CommandState::Over(outcome),
                None if self.clock.now() >= command.expires_at => CommandState::Expired,
                None => CommandState::Waiting,
            });
        };
        if let Some(by) = claim.withdrawn_by {
            return Ok(CommandState::Withdrawn { by });
        }
        if let Some(outcome) = self.outcome_of(server, id, may_have(Part::Outcome)).await? {
            return Ok(CommandState::Over(outcome));
        }
        let progress = if may_have(Part::Progress) { self.progress_of(server, id).await? } else { None };
        Ok(CommandState::Running { since: claim.at, progress })
    }

    async fn outcome_of(&self, server: &ServerName, id: CommandId, may: bool) -> Result<Option<CommandOutcome>> {
        if !may {
            return Ok(None);
        }
        let found = self.catalog.find_document::<CommandOutcome>(&Part::Outcome.key(server, id)?).await?;
        Ok(found.map(|found| found.body))
    }

    /// What a command said last.
    pub(super) async fn progress_of(&self, server: &ServerName, id: CommandId) -> Result<Option<String>> {
        let found = self.catalog.find_document::<String>(&Part::Progress.key(server, id)?).await?;
        Ok(found.map(|found| found.body))
    }

    pub(super) async fn key_for_commands(&self) -> Result<&MasterKey> {
        self.open_fleet().await?.1.as_ref().ok_or_else(|| {
            let reason = "without a passphrase, whoever can write to the store could give orders";
            Error::new(ErrorKind::Unsupported, "use commands in", self.catalog.location(), reason)
                .with_hint("run the same on the server itself")
        })
    }
}
