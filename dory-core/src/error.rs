//! The one error type of the crate: what failed, on what, why, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// What the caller can do about a failure.
///
/// Services and frontends decide by kind alone: whether to try again, which exit code or HTTP status to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing asked for is not there.
    NotFound,
    /// Something of that name is already there.
    AlreadyExists,
    /// Somebody else changed or holds it; reading it again and deciding anew may work.
    Conflict,
    /// The request itself is wrong; nothing was touched.
    InvalidInput,
    /// Credentials or permissions are missing or refused.
    PermissionDenied,
    /// The key does not open what it should.
    WrongKey,
    /// The other side cannot be reached or is overloaded; trying again later may work.
    Unavailable,
    /// It took longer than it was allowed to.
    TimedOut,
    /// Stored data does not hold what it should.
    Corrupt,
    /// No space, or a quota is used up.
    Full,
    /// This implementation, version or host cannot do it.
    Unsupported,
    /// The user or a signal ended it.
    Cancelled,
    /// Part of the work was done and part was not.
    Incomplete,
    /// A container that should run does not.
    ContainerDown,
    /// A command of the user's, which was to run before or after, did not run well.
    HookFailed,
    /// A defect in Dory or an answer nobody foresaw.
    Internal,
}

impl ErrorKind {
    /// Every kind, in declaration order: tables over kinds are tested against it.
    pub const ALL: [Self; 16] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::InvalidInput,
        Self::PermissionDenied,
        Self::WrongKey,
        Self::Unavailable,
        Self::TimedOut,
        Self::Corrupt,
        Self::Full,
        Self::Unsupported,
        Self::Cancelled,
        Self::Incomplete,
        Self::ContainerDown,
        Self::HookFailed,
        Self::Internal,
    ];

    /// Whether the same request may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut | Self::Conflict)
    }
}

