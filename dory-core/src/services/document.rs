//! The envelope around every document: a format version, so that old and new servers can share a store, and a counter,
//! so that no two states of a document have the same bytes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::DocumentKey;

/// The newest format this version reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// A document of some type, as it stands in the store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<T> {
    /// The version of everything below.
    pub(super) format: u32,
    /// Goes up by one with each write.
    pub(super) counter: u64,
    /// The document itself.
    pub(super) body: T,
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl<T: Serialize> Envelope<T> {
    pub(super) fn to_bytes(&self, key: &DocumentKey) -> Result<Bytes> {
        serde_json::to_vec_pretty(self).map(Bytes::from).map_err(|error| {
            Error::new(ErrorKind::Internal, "write document", key.as_str(), "it cannot be put into JSON")
                .with_source(error)
        })
    }
}

impl<T: DeserializeOwned> Envelope<T> {
    pub(super) fn from_bytes(key: &DocumentKey, bytes: &[u8]) -> Result<Self> {
        let damaged = |error: serde_json::Error| {
            if error.is_data() && error.to_string().starts_with("unknown variant") {
                let reason = "it holds a word that a newer Dory wrote, and this one does not know";
                return Error::new(ErrorKind::Unsupported, "read document", key.as_str(), reason)
                    .with_hint("update Dory on this host")
                    .with_source(error);
            }
            Error::new(ErrorKind::Corrupt, "read document", key.as_str(), "it is damaged")
                .with_hint(format!("restore an older version of `{key}` in the store, or move it away; its backups' data is not touched"))
                .with_source(error)
        };
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            let reason = format!("it has format {format}, and this Dory knows formats up to {FORMAT}");
            return Err(Error::new(ErrorKind::Unsupported, "read document", key.as_str(), reason)
                .with_hint("update Dory on this host"));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

impl<T: Serialize + DeserializeOwned> Envelope<T> {
    /// The document as bytes, in place of `old`. What in `old` this version knows nothing of stays in it: a newer Dory
    /// wrote it, and may share the store.
    pub(super) fn to_bytes_over(&self, key: &DocumentKey, old: &[u8]) -> Result<Bytes> {
        let failed = |error: serde_json::Error| {
            Error::new(ErrorKind::Internal, "write document", key.as_str(), "it cannot be put into JSON")
                .with_source(error)
        };
        let old: Value = serde_json::from_slice(old).map_err(failed)?;
        let known = Self::deserialize(&old).and_then(serde_json::to_value).map_err(failed)?;
        let plain = serde_json::to_value(self).map_err(failed)?;
        let mut new = plain.clone();
        carry_over(&old, &known, &mut new);
        if new == plain {
            return self.to_bytes(key);
        }
        serde_json::to_vec_pretty(&new).map(Bytes::from).map_err(failed)
    }
}

/// Names that this version reads under another one, and writes under that.
const FORMER_NAMES: [&str; 1] = ["engine-options"];

/// Puts into `new` what `old` holds beyond `known`, wherever its place is still there.
pub(super) fn carry_over(old: &Value, known: &Value, new: &mut Value) {
    match (old, known, new) {
        (Value::Object(old), Value::Object(known), Value::Object(new)) => {
            for (name, value) in old {
                match (known.get(name), new.get_mut(name)) {
                    (None, None) if !FORMER_NAMES.contains(&name.as_str()) => {
                        new.insert(name.clone(), value.clone());
                    }
                    (Some(known), Some(new)) => carry_over(value, known, new),
                    _ => {}
                }
            }
        }
        (Value::Array(old), Value::Array(known), Value::Array(new)) if old.len() == known.len() => {
            for (old, known) in old.iter().zip(known) {
                // Entries move, come and go; their ids stay.
                let Some(id) = known.get("id") else { continue };
                if let Some(new) = new.iter_mut().find(|candidate| candidate.get("id") == Some(id)) {
                    carry_over(old, known, new);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Known {
        name: Option<String>,
        entries: Vec<Entry>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Entry {
        id: u32,
        size: u32,
    }

    #[test]
    fn what_a_newer_version_wrote_survives_a_change_by_an_older_one() {
        let key = DocumentKey::parse("backups/x.json").unwrap();
        let old = br#"{"format":1,"counter":4,"seal":"s","body":{"name":"a","schedule":"@daily","entries":[
            {"id":1,"size":1,"held":true},{"id":2,"size":2,"held":false}]}}"#;
        let mut envelope: Envelope<Known> = Envelope::from_bytes(&key, old).unwrap();
        envelope.body.name = None;
        envelope.body.entries.remove(0);
        envelope.body.entries.insert(0, Entry { id: 3, size: 3 });
        let new: Value = serde_json::from_slice(&envelope.to_bytes_over(&key, old).unwrap()).unwrap();
        let expected = serde_json::json!({"format":1,"counter":4,"seal":"s","body":{"name":null,"schedule":"@daily",
            "entries":[{"id":3,"size":3},{"id":2,"size":2,"held":false}]}});
        assert_eq!(new, expected);
    }

    #[test]
    fn a_word_from_the_future_asks_for_an_update_and_is_no_damage() {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Word {
            Old,
        }
        let key = DocumentKey::parse("backups/x.json").unwrap();
        let read = |word: &str| {
            let text = format!(r#"{{"format":1,"counter":1,"body":"{word}"}}"#);
            Envelope::<Word>::from_bytes(&key, text.as_bytes()).map(|envelope| envelope.body)
        };
        assert!(matches!(read("old").unwrap(), Word::Old));
        assert_eq!(read("new").unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
