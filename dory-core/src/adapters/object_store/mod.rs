//! Object stores: Google Cloud Storage, S3, Azure, and folders.
//!
//! Catalog and data live in one place and go through one client: [`connect()`] opens it, [`open_catalog`] keeps
//! documents in it with compare-and-swap, [`ensure_bucket`] makes it where it is missing.

mod bucket;
mod bucket_requests;
mod catalog;
mod connect;
mod failure;
mod folder;
mod folder_files;
mod folder_lock;
mod foreign_folder;
mod hmac_signer;
mod network_folder;
mod open;
mod wire;

pub use bucket::{BucketState, ensure_bucket, ensure_bucket_with};
pub use catalog::ObjectCatalogStore;
pub use connect::{ConnectOptions, connect, connect_with};
pub use folder::FolderCatalogStore;
pub use foreign_folder::refuse_foreign_folder;
pub use open::{open_catalog, open_catalog_with};
