//! The catalog on fake-gcs-server, which others wrote: a second opinion beside our own stand-in.
//!
//! The program honours generation preconditions in its JSON API alone, and takes no uploads by the XML API that the
//! client speaks. So uploads are translated on their way; everything else goes through as it is.

use async_trait::async_trait;
use bytes::Bytes;
use dory_core::adapters::object_store::{ConnectOptions, connect_with, open_catalog_with};
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_testkit::catalog_store_contract;
use dory_testkit::contracts::catalog_store::{Subject, the_same_bytes_get_a_new_version};
use dory_testkit::live::or_skip;
use dory_testkit::servers::fake_gcs;
use http::header::{CONTENT_TYPE, ETAG};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use serde_json::{Value, json};

use super::client_objects::ClientObjects;

const BOUNDARY: &str = "between-the-parts";

/// Makes clients whose uploads speak JSON.
#[derive(Debug)]
struct JsonUploads;

impl HttpConnector for JsonUploads {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Translator { inner: ReqwestConnector::default().connect(options)? }))
    }
}

#[derive(Debug)]
struct Translator {
    inner: HttpClient,
}

#[async_trait]
impl HttpService for Translator {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() != Method::PUT {
            return self.inner.execute(request).await;
        }
        let answer = self.inner.execute(as_json_upload(request).await?).await?;
        let status = answer.status();
        let object: Value = serde_json::from_slice(&answer.into_body().bytes().await?).unwrap_or_default();
        let mut response = Response::builder().status(status);
        if let (Some(etag), Some(generation)) = (object["etag"].as_str(), object["generation"].as_str()) {
            response = response.header(ETAG, format!("\"{etag}\"")).header("x-goog-generation", generation);
        }
        response.body(Bytes::new().into()).map_err(broken)
    }
}

/// `PUT /bucket/key` with a precondition header, as a `multipart` upload with the same precondition in its query.
async fn as_json_upload(request: HttpRequest) -> Result<HttpRequest, HttpError> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (bucket, key) = head.uri.path().trim_start_matches('/').split_once('/').unwrap();
    let name = percent_encoding::percent_decode_str(key).decode_utf8_lossy();
    let base = format!("http://{}", head.uri.authority().unwrap());
    let mut url = format!("{base}/upload/storage/v1/b/{bucket}/o?uploadType=multipart");
    if let Some(generation) = head.headers.get("x-goog-if-generation-match") {
        url += &format!("&ifGenerationMatch={}", generation.to_str().unwrap());
    }
    let metadata = json!({ "name": name, "contentType": "application/json" });
    let opening = format!("--{BOUNDARY}\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n");
    let between = format!("--{BOUNDARY}\r\ncontent-type: application/json\r\n\r\n");
    let closing = format!("\r\n--{BOUNDARY}--\r\n");
    let parts = [opening.as_bytes(), between.as_bytes(), &body, closing.as_bytes()].concat();
    let upload = Request::post(url).header(CONTENT_TYPE, format!("multipart/related; boundary={BOUNDARY}"));
    upload.body(parts.into()).map_err(broken)
}

fn broken(error: http::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

async fn in_fake_gcs() -> Option<Subject> {
    let server = or_skip("gcs", fake_gcs())?;
    server.create_bucket("dory");
    let access = StoreAccess {
        url: "gs://dory/fleet".parse().unwrap(),
        credentials: StoreCredentials::Ambient,
        endpoint: Some(server.url()),
        region: None,
    };
    let options = ConnectOptions { transport: Some(std::sync::Arc::new(JsonUploads)), ..ConnectOptions::default() };
    let open = || open_catalog_with(&access, &options).unwrap();
    let objects = ClientObjects(connect_with(&access, &options).unwrap());
    Some(Subject::new(open(), open()).beneath(objects).keeping(server))
}

catalog_store_contract!(fake_gcs_server, in_fake_gcs());

#[tokio::test]
async fn it_versions_the_same_bytes_anew() {
    if let Some(subject) = in_fake_gcs().await {
        the_same_bytes_get_a_new_version(subject).await;
    }
}
