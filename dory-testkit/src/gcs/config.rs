//! What a stand-in knows when it starts.

use std::time::Duration;

/// How a [`GcsServer`](super::GcsServer) starts.
#[derive(Clone, Debug)]
pub struct GcsConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: String,
    /// Buckets that are there, with the project each is in.
    pub buckets: Vec<(String, String)>,
    /// Interoperability keys that are known.
    pub keys: Vec<AccessKey>,
    /// Bearer tokens that are accepted as if they were the first key.
    pub tokens: Vec<String>,
    /// Service accounts, by e-mail, whose self-signed tokens are accepted as if they were the first key. The claims are
    /// read; the signature is not checked.
    pub service_accounts: Vec<String>,
    /// How far the server's clock is ahead of this host's, in seconds.
    pub clock_ahead: i64,
    /// The least time between two writes of one name; the real service allows one write a second.
    pub write_interval: Option<Duration>,
}

/// An interoperability key and what it may do.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The access id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// The project in which it may list and create buckets.
    pub project: String,
    /// Whether it may write objects and create buckets.
    pub may_write: bool,
    /// Whether it may list its project's buckets.
    pub may_list_buckets: bool,
}

impl AccessKey {
    /// A key that may do everything in `project`.
    #[must_use]
    pub fn new(id: &str, secret: &str, project: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            project: project.to_owned(),
            may_write: true,
            may_list_buckets: true,
        }
    }
}

impl Default for GcsConfig {
    /// One bucket, `dory`, in the project `dory-project`, and a key and a token that may do everything there.
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            buckets: vec![("dory".to_owned(), "dory-project".to_owned())],
            keys: vec![AccessKey::new("GOOGDORYTESTKEY", "dory/test+secret", "dory-project")],
            tokens: vec!["dory-test-token".to_owned()],
            service_accounts: Vec::new(),
            clock_ahead: 0,
            write_interval: None,
        }
    }
}
