//! Requests that fail, stall, break off or lose their answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dory_core::ErrorKind;
use dory_core::adapters::object_store::{ConnectOptions, connect_with, open_catalog_with};
use dory_core::ports::{CatalogStore, DocumentKey};
use dory_testkit::gcs::{Fault, FaultRule, GcsConfig, GcsServer};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{hasty, key, open};

fn transient() -> Vec<Fault> {
    vec![
        Fault::Status(429),
        Fault::Status(503),
        Fault::Status(500),
        Fault::DropRequest,
        Fault::CutBody,
        Fault::LoseAnswer,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_survive_every_passing_fault() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let document = Bytes::from(vec![b'x'; 50_000]);
    store.create(&key("servers/a.json"), document.clone()).await.unwrap();
    for fault in transient() {
        let told = format!("{fault:?}");
        server.inject(FaultRule::next(2, "GET", fault.clone()));
        let found = store.get(&key("servers/a.json")).await.expect(&told);
        assert!(found.unwrap().bytes == document, "{fault:?}");
        assert!(!server.has_faults(), "{fault:?} was not met");

        server.inject(FaultRule::next(2, "GET", fault.clone()));
        let listed = store.list(&key("servers")).await.expect(&told);
        assert_eq!(listed.len(), 1, "{fault:?}");
        assert!(!server.has_faults(), "{fault:?} was not met");
    }
}

/// What engines get: the plain client.
#[tokio::test(flavor = "multi_thread")]
async fn data_survives_every_passing_fault() {
    let server = GcsServer::start();
    let client = connect_with(&server.access("fleet/data"), &hasty()).unwrap();
    let pack = Bytes::from(vec![b'x'; 5_000_000]);
    let path = Path::from("packs/a");
    for fault in transient() {
        let told = format!("{fault:?}");
        for method in ["PUT", "GET"] {
            server.inject(FaultRule::next(1, method, fault.clone()));
        }
        client.put(&path, pack.clone().into()).await.expect(&told);
        let read = client.get(&path).await.expect(&told).bytes().await.expect(&told);
        assert!(read == pack && !server.has_faults(), "{told}");

        server.inject(FaultRule::next(2, "GET", fault.clone()));
        let listed: Vec<_> = client.list(None).try_collect().await.expect(&told);
        assert!(listed.len() == 1 && !server.has_faults(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_survive_every_passing_fault_and_are_not_mistaken_for_others() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let faults = transient().into_iter().chain([Fault::FailAfterwards(503), Fault::FailAfterwards(500)]);
    for (index, fault) in faults.enumerate() {
        let key = key(&format!("backups/{index}.json"));
        let told = format!("{fault:?}");
        server.inject(FaultRule::next(1, "PUT", fault.clone()));
        let created = store.create(&key, Bytes::from("1")).await.expect(&told);
        assert!(!server.has_faults(), "{fault:?} was not met");
        assert_eq!(store.get(&key).await.unwrap().unwrap().version, created, "{fault:?}");

        server.inject(FaultRule::next(1, "PUT", fault.clone()));
        let replaced = store.replace(&key, Bytes::from("2"), &created).await.expect(&told);
        let found = store.get(&key).await.unwrap().unwrap();
        assert_eq!((found.bytes, found.version), (Bytes::from("2"), replaced), "{fault:?}");

        server.inject(FaultRule::next(1, "DELETE", fault.clone()));
        store.delete(&key).await.expect(&told);
        assert!(store.get(&key).await.unwrap().is_none(), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_does_not_turn_another_writers_document_into_ours() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let key = key("leases/a.json");
    let first = store.create(&key, Bytes::from("theirs 1")).await.unwrap();
    store.replace(&key, Bytes::from("theirs 2"), &first).await.unwrap();

    server.inject(FaultRule::next(1, "PUT", Fault::Status(503)));
    let error = store.replace(&key, Bytes::from("ours"), &first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    server.inject(FaultRule::next(1, "PUT", Fault::Status(503)));
    let error = store.create(&key, Bytes::from("ours")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    assert_eq!(store.get(&key).await.unwrap().unwrap().bytes, "theirs 2");
}

/// The document is as it was before, so equal bytes prove nothing: the version must have moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_replace_by_the_same_bytes_that_never_arrived_is_not_reported_as_done() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let key = key("servers/a.json");
    let version = store.create(&key, Bytes::from("same")).await.unwrap();
    server.inject(FaultRule::next(1_000, "PUT", Fault::Status(503)));
    let error = store.replace(&key, Bytes::from("same"), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

/// Each entry has a name of its own, as everything in Dory's documents has: a writer whose answer was lost, and whose
/// document was already built upon, is told of a conflict and finds its entry there.
#[tokio::test(flavor = "multi_thread")]
async fn every_entry_gets_in_once_while_a_third_of_all_requests_goes_wrong() {
    let server = GcsServer::start();
    let key = key("backups/a.json");
    open(&server.access("fleet")).create(&key, Bytes::new()).await.unwrap();
    let faults = transient().into_iter().chain([Fault::FailAfterwards(503)]);
    for (seed, fault) in (1..).zip(faults) {
        server.inject(FaultRule::sometimes(5, seed, fault));
    }
    let writers = (0..3).map(|writer| {
        let store = open(&server.access("fleet"));
        let key = key.clone();
        tokio::spawn(async move {
            for round in 0..30 {
                append(&store, &key, &format!("{writer}-{round}")).await;
            }
        })
    });
    join_all(writers).await.into_iter().for_each(Result::unwrap);
    server.behave();
    let found = open(&server.access("fleet")).get(&key).await.unwrap().unwrap();
    let mut entries: Vec<_> = std::str::from_utf8(&found.bytes).unwrap().lines().collect();
    let written = entries.len();
    entries.sort_unstable();
    entries.dedup();
    assert_eq!((written, entries.len()), (90, 90));
}

async fn append(store: &Arc<dyn CatalogStore>, key: &DocumentKey, entry: &str) {
    loop {
        let found = store.get(key).await.unwrap().unwrap();
        let text = std::str::from_utf8(&found.bytes).unwrap();
        if text.lines().any(|line| line == entry) {
            return;
        }
        match store.replace(key, Bytes::from(format!("{text}{entry}\n")), &found.version).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_asked_for_again() {
    let server = GcsServer::start();
    let options = ConnectOptions { request_timeout: Duration::from_millis(300), ..hasty() };
    let store = open_catalog_with(&server.access("fleet"), &options).unwrap();
    let key = key("servers/a.json");
    let version = store.create(&key, Bytes::from("1")).await.unwrap();
    server.inject(FaultRule::next(1, "GET", Fault::Slow(5_000)));
    assert_eq!(store.get(&key).await.unwrap().unwrap().bytes, "1");

    // Nobody can tell yet whether this write will happen; it must not be called somebody else's.
    server.inject(FaultRule::next(1, "PUT", Fault::Slow(5_000)));
    let error = store.replace(&key, Bytes::from("2"), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_wait_out_the_limit_of_one_name() {
    let interval = Duration::from_millis(200);
    let server = GcsServer::start_with(GcsConfig { write_interval: Some(interval), ..GcsConfig::default() });
    let store = open_catalog_with(&server.access("fleet"), &ConnectOptions::default()).unwrap();
    let key = key("servers/a.json");
    let version = store.create(&key, Bytes::from("1")).await.unwrap();
    store.replace(&key, Bytes::from("2"), &version).await.unwrap();
    assert!(server.counts().of("put object") > 2, "{:?}", server.counts());
}
