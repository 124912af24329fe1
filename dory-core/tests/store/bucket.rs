//! Buckets and folders that are missing, ours, or somebody else's.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use dory_core::adapters::object_store::{BucketState, ensure_bucket, ensure_bucket_with, open_catalog};
use dory_core::domain::store_url::{StoreAccess, StoreCredentials, StoreUrl};
use dory_core::{ErrorKind, Result};
use dory_testkit::gcs::{AccessKey, Fault, FaultRule, GcsConfig, GcsServer};

use super::{hasty, key, open};

const PROJECT: &str = "dory-project";

async fn ensure(server: &GcsServer, url: &str, project: Option<&str>) -> Result<BucketState> {
    let access = StoreAccess { url: url.parse().unwrap(), ..server.access("") };
    ensure_bucket_with(&access, project, &hasty()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_made_once() {
    let server = GcsServer::start();
    let url = "gs://dory-project-dory/fleet";
    assert_eq!(ensure(&server, url, Some(PROJECT)).await.unwrap(), BucketState::Created);
    assert_eq!(ensure(&server, url, Some(PROJECT)).await.unwrap(), BucketState::Present);
    let access = StoreAccess { url: url.parse().unwrap(), ..server.access("") };
    open(&access).create(&key("dory.json"), Bytes::from("1")).await.unwrap();
    assert_eq!(server.keys("dory-project-dory"), ["fleet/dory.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_project_is_refused() {
    let mut config = GcsConfig::default();
    config.buckets.push(("dory-project-dory".into(), "somebody-elses".into()));
    let server = GcsServer::start_with(config);
    let error = ensure(&server, "gs://dory-project-dory", Some(PROJECT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:?}");
    assert!(error.to_string().contains("not in project `dory-project`"), "{error}");
    assert!(error.hint().unwrap().contains("DORY_STORE"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_cannot_be_asked_for_is_said_to_be_unknown() {
    let mut config = GcsConfig::default();
    config.keys[0].may_list_buckets = false;
    let server = GcsServer::start_with(config);
    for project in [Some(PROJECT), None] {
        assert_eq!(ensure(&server, "gs://dory", project).await.unwrap(), BucketState::PresentOwnerUnknown);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_says_why() {
    let mut config = GcsConfig::default();
    config.keys.push(AccessKey { may_write: false, ..AccessKey::new("GOOGREADER", "secret", PROJECT) });
    let server = GcsServer::start_with(config.clone());
    let error = ensure(&server, "gs://dory-new", None).await.unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::InvalidInput, Some("set GS_PROJECT_ID")), "{error:?}");
    let error = ensure(&server, "gs://NO", Some(PROJECT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    let error = ensure(&server, "gs://dory-new", Some("another-project")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");

    let reader = StoreAccess { url: "gs://dory-new".parse().unwrap(), ..server.access_with("", &config.keys[1]) };
    let error = ensure_bucket(&reader, Some(PROJECT)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn making_survives_passing_faults_and_a_lost_answer() {
    for (index, fault) in [Fault::Status(503), Fault::DropRequest, Fault::LoseAnswer].into_iter().enumerate() {
        let server = GcsServer::start();
        server.inject(FaultRule::next(1, "PUT", fault.clone()));
        let state = ensure(&server, &format!("gs://dory-{index}"), Some(PROJECT)).await;
        let expected = if fault == Fault::LoseAnswer { BucketState::Present } else { BucketState::Created };
        assert_eq!(state.unwrap(), expected, "{fault:?}");
    }
}

fn folder(path: &std::path::Path) -> StoreAccess {
    let url = StoreUrl::folder(path).unwrap();
    StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None }
}

#[tokio::test]
async fn a_missing_folder_is_made_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let access = folder(&parent.path().join("srv/dory"));
    let error = open_catalog(&access).unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("run `dory init`")), "{error:?}");
    assert_eq!(ensure_bucket(&access, None).await.unwrap(), BucketState::Created);
    assert_eq!(ensure_bucket(&access, None).await.unwrap(), BucketState::Present);
    let mode = std::fs::metadata(parent.path().join("srv/dory")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    open_catalog(&access).unwrap().create(&key("dory.json"), Bytes::from("1")).await.unwrap();
}

#[tokio::test]
async fn a_file_in_the_folders_place_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("taken"), "").unwrap();
    let error = ensure_bucket(&folder(&parent.path().join("taken")), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
}
