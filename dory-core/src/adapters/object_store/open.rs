//! Opens the catalog of a store.

use std::sync::Arc;

use super::catalog::ObjectCatalogStore;
use super::connect::{ConnectOptions, connect_with};
use super::folder::FolderCatalogStore;
use crate::domain::store_url::StoreAccess;
use crate::error::Result;
use crate::ports::CatalogStore;

/// Opens the catalog. A bucket is not asked for anything yet; a folder is looked at.
///
/// # Errors
/// `InvalidInput` for credentials that do not fit the store; for a folder, `NotFound` where it is missing and
/// `Unsupported` where it lies on a network file system.
pub fn open_catalog(access: &StoreAccess) -> Result<Arc<dyn CatalogStore>> {
    open_catalog_with(access, &ConnectOptions::default())
}

/// As [`open_catalog`], with other patience, clock or transport.
///
/// # Errors
/// As [`open_catalog`].
pub fn open_catalog_with(access: &StoreAccess, options: &ConnectOptions) -> Result<Arc<dyn CatalogStore>> {
    let clock = Arc::clone(&options.clock);
    Ok(match access.url.as_folder() {
        Some(folder) => Arc::new(FolderCatalogStore::open(folder, clock)?),
        None => Arc::new(ObjectCatalogStore::new(access, connect_with(access, options)?, clock)),
    })
}
