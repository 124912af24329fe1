//! Where a fleet keeps everything, and what opens it.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::error::{Error, Result};

/// Where a fleet keeps its catalog and its data: `gs://bucket/prefix`, `s3://…`, `az://container/…`, `file:///path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl {
    /// Which kind of store.
    pub scheme: StoreScheme,
    /// The bucket or container; empty for folders.
    pub bucket: String,
    /// The part below: no leading or trailing slash, except that a folder's path is absolute.
    pub path: String,
}

/// Which kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreScheme {
    /// Google Cloud Storage.
    Gs,
    /// Amazon S3 or what speaks like it.
    S3,
    /// Azure Blob Storage.
    Az,
    /// A folder of this host.
    File,
}

impl StoreScheme {
    /// The word before `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gs => "gs",
            Self::S3 => "s3",
            Self::Az => "az",
            Self::File => "file",
        }
    }
}

impl StoreUrl {
    /// A folder of this host.
    ///
    /// # Errors
    /// `InvalidInput` if the path is not absolute, not UTF-8, or holds `..`.
    pub fn folder(path: &Path) -> Result<Self> {
        let text = path.to_string_lossy();
        let plain = path.components().all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
        if !path.is_absolute() || path.to_str().is_none() || !plain {
            return Err(Error::invalid(
                "store",
                text,
                "a folder's path must be absolute and plain: `file:///srv/dory`",
            ));
        }
        let path = text.trim_end_matches('/');
        if path.is_empty() {
            return Err(Error::invalid("store", text, "the root folder cannot be a store"));
        }
        Ok(Self { scheme: StoreScheme::File, bucket: String::new(), path: path.to_owned() })
    }

    /// The folder, where the store is one.
    #[must_use]
    pub fn as_folder(&self) -> Option<PathBuf> {
        (self.scheme == StoreScheme::File).then(|| PathBuf::from(&self.path))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.bucket.is_empty() || self.path.is_empty() { "" } else { "/" };
        write!(f, "{}://{}{slash}{}", self.scheme.as_str(), self.bucket, self.path)
    }
}

impl FromStr for StoreUrl {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        const ALLOWED: &str =
            "`gs://bucket/prefix`, `s3://bucket/prefix`, `az://container/prefix` and `file:///path` are allowed";
        let invalid = |reason: &str| Error::invalid("store", text, reason);
        let (scheme, rest) = text.split_once("://").ok_or_else(|| invalid(ALLOWED))?;
        let scheme = match scheme {
            "gs" => StoreScheme::Gs,
            "s3" => StoreScheme::S3,
            "az" => StoreScheme::Az,
            "file" => return Self::folder(Path::new(rest)),
            _ => return Err(invalid(ALLOWED)),
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket_fits = bucket.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if bucket.is_empty() || !bucket_fits {
            return Err(invalid("a bucket's name holds letters, digits, `-`, `_` and `.`"));
        }
        let path = path.trim_matches('/');
        let segment_fits = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '='))
        };
        if !path.is_empty() && !path.split('/').all(segment_fits) {
            return Err(invalid(
                "a prefix holds letters, digits, `-`, `_`, `.` and `=`, in parts separated by one `/`",
            ));
        }
        Ok(Self { scheme, bucket: bucket.to_owned(), path: path.to_owned() })
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

/// A store's place and everything needed to open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreAccess {
    /// Where it is.
    pub url: StoreUrl,
    /// What opens it.
    #[serde(default)]
    pub credentials: StoreCredentials,
    /// Another address than the cloud's own: `http://127.0.0.1:4443`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region, where the store has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What opens a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum StoreCredentials {
    /// Whatever the host offers: a metadata server, or nothing for a folder.
    #[default]
    Ambient,
    /// Google Cloud Storage's interoperability keys, or S3's.
    AccessKey {
        /// `GS_ACCESS_KEY`, `AWS_ACCESS_KEY_ID`.
        id: String,
        /// `GS_SECRET_ACCESS_KEY`, `AWS_SECRET_ACCESS_KEY`.
        secret: Secret,
        /// S3's session token, with temporary keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<Secret>,
    },
    /// A Google service account: its JSON key.
    ServiceAccount {
        /// The JSON text itself, not its path.
        json: Secret,
    },
    /// An Azure storage account.
    AzureAccount {
        /// The account's name.
        account: String,
        /// Its key.
        key: Secret,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_as_they_are_written() {
        for text in ["gs://bucket", "gs://bucket/a/b", "s3://b-1/x", "az://container/p", "file:///srv/dory"] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), text);
        }
        assert_eq!("gs://bucket/a/".parse::<StoreUrl>().unwrap().to_string(), "gs://bucket/a");
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "gs:/x",
            "ftp://x",
            "gs://",
            "gs://b/../c",
            "file://relative",
            "file:///",
            "file:///a/../b",
            "gs://b/a//b",
        ] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
    }
}
