//! Who may use the web pages and their programming interface, and what each may do.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::{TokenId, UserName};
use super::keys::MasterKey;
use super::password::PasswordHash;
use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// What somebody may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees everything but what is in files.
    Viewer,
    /// Backs up, restores, reads files, changes backups.
    Operator,
    /// Deletes, and says who may do what.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The word for a token that may do as much: its scope.
    #[must_use]
    pub fn scope(self) -> &'static str {
        match self {
            Self::Viewer => "read",
            Self::Operator => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let fits = |role: &Self| role.as_str() == text || role.scope() == text;
        Self::ALL.into_iter().find(fits).ok_or_else(|| {
            Error::invalid("role", text, "`viewer` (`read`), `operator` (`operate`) and `admin` are allowed")
        })
    }
}

/// Somebody who signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: UserName,
    /// What they may do.
    pub role: Role,
    /// The password; `None` for who comes through a proxy that knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Since when.
    pub created_at: Timestamp,
}

/// What a program shows in place of a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Names it.
    pub id: TokenId,
    /// What it is for, in words.
    pub name: String,
    /// What it may do.
    pub scope: Role,
    /// SHA-256 of its text, in hex. The text is random enough for that.
    pub hash: String,
    /// Who made it.
    pub made_by: UserName,
    /// Until when it counts; for good where `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl ApiToken {
    /// Bytes of randomness in a token.
    pub const ENTROPY: usize = 32;

    /// A token's text, from randomness.
    #[must_use]
    pub fn text_from(entropy: &[u8; Self::ENTROPY]) -> Secret {
        Secret::new(format!("dory_{}", data_encoding::BASE32_NOPAD.encode(entropy).to_ascii_lowercase()))
    }

    /// What is kept of a token's text.
    #[must_use]
    pub fn hash_of(text: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
    }
}

/// Everybody who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// People.
    pub users: Vec<User>,
    /// Programs.
    #[serde(default)]
    pub tokens: Vec<ApiToken>,
}

impl Users {
    /// Somebody by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.as_str() == name)
    }

    /// Whether there is an admin who can sign in with a password.
    #[must_use]
    pub fn has_admin(&self) -> bool {
        self.users.iter().any(|user| user.role == Role::Admin)
    }

    /// The token whose text is `text`, if it still counts at `now`.
    #[must_use]
    pub fn token(&self, text: &str, now: Timestamp) -> Option<&ApiToken> {
        let hash = ApiToken::hash_of(text);
        self.tokens.iter().find(|token| token.hash == hash && token.expires_at.is_none_or(|end| now < end))
    }

    /// Adds somebody.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub fn add(&mut self, user: User) -> Result<()> {
        if self.find(user.name.as_str()).is_some() {
            let reason = "there is one of that name";
            return Err(Error::new(ErrorKind::AlreadyExists, "add user", user.name.as_str(), reason));
        }
        self.users.push(user);
        Ok(())
    }

    /// Changes somebody.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if nobody would be left who may say who may do what.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut User)) -> Result<()> {
        let Some(user) = self.users.iter_mut().find(|user| user.name.as_str() == name) else {
            return Err(no_such_user(name));
        };
        let was = user.role;
        change(user);
        self.keeps_an_admin(name, was)
    }

    /// Removes somebody, with the tokens they made.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` if nobody would be left who may say who may do what.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let was = self.find(name).ok_or_else(|| no_such_user(name))?.role;
        self.users.retain(|user| user.name.as_str() != name);
        self.tokens.retain(|token| token.made_by.as_str() != name);
        self.keeps_an_admin(name, was)
    }

    fn keeps_an_admin(&self, name: &str, was: Role) -> Result<()> {
        if was == Role::Admin && !self.has_admin() {
            let reason = "nobody would be left who may say who may do what";
            return Err(Error::new(ErrorKind::Conflict, "take the role of admin from", name, reason)
                .with_hint("make somebody else an admin first"));
        }
        Ok(())
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn revoke(&mut self, id: TokenId) -> Result<()> {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.id != id);
        if self.tokens.len() == before {
            return Err(Error::new(ErrorKind::NotFound, "revoke token", id.to_string(), "there is none of that id"));
        }
        Ok(())
    }
}

