//! Every catalog, enrolled.

use std::process::Command;
use std::sync::Arc;

use dory_core::adapters::object_store::{FolderCatalogStore, ObjectCatalogStore, connect, ensure_bucket, open_catalog};
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::ports::{CatalogStore, SystemClock};
use dory_testkit::catalog_store_contract;
use dory_testkit::contracts::catalog_store::{
    Subject, a_created_document_is_read_back, the_same_bytes_get_a_new_version,
};
use dory_testkit::contracts::objects::FolderObjects;
use dory_testkit::gcs::{GcsConfig, GcsServer};
use dory_testkit::live::or_skip;
use dory_testkit::servers;
use object_store::memory::InMemory;
use ulid::Ulid;

use super::client_objects::ClientObjects;

/// The catalog at `access`, opened twice.
fn at(access: &StoreAccess) -> Subject {
    let subject = Subject::new(open_catalog(access).unwrap(), open_catalog(access).unwrap());
    subject.beneath(ClientObjects(connect(access).unwrap()))
}

async fn in_a_folder() -> Option<Subject> {
    let folder = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn CatalogStore> {
        Arc::new(FolderCatalogStore::open(folder.path().to_owned(), Arc::new(SystemClock::new())).unwrap())
    };
    let objects = FolderObjects::new(folder.path());
    Some(Subject::new(open(), open()).beneath(objects).keeping(folder))
}

/// The adapter over a client that never fails: what goes wrong here is the adapter's own.
async fn in_memory() -> Option<Subject> {
    let url = "s3://memory".parse().unwrap();
    let access = StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None };
    let objects = Arc::new(InMemory::new());
    let open = || -> Arc<dyn CatalogStore> {
        Arc::new(ObjectCatalogStore::new(&access, Arc::<InMemory>::clone(&objects), Arc::new(SystemClock::new())))
    };
    Some(Subject::new(open(), open()).beneath(ClientObjects(objects)))
}

/// With interoperability keys: every request is signed by us and checked by the stand-in.
async fn in_gcs_by_keys() -> Option<Subject> {
    let server = GcsServer::start();
    let access = server.access("fleet/one");
    Some(at(&access).keeping(server))
}

/// As with a service account, but for the token's origin.
async fn in_gcs_by_token() -> Option<Subject> {
    let server = GcsServer::start_with(GcsConfig { tokens: vec!["emulator".into()], ..GcsConfig::default() });
    let access = StoreAccess { credentials: StoreCredentials::Ambient, ..server.access("") };
    Some(at(&access).keeping(server))
}

/// With a service account's key, made up for the test: the client signs its own tokens.
async fn in_gcs_by_service_account() -> Option<Subject> {
    const EMAIL: &str = "dory@dory-project.iam.gserviceaccount.com";
    let config = GcsConfig { tokens: Vec::new(), service_accounts: vec![EMAIL.into()], ..GcsConfig::default() };
    let server = GcsServer::start_with(config);
    let openssl = Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA"]).output().ok();
    let key = or_skip("openssl", openssl.filter(|output| output.status.success()))?;
    let json = serde_json::json!({
        "type": "service_account",
        "client_email": EMAIL,
        "private_key": String::from_utf8(key.stdout).unwrap(),
        "private_key_id": "1",
    });
    let credentials = StoreCredentials::ServiceAccount { json: Secret::new(json.to_string()) };
    let access = StoreAccess { credentials, ..server.access("fleet") };
    Some(at(&access).keeping(server))
}

/// A real S3 server, which verifies signatures; each test has a prefix of its own.
async fn in_s3() -> Option<Subject> {
    let server = or_skip("s3", servers::seaweedfs())?;
    let access = server.access("dory-contract", &Ulid::generate().to_string());
    ensure_bucket(&access, None).await.unwrap();
    Some(at(&access).keeping(server))
}

/// Microsoft's emulator; each test has a prefix of its own.
async fn in_azure() -> Option<Subject> {
    let server = or_skip("azure", servers::azurite())?;
    let access = server.access("dory-contract", &Ulid::generate().to_string());
    ensure_bucket(&access, None).await.unwrap();
    Some(at(&access).keeping(server))
}

catalog_store_contract!(folder, in_a_folder());
catalog_store_contract!(memory, in_memory());
catalog_store_contract!(gcs_by_keys, in_gcs_by_keys());
catalog_store_contract!(gcs_by_token, in_gcs_by_token());
catalog_store_contract!(s3, in_s3());
catalog_store_contract!(azure, in_azure());

#[tokio::test]
async fn a_folder_versions_the_same_bytes_anew() {
    the_same_bytes_get_a_new_version(in_a_folder().await.unwrap()).await;
}

#[tokio::test]
async fn gcs_versions_the_same_bytes_anew() {
    the_same_bytes_get_a_new_version(in_gcs_by_keys().await.unwrap()).await;
}

#[tokio::test]
async fn a_service_account_reads_and_writes() {
    let Some(subject) = in_gcs_by_service_account().await else { return };
    a_created_document_is_read_back(subject).await;
}
