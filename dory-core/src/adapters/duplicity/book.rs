//! Dory's own notes beside the backup sets: a tiny duplicity collection with a file prefix, encrypted like the rest.
//!
//! duplicity keeps no words with a set and tells neither its mounts nor the moment its data is from; and it notices a
//! wrong passphrase only where it has to decrypt something. Reading the book does both at a cost that does not grow
//! with the backup: it proves the key, also of a repository without any backup, and it tells what the sets are.
//! Plain duplicity passes files of another prefix over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::collection::Collection;
use super::names::SetTime;
use crate::domain::id::MountKey;
use crate::ports::SnapshotRequest;

/// The notes on all sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Book {
    /// The version of this form.
    pub(super) format: u32,
    pub(super) notes: Vec<Note>,
}

/// What there is to know of one set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The second before which the set cannot have begun: its own time is not known when this is written, for the
    /// book is written while duplicity works. The set meant is the first at or after it.
    pub(super) begun: String,
    pub(super) taken_at: Timestamp,
    pub(super) host: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    pub(super) mounts: Vec<MountKey>,
}

impl Book {
    pub(super) const PREFIX: &'static str = "dory-";
    pub(super) const FILE: &'static str = "book.json";
    pub(super) const FORMAT: u32 = 1;

    /// The note on the set at `time`.
    pub(super) fn note<'a>(&'a self, time: &SetTime, collection: &Collection) -> Option<&'a Note> {
        let before = collection.sets().map(|set| &set.time).filter(|other| *other < time).max();
        let fits = |note: &&Note| {
            SetTime::parse(&note.begun)
                .is_some_and(|begun| begun <= *time && before.is_none_or(|before| *before < begun))
        };
        self.notes.iter().filter(fits).max_by(|a, b| a.begun.cmp(&b.begun))
    }

    /// The book with notes on the sets of `collection` only, and one on the set that begins at `begun` or later.
    pub(super) fn with(&self, request: &SnapshotRequest, begun: &SetTime, collection: &Collection) -> Self {
        let mut notes: Vec<_> = collection.sets().filter_map(|set| self.note(&set.time, collection)).cloned().collect();
        let mut mounts: Vec<_> = request.sources.iter().map(|source| source.key.clone()).collect();
        mounts.sort();
        notes.push(Note {
            begun: begun.as_str().to_owned(),
            taken_at: request.taken_at,
            host: request.host.clone(),
            tags: request.tags.clone(),
            mounts,
        });
        Self { format: Self::FORMAT, notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: u8) -> SetTime {
        SetTime::parse(&format!("20260101T0000{second:02}Z")).unwrap()
    }

    fn request(tag: &str) -> SnapshotRequest {
        SnapshotRequest {
            sources: Vec::new(),
            exclude: Vec::new(),
            taken_at: Timestamp::UNIX_EPOCH,
            host: "host".into(),
            tags: vec![tag.into()],
            parent: None,
            scratch: None,
        }
    }

    fn collection(seconds: &[u8]) -> Collection {
        let names: Vec<_> =
            seconds.iter().map(|second| format!("duplicity-full.{}.manifest.gpg", time(*second))).collect();
        Collection::from_names("", names.iter().map(String::as_str))
    }

    fn tag<'a>(book: &'a Book, second: u8, collection: &Collection) -> Option<&'a str> {
        book.note(&time(second), collection).map(|note| note.tags[0].as_str())
    }

    #[test]
    fn a_note_belongs_to_the_first_set_after_it() {
        let mut book = Book::default();
        book = book.with(&request("one"), &time(1), &collection(&[]));
        book = book.with(&request("failed"), &time(3), &collection(&[2]));
        book = book.with(&request("three"), &time(5), &collection(&[2]));
        let sets = collection(&[2, 6, 9]);
        assert_eq!(tag(&book, 2, &sets), Some("one"));
        assert_eq!(tag(&book, 6, &sets), Some("three"));
        assert_eq!(tag(&book, 9, &sets), None, "a set that plain duplicity made has none");
    }

    #[test]
    fn notes_go_with_their_sets() {
        let book = Book::default().with(&request("one"), &time(1), &collection(&[]));
        let book = book.with(&request("two"), &time(4), &collection(&[2]));
        let book = book.with(&request("three"), &time(7), &collection(&[5]));
        assert_eq!(book.notes.iter().map(|note| note.tags[0].as_str()).collect::<Vec<_>>(), ["two", "three"]);
    }
}
