//! The testkit's catalog in memory keeps the promises of a catalog.

use dory_testkit::contracts::catalog_store::{Subject, the_same_bytes_get_a_new_version};
use dory_testkit::fakes::MemoryCatalog;

fn in_memory() -> Subject {
    let catalog = MemoryCatalog::new();
    Subject::new(catalog.port(), catalog.port()).beneath(catalog)
}

dory_testkit::catalog_store_contract!(memory_catalog, async { Some(in_memory()) });

#[tokio::test]
async fn memory_versions_the_same_bytes_anew() {
    the_same_bytes_get_a_new_version(in_memory()).await;
}
