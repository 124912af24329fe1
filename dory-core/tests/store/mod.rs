//! Stores when things go wrong: faults, refusals, costs, buckets that are missing.

mod bucket;
mod costs;
mod faults;
mod folder;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use dory_core::adapters::object_store::{ConnectOptions, open_catalog_with};
use dory_core::domain::store_url::StoreAccess;
use dory_core::ports::{CatalogStore, DocumentKey};
use object_store::{BackoffConfig, RetryConfig};

/// As patient as the real thing, in less time.
fn hasty() -> ConnectOptions {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(20),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, ..ConnectOptions::default().retry };
    ConnectOptions { retry, ..ConnectOptions::default() }
}

fn open(access: &StoreAccess) -> Arc<dyn CatalogStore> {
    open_catalog_with(access, &hasty()).unwrap()
}

fn key(text: &str) -> DocumentKey {
    DocumentKey::parse(text).unwrap()
}
