//! What the catalog asks of its store: no more reads than needed, and a lost swap tried anew from a fresh read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::domain::backup::Backup;
use dory_core::domain::id::{BackupId, ServerName};
use dory_core::ports::{CatalogStore, Clock, DocumentKey, DocumentStat, DocumentVersion, StoredDocument};
use dory_core::services::Catalog;
use dory_core::{Error, ErrorKind, Result};
use dory_testkit::World;
use dory_testkit::fakes::FakeClock;
use jiff::Timestamp;
use mockall::predicate::{eq, function};
use mockall::{Sequence, mock};

mock! {
    #[derive(Debug)]
    Store {}

    #[async_trait]
    impl CatalogStore for Store {
        fn location(&self) -> String;
        async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>>;
        async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion>;
        async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion)
            -> Result<DocumentVersion>;
        async fn delete(&self, key: &DocumentKey) -> Result<()>;
        async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>>;
        async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64>;
    }
}

/// A backup as the catalog keeps it.
struct Kept {
    backup: Backup,
    key: DocumentKey,
}

impl Kept {
    fn new(name: &str) -> Self {
        let container = World::new().database(name);
        let backup = Backup::first_of(&container, ServerName::parse("server-1").unwrap(), Timestamp::UNIX_EPOCH);
        let key = DocumentKey::parse(format!("backups/{}.json", backup.id)).unwrap();
        Self { backup, key }
    }

    /// Its document, in the state number `state`, which is its description too.
    fn document(&self, state: u64) -> StoredDocument {
        let body = Backup { description: Some(state.to_string()), ..self.backup.clone() };
        let envelope = serde_json::json!({ "format": 1, "counter": state, "body": body });
        let bytes = serde_json::to_vec(&envelope).unwrap().into();
        StoredDocument { bytes, version: version(state) }
    }

    fn listed(&self, etag: &str) -> DocumentStat {
        DocumentStat { key: self.key.clone(), etag: etag.to_owned(), bytes: 1, modified: Timestamp::UNIX_EPOCH }
    }
}

fn version(state: u64) -> DocumentVersion {
    DocumentVersion(format!("version-{state}"))
}

fn lost() -> Error {
    Error::new(ErrorKind::Conflict, "replace document", "backups/db.json", "it was changed in the meantime")
}

fn state_in(bytes: &Bytes) -> (u64, String) {
    let envelope: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    (envelope["counter"].as_u64().unwrap(), envelope["body"]["description"].as_str().unwrap().to_owned())
}

/// Every call that is not expected fails the test.
fn catalog(store: MockStore) -> (Catalog, FakeClock) {
    let clock = FakeClock::new();
    (Catalog::new(Arc::new(store), clock.port()), clock)
}

