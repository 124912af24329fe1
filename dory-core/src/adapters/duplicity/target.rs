//! Where a repository is, as duplicity and rclone are to be told.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::domain::secret::Secret;
use crate::domain::store_url::{StoreAccess, StoreCredentials, StoreScheme};
use crate::error::{Error, ErrorKind, Result};

/// A repository's place: an address for duplicity, one for what only lists and deletes, and what opens both.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// duplicity's address of the repository's folder.
    pub(super) url: String,
    /// Arguments that every run of duplicity needs to reach it.
    pub(super) arguments: Vec<OsString>,
    /// Variables that duplicity and rclone need to reach it, secrets among them.
    pub(super) environment: Vec<(String, Secret)>,
    /// Whether duplicity itself reaches it by way of rclone.
    pub(super) through_rclone: bool,
    /// Where its files are.
    pub(super) files: FilesAt,
}

/// Where a repository's files are, for what duplicity cannot do: sizes, and deleting just these.
#[derive(Clone, Debug)]
pub(super) enum FilesAt {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// At this address of rclone's.
    Remote(String),
}

/// The name of the store in rclone's variables and addresses.
const REMOTE: &str = "dory";
const GOOGLE: &str = "https://storage.googleapis.com";

impl Target {
    /// The place of the repository `path` in a store.
    ///
    /// # Errors
    /// `Unsupported` where duplicity cannot reach such a store with such credentials.
    pub(super) fn new(store: &StoreAccess, path: &str) -> Result<Self> {
        let below = [store.url.path.as_str(), path].into_iter().filter(|part| !part.is_empty());
        let key = below.collect::<Vec<_>>().join("/");
        let in_bucket = format!("{}/{key}", store.url.bucket);
        match (store.url.scheme, &store.credentials) {
            (StoreScheme::File, _) => Ok(Self {
                url: format!("file://{key}"),
                arguments: Vec::new(),
                environment: Vec::new(),
                through_rclone: false,
                files: FilesAt::Folder(key.into()),
            }),
            (StoreScheme::S3, StoreCredentials::AccessKey { .. } | StoreCredentials::Ambient) => {
                Ok(Self::s3(store, &in_bucket, store.endpoint.as_deref()))
            }
            (StoreScheme::Gs, StoreCredentials::AccessKey { .. }) => {
                Ok(Self::s3(store, &in_bucket, Some(store.endpoint.as_deref().unwrap_or(GOOGLE))))
            }
            (StoreScheme::Gs, StoreCredentials::ServiceAccount { json }) => {
                Ok(Self::google(store, &in_bucket, Some(json)))
            }
            (StoreScheme::Gs, StoreCredentials::Ambient) => Ok(Self::google(store, &in_bucket, None)),
            (scheme, _) => Err(Error::new(
                ErrorKind::Unsupported,
                "reach store with duplicity",
                store.url.to_string(),
                format!("Dory's duplicity engine cannot use `{}://` with these credentials", scheme.as_str()),
            )
            .with_hint(match scheme {
                StoreScheme::Gs => {
                    "use interoperability keys (GS_ACCESS_KEY, GS_SECRET_ACCESS_KEY) or a service account"
                }
                StoreScheme::Az => "use `dory.engine=restic` for backups in Azure",
                _ => "use an access key (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or `dory.engine=restic`",
            })),
        }
    }

    fn s3(store: &StoreAccess, in_bucket: &str, endpoint: Option<&str>) -> Self {
        let mut arguments: Vec<OsString> = Vec::new();
        // boto3 sends checksums that others than Amazon refuse, unless told so.
        let mut environment = vec![
            ("AWS_REQUEST_CHECKSUM_CALCULATION".to_owned(), Secret::new("when_required")),
            ("AWS_RESPONSE_CHECKSUM_VALIDATION".to_owned(), Secret::new("when_required")),
        ];
        let provider = match (store.url.scheme, endpoint) {
            (StoreScheme::Gs, _) => "GCS",
            (_, Some(_)) => "Other",
            (_, None) => "AWS",
        };
        let mut variables = vec![("TYPE", "s3".to_owned()), ("PROVIDER", provider.to_owned())];
        variables.push(("NO_CHECK_BUCKET", "true".into()));
        if let Some(endpoint) = endpoint {
            arguments.push(format!("--s3-endpoint-url={endpoint}").into());
            variables.push(("ENDPOINT", endpoint.to_owned()));
        }
        if let Some(region) = &store.region {
            arguments.push(format!("--s3-region-name={region}").into());
            variables.push(("REGION", region.clone()));
        }
        match &store.credentials {
            StoreCredentials::AccessKey { id, secret, session } => {
                environment.push(("AWS_EC2_METADATA_DISABLED".to_owned(), Secret::new("true")));
                environment.push(("AWS_ACCESS_KEY_ID".to_owned(), Secret::new(id.clone())));
                environment.push(("AWS_SECRET_ACCESS_KEY".to_owned(), secret.clone()));
                environment.extend(session.clone().map(|session| ("AWS_SESSION_TOKEN".to_owned(), session)));
                variables.push(("ACCESS_KEY_ID", id.clone()));
                variables.push(("SECRET_ACCESS_KEY", secret.expose().to_owned()));
                variables.extend(session.as_ref().map(|session| ("SESSION_TOKEN", session.expose().to_owned())));
            }
            _ => variables.push(("ENV_AUTH", "true".into())),
        }
        environment.extend(rclone_environment(variables));
        Self {
            url: format!("s3:///{in_bucket}"),
            arguments,
            environment,
            through_rclone: false,
            files: FilesAt::Remote(format!("{REMOTE}:{in_bucket}")),
        }
    }

