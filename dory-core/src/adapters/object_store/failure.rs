//! From an object store's failure to the crate's error: the one place where the two vocabularies meet.

use std::error::Error as StdError;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};

use super::connect::region;
use crate::domain::store_url::{StoreAccess, StoreCredentials, StoreScheme, StoreUrl};
use crate::error::{Error, ErrorKind};

/// A store as messages name it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) url: StoreUrl,
    /// The machine that is talked to; empty for folders.
    host: String,
    /// The settings that hold what opens it.
    credentials: &'static str,
}

impl Place {
    pub(super) fn of(access: &StoreAccess) -> Self {
        let host = match (&access.endpoint, access.url.scheme, &access.credentials) {
            (_, StoreScheme::File, _) => String::new(),
            (Some(endpoint), ..) => endpoint.clone(),
            (None, StoreScheme::Gs, _) => "storage.googleapis.com".to_owned(),
            (None, StoreScheme::Az, StoreCredentials::AzureAccount { account, .. }) => {
                format!("{account}.blob.core.windows.net")
            }
            (None, StoreScheme::S3 | StoreScheme::Az, _) => format!("s3.{}.amazonaws.com", region(access)),
        };
        let credentials = match (access.url.scheme, &access.credentials) {
            (_, StoreCredentials::ServiceAccount { .. }) => "the service account's JSON key",
            (StoreScheme::Gs, StoreCredentials::AccessKey { .. }) => "GS_ACCESS_KEY and GS_SECRET_ACCESS_KEY",
            (StoreScheme::Gs, _) => "GS_ACCESS_KEY and GS_SECRET_ACCESS_KEY, or a service account's JSON key",
            (StoreScheme::S3, _) => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            (StoreScheme::Az, _) => "the storage account's name and key",
            (StoreScheme::File, _) => "the folder's owner and mode",
        };
        Self { url: access.url.clone(), host, credentials }
    }

    /// The store itself is not there.
    pub(super) fn missing(&self, operation: &str) -> Error {
        let what = match self.url.scheme {
            StoreScheme::File => "the folder does not exist",
            StoreScheme::Az => "the container does not exist",
            StoreScheme::Gs | StoreScheme::S3 => "the bucket does not exist",
        };
        Error::new(ErrorKind::NotFound, operation, self.url.to_string(), what).with_hint("run `dory init`")
    }

    /// What `error` means to a caller who wanted to do `operation` to `subject`.
    pub(super) fn failure(&self, operation: &str, subject: &str, error: &object_store::Error) -> Error {
        let report = Report::read(error);
        let make = |kind: ErrorKind, reason: String| Error::new(kind, operation, subject, reason);
        let made = match self.trouble(error, &report) {
            Trouble::NoStore => self.missing(operation),
            Trouble::NoObject => make(ErrorKind::NotFound, "there is no such object".into()),
            Trouble::Exists => make(ErrorKind::AlreadyExists, "it is already there".into()),
            Trouble::Changed => make(ErrorKind::Conflict, "it was changed in the meantime".into()),
            Trouble::Refused => make(ErrorKind::PermissionDenied, format!("`{}` refused", self.host))
                .with_hint(format!("set {} to a key that may use `{}`", self.credentials, self.url)),
            Trouble::ReadOnly => make(ErrorKind::PermissionDenied, format!("`{}` may not be written to", self.url))
                .with_hint(format!("set {} to a key that may write", self.credentials)),
            Trouble::ClockSkewed => {
                make(ErrorKind::PermissionDenied, "this host's clock differs from the store's by too much".into())
                    .with_hint("set this host's clock: `timedatectl set-ntp true`")
            }
            Trouble::Unreachable => make(ErrorKind::Unavailable, format!("`{}` cannot be reached", self.host)),
            Trouble::TimedOut => make(ErrorKind::TimedOut, format!("`{}` took too long to answer", self.host)),
            Trouble::Busy => make(ErrorKind::Unavailable, format!("`{}` cannot answer now", self.host)),
            Trouble::Full => make(ErrorKind::Full, format!("`{}` has no space left", self.url)),
            Trouble::Other => make(ErrorKind::Internal, format!("`{}` answered with an unexpected failure", self.host)),
        };
        made.with_source(report.into_cause(error))
    }

    fn trouble(&self, error: &object_store::Error, report: &Report) -> Trouble {
        use object_store::Error as E;
        match report.code.as_deref() {
            Some("NoSuchBucket" | "ContainerNotFound") => return Trouble::NoStore,
            Some("RequestTimeTooSkewed") => return Trouble::ClockSkewed,
            // S3 met another write of the same object under way; neither has won yet.
            Some("ConditionalRequestConflict" | "OperationAborted") => return Trouble::Busy,
            Some("QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage") => return Trouble::Full,
            _ => {}
        }
        match (error, report.status, report.transport) {
            (E::NotFound { .. }, ..) => Trouble::NoObject,
            (E::AlreadyExists { .. }, ..) => Trouble::Exists,
            (E::Precondition { .. }, ..) => Trouble::Changed,
            (E::PermissionDenied { .. } | E::Unauthenticated { .. }, ..) | (_, Some(401 | 403), _) => {
                if report.is_write && report.code.as_deref() == Some("AccessDenied") {
                    Trouble::ReadOnly
                } else {
                    Trouble::Refused
                }
            }
            (_, Some(404), _) => Trouble::NoObject,
            (_, Some(507), _) => Trouble::Full,
            (_, Some(408 | 429 | 500..=599), _) => Trouble::Busy,
            (_, _, Some(HttpErrorKind::Connect)) => Trouble::Unreachable,
            (_, _, Some(HttpErrorKind::Timeout)) => Trouble::TimedOut,
            (_, _, Some(_)) => Trouble::Busy,
            _ => Trouble::Other,
        }
    }
}

/// What went wrong, in the caller's terms.
enum Trouble {
    NoStore,
    NoObject,
    Exists,
    Changed,
    Refused,
    ReadOnly,
    ClockSkewed,
    Unreachable,
    TimedOut,
    Busy,
    Full,
    Other,
}

/// What the client's error says, dug out of its text: its types below the outermost are private.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    transport: Option<HttpErrorKind>,
    is_write: bool,
}

impl Report {
    fn read(error: &object_store::Error) -> Self {
        let text = error.to_string();
        Self {
            status: between(&text, "status code: ", " ").and_then(|digits| digits.parse().ok()),
            code: between(&text, "<Code>", "</Code>").map(str::to_owned),
            message: between(&text, "<Message>", "</Message>").map(|text| text.trim().to_owned()),
            transport: chain(error).filter_map(|error| error.downcast_ref::<HttpError>()).map(HttpError::kind).last(),
            is_write: ["PUT", "POST", "DELETE"].iter().any(|method| text.contains(&format!("performing {method} "))),
        }
    }

    fn into_cause(self, error: &object_store::Error) -> Cause {
        let text = match (self.status, self.code) {
            (Some(status), Some(code)) => {
                format!("the server answered {status} {code}: {}", self.message.unwrap_or_default())
            }
            (Some(status), None) => format!("the server answered {status}"),
            (None, _) => chain(error).last().map(ToString::to_string).unwrap_or_default(),
        };
        Cause(text.trim_end_matches([':', ' ']).to_owned())
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// The one line of a cause chain that says something: the client's own errors repeat each other's text.
#[derive(Debug)]
struct Cause(String);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Cause {}
