//! From a store's access to an `object_store` client that is rooted at the store's URL.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::HttpConnector;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::failure::Place;
use super::hmac_signer::HmacSigner;
use super::wire::Wire;
use crate::domain::secret::Secret;
use crate::domain::store_url::{StoreAccess, StoreCredentials, StoreScheme};
use crate::error::{Error, Result};
use crate::ports::{Clock, SystemClock};

const USER_AGENT: &str = concat!("dory/", env!("CARGO_PKG_VERSION"));
const DEFAULT_REGION: &str = "us-east-1";
/// The client insists on a token; the signer puts its signature in its place.
const REPLACED_BY_SIGNATURE: &str = "replaced";
/// What an emulator is told, so that nobody asks the metadata server of a cloud we are not in.
const EMULATOR_TOKEN: &str = "emulator";

/// How to talk to a store; the defaults are right for everything but tests.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where the time in signatures comes from.
    pub clock: Arc<dyn Clock>,
    /// When and how often a request is tried again.
    pub retry: RetryConfig,
    /// The longest one request may take, its body included. A pack of 64 MiB on a thin line needs minutes.
    pub request_timeout: Duration,
    /// What carries the requests instead of the built-in HTTP client.
    pub transport: Option<Arc<dyn HttpConnector>>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            retry: RetryConfig { retry_timeout: Duration::from_secs(60), ..RetryConfig::default() },
            request_timeout: Duration::from_secs(300),
            transport: None,
        }
    }
}

impl ConnectOptions {
    pub(super) fn client(&self, endpoint: Option<&str>) -> ClientOptions {
        ClientOptions::new()
            .with_user_agent(HeaderValue::from_static(USER_AGENT))
            .with_timeout(self.request_timeout)
            .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
    }
}

/// Opens the store: paths given to the client are below the store's URL. No request is made yet.
///
/// # Errors
/// `InvalidInput` for credentials that do not fit the store; `NotFound` for a folder that is not there.
pub fn connect(access: &StoreAccess) -> Result<Arc<dyn ObjectStore>> {
    connect_with(access, &ConnectOptions::default())
}

/// As [`connect`], with other patience, clock or transport.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(access: &StoreAccess, options: &ConnectOptions) -> Result<Arc<dyn ObjectStore>> {
    let prefix = access.url.path.as_str();
    Ok(match access.url.scheme {
        StoreScheme::Gs => below(prefix, google(access, options)?),
        StoreScheme::S3 => below(prefix, amazon(access, options)?),
        StoreScheme::Az => below(prefix, azure(access, options)?),
        StoreScheme::File => Arc::new(folder(access)?),
    })
}

fn below<S: ObjectStore>(prefix: &str, store: S) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) }
}

pub(super) fn google(access: &StoreAccess, options: &ConnectOptions) -> Result<GoogleCloudStorage> {
    let endpoint = endpoint(access)?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&access.url.bucket)
        .with_client_options(options.client(endpoint))
        .with_retry(options.retry.clone());
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder = match &access.credentials {
        StoreCredentials::AccessKey { .. } => builder.with_bearer_token(REPLACED_BY_SIGNATURE),
        StoreCredentials::ServiceAccount { json } => builder.with_service_account_key(json.expose()),
        StoreCredentials::Ambient if endpoint.is_some() => builder.with_bearer_token(EMULATOR_TOKEN),
        StoreCredentials::Ambient => builder,
        StoreCredentials::AzureAccount { .. } => {
            return Err(unfit(access, "an interoperability key or a service account"));
        }
    };
    builder.with_http_connector(wire_for(access, options)).build().map_err(|error| unusable(access, error))
}

pub(super) fn amazon(access: &StoreAccess, options: &ConnectOptions) -> Result<AmazonS3> {
    let endpoint = endpoint(access)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&access.url.bucket)
        .with_region(region(access))
        .with_client_options(options.client(endpoint))
        .with_retry(options.retry.clone());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match &access.credentials {
        StoreCredentials::AccessKey { id, secret, session } => {
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
            session.iter().map(Secret::expose).fold(builder, AmazonS3Builder::with_token)
        }
        StoreCredentials::Ambient => builder,
        StoreCredentials::ServiceAccount { .. } | StoreCredentials::AzureAccount { .. } => {
            return Err(unfit(access, "an access key"));
        }
    };
    builder.with_http_connector(wire_for(access, options)).build().map_err(|error| unusable(access, error))
}

