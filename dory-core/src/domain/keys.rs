//! One passphrase, and every key that is derived from it.
//!
//! A fleet's passphrase is stretched once with Argon2id (RFC 9106), salted with the fleet's id. Every further key is
//! drawn from the result with HKDF-SHA256 (RFC 5869) under a name of its own, so no key tells anything about another.

use std::fmt;

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::{BASE32_NOPAD, BASE64};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::id::BackupId;
use super::policy::EngineKind;
use super::secret::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Whether and with what a store is encrypted, as the user set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// With keys derived from this passphrase.
    Passphrase(Secret),
    /// Not at all, by the user's word.
    None,
}

/// Bytes of randomness in a passphrase that Dory makes.
pub const PASSPHRASE_ENTROPY: usize = 20;

/// A passphrase from `entropy`: 32 characters of base 32, in groups of four.
#[must_use]
pub fn passphrase_from(entropy: &[u8; PASSPHRASE_ENTROPY]) -> Secret {
    let letters = BASE32_NOPAD.encode(entropy).to_ascii_lowercase();
    let groups: Vec<&str> = letters.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
    Secret::new(groups.join("-"))
}

/// The passphrase that Dory would have made, where `typed` is one but for case, dashes and spaces: what somebody types
/// who copies it from paper.
#[must_use]
pub fn as_made(typed: &Secret) -> Option<Secret> {
    let letters: String =
        typed.expose().chars().filter(|c| *c != '-' && !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
    let letters = Zeroizing::new(letters);
    let entropy = Zeroizing::new(BASE32_NOPAD.decode(letters.as_bytes()).ok()?);
    Some(passphrase_from(entropy.as_slice().try_into().ok()?))
}

/// What a fleet's keys are drawn from.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Memory in KiB, passes and lanes of Argon2id: part of the format, since another choice gives other keys.
    const COST: (u32, u32, u32) = (32 * 1024, 2, 1);

    /// Stretches `passphrase` for the fleet `fleet_id`. Takes some 50 ms and 32 MiB.
    ///
    /// # Errors
    /// `InvalidInput` for an empty passphrase.
    pub fn derive(passphrase: &Secret, fleet_id: &str) -> Result<Self> {
        if passphrase.is_empty() {
            return Err(Error::invalid("DORY_PASSPHRASE", "", "it is empty")
                .with_hint("run `dory init` to make one, or set DORY_ENCRYPTION=none"));
        }
        let failed = |error: argon2::Error| {
            Error::new(ErrorKind::Internal, "derive the fleet's key", "", "key stretching failed")
                .with_source(error.to_string())
        };
        let (memory, passes, lanes) = Self::COST;
        let params = Params::new(memory, passes, lanes, Some(32)).map_err(failed)?;
        let mut key = Zeroizing::new([0; 32]);
        let salt = format!("dory/v1/{fleet_id}");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), salt.as_bytes(), key.as_mut())
            .map_err(failed)?;
        Ok(Self(key))
    }

    /// What a fleet's document keeps so that a wrong passphrase is noticed at once; it tells nothing about the others.
    #[must_use]
    pub fn check(&self) -> String {
        data_encoding::HEXLOWER.encode(&*self.draw("dory/v1/check"))
    }

    /// The password of one backup's repository: 52 characters of base 32. What plain restic and duplicity need.
    #[must_use]
    pub fn repository_password(&self, backup: &BackupId, engine: EngineKind) -> Secret {
        let key = self.draw(&format!("dory/v1/repository/{engine}/{backup}"));
        Secret::new(BASE32_NOPAD.encode(&*key).to_ascii_lowercase())
    }

    /// What proves that somebody who knows the passphrase wrote `text` for `purpose`: HMAC-SHA256 in hex.
    #[must_use]
    pub fn seal(&self, purpose: &str, text: &str) -> String {
        data_encoding::HEXLOWER.encode(&self.mac(purpose, text).finalize().into_bytes())
    }

    /// Whether `seal` is what [`seal`](Self::seal) gives.
    #[must_use]
    pub fn made_seal(&self, purpose: &str, text: &str, seal: &str) -> bool {
        let seal = data_encoding::HEXLOWER.decode(seal.as_bytes());
        seal.is_ok_and(|seal| self.mac(purpose, text).verify_slice(&seal).is_ok())
    }

    /// `secret`, so that only this key opens it, and only for `purpose`: AES-256 in counter mode with Poly1305, as restic
    /// has it, in base 64. `nonce` must be random.
    ///
    /// # Errors
    /// `Internal`, if the cipher refuses.
    pub fn lock(&self, purpose: &str, nonce: [u8; 16], secret: &Secret) -> Result<String> {
        let locked = self.cipher(purpose).encrypt(Nonce::from_slice(&nonce), secret.expose().as_bytes());
        let locked =
            locked.map_err(|_| Error::new(ErrorKind::Internal, "lock a secret", purpose, "the cipher refuses"))?;
        Ok(BASE64.encode(&[nonce.as_slice(), &locked].concat()))
    }

    /// What was [locked](Self::lock).
    ///
    /// # Errors
    /// `WrongKey` if this key did not lock it for that purpose, or it is damaged.
    pub fn unlock(&self, purpose: &str, locked: &str) -> Result<Secret> {
        let open = || {
            let bytes = BASE64.decode(locked.as_bytes()).ok()?;
            let (nonce, locked) = bytes.split_at_checked(16)?;
            let text = self.cipher(purpose).decrypt(Nonce::from_slice(nonce), locked).ok()?;
            String::from_utf8(text).ok().map(Secret::new)
        };
        open().ok_or_else(|| {
            let reason = "it was locked with another key, for something else, or is damaged";
            Error::new(ErrorKind::WrongKey, "open secret", purpose, reason).with_hint("set it anew")
        })
    }

    fn cipher(&self, purpose: &str) -> Aes256CtrPoly1305Aes {
        let halves = ["encrypt", "authenticate"].map(|half| self.draw(&format!("dory/v1/lock/{half}/{purpose}")));
        let key = Zeroizing::new([*halves[0], *halves[1]].concat());
        Aes256CtrPoly1305Aes::new(Key::from_slice(&key))
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let key = self.draw(&format!("dory/v1/seal/{purpose}"));
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&*key) else {
            unreachable!("an HMAC takes a key of any length");
        };
        mac.update(text.as_bytes());
        mac
    }

    fn draw(&self, name: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.0.as_ref())
            .expand(name.as_bytes(), key.as_mut())
            .unwrap_or_else(|_| unreachable!("32 bytes are far below HKDF's limit"));
        key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_are_part_of_the_format() {
        let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let backup = BackupId::parse("db-0123456789ab").unwrap();
        // Computed independently, with argon2-cffi and Python's hmac.
        assert_eq!(key.check(), "b3c5d47602b9a8976458493b82ee76f169c2e621e0cbf9258594f243cc6e404d");
        assert_eq!(
            key.repository_password(&backup, EngineKind::Restic).expose(),
            "fscurckm62ia5hsrydkho7dbb5kcyhml7cd574gprw2hvbaivahq"
        );
    }

    #[test]
    fn each_repository_has_its_own_password() {
        let key = MasterKey::derive(&Secret::new("correct horse"), "fleet").unwrap();
        let (a, b) = (BackupId::parse("a").unwrap(), BackupId::parse("b").unwrap());
        let passwords = [
            key.repository_password(&a, EngineKind::Restic),
            key.repository_password(&a, EngineKind::Duplicity),
            key.repository_password(&b, EngineKind::Restic),
        ];
        assert!(passwords[0] != passwords[1] && passwords[0] != passwords[2] && passwords[1] != passwords[2]);
    }

    #[test]
    fn a_made_passphrase_is_known_again_however_it_is_typed() {
        let made = passphrase_from(&[0xa5; 20]);
        for typed in ["UWS2-LJNF-UWS2-LJNF-UWS2-LJNF-UWS2-LJNF", " uws2ljnf uws2ljnf\tUWS2ljnf uws2-ljnf \n"] {
            assert_eq!(as_made(&Secret::new(typed)).unwrap(), made);
        }
        for other in ["correct horse battery", "uws2-ljnf", "uws2-ljnf-uws2-ljnf-uws2-ljnf-uws2-ljn1"] {
            assert_eq!(as_made(&Secret::new(other)), None);
        }
    }

    #[test]
    fn a_seal_fits_what_it_was_made_for_and_nothing_else() {
        let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let seal = key.seal("hooks", "flush");
        assert!(key.made_seal("hooks", "flush", &seal));
        let other = MasterKey::derive(&Secret::new("another"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        assert!(!key.made_seal("hooks", "rm", &seal) && !key.made_seal("users", "flush", &seal));
        assert!(!other.made_seal("hooks", "flush", &seal) && !key.made_seal("hooks", "flush", ""));
    }

    #[test]
    fn a_locked_secret_opens_for_its_purpose_and_its_key_alone() {
        let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let locked = key.lock("settings/mail.password", [7; 16], &Secret::new("hünter2")).unwrap();
        assert_eq!(key.unlock("settings/mail.password", &locked).unwrap().expose(), "hünter2");
        let other = MasterKey::derive(&Secret::new("another"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let cut = &locked[..locked.len() - 4];
        for (key, purpose, locked) in [
            (&other, "settings/mail.password", locked.as_str()),
            (&key, "settings/webhook.ops.secret", &locked),
            (&key, "settings/mail.password", cut),
            (&key, "settings/mail.password", ""),
        ] {
            assert_eq!(key.unlock(purpose, locked).unwrap_err().kind(), ErrorKind::WrongKey);
        }
    }

    #[test]
    fn a_made_passphrase_can_be_copied_by_hand() {
        assert_eq!(passphrase_from(&[0xa5; 20]).expose(), "uws2-ljnf-uws2-ljnf-uws2-ljnf-uws2-ljnf");
    }
}
