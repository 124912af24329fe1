//! The promises of [`CatalogStore`], one test each.

mod trees;

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dory_core::ErrorKind;
use dory_core::ports::{CatalogStore, DocumentKey, DocumentStat, DocumentVersion};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::objects::StoreObjects;
pub use trees::*;

/// An empty catalog, seen through two handles: what is written through one must show through the other.
pub struct Subject {
    /// Where a test writes.
    pub store: Arc<dyn CatalogStore>,
    /// The same place, opened a second time where the implementation can be.
    pub other: Arc<dyn CatalogStore>,
    objects: Option<Arc<dyn StoreObjects>>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Subject {
    /// A catalog and its second handle.
    #[must_use]
    pub fn new(store: Arc<dyn CatalogStore>, other: Arc<dyn CatalogStore>) -> Self {
        Self { store, other, objects: None, keep: Vec::new() }
    }

    /// Says how to reach the store beneath the catalog. Every subject of the suite needs it.
    #[must_use]
    pub fn beneath(mut self, objects: impl StoreObjects + 'static) -> Self {
        self.objects = Some(Arc::new(objects));
        self
    }

    /// Keeps `guard` (a temporary folder, a server) until the test ends.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(guard));
        self
    }

    fn objects(&self) -> Arc<dyn StoreObjects> {
        self.objects.clone().expect("the enrolment says how to reach the store beneath the catalog")
    }

    fn handle(&self, index: usize) -> Arc<dyn CatalogStore> {
        Arc::clone(if index.is_multiple_of(2) { &self.store } else { &self.other })
    }
}

fn key(text: &str) -> DocumentKey {
    DocumentKey::parse(text).unwrap()
}

