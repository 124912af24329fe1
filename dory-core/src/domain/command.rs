//! A request from any server or person of the fleet to one server, as it waits in the store.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{CommandId, PointId, RunId, ServerName};
use super::keys::MasterKey;
use crate::error::{Error, ErrorKind, ErrorRecord, Result};

pub use super::fleet_order::{BackupHow, Order};

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
    /// The run that did it, where one was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The point it made or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointId>,
    /// A line about what was done.
    pub words: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// What is not as it should be, although it went to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shortfalls: Vec<Shortfall>,
}

impl CommandOutcome {
    /// That of a command which its server began and did not end.
    #[must_use]
    pub fn broken_off(at: Timestamp, id: CommandId, progress: Option<&str>) -> Self {
        let point = progress.map(|progress| format!("; it said last: {progress}")).unwrap_or_default();
        let reason = format!("its server died in the middle of it{point}");
        let error = Error::new(ErrorKind::Incomplete, "carry out command", id.to_string(), reason)
            .with_hint("see in `dory runs` what came of it, then ask for it again");
        Self {
            at,
            run: None,
            point: None,
            words: "broken off".to_owned(),
            error: Some(error.to_record()),
            shortfalls: Vec::new(),
        }
    }
}

/// What is not as it should be about something that went to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Shortfall {
    /// Some of the data that was asked for is missing.
    LostData {
        /// How many paths fell short.
        warnings: u64,
    },
    /// The point holds so much less than the one before that its source may have lost its data.
    Suspect,
    /// A container that ran before does not run now.
    ContainerDown {
        /// Which, and why.
        error: ErrorRecord,
    },
    /// A command of the user's failed.
    HookFailed {
        /// Which, and why.
        error: ErrorRecord,
    },
    /// Nobody guarded the run to its end, so its data counts as read live.
    GuardianLost {
        /// Why.
        reason: String,
    },
}

impl Shortfall {
    /// The same in a line.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::LostData { warnings } => format!("{warnings} paths are missing or incomplete"),
            Self::Suspect => "the point is suspect: its source shrank".to_owned(),
            Self::ContainerDown { error } | Self::HookFailed { error } => Error::from(error.clone()).to_string(),
            Self::GuardianLost { reason } => format!("nobody guarded the run to its end: {reason}"),
        }
    }
}

/// How far a command is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
#[expect(clippy::large_enum_variant, reason = "there are few at a time, and most of them are over")]
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
            order: Order::Prune { backup: "db-4f1c".parse().unwrap(), keep: None },
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
