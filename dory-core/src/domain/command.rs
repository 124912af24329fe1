//! A request from any server or person of the fleet to one server, as it waits in the store.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{BackupId, CommandId, PointId, ServerName};
use super::keys::MasterKey;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};

/// A request to one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetCommand {
    /// Names it.
    pub id: CommandId,
    /// Who is to do it.
    pub server: ServerName,
    /// What is to be done.
    pub order: Order,
    /// Who asked, in words.
    pub by: String,
    /// When, by the asker's clock.
    pub issued_at: Timestamp,
    /// Until when it may be begun.
    pub expires_at: Timestamp,
}

impl FleetCommand {
    /// How long a command waits for its server, unless somebody says otherwise: a day.
    pub const LIFETIME: SignedDuration = SignedDuration::from_hours(24);
}

/// What a server can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Order {
    /// Back a container up, now.
    Backup {
        /// Its name or id on that server.
        container: String,
        /// A name for the restore point.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Words about the restore point.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// Restore a point of a backup, which may be another server's.
    Restore {
        /// Which backup.
        backup: BackupId,
        /// Which point of it.
        point: PointId,
        /// Into which container of that server; the backup's own where `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<String>,
        /// Mounts that go elsewhere, as `--map` takes them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        maps: Vec<String>,
        /// Whether what is there now is kept in a safety point.
        safety: bool,
    },
    /// Delete what the rules of a backup do not keep.
    Prune {
        /// Which backup.
        backup: BackupId,
    },
    /// Delete a point of a backup, with what cannot stay without it.
    DeletePoint {
        /// Which backup.
        backup: BackupId,
        /// Which point.
        point: PointId,
    },
    /// Choose a container for `backup --all`, or take it out.
    Mark {
        /// Its name or id on that server.
        container: String,
        /// Whether it is chosen.
        marked: bool,
    },
    /// End what another command of that server is doing, in order.
    Cancel {
        /// Which command.
        command: CommandId,
    },
}

impl Order {
    /// A few words for people: `back up db`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Backup { container, .. } => format!("back up {container}"),
            Self::Restore { backup, point, into, .. } => {
                let place = into.as_ref().map(|into| format!(" into {into}")).unwrap_or_default();
                format!("restore {backup} at {point}{place}")
            }
            Self::Prune { backup } => format!("prune {backup}"),
            Self::DeletePoint { backup, point } => format!("delete point {point} of {backup}"),
            Self::Mark { container, marked: true } => format!("mark {container}"),
            Self::Mark { container, marked: false } => format!("unmark {container}"),
            Self::Cancel { command } => format!("cancel {command}"),
        }
    }
}

/// A command as it stands in the store: whoever can write there but does not know the fleet's passphrase gives no orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedCommand {
    /// The command.
    pub command: FleetCommand,
    /// What proves who wrote it: HMAC-SHA256 over all of it, under a key of the fleet's, in hex.
    pub seal: String,
}

impl SealedCommand {
    const PURPOSE: &'static str = "command";

    /// Seals a command.
    ///
    /// # Errors
    /// `Internal`, if it cannot be written.
    pub fn new(key: &MasterKey, command: FleetCommand) -> Result<Self> {
        let seal = key.seal(Self::PURPOSE, &text(&command)?);
        Ok(Self { command, seal })
    }

    /// The command, if it may be carried out by `server` at `now`.
    ///
    /// # Errors
    /// `PermissionDenied` for one that nobody who knows the passphrase wrote, or that was written for another server or
    /// under another name; `TimedOut` for one that has expired.
    pub fn open(&self, key: &MasterKey, id: CommandId, server: &ServerName, now: Timestamp) -> Result<&FleetCommand> {
        let denied = |reason: &str| {
            Err(Error::new(ErrorKind::PermissionDenied, "trust command", id.to_string(), reason)
                .with_hint("find out who else can write to the store, and take that away"))
        };
        let command = &self.command;
        if !key.made_seal(Self::PURPOSE, &text(command)?, &self.seal) {
            return denied("nobody who knows the fleet's passphrase wrote it");
        }
        if command.server != *server || command.id != id {
            return denied("it was written for another server, or under another name");
        }
        if now >= command.expires_at {
            let reason = format!("it could be begun until {}", command.expires_at);
            return Err(Error::new(ErrorKind::TimedOut, "carry out command", id.to_string(), reason));
        }
        Ok(command)
    }
}

fn text(command: &FleetCommand) -> Result<String> {
    serde_json::to_string(command).map_err(|error| {
        Error::new(ErrorKind::Internal, "seal command", command.id.to_string(), "it is no JSON").with_source(error)
    })
}

/// Who took a command: its server, to carry it out, or somebody who withdrew it. Created once, whoever is first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// When.
    pub at: Timestamp,
    /// Whether it was withdrawn, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_by: Option<String>,
    /// The process of the server that carries it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// How a command went. Created once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// When it ended.
    pub at: Timestamp,
    /// The point it made or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointId>,
    /// A line about what was done.
    pub words: String,
    /// Why it failed, or what of it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// How far a command is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum CommandState {
    /// Its server has not looked yet.
    Waiting,
    /// Nobody began it in time.
    Expired,
    /// Somebody took it back before it was begun.
    Withdrawn {
        /// Who.
        by: String,
    },
    /// Its server is at it.
    Running {
        /// Since when.
        since: Timestamp,
        /// What it said last.
        progress: Option<String>,
    },
    /// It is over.
    Over(CommandOutcome),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn key(passphrase: &str) -> MasterKey {
        MasterKey::derive(&Secret::new(passphrase), "fleet").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn command() -> FleetCommand {
        FleetCommand {
            id: CommandId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZA").unwrap(),
            server: "alpha".parse().unwrap(),
            order: Order::Backup { container: "db".into(), name: None, description: None },
            by: "ada".into(),
            issued_at: at("2026-11-25T12:00:00Z"),
            expires_at: at("2026-11-26T12:00:00Z"),
        }
    }

    #[test]
    fn only_what_was_sealed_for_this_server_in_time_is_an_order() {
        let key = key("correct horse");
        let sealed = SealedCommand::new(&key, command()).unwrap();
        let (id, alpha, now) = (command().id, "alpha".parse().unwrap(), at("2026-11-25T13:00:00Z"));
        assert_eq!(sealed.open(&key, id, &alpha, now).unwrap(), &command());
        let refused = |sealed: &SealedCommand, id, server: &str, now: &str| {
            sealed.open(&key, id, &server.parse().unwrap(), at(now)).unwrap_err().kind()
        };
        let other = CommandId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZB").unwrap();
        assert_eq!(refused(&sealed, id, "beta", "2026-11-25T13:00:00Z"), ErrorKind::PermissionDenied);
        assert_eq!(refused(&sealed, other, "alpha", "2026-11-25T13:00:00Z"), ErrorKind::PermissionDenied);
        assert_eq!(refused(&sealed, id, "alpha", "2026-11-26T12:00:00Z"), ErrorKind::TimedOut);
        let mut forged = sealed.clone();
        forged.command.expires_at = at("2027-11-26T12:00:00Z");
        assert_eq!(refused(&forged, id, "alpha", "2026-11-25T13:00:00Z"), ErrorKind::PermissionDenied);
    }

    #[test]
    fn who_does_not_know_the_passphrase_gives_no_orders() {
        let sealed = SealedCommand::new(&key("a guess"), command()).unwrap();
        let error = sealed.open(&key("correct horse"), command().id, &command().server, command().issued_at);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
