//! What a server remembers of the commands it took, so that none is carried out twice whoever tampers with the store.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::command::FleetCommand;
use super::id::{CommandId, ServerName};
use super::keys::MasterKey;
use crate::error::{Error, ErrorKind, Result};

/// The commands that a server took and that have not expired.
///
/// Removing a command's claim and outcome from the store does not undo it. What cannot be told is a store whose every
/// document was set back to one earlier moment: it looks as if the server had died then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLedger {
    /// Whose it is.
    pub server: ServerName,
    /// The process that wrote it.
    pub holder: String,
    /// Since when it tells of every command: what was asked for before is unknown to it.
    pub since: Timestamp,
    /// What was taken, and until when each could be begun.
    pub taken: BTreeMap<CommandId, Timestamp>,
}

impl CommandLedger {
    const PURPOSE: &'static str = "command ledger";

    /// How far the clocks of whoever asks and of a server may be apart. Stores refuse requests of a clock that is wrong
    /// by more than a quarter of an hour: one may be fast by that, and the other slow.
    const SKEW: SignedDuration = SignedDuration::from_mins(30);

    /// An empty one.
    #[must_use]
    pub fn new(server: ServerName, holder: String, now: Timestamp) -> Self {
        Self { server, holder, since: now, taken: BTreeMap::new() }
    }

    /// Whether a command was taken before.
    #[must_use]
    pub fn knows(&self, id: CommandId) -> bool {
        self.taken.contains_key(&id)
    }

    /// Refuses a command that was taken before, or that is older than this memory.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn check(&self, command: &FleetCommand) -> Result<()> {
        if self.knows(command.id) {
            return Err(Self::denied(command.id, "it was carried out before, and somebody removed the record of that"));
        }
        let latest = command.issued_at.checked_add(Self::SKEW).unwrap_or(Timestamp::MAX);
        if latest < self.since {
            let reason = "nobody can tell whether it was carried out: the server's memory of commands was lost since";
            return Err(Self::denied(command.id, reason));
        }
        Ok(())
    }

    /// Notes that `command` is taken, and forgets what has expired: that is refused for being so.
    pub fn take(&mut self, command: &FleetCommand, now: Timestamp) {
        self.taken.retain(|_, expires_at| now < *expires_at);
        self.taken.insert(command.id, command.expires_at);
    }

    /// That a command must not be carried out again.
    #[must_use]
    pub fn denied(id: CommandId, reason: &str) -> Error {
        Error::new(ErrorKind::PermissionDenied, "carry out command", id.to_string(), reason)
            .with_hint("ask for it again if it is wanted, and find out who else can write to the store")
    }
}

/// A ledger as it stands in the store: whoever can write there but does not know the passphrase cannot make one up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedLedger {
    /// The ledger.
    pub ledger: CommandLedger,
    /// HMAC-SHA256 over all of it, under a key of the fleet's, in hex.
    pub seal: String,
}

impl SealedLedger {
    /// Seals a ledger.
    ///
    /// # Errors
    /// `Internal`, if it cannot be written.
    pub fn new(key: &MasterKey, ledger: CommandLedger) -> Result<Self> {
        let seal = key.seal(CommandLedger::PURPOSE, &text(&ledger)?);
        Ok(Self { ledger, seal })
    }

    /// The ledger, if somebody who knows the passphrase wrote it for `server`.
    #[must_use]
    pub fn open(&self, key: &MasterKey, server: &ServerName) -> Option<&CommandLedger> {
        let genuine = key.made_seal(CommandLedger::PURPOSE, &text(&self.ledger).ok()?, &self.seal);
        Some(&self.ledger).filter(|ledger| genuine && ledger.server == *server)
    }
}

fn text(ledger: &CommandLedger) -> Result<String> {
    serde_json::to_string(ledger).map_err(|error| {
        Error::new(ErrorKind::Internal, "seal ledger of", ledger.server.as_str(), "it is no JSON").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::Order;
    use crate::domain::secret::Secret;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn command(id: &str, issued_at: &str) -> FleetCommand {
        let issued_at = at(issued_at);
        FleetCommand {
            id: CommandId::parse(id).unwrap(),
            server: "alpha".parse().unwrap(),
            order: Order::Mark { container: "db".into(), marked: true },
            by: "ada".into(),
            issued_at,
            expires_at: issued_at + FleetCommand::LIFETIME,
        }
    }

    const ONE: &str = "01K9ZZZZZZZZZZZZZZZZZZZZZA";
    const OTHER: &str = "01K9ZZZZZZZZZZZZZZZZZZZZZB";

    #[test]
    fn what_was_taken_is_refused_until_it_has_expired() {
        let mut ledger = CommandLedger::new("alpha".parse().unwrap(), "x".into(), at("2026-11-25T12:00:00Z"));
        let first = command(ONE, "2026-11-25T12:10:00Z");
        ledger.check(&first).unwrap();
        ledger.take(&first, at("2026-11-25T12:11:00Z"));
        assert_eq!(ledger.check(&first).unwrap_err().kind(), ErrorKind::PermissionDenied);
        ledger.take(&command(OTHER, "2026-11-26T13:00:00Z"), at("2026-11-26T13:00:00Z"));
        assert!(!ledger.knows(first.id) && ledger.taken.len() == 1, "what has expired is refused for that");
    }

    #[test]
    fn what_is_older_than_the_memory_is_refused_but_for_clocks_that_differ() {
        let ledger = CommandLedger::new("alpha".parse().unwrap(), "x".into(), at("2026-11-25T12:00:00Z"));
        assert!(ledger.check(&command(ONE, "2026-11-25T11:29:00Z")).is_err());
        // Whoever asks is ten minutes slow, and the server ten minutes fast.
        ledger.check(&command(OTHER, "2026-11-25T11:40:00Z")).unwrap();
    }

    #[test]
    fn only_who_knows_the_passphrase_makes_one_and_for_one_server() {
        let key = |passphrase: &str| MasterKey::derive(&Secret::new(passphrase), "fleet").unwrap();
        let (alpha, beta) = ("alpha".parse().unwrap(), "beta".parse().unwrap());
        let ledger = CommandLedger::new("alpha".parse().unwrap(), "x".into(), at("2026-11-25T12:00:00Z"));
        let sealed = SealedLedger::new(&key("correct horse"), ledger).unwrap();
        assert!(sealed.open(&key("correct horse"), &alpha).is_some());
        assert!(sealed.open(&key("correct horse"), &beta).is_none());
        assert!(sealed.open(&key("a guess"), &alpha).is_none());
    }
}