fn no_such_user(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "find user", name, "there is none of that name")
}

/// Users as they stand in the store: whoever can write there but does not know the fleet's passphrase lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedUsers {
    /// Everybody.
    pub users: Users,
    /// What proves who wrote it: HMAC-SHA256 over all of it, under a key of the fleet's, in hex.
    pub seal: String,
}

impl SealedUsers {
    const PURPOSE: &'static str = "users";

    /// Seals users.
    ///
    /// # Errors
    /// `Internal`, if they cannot be written.
    pub fn new(key: &MasterKey, users: Users) -> Result<Self> {
        let seal = key.seal(Self::PURPOSE, &text(&users)?);
        Ok(Self { users, seal })
    }

    /// The users, if somebody who knows the passphrase wrote them.
    ///
    /// # Errors
    /// `PermissionDenied` if not.
    pub fn open(self, key: &MasterKey) -> Result<Users> {
        if key.made_seal(Self::PURPOSE, &text(&self.users)?, &self.seal) {
            return Ok(self.users);
        }
        let reason = "nobody who knows the fleet's passphrase wrote it";
        Err(Error::new(ErrorKind::PermissionDenied, "trust document", "users.json", reason)
            .with_hint("find out who else can write to the store, then bring back an older version of `users.json`, or delete it: `dory serve` then prints a link for a new admin"))
    }
}

fn text(users: &Users) -> Result<String> {
    serde_json::to_string(users)
        .map_err(|error| Error::new(ErrorKind::Internal, "seal users", "", "they are no JSON").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, role: Role) -> User {
        let name = UserName::parse(name).unwrap();
        User { name, role, password: None, created_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn there_is_always_an_admin() {
        let mut users = Users::default();
        users.add(user("ada", Role::Admin)).unwrap();
        users.add(user("bob", Role::Viewer)).unwrap();
        assert_eq!(users.clone().remove("ada").unwrap_err().kind(), ErrorKind::Conflict);
        let demote = users.clone().change("ada", |ada| ada.role = Role::Viewer);
        assert_eq!(demote.unwrap_err().kind(), ErrorKind::Conflict);
        users.change("bob", |bob| bob.role = Role::Admin).unwrap();
        users.remove("ada").unwrap();
        assert_eq!(users.remove("ada").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(users.add(user("bob", Role::Viewer)).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_token_counts_until_it_expires_and_goes_with_its_maker() {
        let text = ApiToken::text_from(&[9; ApiToken::ENTROPY]);
        let end: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let token = ApiToken {
            id: TokenId::new(Timestamp::UNIX_EPOCH, 1),
            name: "ci".into(),
            scope: Role::Operator,
            hash: ApiToken::hash_of(text.expose()),
            made_by: UserName::parse("bob").unwrap(),
            expires_at: Some(end),
        };
        let mut users =
            Users { users: vec![user("ada", Role::Admin), user("bob", Role::Operator)], tokens: vec![token] };
        assert!(users.token(text.expose(), "2026-11-30T00:00:00Z".parse().unwrap()).is_some());
        assert!(users.token(text.expose(), end).is_none());
        assert!(users.token("dory_guess", Timestamp::UNIX_EPOCH).is_none());
        users.remove("bob").unwrap();
        assert!(users.tokens.is_empty());
    }

    #[test]
    fn who_does_not_know_the_passphrase_lets_nobody_in() {
        let key = |passphrase| MasterKey::derive(&Secret::new(passphrase), "fleet").unwrap();
        let users = Users { users: vec![user("ada", Role::Admin)], tokens: Vec::new() };
        let sealed = SealedUsers::new(&key("correct horse"), users.clone()).unwrap();
        assert_eq!(sealed.clone().open(&key("correct horse")).unwrap(), users);
        let mut forged = sealed.clone();
        forged.users.users.push(user("mallory", Role::Admin));
        for (sealed, passphrase) in [(forged, "correct horse"), (sealed, "a guess")] {
            assert_eq!(sealed.open(&key(passphrase)).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
    }
}
