//! Faults hit the calls they are meant for, and no others.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dory_core::domain::policy::EngineKind;
use dory_core::ports::{BackupEngine, CatalogStore, ContainerRuntime, DocumentKey, Doorbell, Notifier, OpenMode};
use dory_core::{Error, ErrorKind};
use dory_testkit::World;
use dory_testkit::fakes::{FakeClock, FakeEngine, MemoryCatalog};
use dory_testkit::faults::{Faulty, FaultyPort};
use futures_util::FutureExt;

fn key(text: &str) -> DocumentKey {
    DocumentKey::parse(text).unwrap()
}

#[tokio::test]
async fn queued_failures_hit_one_call_each_in_order() {
    let faulty = Faulty::new(MemoryCatalog::new().port());
    faulty.fail_next("get", ErrorKind::Unavailable);
    faulty.fail_next("get", Error::new(ErrorKind::PermissionDenied, "read", "x", "no"));
    faulty.fail_nth("get", 4, ErrorKind::TimedOut);
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(faulty.port().get(&key("a")).await.err().map(|error| error.kind()));
    }
    let (unavailable, denied) = (Some(ErrorKind::Unavailable), Some(ErrorKind::PermissionDenied));
    assert_eq!(outcomes, [unavailable, denied, None, Some(ErrorKind::TimedOut), None]);
    assert_eq!(faulty.calls("get"), 5);
    faulty.assert_all_hit();
}

