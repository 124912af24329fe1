//! What all servers that share a store agree on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{Encryption, MasterKey, as_made};
use crate::error::{Error, ErrorKind, Result};

/// What all servers that share a store agree on: made once, by `dory init`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// Random; salts the passphrase.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether its data is encrypted.
    pub encryption: FleetEncryption,
}

/// Whether a fleet's data is encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum FleetEncryption {
    /// It is not.
    None,
    /// With keys derived from a passphrase.
    Passphrase {
        /// See [`MasterKey::check`].
        check: String,
    },
}

impl Fleet {
    /// A new fleet and its master key, if it has one.
    ///
    /// # Errors
    /// As for [`MasterKey::derive`].
    pub fn new(id: String, created_at: Timestamp, encryption: &Encryption) -> Result<(Self, Option<MasterKey>)> {
        let key = match encryption {
            Encryption::None => None,
            Encryption::Passphrase(passphrase) => Some(MasterKey::derive(passphrase, &id)?),
        };
        let encryption = match &key {
            None => FleetEncryption::None,
            Some(key) => FleetEncryption::Passphrase { check: key.check() },
        };
        Ok((Self { id, created_at, encryption }, key))
    }

    /// The master key that `encryption` gives for this fleet, proven to be the right one; `None` without encryption.
    ///
    /// # Errors
    /// `WrongKey` if it is another passphrase than the fleet's, or one where the fleet has none, or the reverse.
    pub fn unlock(&self, encryption: &Encryption) -> Result<Option<MasterKey>> {
        let wrong = |reason: &str| Error::new(ErrorKind::WrongKey, "open fleet", &self.id, reason);
        match (&self.encryption, encryption) {
            (FleetEncryption::None, Encryption::None) => Ok(None),
            (FleetEncryption::None, Encryption::Passphrase(_)) => {
                Err(wrong("a passphrase is set, but this store was made without encryption")
                    .with_hint("set DORY_ENCRYPTION=none and no DORY_PASSPHRASE"))
            }
            (FleetEncryption::Passphrase { .. }, Encryption::None) => {
                Err(wrong("DORY_ENCRYPTION=none is set, but this store is encrypted")
                    .with_hint("set DORY_PASSPHRASE to the passphrase on the recovery sheet"))
            }
            (FleetEncryption::Passphrase { check }, Encryption::Passphrase(passphrase)) => {
                // What a user chose is taken as it is; what Dory made, also as people type it from paper.
                for passphrase in [Some(passphrase.clone()), as_made(passphrase)].into_iter().flatten() {
                    let key = MasterKey::derive(&passphrase, &self.id)?;
                    if key.check() == *check {
                        return Ok(Some(key));
                    }
                }
                Err(wrong("DORY_PASSPHRASE is not the passphrase of this store")
                    .with_hint("use the passphrase on the recovery sheet that `dory init` wrote"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn passphrase(text: &str) -> Encryption {
        Encryption::Passphrase(Secret::new(text))
    }

    #[test]
    fn a_made_passphrase_opens_as_people_type_it_and_a_chosen_one_only_as_it_is() {
        let fleet = |text: &str| Fleet::new("fleet".into(), Timestamp::UNIX_EPOCH, &passphrase(text)).unwrap();
        let (made, key) = fleet("uws2-ljnf-uws2-ljnf-uws2-ljnf-uws2-ljnf");
        assert!(made.unlock(&passphrase(" UWS2LJNF UWS2LJNF UWS2LJNF UWS2LJNF ")).unwrap() == key);
        let (chosen, key) = fleet("Correct Horse ");
        assert!(chosen.unlock(&passphrase("Correct Horse ")).unwrap() == key);
        for other in ["correct horse ", "Correct Horse", "CorrectHorse"] {
            assert_eq!(chosen.unlock(&passphrase(other)).unwrap_err().kind(), ErrorKind::WrongKey, "{other}");
        }
    }
}
