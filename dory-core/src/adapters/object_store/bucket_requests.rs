//! The requests about buckets themselves, which `object_store` does not make.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderValue, Method, StatusCode};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::azure::{AzureAuthorizer, MicrosoftAzure};
use object_store::client::{HttpClient, HttpConnector, HttpRequest};
use object_store::gcp::GoogleCloudStorage;

use super::bucket::BucketState;
use super::connect::{ConnectOptions, endpoint, region, wire_for};
use super::failure::Place;
use crate::domain::store_url::{StoreAccess, StoreCredentials};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::Clock;

const CREATE: &str = "create store";
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// The longest list of buckets that Google's XML API gives; it has no second page.
const LONGEST_LIST: usize = 1_000;

/// Sends them, a few times where the answer is that it may work later.
#[derive(Debug)]
pub(super) struct BucketRequests<'a> {
    access: &'a StoreAccess,
    endpoint: Option<String>,
    place: Place,
    http: HttpClient,
    clock: Arc<dyn Clock>,
}

struct Answer {
    status: StatusCode,
    body: String,
}

impl<'a> BucketRequests<'a> {
    pub(super) fn new(access: &'a StoreAccess, options: &ConnectOptions) -> Result<Self> {
        let place = Place::of(access);
        let endpoint = endpoint(access)?;
        let http = wire_for(access, options)
            .connect(&options.client(endpoint))
            .map_err(|error| place.failure("open store", &access.url.to_string(), &error))?;
        let endpoint = endpoint.map(str::to_owned);
        Ok(Self { access, endpoint, place, http, clock: Arc::clone(&options.clock) })
    }

    /// <https://cloud.google.com/storage/docs/xml-api/put-bucket-create>
    pub(super) async fn create_google(&self, client: &GoogleCloudStorage, project: &str) -> Result<BucketState> {
        let body = self.access.region.as_deref().map(location_constraint).unwrap_or_default();
        let url = format!("{}/{}", self.google(), self.access.url.bucket);
        let answer = self.send(|| self.for_google(client, Method::PUT, &url, project, body.clone())).await?;
        self.created(&answer)
    }

    /// Whether the bucket is one of the project's; `None` where the key may not ask, or the answer is too long.
    ///
    /// <https://cloud.google.com/storage/docs/xml-api/get-service>
    pub(super) async fn is_in_project(&self, client: &GoogleCloudStorage, project: &str) -> Result<Option<bool>> {
        let url = format!("{}/", self.google());
        let answer = self.send(|| self.for_google(client, Method::GET, &url, project, String::new())).await?;
        match answer.status {
            StatusCode::OK => {
                let name = format!("<Name>{}</Name>", self.access.url.bucket);
                let listed = answer.body.matches("<Name>").count();
                Ok(if answer.body.contains(&name) { Some(true) } else { (listed < LONGEST_LIST).then_some(false) })
            }
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Ok(None),
            status => Err(self.place.refusal("list buckets of project", project, status, &answer.body)),
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
    pub(super) async fn create_amazon(&self, client: &AmazonS3) -> Result<BucketState> {
        let region = region(self.access);
        let host = self.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let url = format!("{host}/{}", self.access.url.bucket);
        // The first region takes no constraint, not even its own name.
        let body = if region == "us-east-1" { String::new() } else { location_constraint(region) };
        let sign = || async {
            let mut request = request(Method::PUT, &url, body.clone())?;
            let credential = client.credentials().get_credential().await?;
            AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
            Ok(request)
        };
        let answer = self.send(sign).await?;
        self.created(&answer)
    }

    /// <https://learn.microsoft.com/en-us/rest/api/storageservices/create-container>
    pub(super) async fn create_azure(&self, client: &MicrosoftAzure) -> Result<BucketState> {
        let StoreCredentials::AzureAccount { account, .. } = &self.access.credentials else {
            return Err(Error::invalid("credentials for store", self.access.url.to_string(), "`az` takes an account"));
        };
        let host = self.endpoint.clone().unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        let url = format!("{host}/{}?restype=container", self.access.url.bucket);
        let sign = || async {
            let mut request = request(Method::PUT, &url, String::new())?;
            let credential = client.credentials().get_credential().await?;
            AzureAuthorizer::new(&credential, account).try_authorize(&mut request)?;
            Ok(request)
        };
        let answer = self.send(sign).await?;
        self.created(&answer)
    }

    fn google(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("https://storage.googleapis.com")
    }

    async fn for_google(
        &self,
        client: &GoogleCloudStorage,
        method: Method,
        url: &str,
        project: &str,
        body: String,
    ) -> object_store::Result<HttpRequest> {
        let mut request = request(method, url, body)?;
        let project = HeaderValue::from_str(project).map_err(unsendable)?;
        request.headers_mut().insert("x-goog-project-id", project);
        // With interoperability keys the wire puts its signature in the token's place.
        let credential = client.credentials().get_credential().await?;
        let mut token = HeaderValue::from_str(&format!("Bearer {}", credential.bearer)).map_err(unsendable)?;
        token.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, token);
        Ok(request)
    }

    async fn send<F>(&self, make: impl Fn() -> F) -> Result<Answer>
    where
        F: Future<Output = object_store::Result<HttpRequest>>,
    {
        let subject = self.access.url.to_string();
        let mut made = 1;
        loop {
            let request = make().await.map_err(|error| self.place.failure(CREATE, &subject, &error))?;
            let failure = match self.answer(request).await {
                Ok(answer) if !answer.status.is_server_error() && answer.status != StatusCode::TOO_MANY_REQUESTS => {
                    return Ok(answer);
                }
                Ok(answer) => self.place.refusal(CREATE, &subject, answer.status, &answer.body),
                Err(error) => self.place.silence(CREATE, &subject, &error),
            };
            if made == ATTEMPTS {
                return Err(failure);
            }
            self.clock.sleep(PAUSE * made).await;
            made += 1;
        }
    }

    async fn answer(&self, request: HttpRequest) -> Result<Answer, object_store::client::HttpError> {
        let (head, body) = self.http.execute(request).await?.into_parts();
        let body = String::from_utf8_lossy(&body.bytes().await?).into_owned();
        Ok(Answer { status: head.status, body })
    }

    fn created(&self, answer: &Answer) -> Result<BucketState> {
        let subject = self.access.url.to_string();
        match answer.status {
            status if status.is_success() => Ok(BucketState::Created),
            // Made between our look and our request: by our own first attempt, or beside us.
            StatusCode::CONFLICT
                if ["BucketAlreadyOwnedByYou", "ContainerAlreadyExists"]
                    .iter()
                    .any(|code| answer.body.contains(code)) =>
            {
                Ok(BucketState::Present)
            }
            StatusCode::CONFLICT => {
                Err(Error::new(ErrorKind::AlreadyExists, CREATE, subject, "the name is taken by somebody else")
                    .with_hint("set DORY_STORE to another bucket's name"))
            }
            status => Err(self.place.refusal(CREATE, &subject, status, &answer.body)),
        }
    }
}

fn request(method: Method, url: &str, body: String) -> object_store::Result<HttpRequest> {
    let request = http::Request::builder().method(method).uri(url).header(CONTENT_LENGTH, body.len());
    request.body(body.into()).map_err(unsendable)
}

fn unsendable(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: Box::new(error) }
}

fn location_constraint(region: &str) -> String {
    let inner = format!("<LocationConstraint>{region}</LocationConstraint>");
    format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>")
}
