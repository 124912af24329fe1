//! Stores that say no: what the error's kind, reason and hint are.

use std::net::TcpListener;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::adapters::object_store::{ConnectOptions, ensure_bucket, open_catalog, open_catalog_with};
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::{Error, ErrorKind};
use dory_testkit::gcs::{AccessKey, GcsConfig, GcsServer};
use dory_testkit::live::or_skip;
use dory_testkit::servers::{azurite, seaweedfs};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::{hasty, key, open};

async fn every_operation(access: &StoreAccess) -> Vec<Error> {
    let store = open(access);
    let document = key("servers/a.json");
    vec![
        store.get(&document).await.unwrap_err(),
        store.list(&key("servers")).await.unwrap_err(),
        store.create(&document, Bytes::from("1")).await.unwrap_err(),
    ]
}

fn assert_told(errors: &[Error], kind: ErrorKind, hint: &str) {
    for error in errors {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.hint().is_some_and(|text| text.contains(hint)), "{error:?}");
        assert!(!format!("{error:?}").contains("secret/secret"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_no_missing_document() {
    let server = GcsServer::start();
    let access = StoreAccess { url: "gs://elsewhere/fleet".parse().unwrap(), ..server.access("") };
    let errors = every_operation(&access).await;
    assert_told(&errors, ErrorKind::NotFound, "dory init");
    assert_eq!(errors[0].to_string(), "cannot read document `gs://elsewhere/fleet`: the bucket does not exist");
    let delete = open(&access).delete(&key("servers/a.json")).await.unwrap_err();
    assert_eq!(delete.kind(), ErrorKind::NotFound, "{delete:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_and_an_unknown_key_name_the_settings() {
    let server = GcsServer::start();
    for (id, secret) in [("GOOGDORYTESTKEY", "secret/secret"), ("GOOGNOBODY", "secret/secret")] {
        let access = server.access_with("fleet", &AccessKey::new(id, secret, "dory-project"));
        assert_told(&every_operation(&access).await, ErrorKind::PermissionDenied, "GS_SECRET_ACCESS_KEY");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_names_the_settings() {
    let server = GcsServer::start();
    let access = StoreAccess { credentials: StoreCredentials::Ambient, ..server.access("") };
    assert_told(&every_operation(&access).await, ErrorKind::PermissionDenied, "service account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_named() {
    for clock_ahead in [-3_600, 3_600] {
        let server = GcsServer::start_with(GcsConfig { clock_ahead, ..GcsConfig::default() });
        assert_told(&every_operation(&server.access("fleet")).await, ErrorKind::PermissionDenied, "clock");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_store_reads_and_says_that_it_may_not_be_written_to() {
    let server = GcsServer::start();
    let store = open(&server.access("fleet"));
    let document = key("servers/a.json");
    let version = store.create(&document, Bytes::from("1")).await.unwrap();
    server.set_read_only(true);
    assert_eq!(store.get(&document).await.unwrap().unwrap().bytes, "1");
    let errors = [
        store.create(&key("servers/b.json"), Bytes::from("1")).await.unwrap_err(),
        store.replace(&document, Bytes::from("2"), &version).await.unwrap_err(),
        store.delete(&document).await.unwrap_err(),
    ];
    assert_told(&errors, ErrorKind::PermissionDenied, "a key that may write");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host_is_named_within_seconds() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let secret = Secret::new("secret/secret");
    let credentials = StoreCredentials::AccessKey { id: "GOOGDORYTESTKEY".into(), secret, session: None };
    let nobody = format!("http://{free}");
    let url = "gs://dory/fleet".parse().unwrap();
    let access = StoreAccess { url, credentials, endpoint: Some(nobody.clone()), region: None };
    for error in every_operation(&access).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains(&nobody), "{error}");
        assert!(error.causes()[0].contains("refused"), "{error:?}");
    }
}

/// A network in which nobody answers.
#[derive(Debug)]
struct Silence;

impl HttpConnector for Silence {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

#[async_trait]
impl HttpService for Silence {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::new(HttpErrorKind::Connect, std::io::Error::from(std::io::ErrorKind::ConnectionRefused)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_offers_no_credentials_is_not_blamed_on_the_store() {
    for (url, setting) in [("gs://dory", "GS_ACCESS_KEY"), ("s3://dory", "AWS_ACCESS_KEY_ID")] {
        let url = url.parse().unwrap();
        let access = StoreAccess { url, credentials: StoreCredentials::Ambient, endpoint: None, region: None };
        let options = ConnectOptions { transport: Some(Arc::new(Silence)), ..hasty() };
        let store = open_catalog_with(&access, &options).unwrap();
        assert_told(&[store.get(&key("dory.json")).await.unwrap_err()], ErrorKind::PermissionDenied, setting);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_s3_server_refuses_in_the_same_words() {
    let Some(server) = or_skip("s3", seaweedfs()) else { return };
    ensure_bucket(&server.access("dory-refusals", "fleet"), None).await.unwrap();
    let wrong = server.access_with("dory-refusals", "fleet", "DORYTESTKEY", "secret/secret");
    assert_told(&every_operation(&wrong).await, ErrorKind::PermissionDenied, "AWS_SECRET_ACCESS_KEY");

    let reader = open_catalog(&server.reader("dory-refusals", "fleet")).unwrap();
    assert!(reader.get(&key("servers/a.json")).await.unwrap().is_none());
    let error = reader.create(&key("servers/a.json"), Bytes::from("1")).await.unwrap_err();
    assert_told(&[error], ErrorKind::PermissionDenied, "a key that may write");

    let missing = open_catalog(&server.access("dory-missing", "fleet")).unwrap();
    for error in [missing.get(&key("dory.json")).await.unwrap_err(), missing.list(&key("servers")).await.unwrap_err()] {
        assert_told(&[error], ErrorKind::NotFound, "dory init");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_azure_server_refuses_in_the_same_words() {
    let Some(server) = or_skip("azure", azurite()) else { return };
    let missing = server.access("dory-missing", "fleet");
    assert_told(&every_operation(&missing).await, ErrorKind::NotFound, "dory init");
    let mut wrong = server.access("dory-contract", "fleet");
    if let StoreCredentials::AzureAccount { key, .. } = &mut wrong.credentials {
        *key = Secret::new("c2VjcmV0L3NlY3JldA==");
    }
    assert_told(&every_operation(&wrong).await, ErrorKind::PermissionDenied, "storage account");
}
