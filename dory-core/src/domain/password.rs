//! Passwords of people, kept so that whoever reads the document does not know them.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// A password's Argon2id hash (RFC 9106), with what it takes to compute it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    /// Memory it takes, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Random, in hex.
    pub salt: String,
    /// The hash, in hex.
    pub hash: String,
}

impl PasswordHash {
    /// Bytes of randomness in a salt.
    pub const SALT: usize = 16;

    /// How short a password may be, in characters.
    pub const SHORTEST: usize = 12;

    /// How long it may be, in bytes: what is longer only costs.
    pub const LONGEST: usize = 1024;

    /// What a new hash costs: some 30 ms, and memory that guessing machines lack.
    const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

    /// The most that a hash may ask for, so that a document cannot exhaust a server.
    const DEAREST: (u32, u32, u32) = (256 * 1024, 16, 4);

    /// Hashes a new password.
    ///
    /// # Errors
    /// `InvalidInput` for one that is too short or too long.
    pub fn of(password: &Secret, salt: &[u8; Self::SALT]) -> Result<Self> {
        let text = password.expose();
        if text.chars().count() < Self::SHORTEST || text.len() > Self::LONGEST {
            let allowed = format!("{} characters to {} bytes are expected", Self::SHORTEST, Self::LONGEST);
            return Err(Error::invalid("password", "", allowed));
        }
        let (memory_kib, passes, lanes) = Self::COST;
        let mut made = Self { memory_kib, passes, lanes, salt: HEXLOWER.encode(salt), hash: String::new() };
        made.hash = HEXLOWER.encode(&made.compute(password)?);
        Ok(made)
    }

    /// Whether `password` is the one. Takes as long as hashing it.
    ///
    /// # Errors
    /// `Corrupt` for a hash that nobody can compute.
    pub fn fits(&self, password: &Secret) -> Result<bool> {
        if password.expose().len() > Self::LONGEST {
            return Ok(false);
        }
        let known = HEXLOWER.decode(self.hash.as_bytes()).map_err(|_| self.damaged())?;
        let computed = self.compute(password)?;
        // As slow for the first wrong byte as for the last.
        let differing =
            known.iter().zip(&computed).fold(known.len() ^ computed.len(), |all, (a, b)| all | usize::from(a ^ b));
        Ok(differing == 0)
    }

    fn compute(&self, password: &Secret) -> Result<[u8; 32]> {
        let (memory, passes, lanes) = Self::DEAREST;
        if self.memory_kib > memory || self.passes > passes || self.lanes > lanes {
            return Err(self.damaged());
        }
        let salt = HEXLOWER.decode(self.salt.as_bytes()).map_err(|_| self.damaged())?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).map_err(|_| self.damaged())?;
        let mut hash = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.expose().as_bytes(), &salt, &mut hash)
            .map_err(|_| self.damaged())?;
        Ok(hash)
    }

    fn damaged(&self) -> Error {
        Error::new(ErrorKind::Corrupt, "check password", "", "what is kept of it makes no sense")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits() {
        let password = Secret::new("a long password");
        let hash = PasswordHash::of(&password, &[7; PasswordHash::SALT]).unwrap();
        assert!(hash.fits(&password).unwrap());
        for other in ["a long passwore", "", "A long password", "a long password "] {
            assert!(!hash.fits(&Secret::new(other)).unwrap(), "{other}");
        }
        assert_ne!(hash, PasswordHash::of(&password, &[8; PasswordHash::SALT]).unwrap());
        assert!(!serde_json::to_string(&hash).unwrap().contains("long"));
    }

    #[test]
    fn short_passwords_and_endless_ones_are_refused() {
        for text in ["", "elevenchars", &"x".repeat(1025)] {
            let error = PasswordHash::of(&Secret::new(text), &[0; PasswordHash::SALT]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_hash_that_asks_for_too_much_is_damaged() {
        let password = Secret::new("a long password");
        let mut hash = PasswordHash::of(&password, &[7; PasswordHash::SALT]).unwrap();
        hash.memory_kib = u32::MAX;
        assert_eq!(hash.fits(&password).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
