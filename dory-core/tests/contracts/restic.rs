//! restic's format, on a folder and in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use dory_core::adapters::restic::ResticEngine;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::ports::RepositorySpec;
use dory_testkit::contracts::backup_engine::Subject;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tempfile::TempDir;

/// An engine whose stores are folders.
fn folder_engine() -> ResticEngine {
    ResticEngine::new(Arc::new(|access| {
        let folder = access.url.as_folder().expect("a folder");
        Ok(Arc::new(LocalFileSystem::new_with_prefix(folder).expect("the folder is there")))
    }))
}

/// A repository in a store that is this folder.
fn repository_in(folder: &TempDir) -> RepositorySpec {
    RepositorySpec {
        store: StoreAccess {
            url: StoreUrl::folder(&folder.path().join("store")).unwrap(),
            credentials: StoreCredentials::Ambient,
            endpoint: None,
            region: None,
        },
        path: "data/shop-db-1.0123456789ab/restic".to_owned(),
        password: Some(Secret::new("correct horse battery staple")),
        options: BTreeMap::new(),
    }
}

async fn on_a_folder() -> Option<Subject> {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository_in(&folder);
    Some(Subject::new(Arc::new(folder_engine()), repository).keeping(folder))
}

async fn in_memory() -> Option<Subject> {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let engine = ResticEngine::new(Arc::new(move |_| Ok(Arc::clone(&store))));
    let mut repository = repository_in(&tempfile::tempdir().unwrap());
    repository.store.url = "gs://bucket/prefix".parse().unwrap();
    Some(Subject::new(Arc::new(engine), repository))
}

dory_testkit::backup_engine_contract!(folder, on_a_folder());
dory_testkit::backup_engine_contract!(memory, in_memory());