pub(super) fn azure(access: &StoreAccess, options: &ConnectOptions) -> Result<MicrosoftAzure> {
    let StoreCredentials::AzureAccount { account, key } = &access.credentials else {
        return Err(unfit(access, "a storage account and its key"));
    };
    let endpoint = endpoint(access)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&access.url.bucket)
        .with_account(account)
        .with_access_key(key.expose())
        .with_client_options(options.client(endpoint))
        .with_retry(options.retry.clone());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    builder.with_http_connector(wire_for(access, options)).build().map_err(|error| unusable(access, error))
}

/// What a put returned survives a power cut: the client flushes the file, and every folder it touched.
fn folder(access: &StoreAccess) -> Result<LocalFileSystem> {
    let place = Place::of(access);
    LocalFileSystem::new_with_prefix(&access.url.path)
        .map(|store| store.with_fsync(true))
        .map_err(|error| place.missing("open store").with_source(error))
}

/// What carries the store's requests: it signs them where the client cannot.
pub(super) fn wire_for(access: &StoreAccess, options: &ConnectOptions) -> Wire {
    let signer = match (access.url.scheme, &access.credentials) {
        (StoreScheme::Gs, StoreCredentials::AccessKey { id, secret, .. }) => {
            Some(HmacSigner::new(id.clone(), secret.clone(), Arc::clone(&options.clock)))
        }
        _ => None,
    };
    Wire::new(options.transport.clone(), signer)
}

/// The region where the bucket is, or is to be.
pub(super) fn region(access: &StoreAccess) -> &str {
    access.region.as_deref().unwrap_or(DEFAULT_REGION)
}

/// The other address, without the slash that some write at its end.
pub(super) fn endpoint(access: &StoreAccess) -> Result<Option<&str>> {
    let Some(endpoint) = access.endpoint.as_deref() else { return Ok(None) };
    let plain = endpoint.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !plain {
        return Err(Error::invalid("endpoint", endpoint, "`http://host:port` and `https://host` are allowed"));
    }
    Ok(Some(endpoint.trim_end_matches('/')))
}

fn unfit(access: &StoreAccess, allowed: &str) -> Error {
    let reason = format!("`{}` takes {allowed}", access.url.scheme.as_str());
    Error::invalid("credentials for store", access.url.to_string(), reason)
}

/// The builder's own objections are about values: a key that is no base64, a service account that is no JSON.
fn unusable(access: &StoreAccess, error: impl Display) -> Error {
    Error::invalid("credentials for store", access.url.to_string(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str, credentials: StoreCredentials) -> StoreAccess {
        StoreAccess { url: url.parse().unwrap(), credentials, endpoint: None, region: None }
    }

    #[test]
    fn credentials_of_another_cloud_are_refused_by_name() {
        let azure = StoreCredentials::AzureAccount { account: "a".into(), key: Secret::new("hunter2") };
        for (url, credentials) in [
            ("gs://bucket", azure.clone()),
            ("s3://bucket", azure),
            ("az://container", StoreCredentials::Ambient),
            ("s3://bucket", StoreCredentials::ServiceAccount { json: Secret::new("hunter2") }),
            ("gs://bucket", StoreCredentials::ServiceAccount { json: Secret::new("hunter2") }),
        ] {
            let error = connect(&access(url, credentials)).unwrap_err();
            assert!(error.to_string().contains(url), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn an_endpoint_is_an_address_and_nothing_else() {
        let mut access = access("gs://bucket", StoreCredentials::Ambient);
        for nonsense in ["localhost:4443", "ftp://x", "http://", "http://x/?y"] {
            access.endpoint = Some(nonsense.into());
            assert!(connect(&access).is_err(), "{nonsense}");
        }
        access.endpoint = Some("http://127.0.0.1:4443/".into());
        assert_eq!(endpoint(&access).unwrap(), Some("http://127.0.0.1:4443"));
        assert!(connect(&access).is_ok());
    }
}