async fn names_and_states(catalog: &Catalog) -> Vec<(String, String)> {
    let list = catalog.backups().await.unwrap();
    assert!(list.damaged.is_empty(), "{:?}", list.damaged);
    list.backups.iter().map(|backup| (backup.name.clone(), backup.description.clone().unwrap())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

/// Lets the store list these, one listing after the other, from its folder of backups.
fn expect_listings(store: &mut MockStore, listings: Vec<Vec<DocumentStat>>) {
    let mut order = Sequence::new();
    for listing in listings {
        let folder = DocumentKey::parse("backups").unwrap();
        store.expect_list().with(eq(folder)).times(1).in_sequence(&mut order).return_once(move |_| Ok(listing));
    }
}

/// Lets the store be asked for a document so many times, and be in a new state each time.
fn expect_reads(store: &mut MockStore, kept: Kept, times: usize) {
    let reads = AtomicU64::new(0);
    let key = kept.key.clone();
    let read = move |_: &DocumentKey| Ok(Some(kept.document(reads.fetch_add(1, Ordering::Relaxed) + 1)));
    store.expect_get().with(eq(key)).times(times).returning(read);
}

#[tokio::test]
async fn what_did_not_change_is_not_read_again_and_what_did_is_read_once() {
    let (still, moving) = (Kept::new("a"), Kept::new("b"));
    let listing = |etag| vec![still.listed("same"), moving.listed(etag)];
    let mut store = MockStore::new();
    expect_listings(&mut store, vec![listing("one"), listing("one"), listing("two"), listing("two")]);
    expect_reads(&mut store, still, 1);
    expect_reads(&mut store, moving, 2);
    let (catalog, _) = catalog(store);
    for state in ["1", "1", "2", "2"] {
        assert_eq!(names_and_states(&catalog).await, pairs(&[("a", "1"), ("b", state)]));
    }
}

#[tokio::test]
async fn what_vanished_is_dropped_and_read_anew_when_it_comes_back() {
    let (still, vanishing) = (Kept::new("a"), Kept::new("b"));
    let both = || vec![still.listed("same"), vanishing.listed("same")];
    let mut store = MockStore::new();
    expect_listings(&mut store, vec![both(), vec![still.listed("same")], both()]);
    expect_reads(&mut store, still, 1);
    expect_reads(&mut store, vanishing, 2);
    let (catalog, _) = catalog(store);
    assert_eq!(names_and_states(&catalog).await, pairs(&[("a", "1"), ("b", "1")]));
    assert_eq!(names_and_states(&catalog).await, pairs(&[("a", "1")]));
    assert_eq!(names_and_states(&catalog).await, pairs(&[("a", "1"), ("b", "2")]));
}

#[tokio::test]
async fn what_vanishes_between_the_listing_and_the_read_is_left_out() {
    let kept = Kept::new("a");
    let mut store = MockStore::new();
    expect_listings(&mut store, vec![vec![kept.listed("one")]]);
    store.expect_get().with(eq(kept.key)).times(1).returning(|_| Ok(None));
    let (catalog, _) = catalog(store);
    assert_eq!(names_and_states(&catalog).await, []);
}

#[tokio::test]
async fn a_read_that_fails_keeps_nothing_of_the_listing() {
    let kept = Kept::new("a");
    let mut store = MockStore::new();
    expect_listings(&mut store, vec![vec![kept.listed("one")], vec![kept.listed("one")]]);
    let down = |_: &DocumentKey| Err(Error::new(ErrorKind::Unavailable, "read document", "a", "no answer"));
    let mut order = Sequence::new();
    store.expect_get().times(1).in_sequence(&mut order).returning(down);
    let document = kept.document(7);
    store.expect_get().times(1).in_sequence(&mut order).return_once(move |_| Ok(Some(document)));
    let (catalog, _) = catalog(store);
    assert_eq!(catalog.backups().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(names_and_states(&catalog).await, pairs(&[("a", "7")]));
}

/// Changes the description, which is the state that was read, and lets the pauses between attempts pass at once.
async fn change(catalog: &Catalog, clock: &FakeClock, id: &BackupId) -> Result<Backup> {
    let add_a_word = |backup: &mut Backup| {
        backup.description = backup.description.take().map(|state| format!("{state}, changed"));
        Ok(())
    };
    tokio::select! {
        result = catalog.update_backup(id, add_a_word) => result,
        () = async { loop { clock.wake_next().await; } } => unreachable!("it never ends"),
    }
}

#[tokio::test]
async fn a_swap_that_lost_is_tried_anew_from_a_fresh_read() {
    let kept = Kept::new("a");
    let id = kept.backup.id.clone();
    let mut store = MockStore::new();
    let mut order = Sequence::new();
    for state in 1..=3 {
        let document = kept.document(state);
        store
            .expect_get()
            .with(eq(kept.key.clone()))
            .times(1)
            .in_sequence(&mut order)
            .return_once(move |_| Ok(Some(document)));
        let swap = store.expect_replace().times(1).in_sequence(&mut order);
        // What is written is made from what was just read, and only over that.
        let made = move |bytes: &Bytes| state_in(bytes) == (state + 1, format!("{state}, changed"));
        swap.with(eq(kept.key.clone()), function(made), eq(version(state)));
        swap.return_once(move |_, _, _| if state < 3 { Err(lost()) } else { Ok(version(4)) });
    }
    let (catalog, clock) = catalog(store);
    let began = clock.monotonic();
    let changed = change(&catalog, &clock, &id).await.unwrap();
    assert_eq!(changed.description.as_deref(), Some("3, changed"));
    assert!(clock.monotonic() > began, "it waits between attempts");
}

#[tokio::test]
async fn attempts_are_bounded_and_each_reads_first() {
    let kept = Kept::new("a");
    let id = kept.backup.id.clone();
    let mut store = MockStore::new();
    expect_reads(&mut store, kept, 20);
    store.expect_replace().times(20).returning(|_, _, _| Err(lost()));
    let (catalog, clock) = catalog(store);
    let error = change(&catalog, &clock, &id).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Conflict, id.as_str()));
}

#[tokio::test]
async fn another_failure_than_a_lost_swap_is_not_tried_anew() {
    let kept = Kept::new("a");
    let id = kept.backup.id.clone();
    let mut store = MockStore::new();
    expect_reads(&mut store, kept, 1);
    let full = |_: &DocumentKey, _: Bytes, _: &DocumentVersion| {
        Err(Error::new(ErrorKind::Full, "replace document", "backups/a.json", "no space left"))
    };
    store.expect_replace().times(1).returning(full);
    let (catalog, clock) = catalog(store);
    assert_eq!(change(&catalog, &clock, &id).await.unwrap_err().kind(), ErrorKind::Full);
}