#[tokio::test]
async fn a_lost_answer_did_what_it_says_it_did_not() {
    let catalog = MemoryCatalog::new();
    let faulty = Faulty::new(catalog.port());
    faulty.lose_answer("create", ErrorKind::Unavailable);
    let error = faulty.port().create(&key("a"), Bytes::from("1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(catalog.peek("a").as_deref(), Some("1"));
}

#[tokio::test]
async fn something_is_done_before_a_call_begins_or_after_it_took_effect() {
    let catalog = MemoryCatalog::new();
    let faulty = Faulty::new(catalog.port());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = || {
        let (catalog, seen) = (catalog.clone(), Arc::clone(&seen));
        move || seen.lock().unwrap().push(catalog.keys())
    };
    faulty.act_before("create", 2, look());
    faulty.act_after("create", 2, look());
    faulty.act_after("create", 4, || ());
    for name in ["a", "b", "c"] {
        faulty.port().create(&key(name), Bytes::new()).await.unwrap();
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(*seen.lock().unwrap(), [names(&["a"]), names(&["a", "b"])]);
    let missed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| faulty.assert_all_hit()));
    assert!(missed.is_err(), "what was never reached proves nothing");
}

#[tokio::test]
async fn a_failure_is_not_passed_on_and_lasts_until_it_is_healed() {
    let catalog = MemoryCatalog::new();
    let faulty = Faulty::new(catalog.port());
    faulty.fail_always("create", ErrorKind::Full);
    for name in ["a", "b"] {
        faulty.port().create(&key(name), Bytes::new()).await.unwrap_err();
    }
    assert!(catalog.keys().is_empty());
    faulty.heal();
    faulty.port().create(&key("a"), Bytes::new()).await.unwrap();
    assert_eq!(catalog.keys(), ["a"]);
}

#[tokio::test]
async fn a_numbered_call_loses_its_answer_and_one_fails_with_all_after_it() {
    let catalog = MemoryCatalog::new();
    let faulty = Faulty::new(catalog.port());
    faulty.lose_nth_answer("create", 2, ErrorKind::Unavailable);
    faulty.fail_from("create", 3, ErrorKind::Full);
    let mut outcomes = Vec::new();
    for name in ["a", "b", "c", "d"] {
        outcomes.push(faulty.port().create(&key(name), Bytes::new()).await.err().map(|error| error.kind()));
    }
    assert_eq!(outcomes, [None, Some(ErrorKind::Unavailable), Some(ErrorKind::Full), Some(ErrorKind::Full)]);
    assert_eq!(catalog.keys(), ["a", "b"]);
    faulty.assert_all_hit();
}

#[tokio::test]
async fn a_held_call_begins_when_it_is_released() {
    let catalog = MemoryCatalog::new();
    let faulty = Faulty::new(catalog.port());
    let mut hold = faulty.hold_next("create");
    let port = faulty.port();
    let task = tokio::spawn(async move { port.create(&key("a"), Bytes::new()).await });
    hold.reached().await;
    assert!(catalog.keys().is_empty() && !task.is_finished());
    hold.release();
    task.await.unwrap().unwrap();
    assert_eq!(catalog.keys(), ["a"]);
}

#[tokio::test]
async fn a_delayed_call_waits_for_the_clock() {
    let (clock, catalog) = (FakeClock::new(), MemoryCatalog::new());
    let faulty = Faulty::new(catalog.port());
    faulty.delay_next("create", &clock.port(), Duration::from_secs(90));
    let port = faulty.port();
    let create = async { port.create(&key("a"), Bytes::new()).await };
    tokio::pin!(create);
    assert!(create.as_mut().now_or_never().is_none());
    assert!(catalog.keys().is_empty());
    clock.advance(Duration::from_secs(90));
    create.await.unwrap();
}

#[test]
#[should_panic(expected = "these faults were never hit: every `get`, call 2 of `list`")]
fn what_was_never_hit_is_told() {
    let faulty = Faulty::new(MemoryCatalog::new().port());
    faulty.fail_nth("list", 2, ErrorKind::Unavailable);
    faulty.fail_always("get", ErrorKind::Unavailable);
    faulty.assert_all_hit();
}

#[test]
#[should_panic(expected = "the port has no method `put`")]
fn a_misspelt_method_panics() {
    Faulty::new(MemoryCatalog::new().port()).fail_next("put", ErrorKind::Unavailable);
}

#[tokio::test]
async fn repositories_share_their_engines_faults() {
    let world = World::new();
    let faulty = Faulty::new(FakeEngine::new(EngineKind::Restic).port());
    faulty.fail_next("stats", ErrorKind::Corrupt);
    let spec = dory_core::ports::RepositorySpec {
        store: world.store(),
        path: "data/x/restic".to_owned(),
        password: None,
        options: Default::default(),
    };
    let repository = faulty.port().open(&spec, OpenMode::CreateIfMissing).await.unwrap();
    assert_eq!(repository.stats().await.unwrap_err().kind(), ErrorKind::Corrupt);
    repository.stats().await.unwrap();
}

/// A port that grows a method must grow it here too, or nobody could make it fail.
#[test]
fn every_method_of_every_port_can_fail() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dory-core/src/ports");
    let methods_of = |file: &str, port: &str| -> Vec<String> {
        let source = fs::read_to_string(sources.join(file)).unwrap();
        let (_, rest) = source.split_once(&format!("pub trait {port}:")).unwrap();
        let (body, _) = rest.split_once("\n}\n").unwrap();
        let signatures = body.lines().map(str::trim_start).map(|line| line.strip_prefix("async ").unwrap_or(line));
        let names = signatures.filter_map(|line| line.strip_prefix("fn ")?.split('(').next());
        // These cannot fail: they give no result.
        let infallible = ["kind", "capabilities", "freezes", "location"];
        names.filter(|name| !infallible.contains(name)).map(str::to_owned).collect()
    };
    let engine =
        [methods_of("backup_engine.rs", "BackupEngine"), methods_of("backup_engine.rs", "Repository")].concat();
    assert_eq!(<dyn BackupEngine>::METHODS, engine);
    assert_eq!(<dyn CatalogStore>::METHODS, methods_of("catalog_store.rs", "CatalogStore"));
    assert_eq!(<dyn ContainerRuntime>::METHODS, methods_of("container_runtime.rs", "ContainerRuntime"));
    assert_eq!(<dyn Doorbell>::METHODS, methods_of("doorbell.rs", "Doorbell"));
    assert_eq!(<dyn Notifier>::METHODS, methods_of("notifier.rs", "Notifier"));
}
