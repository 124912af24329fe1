//! The objects of a bucket, by way of the client that the adapters use.

use std::sync::Arc;

use async_trait::async_trait;
use dory_testkit::contracts::objects::StoreObjects;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// The objects below a store's root.
#[derive(Debug)]
pub(super) struct ClientObjects(pub(super) Arc<dyn ObjectStore>);

/// The name as it is, where [`Path::from`] would encode what is unusual.
fn path(name: &str) -> Path {
    Path::parse(name).unwrap()
}

#[async_trait]
impl StoreObjects for ClientObjects {
    async fn names(&self, folder: &str) -> Vec<String> {
        let folder = path(folder);
        let found = self.0.list(Some(&folder)).map_ok(|meta| meta.location.to_string());
        let mut names: Vec<_> = found.try_collect().await.unwrap();
        names.sort();
        names
    }

    async fn read(&self, name: &str) -> Vec<u8> {
        self.0.get(&path(name)).await.unwrap().bytes().await.unwrap().to_vec()
    }

    async fn write(&self, name: &str, bytes: Vec<u8>) {
        self.0.put(&path(name), bytes.into()).await.unwrap();
    }
}
