//! The names of all settings, as environment variables. A settings file has the same without `DORY_`, in lower case.

/// Where everything is kept.
pub const STORE: &str = "DORY_STORE";
/// The fleet's passphrase.
pub const PASSPHRASE: &str = "DORY_PASSPHRASE";
/// `none` to go without encryption.
pub const ENCRYPTION: &str = "DORY_ENCRYPTION";
/// This server's name.
pub const SERVER: &str = "DORY_SERVER";
/// Another address for the store than the cloud's own.
pub const STORE_ENDPOINT: &str = "DORY_STORE_ENDPOINT";
/// The store's region.
pub const STORE_REGION: &str = "DORY_STORE_REGION";
/// How helpers reach the store: `bridge`, `host` or `none`.
pub const HELPER_NETWORK: &str = "DORY_HELPER_NETWORK";

/// The time zone of schedules that name none, and of the days that retention counts: `Europe/Berlin`.
pub const TIMEZONE: &str = "DORY_TIMEZONE";
/// For how many days the store charges for an object, whether it is still there or not (cold storage classes).
pub const MINIMUM_STAY_DAYS: &str = "DORY_MINIMUM_STAY_DAYS";
/// `allow`, if what the fleet's settings name may be in a private network of this host: webhooks, pings.
pub const PRIVATE_TARGETS: &str = "DORY_PRIVATE_TARGETS";

/// Where the web pages are served: `127.0.0.1:8360`.
pub const WEB_LISTEN: &str = "DORY_WEB_LISTEN";
/// Names under which browsers reach them, with commas between.
pub const WEB_HOSTS: &str = "DORY_WEB_HOSTS";
/// Their certificate, as PEM; mostly given as a file's path in `DORY_WEB_TLS_CERT_FILE`.
pub const WEB_TLS_CERT: &str = "DORY_WEB_TLS_CERT";
/// The certificate's key.
pub const WEB_TLS_KEY: &str = "DORY_WEB_TLS_KEY";
/// Addresses of proxies that are believed, with commas between.
pub const WEB_PROXIES: &str = "DORY_WEB_PROXIES";
/// The header in which such a proxy names who it let in.
pub const WEB_USER_HEADER: &str = "DORY_WEB_USER_HEADER";
/// What somebody may do whom such a proxy let in and Dory does not know: `viewer`, `operator` or `admin`.
pub const WEB_PROXY_ROLE: &str = "DORY_WEB_PROXY_ROLE";

/// Dory's own, each of which may also be given as `<name>_FILE`.
pub const OWN: [&str; 17] = [
    STORE,
    PASSPHRASE,
    ENCRYPTION,
    SERVER,
    STORE_ENDPOINT,
    STORE_REGION,
    HELPER_NETWORK,
    TIMEZONE,
    MINIMUM_STAY_DAYS,
    PRIVATE_TARGETS,
    WEB_LISTEN,
    WEB_HOSTS,
    WEB_TLS_CERT,
    WEB_TLS_KEY,
    WEB_PROXIES,
    WEB_USER_HEADER,
    WEB_PROXY_ROLE,
];

/// The Google Cloud project that buckets are made in.
pub const GS_PROJECT_ID: &str = "GS_PROJECT_ID";
/// The id of a Google Cloud Storage interoperability key.
pub const GS_ACCESS_KEY: &str = "GS_ACCESS_KEY";
/// Its secret.
pub const GS_SECRET_ACCESS_KEY: &str = "GS_SECRET_ACCESS_KEY";
/// The path of a Google service account's key; its value here is the file's contents.
pub const GOOGLE_APPLICATION_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// The id of an S3 key.
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// Its secret.
pub const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// Its session, for temporary keys.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// The region of S3 buckets.
pub const AWS_REGION: &str = "AWS_REGION";
/// An Azure storage account.
pub const AZURE_STORAGE_ACCOUNT: &str = "AZURE_STORAGE_ACCOUNT";
/// Its key.
pub const AZURE_STORAGE_KEY: &str = "AZURE_STORAGE_KEY";

/// Where the container engine listens.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// The folder with the certificates for it.
pub const DOCKER_CERT_PATH: &str = "DOCKER_CERT_PATH";
/// Whether it is asked for a certificate; anything but empty means yes.
pub const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