fn document(counter: usize) -> Bytes {
    format!(r#"{{"counter":{counter}}}"#).into()
}

async fn content(store: &Arc<dyn CatalogStore>, key: &DocumentKey) -> Option<Bytes> {
    store.get(key).await.unwrap().map(|found| found.bytes)
}

async fn keys_in(store: &Arc<dyn CatalogStore>, folder: &str) -> Vec<String> {
    store.list(&key(folder)).await.unwrap().into_iter().map(|stat| stat.key.to_string()).collect()
}

/// A name without a document gives `None`.
pub async fn a_missing_document_is_none(subject: Subject) {
    assert!(subject.store.get(&key("backups/none.json")).await.unwrap().is_none());
}

/// What was created is read back, with the version that the write returned.
pub async fn a_created_document_is_read_back(subject: Subject) {
    let key = key("backups/a.json");
    let version = subject.store.create(&key, document(1)).await.unwrap();
    let found = subject.other.get(&key).await.unwrap().unwrap();
    assert_eq!((found.bytes, found.version), (document(1), version));
}

/// A create does not touch what is there.
pub async fn create_leaves_what_is_there(subject: Subject) {
    let key = key("backups/a.json");
    let version = subject.store.create(&key, document(1)).await.unwrap();
    let error = subject.other.create(&key, document(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    let found = subject.store.get(&key).await.unwrap().unwrap();
    assert_eq!((found.bytes, found.version), (document(1), version));
}

/// A replace from the current version puts the new bytes there, under a new version.
pub async fn replace_gives_a_new_version(subject: Subject) {
    let key = key("backups/a.json");
    let first = subject.store.create(&key, document(1)).await.unwrap();
    let second = subject.other.replace(&key, document(2), &first).await.unwrap();
    assert_ne!(first, second);
    let found = subject.store.get(&key).await.unwrap().unwrap();
    assert_eq!((found.bytes, found.version), (document(2), second));
}

/// A replace from an old version is a conflict and changes nothing.
pub async fn a_stale_replace_is_a_conflict(subject: Subject) {
    let key = key("backups/a.json");
    let first = subject.store.create(&key, document(1)).await.unwrap();
    subject.store.replace(&key, document(2), &first).await.unwrap();
    let error = subject.other.replace(&key, document(3), &first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(content(&subject.store, &key).await, Some(document(2)));
}

/// A replace of a document that is gone is a conflict and brings nothing back.
pub async fn replace_after_delete_is_a_conflict(subject: Subject) {
    let key = key("backups/a.json");
    let version = subject.store.create(&key, document(1)).await.unwrap();
    subject.store.delete(&key).await.unwrap();
    let error = subject.other.replace(&key, document(2), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(content(&subject.store, &key).await, None);
}

/// A version from before a delete does not fit what was created after it.
pub async fn a_version_does_not_outlive_its_document(subject: Subject) {
    let key = key("backups/a.json");
    let first = subject.store.create(&key, document(1)).await.unwrap();
    subject.store.delete(&key).await.unwrap();
    let second = subject.store.create(&key, document(2)).await.unwrap();
    assert_ne!(first, second);
    let error = subject.store.replace(&key, document(3), &first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
}

/// Documents that carry a counter, as Dory's do, never meet a version again.
pub async fn versions_do_not_recur(subject: Subject) {
    let key = key("backups/a.json");
    let mut version = subject.store.create(&key, document(0)).await.unwrap();
    let mut seen = BTreeSet::from([version.0.clone()]);
    for counter in 1..20 {
        version = subject.handle(counter).replace(&key, document(counter), &version).await.unwrap();
        assert!(seen.insert(version.0.clone()), "version {} came twice", version.0);
    }
}

/// The same bytes written again make another version. Not part of the suite: S3 derives versions from the content.
pub async fn the_same_bytes_get_a_new_version(subject: Subject) {
    let key = key("backups/a.json");
    let first = subject.store.create(&key, document(1)).await.unwrap();
    let second = subject.store.replace(&key, document(1), &first).await.unwrap();
    assert_ne!(first, second);
    let error = subject.store.replace(&key, document(1), &first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    subject.store.delete(&key).await.unwrap();
    let third = subject.store.create(&key, document(1)).await.unwrap();
    assert!(third != first && third != second, "a deleted document's version came back");
}

/// Of several creates at once one succeeds, and its bytes are there; even where all bring the same bytes.
pub async fn of_sixteen_creates_one_wins(subject: Subject) {
    for (name, distinct) in [("leases/distinct.json", true), ("leases/same.json", false)] {
        let key = key(name);
        let outcomes = join_all((0..16).map(|index| {
            let (store, key) = (subject.handle(index), key.clone());
            tokio::spawn(async move { store.create(&key, document(if distinct { index } else { 0 })).await })
        }))
        .await;
        let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        let winners: Vec<_> = (0..16).filter(|index| outcomes[*index].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let losers = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        losers.for_each(|error| assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}"));
        let expected = document(if distinct { winners[0] } else { 0 });
        assert_eq!(content(&subject.store, &key).await, Some(expected));
    }
}

/// Of several replaces from one version one succeeds, and its bytes are there.
pub async fn of_sixteen_replaces_one_wins(subject: Subject) {
    let key = key("leases/a.json");
    let version = subject.store.create(&key, document(100)).await.unwrap();
    let outcomes = join_all((0..16).map(|index| {
        let (store, key, version) = (subject.handle(index), key.clone(), version.clone());
        tokio::spawn(async move { store.replace(&key, document(index), &version).await })
    }))
    .await;
    let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = (0..16).filter(|index| outcomes[*index].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert_eq!(content(&subject.store, &key).await, Some(document(winners[0])));
}

/// Two writers that count by compare-and-swap lose no count.
pub async fn two_counting_writers_lose_nothing(subject: Subject) {
    let key = key("backups/counter.json");
    subject.store.create(&key, Bytes::from("0")).await.unwrap();
    let writers = join_all((0..2).map(|index| {
        let (store, key) = (subject.handle(index), key.clone());
        tokio::spawn(async move {
            for _ in 0..100 {
                increment(&store, &key).await;
            }
        })
    }));
    writers.await.into_iter().for_each(Result::unwrap);
    assert_eq!(content(&subject.store, &key).await, Some(Bytes::from("200")));
}

async fn increment(store: &Arc<dyn CatalogStore>, key: &DocumentKey) {
    loop {
        let found = store.get(key).await.unwrap().unwrap();
        let count: u32 = std::str::from_utf8(&found.bytes).unwrap().parse().unwrap();
        match store.replace(key, Bytes::from((count + 1).to_string()), &found.version).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
    }
}

/// A deleted document is gone; deleting it again, or what never was, is no error; its name can be used again.
pub async fn delete_is_final_and_repeatable(subject: Subject) {
    let key = key("backups/a.json");
    subject.store.delete(&key).await.unwrap();
    subject.store.create(&key, document(1)).await.unwrap();
    subject.store.delete(&key).await.unwrap();
    assert_eq!(content(&subject.other, &key).await, None);
    assert!(keys_in(&subject.other, "backups").await.is_empty());
    subject.other.delete(&key).await.unwrap();
    subject.other.create(&key, document(2)).await.unwrap();
    assert_eq!(content(&subject.store, &key).await, Some(document(2)));
}

/// A listing holds every document in the folder and below, sorted by key, and no other.
pub async fn a_list_is_sorted_and_goes_deep(subject: Subject) {
    for name in
        ["runs/b.json", "runs/srv-2/1.json", "runs/a.json", "runs/srv-1/x/2.json", "runs-old/c.json", "run.json"]
    {
        subject.store.create(&key(name), document(1)).await.unwrap();
    }
    let expected = ["runs/a.json", "runs/b.json", "runs/srv-1/x/2.json", "runs/srv-2/1.json"];
    assert_eq!(keys_in(&subject.other, "runs").await, expected);
    assert_eq!(keys_in(&subject.other, "runs/srv-1").await, ["runs/srv-1/x/2.json"]);
    assert_eq!(keys_in(&subject.other, "runs-old").await, ["runs-old/c.json"]);
}

/// A folder that is not there has no documents.
pub async fn a_list_of_nothing_is_empty(subject: Subject) {
    assert!(subject.store.list(&key("commands/nobody")).await.unwrap().is_empty());
}

/// A listing is whole where it is longer than a page of the store.
pub async fn a_list_goes_past_a_page(subject: Subject) {
    let name = |index: usize| format!("inventory/server-{index:04}.json");
    stream::iter(0..1_100)
        .for_each_concurrent(16, |index| {
            let store = subject.handle(index);
            async move {
                store.create(&key(&name(index)), document(index)).await.unwrap();
            }
        })
        .await;
    let expected: Vec<_> = (0..1_100).map(name).collect();
    assert_eq!(keys_in(&subject.other, "inventory").await, expected);
}

/// A listing tells each document's size, and a time of our days.
pub async fn a_list_tells_size_and_time(subject: Subject) {
    subject.store.create(&key("servers/a.json"), Bytes::from(vec![b'x'; 1_234])).await.unwrap();
    let [stat] = listed(&subject).await;
    assert_eq!(stat.bytes, 1_234);
    assert!(stat.modified.as_second() > 1_700_000_000, "{}", stat.modified);
}

/// An ETag in a listing stays while the document does, and changes with it.
pub async fn a_list_tells_what_changed(subject: Subject) {
    let a = key("servers/a.json");
    let version = subject.store.create(&a, document(1)).await.unwrap();
    let [before] = listed(&subject).await;
    let [again] = listed(&subject).await;
    assert_eq!(before.etag, again.etag);
    subject.store.replace(&a, document(2), &version).await.unwrap();
    let [after] = listed(&subject).await;
    assert_ne!(before.etag, after.etag);
}

async fn listed(subject: &Subject) -> [DocumentStat; 1] {
    subject.other.list(&key("servers")).await.unwrap().try_into().unwrap()
}

/// Readers beside a writer see one whole document or another, never a mixture.
pub async fn readers_see_whole_documents(subject: Subject) {
    const SIZE: usize = 200_000;
    let key = key("servers/big.json");
    let bytes = |letter: u8| Bytes::from(vec![letter; SIZE]);
    let mut version = subject.store.create(&key, bytes(b'a')).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|index| {
            let (store, key, done) = (subject.handle(index), key.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let found = store.get(&key).await.unwrap().unwrap().bytes;
                    assert_eq!(found.len(), SIZE);
                    assert!(found.iter().all(|byte| *byte == found[0]), "a mixture was read");
                }
            })
        })
        .collect();
    for letter in b'b'..=b'z' {
        version = subject.store.replace(&key, bytes(letter), &version).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    join_all(readers).await.into_iter().for_each(Result::unwrap);
}

/// Empty documents and large ones keep their bytes.
pub async fn any_size_is_kept(subject: Subject) {
    for (name, size) in [("runs/empty.json", 0), ("runs/one.json", 1), ("runs/large.json", 3 << 20)] {
        let bytes: Bytes = (0..size).map(|index: usize| (index % 251) as u8).collect::<Vec<_>>().into();
        let version = subject.store.create(&key(name), bytes.clone()).await.unwrap();
        let found = subject.other.get(&key(name)).await.unwrap().unwrap();
        assert_eq!(found.version, version, "{name}");
        assert!(found.bytes == bytes, "{name}");
    }
}

/// Every character that a key may have works, and keys that differ by one character are different documents.
pub async fn every_allowed_key_works(subject: Subject) {
    let names = [
        "backups/a",
        "backups/A",
        "backups/a.b",
        "backups/a-b",
        "backups/a_b",
        "backups/a..b",
        "backups/-",
        "backups/x.json.tmp",
    ];
    for (index, name) in names.iter().enumerate() {
        subject.store.create(&key(name), document(index)).await.unwrap();
    }
    for (index, name) in names.iter().enumerate() {
        assert_eq!(content(&subject.other, &key(name)).await, Some(document(index)), "{name}");
    }
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(keys_in(&subject.store, "backups").await, sorted);
}

/// A write that nobody waits for any more leaves the old document or a new one, early or late, and the store usable.
pub async fn an_abandoned_write_leaves_a_whole_document(subject: Subject) {
    let key = key("servers/a.json");
    subject.store.create(&key, document(0)).await.unwrap();
    for counter in 1..20 {
        let before = subject.store.get(&key).await.unwrap().unwrap();
        let patience = Duration::from_micros(50 * counter as u64);
        let _ = tokio::time::timeout(patience, subject.store.replace(&key, document(counter), &before.version)).await;
        let after = content(&subject.other, &key).await.unwrap();
        assert!((0..=counter).any(|counter| after == document(counter)), "{after:?}");
    }
    settle(&subject, &key).await;
}

/// Abandoned writes may still arrive; one that is waited for gets through all the same.
async fn settle(subject: &Subject, key: &DocumentKey) -> DocumentVersion {
    loop {
        let found = subject.store.get(key).await.unwrap().unwrap();
        match subject.store.replace(key, document(1_000), &found.version).await {
            Ok(version) => return version,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
    }
}

/// Enrols a catalog: `catalog_store_contract!(name, async { Some(Subject::new(…).beneath(…)) })`.
#[macro_export]
macro_rules! catalog_store_contract {
    ($name:ident, $subject:expr) => {
        $crate::catalog_store_contract!(@tests $name, $subject,
            a_missing_document_is_none, a_created_document_is_read_back, create_leaves_what_is_there,
            replace_gives_a_new_version, a_stale_replace_is_a_conflict, replace_after_delete_is_a_conflict,
            a_version_does_not_outlive_its_document, versions_do_not_recur, of_sixteen_creates_one_wins,
            of_sixteen_replaces_one_wins, two_counting_writers_lose_nothing, delete_is_final_and_repeatable,
            a_list_is_sorted_and_goes_deep, a_list_of_nothing_is_empty, a_list_goes_past_a_page,
            a_list_tells_size_and_time, a_list_tells_what_changed, readers_see_whole_documents, any_size_is_kept,
            every_allowed_key_works, an_abandoned_write_leaves_a_whole_document, a_tree_goes_whole_and_is_counted,
            what_is_beside_a_tree_stays, removing_a_tree_is_repeatable, a_tree_goes_past_a_page
        );
    };
    (@tests $name:ident, $subject:expr, $($promise:ident),+) => {
        mod $name {
            #[allow(unused_imports, reason = "an enrolment may need nothing of its surroundings")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    if let Some(subject) = $subject.await {
                        $crate::contracts::catalog_store::$promise(subject).await;
                    }
                }
            )+
        }
    };
}
