//! What the fake catalog, notifier and journal add to their ports.

use std::time::Duration;

use bytes::Bytes;
use dory_core::ErrorKind;
use dory_core::domain::id::ServerName;
use dory_core::ports::{CatalogStore, DocumentKey, Doorbell, Notice, Notifier, Severity};
use dory_testkit::fakes::{FakeClock, FakeDoorbell, FakeNotifier, Journal, MemoryCatalog};
use futures_util::FutureExt;

fn key(text: &str) -> DocumentKey {
    DocumentKey::parse(text).unwrap()
}

fn notice(id: &str, text: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        severity: Severity::Alarm,
        subject: "db is down".to_owned(),
        text: text.to_owned(),
        html: None,
    }
}

#[tokio::test]
async fn a_document_cannot_stand_where_a_folder_stands() {
    let catalog = MemoryCatalog::new();
    catalog.create(&key("backups/a.json"), Bytes::new()).await.unwrap();
    for clash in ["backups", "backups/a.json/b"] {
        let error = catalog.create(&key(clash), Bytes::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(catalog.journal().take_complaints().len(), 2);
}

#[tokio::test]
async fn what_another_server_puts_there_makes_a_stale_write_fail() {
    let catalog = MemoryCatalog::new();
    let version = catalog.create(&key("a.json"), Bytes::from("1")).await.unwrap();
    catalog.put("a.json", "2");
    let error = catalog.replace(&key("a.json"), Bytes::from("3"), &version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(catalog.peek("a.json").as_deref(), Some("2"));
}

#[tokio::test]
async fn people_see_a_repeated_notice_once() {
    let notifier = FakeNotifier::new();
    notifier.refuse(ErrorKind::Unavailable);
    assert_eq!(notifier.send(&notice("1", "look")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    notifier.accept();
    for _ in 0..2 {
        notifier.send(&notice("1", "look")).await.unwrap();
    }
    assert_eq!((notifier.deliveries().len(), notifier.received().len()), (2, 1));
}

#[tokio::test]
#[should_panic(expected = "notice `1` was sent again with other words")]
async fn another_notice_of_the_same_id_is_misuse() {
    let journal = MemoryCatalog::new().journal().clone();
    let notifier = FakeNotifier::with(&journal);
    notifier.send(&notice("1", "look")).await.unwrap();
    notifier.send(&notice("1", "look here")).await.unwrap();
    journal.assert_no_complaints();
}

#[tokio::test]
async fn a_cleared_journal_begins_anew_whatever_is_under_way() {
    let clock = FakeClock::new();
    let journal = Journal::new(&clock);
    let bell = FakeDoorbell::with(&clock, &journal);
    let server = ServerName::parse("server-1").unwrap();
    let mut wait = bell.wait(&server, Duration::from_secs(1));
    assert!((&mut wait).now_or_never().is_none());
    journal.clear();
    bell.ring(&ServerName::parse("server-2").unwrap()).await.unwrap();
    // The call from before the clearing ends now, and must not be taken for the one in its place.
    drop(wait);
    assert_eq!(journal.lines(), ["doorbell ring server-2"]);
}
