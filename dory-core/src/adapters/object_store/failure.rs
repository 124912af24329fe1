//! From an object store's failure to the crate's error: the one place where the two vocabularies meet.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
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
        self.error(operation, subject, Report::of(error))
    }

    /// The same for an answer that did not pass through the client.
    pub(super) fn refusal(&self, operation: &str, subject: &str, status: StatusCode, body: &str) -> Error {
        self.error(operation, subject, Report { is_write: true, ..Report::from_body(Some(status.as_u16()), body) })
    }

    /// The same for a request that got no answer.
    pub(super) fn silence(&self, operation: &str, subject: &str, error: &HttpError) -> Error {
        self.error(operation, subject, Report { transport: transport(error), cause: last(error), ..Report::default() })
    }

    fn error(&self, operation: &str, subject: &str, report: Report) -> Error {
        let Self { url, host, credentials } = self;
        let make = |kind: ErrorKind, reason: String| Error::new(kind, operation, subject, reason);
        let made = match report.trouble() {
            Trouble::NoStore => self.missing(operation),
            Trouble::NoObject => make(ErrorKind::NotFound, "there is no such object".into()),
            Trouble::Exists => make(ErrorKind::AlreadyExists, "it is already there".into()),
            Trouble::Changed => make(ErrorKind::Conflict, "it was changed in the meantime".into()),
            Trouble::BadName => make(ErrorKind::InvalidInput, format!("`{}` is no name for a bucket", url.bucket)),
            Trouble::NoCredentials => {
                make(ErrorKind::PermissionDenied, "no credentials were given, and this host offers none".into())
                    .with_hint(format!("set {credentials}"))
            }
            Trouble::Refused => make(ErrorKind::PermissionDenied, format!("`{host}` refused"))
                .with_hint(format!("set {credentials} to a key that may use `{url}`")),
            Trouble::ReadOnly => make(ErrorKind::PermissionDenied, format!("`{url}` may not be written to"))
                .with_hint(format!("set {credentials} to a key that may write")),
            Trouble::ClockSkewed => {
                make(ErrorKind::PermissionDenied, "this host's clock differs from the store's by too much".into())
                    .with_hint("set this host's clock: `timedatectl set-ntp true`")
            }
            Trouble::Unreachable => make(ErrorKind::Unavailable, format!("`{host}` cannot be reached")),
            Trouble::TimedOut => make(ErrorKind::TimedOut, format!("`{host}` took too long to answer")),
            Trouble::Busy => make(ErrorKind::Unavailable, format!("`{host}` cannot answer now")),
            Trouble::Full => make(ErrorKind::Full, format!("`{url}` has no space left")),
            Trouble::Other => make(ErrorKind::Internal, format!("`{host}` answered with an unexpected failure")),
        };
        made.with_source(Cause(report.cause))
    }
}

/// Where a client asks for credentials when it was given none.
const METADATA_SERVERS: [&str; 2] = ["//metadata", "//169.254.169.254"];

/// What went wrong, in the caller's terms.
enum Trouble {
    NoStore,
    NoObject,
    Exists,
    Changed,
    BadName,
    NoCredentials,
    Refused,
    ReadOnly,
    ClockSkewed,
    Unreachable,
    TimedOut,
    Busy,
    Full,
    Other,
}

/// What a failure says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    status: Option<u16>,
    code: Option<String>,
    transport: Option<HttpErrorKind>,
    is_write: bool,
    /// It was not the store that was asked, but the host's cloud for credentials.
    asked_for_credentials: bool,
    cause: String,
}

impl Report {
    /// Digs in the text: the types of the client's errors below the outermost are private.
    fn of(error: &object_store::Error) -> Self {
        let text = error.to_string();
        let answered = between(&text, "status code: ", " ").and_then(|digits| digits.parse().ok());
        let mut report = Self::from_body(answered, &text);
        report.status = status_of(error).or(answered);
        report.transport = transport(error);
        report.is_write =
            ["PUT", "POST", "DELETE"].iter().any(|method| text.contains(&format!("performing {method} ")));
        report.asked_for_credentials = METADATA_SERVERS.iter().any(|server| text.contains(server));
        if answered.is_none() {
            report.cause = last(error);
        }
        report
    }

