//! A catalog that fails when a test says so.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::Result;
use dory_core::ports::{CatalogStore, DocumentKey, DocumentStat, DocumentVersion, StoredDocument};

use super::{Faulty, FaultyPort};

impl FaultyPort for dyn CatalogStore {
    const METHODS: &'static [&'static str] = &["get", "create", "replace", "delete", "list", "delete_tree"];
}

impl Faulty<dyn CatalogStore> {
    /// This catalog as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn CatalogStore> {
        Arc::new(self.clone())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CatalogStore for Faulty<dyn CatalogStore> {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn get(&self, key: &DocumentKey) -> Result<Option<StoredDocument>> {
        self.run("get", || self.inner.get(key)).await
    }

    async fn create(&self, key: &DocumentKey, bytes: Bytes) -> Result<DocumentVersion> {
        self.run("create", || self.inner.create(key, bytes)).await
    }

    async fn replace(&self, key: &DocumentKey, bytes: Bytes, expected: &DocumentVersion) -> Result<DocumentVersion> {
        self.run("replace", || self.inner.replace(key, bytes, expected)).await
    }

    async fn delete(&self, key: &DocumentKey) -> Result<()> {
        self.run("delete", || self.inner.delete(key)).await
    }

    async fn list(&self, folder: &DocumentKey) -> Result<Vec<DocumentStat>> {
        self.run("list", || self.inner.list(folder)).await
    }

    async fn delete_tree(&self, folder: &DocumentKey) -> Result<u64> {
        self.run("delete_tree", || self.inner.delete_tree(folder)).await
    }
}
