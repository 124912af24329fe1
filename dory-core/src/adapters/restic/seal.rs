//! Files of the repository as they are stored, for those that `rustic_core` neither writes nor reads.

use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use rustic_core::repofile::MasterKey;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// Bytes in front of what is encrypted.
const NONCE: usize = 16;

/// What the format puts in front of what it compressed.
const COMPRESSED: u8 = 2;

/// A file's bytes as they are stored: encrypted, and not compressed, which every version of the format reads.
pub(super) fn seal(key: &MasterKey, content: &impl Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(content).map_err(|error| failed("it cannot be written").with_source(error))?;
    seal_bytes(key, &text)
}

/// Bytes as they are stored.
pub(super) fn seal_bytes(key: &MasterKey, text: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|error| failed("the system gives no noise").with_source(error.to_string()))?;
    let sealed = cipher(key).and_then(|cipher| cipher.encrypt(Nonce::from_slice(&nonce), text).ok());
    let sealed = sealed.ok_or_else(|| failed("the key is none"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn failed(reason: &str) -> Error {
    Error::new(ErrorKind::Internal, "encrypt", "repository file", reason)
}

/// Reads a stored file; `None` for what this key did not encrypt, or what has another form.
pub(super) fn unseal<T: DeserializeOwned>(key: &MasterKey, stored: &[u8]) -> Option<T> {
    let (nonce, sealed) = stored.split_at_checked(NONCE)?;
    let text = cipher(key)?.decrypt(Nonce::from_slice(nonce), sealed).ok()?;
    match text.split_first()? {
        (&COMPRESSED, compressed) => serde_json::from_slice(&zstd::decode_all(compressed).ok()?).ok(),
        _ => serde_json::from_slice(&text).ok(),
    }
}

fn cipher(key: &MasterKey) -> Option<Aes256CtrPoly1305Aes> {
    let bytes = [key.encrypt.as_slice(), &key.mac.k, &key.mac.r].concat();
    (bytes.len() == 64).then(|| Aes256CtrPoly1305Aes::new(Key::from_slice(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read_with_the_same_key_alone() {
        let key = MasterKey::new();
        let mut stored = seal(&key, &["a", "b"]).unwrap();
        assert_eq!(unseal::<Vec<String>>(&key, &stored).unwrap(), ["a", "b"]);
        assert!(unseal::<Vec<String>>(&MasterKey::new(), &stored).is_none());
        assert!(unseal::<Vec<String>>(&key, &stored[..10]).is_none());
        stored[20] ^= 1;
        assert!(unseal::<Vec<String>>(&key, &stored).is_none());
    }
}