    /// Reads the XML in which all three clouds report errors.
    fn from_body(status: Option<u16>, body: &str) -> Self {
        let code = between(body, "<Code>", "</Code>").unwrap_or_default();
        let message = between(body, "<Message>", "</Message>").and_then(|text| text.trim().lines().next());
        let words = [status.map(|status| status.to_string()).unwrap_or_default(), code.to_owned()];
        let answer = words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let cause = match message {
            Some(message) => format!("the server answered {answer}: {message}"),
            None => format!("the server answered {answer}"),
        };
        Self { status, code: (!code.is_empty()).then(|| code.to_owned()), cause, ..Self::default() }
    }

    fn trouble(&self) -> Trouble {
        match (self.code.as_deref(), self.status, self.transport) {
            _ if self.asked_for_credentials => Trouble::NoCredentials,
            (Some("NoSuchBucket" | "ContainerNotFound"), ..) => Trouble::NoStore,
            (Some("InvalidBucketName" | "InvalidResourceName"), ..) => Trouble::BadName,
            (Some("RequestTimeTooSkewed"), ..) => Trouble::ClockSkewed,
            // S3 met another write of the same object under way; neither has won yet.
            (Some("ConditionalRequestConflict" | "OperationAborted"), ..) => Trouble::Busy,
            (Some("QuotaExceeded" | "XMinioStorageFull"), ..) | (_, Some(507), _) => Trouble::Full,
            (Some("AccessDenied"), Some(403), _) if self.is_write => Trouble::ReadOnly,
            (_, Some(401 | 403), _) => Trouble::Refused,
            (_, Some(404), _) => Trouble::NoObject,
            (_, Some(409), _) => Trouble::Exists,
            (_, Some(412), _) => Trouble::Changed,
            (_, Some(408 | 429 | 500..=599), _) => Trouble::Busy,
            (_, _, Some(HttpErrorKind::Connect)) => Trouble::Unreachable,
            (_, _, Some(HttpErrorKind::Timeout)) => Trouble::TimedOut,
            (_, _, Some(_)) => Trouble::Busy,
            _ => Trouble::Other,
        }
    }
}

/// The status that the client has put into words of its own.
fn status_of(error: &object_store::Error) -> Option<u16> {
    match error {
        object_store::Error::NotFound { .. } => Some(404),
        object_store::Error::AlreadyExists { .. } => Some(409),
        object_store::Error::Precondition { .. } => Some(412),
        object_store::Error::PermissionDenied { .. } => Some(403),
        object_store::Error::Unauthenticated { .. } => Some(401),
        _ => None,
    }
}

/// The innermost transport error: what the layers above it made of it says less.
fn transport(error: &(dyn StdError + 'static)) -> Option<HttpErrorKind> {
    chain(error).filter_map(|error| error.downcast_ref::<HttpError>()).map(HttpError::kind).last()
}

fn last(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::of(&StoreAccess {
            url: "gs://bucket/prefix".parse().unwrap(),
            credentials: StoreCredentials::Ambient,
            endpoint: None,
            region: None,
        })
    }

    #[test]
    fn answers_become_kinds_that_callers_can_act_on() {
        let body = |code: &str| format!("<Error><Code>{code}</Code><Message>\n Because.\n</Message></Error>");
        for (status, code, kind, hint) in [
            (404, "NoSuchBucket", ErrorKind::NotFound, Some("dory init")),
            (404, "NoSuchKey", ErrorKind::NotFound, None),
            (403, "AccessDenied", ErrorKind::PermissionDenied, Some("GS_ACCESS_KEY")),
            (403, "SignatureDoesNotMatch", ErrorKind::PermissionDenied, Some("GS_SECRET_ACCESS_KEY")),
            (403, "RequestTimeTooSkewed", ErrorKind::PermissionDenied, Some("clock")),
            (409, "ConditionalRequestConflict", ErrorKind::Unavailable, None),
            (412, "PreconditionFailed", ErrorKind::Conflict, None),
            (429, "SlowDown", ErrorKind::Unavailable, None),
            (507, "XMinioStorageFull", ErrorKind::Full, None),
            (400, "Strange", ErrorKind::Internal, None),
        ] {
            let error = place().refusal("write", "a.json", StatusCode::from_u16(status).unwrap(), &body(code));
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.causes(), [format!("the server answered {status} {code}: Because.")]);
            match (hint, error.hint()) {
                (None, None) => {}
                (Some(part), Some(hint)) => assert!(hint.contains(part), "{code}: {hint}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}