/// A failure: kind, operation, subject, reason, and where known a remedy and a cause.
///
/// `Display` is one lower-case line, ``cannot stop container `db`: no such container``. It never repeats the
/// cause; printers walk [`StdError::source`] for that, and show [`Error::hint`] last.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    operation: String,
    subject: String,
    reason: String,
    hint: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// A failure of `operation` (a verb phrase: `stop container`) on `subject` (a name, path or URL), because of `reason`.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<String>,
        subject: impl Into<String>,
        reason: impl fmt::Display,
    ) -> Self {
        Self(Box::new(Inner {
            kind,
            operation: operation.into(),
            subject: subject.into(),
            reason: reason.to_string(),
            hint: None,
            source: None,
        }))
    }

    /// The request is wrong: `field` holds `value`, and `reason` says what is allowed.
    pub fn invalid(field: &str, value: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidInput, format!("use {field}"), value, reason)
    }

    /// A stream that was to be kept gave an error before its end, so nothing of it is kept.
    pub(crate) fn broken_stream(error: std::io::Error) -> Self {
        Self::new(ErrorKind::Cancelled, "take a dump", "", "its stream broke off").with_source(error)
    }

    /// A task that was to do `operation` ended without an answer: it panicked.
    pub(crate) fn from_panic(operation: &str, cause: tokio::task::JoinError) -> Self {
        Self::new(ErrorKind::Internal, operation, "", "a defect in Dory ended it").with_source(cause)
    }

    /// Adds the remedy: a command to run or a setting to change.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the innermost cause alone, in its own words: what libraries make of one on its way up says the same again.
    #[must_use]
    pub fn with_root_of(self, source: &(dyn StdError + 'static)) -> Self {
        let root = std::iter::successors(Some(source), |&cause| cause.source()).last();
        self.with_source(root.unwrap_or(source).to_string())
    }

    /// This failure, with another that came first: whoever reads of this one must know of that too.
    pub(crate) fn after(self, first: &Self) -> Self {
        let mut record = self.to_record();
        record.causes.push(format!("before that: {first}"));
        record.causes.extend(first.causes());
        record.into()
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done: a verb phrase without its object's name.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// What it was being done to.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Why it failed, without the cause's own words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What to do about it, where known.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The causes, nearest first, as one line each. Those that only repeat a part of what was said before are left out.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut said = self.to_string().to_lowercase();
        let mut next = self.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.contains(&text.to_lowercase()) {
                said.push('\n');
                said.push_str(&text.to_lowercase());
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }

    /// A form that crosses processes and lands in documents; the causes become text.
    #[must_use]
    pub fn to_record(&self) -> ErrorRecord {
        ErrorRecord {
            kind: self.kind(),
            operation: self.0.operation.clone(),
            subject: self.0.subject.clone(),
            reason: self.0.reason.clone(),
            hint: self.0.hint.clone(),
            causes: self.causes(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { operation, subject, reason, .. } = &*self.0;
        if subject.is_empty() {
            write!(f, "cannot {operation}: {reason}")
        } else {
            write!(f, "cannot {operation} `{subject}`: {reason}")
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("subject", &self.0.subject)
            .field("reason", &self.0.reason)
            .field("hint", &self.0.hint)
            .field("causes", &self.causes())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// [`Error`] as data: what the agent sends to its host and what run documents keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// See [`Error::kind`].
    pub kind: ErrorKind,
    /// See [`Error::operation`].
    pub operation: String,
    /// See [`Error::subject`].
    pub subject: String,
    /// See [`Error::reason`].
    pub reason: String,
    /// See [`Error::hint`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// See [`Error::causes`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl From<ErrorRecord> for Error {
    fn from(record: ErrorRecord) -> Self {
        let source = record.causes.into_iter().rev().fold(None, |inner, text| Some(Box::new(Cause { text, inner })));
        Self(Box::new(Inner {
            kind: record.kind,
            operation: record.operation,
            subject: record.subject,
            reason: record.reason,
            hint: record.hint,
            source: source.map(|cause| cause as Source),
        }))
    }
}

/// One link of a cause chain that came from another process.
#[derive(Debug)]
struct Cause {
    text: String,
    inner: Option<Box<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_without_the_cause() {
        let error = Error::new(ErrorKind::NotFound, "stop container", "db", "no such container")
            .with_source(std::io::Error::other("socket said so"));
        assert_eq!(error.to_string(), "cannot stop container `db`: no such container");
        assert_eq!(error.causes(), ["socket said so"]);
    }

    #[test]
    fn causes_that_repeat_their_parent_are_told_once() {
        let chain = ["Generic error: connect: Connection refused", "connect: Connection refused", "Connection refused"];
        let source =
            chain.into_iter().rev().fold(None, |inner, text| Some(Box::new(Cause { text: text.to_owned(), inner })));
        let error = Error::new(ErrorKind::Unavailable, "reach store", "x", "no answer").with_source(source.unwrap());
        assert_eq!(error.causes(), [chain[0]]);
        let error = Error::new(ErrorKind::Internal, "x", "", "no space left").with_source("No space left");
        assert!(error.causes().is_empty());
    }

    #[test]
    fn the_innermost_cause_can_stand_for_all() {
        let inner = Cause { text: "Connection refused".to_owned(), inner: None };
        let outer = Cause { text: "client error (Connect)".to_owned(), inner: Some(Box::new(inner)) };
        let error = Error::new(ErrorKind::Unavailable, "reach", "x", "nothing listens there").with_root_of(&outer);
        assert_eq!(error.causes(), ["Connection refused"]);
    }

    #[test]
    fn a_failure_tells_of_the_one_before_it() {
        let first = Error::new(ErrorKind::Full, "write", "pack", "no space left").with_source("os error 28");
        let then = Error::new(ErrorKind::ContainerDown, "start", "db", "it does not run").with_hint("h");
        let both = then.after(&first);
        assert_eq!(both.kind(), ErrorKind::ContainerDown);
        assert_eq!(both.causes(), ["before that: cannot write `pack`: no space left", "os error 28"]);
    }

    #[test]
    fn a_record_keeps_kind_hint_and_the_chain_of_causes() {
        let record = ErrorRecord {
            kind: ErrorKind::WrongKey,
            operation: "open repository".into(),
            subject: "data/x".into(),
            reason: "the key does not fit".into(),
            hint: Some("set DORY_PASSPHRASE".into()),
            causes: vec!["outer".into(), "inner".into()],
        };
        assert_eq!(Error::from(record.clone()).to_record(), record);
    }
}
