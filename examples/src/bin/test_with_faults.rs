//! What your code does when a store fails: each failure named, and none that never happened.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example shows what it did, and ends where it is wrong"
)]

use bytes::Bytes;
use dory_core::ports::{CatalogStore, DocumentKey};
use dory_core::{ErrorKind, Result};
use dory_testkit::fakes::MemoryCatalog;
use dory_testkit::faults::Faulty;

/// Your code: takes a name for itself, and can tell its own mark from another's when an answer was lost.
async fn claim(catalog: &dyn CatalogStore, key: &DocumentKey, me: &str) -> Result<bool> {
    loop {
        match catalog.create(key, Bytes::from(me.to_owned())).await {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(catalog.get(key).await?.is_some_and(|found| found.bytes == me));
            }
            Err(error) if error.kind().is_transient() => {}
            Err(error) => return Err(error),
        }
    }
}

#[tokio::main]
async fn main() {
    let key = DocumentKey::parse("claims/night-shift.json").unwrap();

    // The store fails once, then takes the claim but the answer is lost on its way.
    let faulty = Faulty::new(MemoryCatalog::new().port());
    faulty.fail_next("create", ErrorKind::Unavailable);
    faulty.lose_answer("create", ErrorKind::TimedOut);
    assert!(claim(faulty.port().as_ref(), &key, "anna").await.unwrap());
    assert_eq!(faulty.calls("create"), 3);
    assert!(!claim(faulty.port().as_ref(), &key, "bert").await.unwrap());

    // What no second try can help is passed on at once.
    faulty.fail_always("create", ErrorKind::PermissionDenied);
    let error = claim(faulty.port().as_ref(), &key, "anna").await.unwrap_err();
    println!("{error}");

    faulty.assert_all_hit();
}