    fn google(store: &StoreAccess, in_bucket: &str, account: Option<&Secret>) -> Self {
        // Buckets with uniform access refuse access lists, and others need none.
        let mut variables = vec![("TYPE", "google cloud storage".into()), ("BUCKET_POLICY_ONLY", "true".into())];
        variables.push(("NO_CHECK_BUCKET", "true".into()));
        variables.extend(account.map(|json| ("SERVICE_ACCOUNT_CREDENTIALS", json.expose().to_owned())));
        // rclone speaks the JSON interface, whose path is part of the address.
        let endpoint = store.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/'));
        variables.extend(endpoint.map(|endpoint| ("ENDPOINT", format!("{endpoint}/storage/v1/"))));
        Self::by_rclone(in_bucket, variables)
    }

    fn by_rclone(in_bucket: &str, variables: Vec<(&str, String)>) -> Self {
        Self {
            url: format!("rclone://{REMOTE}:{in_bucket}"),
            arguments: Vec::new(),
            environment: rclone_environment(variables),
            through_rclone: true,
            files: FilesAt::Remote(format!("{REMOTE}:{in_bucket}")),
        }
    }
}

fn rclone_environment(variables: Vec<(&str, String)>) -> Vec<(String, Secret)> {
    let name = |key: &str| format!("RCLONE_CONFIG_{}_{key}", REMOTE.to_uppercase());
    variables.into_iter().map(|(key, value)| (name(key), Secret::new(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str, credentials: StoreCredentials) -> StoreAccess {
        StoreAccess { url: url.parse().unwrap(), credentials, endpoint: None, region: None }
    }

    fn keys() -> StoreCredentials {
        StoreCredentials::AccessKey { id: "ID".into(), secret: Secret::new("hush"), session: None }
    }

    fn value<'a>(target: &'a Target, name: &str) -> Option<&'a str> {
        target.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.expose())
    }

    #[test]
    fn folders_are_addressed_by_their_path() {
        let target = Target::new(&access("file:///srv/dory", StoreCredentials::Ambient), "data/x/duplicity").unwrap();
        assert_eq!(target.url, "file:///srv/dory/data/x/duplicity");
        assert!(matches!(target.files, FilesAt::Folder(path) if path == *"/srv/dory/data/x/duplicity"));
    }

    #[test]
    fn google_with_interoperability_keys_is_reached_as_s3() {
        let target = Target::new(&access("gs://bucket/prefix", keys()), "data").unwrap();
        assert_eq!(target.url, "s3:///bucket/prefix/data");
        assert_eq!(target.arguments, ["--s3-endpoint-url=https://storage.googleapis.com"]);
        assert_eq!(value(&target, "AWS_SECRET_ACCESS_KEY"), Some("hush"));
        assert_eq!(value(&target, "AWS_REQUEST_CHECKSUM_CALCULATION"), Some("when_required"));
        assert_eq!(value(&target, "RCLONE_CONFIG_DORY_PROVIDER"), Some("GCS"));
    }

    #[test]
    fn s3_takes_endpoint_and_region_from_the_store() {
        let mut store = access("s3://bucket", keys());
        store.endpoint = Some("http://127.0.0.1:9".into());
        store.region = Some("eu-1".into());
        let target = Target::new(&store, "data").unwrap();
        assert_eq!(target.url, "s3:///bucket/data");
        assert_eq!(target.arguments, ["--s3-endpoint-url=http://127.0.0.1:9", "--s3-region-name=eu-1"]);
    }

    #[test]
    fn service_accounts_go_through_rclone() {
        let account = StoreCredentials::ServiceAccount { json: Secret::new("{}") };
        let target = Target::new(&access("gs://bucket/p", account), "data").unwrap();
        assert!(target.through_rclone);
        assert_eq!(target.url, "rclone://dory:bucket/p/data");
        assert_eq!(value(&target, "RCLONE_CONFIG_DORY_SERVICE_ACCOUNT_CREDENTIALS"), Some("{}"));
    }

    #[test]
    fn secrets_are_in_no_argument_address_or_debug_text() {
        let target = Target::new(&access("gs://bucket", keys()), "data").unwrap();
        assert!(!format!("{target:?}").contains("hush"));
        assert!(!format!("{} {:?}", target.url, target.arguments).contains("hush"));
    }

    #[test]
    fn what_cannot_be_reached_says_what_to_use() {
        let account = StoreCredentials::AzureAccount { account: "a".into(), key: Secret::new("k") };
        let error = Target::new(&access("az://box", account), "data").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains("restic"));
    }
}
