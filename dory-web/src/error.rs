//! The one table from failures to HTTP, and what becomes of them on the wire.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use dory_core::{Error, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// What a handler gives.
pub(crate) type Reply = Result<Response, Failure>;

/// Why there is nothing to show.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A service failed.
    Core(Error),
    /// The request is refused before any service is asked.
    Refused(Refusal),
}

/// A request that is refused.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
    /// After how many seconds it may be tried again.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), hint: None, retry_after: None }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The status for each kind of error.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Cancelled => StatusCode::CONFLICT,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::PermissionDenied | ErrorKind::WrongKey => StatusCode::FORBIDDEN,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Full => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::HookFailed => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Core(error) => status_of(error.kind()),
            Self::Refused(refusal) => refusal.status,
        }
    }

    /// What failed, in one line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Core(error) => error.to_string(),
            Self::Refused(refusal) => refusal.reason.clone(),
        }
    }

    /// What to do about it, where known.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Refused(refusal) => refusal.hint.as_deref(),
        }
    }

    /// The causes, nearest first.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Core(error) => error.causes(),
            Self::Refused(_) => Vec::new(),
        }
    }

    /// As an error of a service's, for the record.
    pub(crate) fn as_record(&self) -> dory_core::ErrorRecord {
        match self {
            Self::Core(error) => error.to_record(),
            Self::Refused(refusal) => {
                Error::new(ErrorKind::PermissionDenied, "answer", "", &refusal.reason).to_record()
            }
        }
    }

    /// As RFC 9457 has it.
    pub(crate) fn into_problem(self) -> Response {
        let status = self.status();
        let kind = match &self {
            Self::Core(error) => {
                serde_json::to_value(error.kind()).ok().and_then(|kind| kind.as_str().map(str::to_owned))
            }
            Self::Refused(_) => None,
        };
        let problem = Problem {
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: self.words(),
            kind,
            hint: self.hint().map(str::to_owned),
            causes: self.causes(),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        self.mark(&mut response);
        response
    }

    /// Sets the headers that go with it.
    pub(crate) fn mark(&self, response: &mut Response) {
        let Self::Refused(refusal) = self else { return };
        if let Some(seconds) = refusal.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if refusal.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
        }
    }
}

/// What went wrong, as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What failed, in one line.
    detail: String,
    /// What a program can do about it: `not-found`, `conflict`, `unavailable`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// A command to run or a setting to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The causes, nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_a_failure_on_the_wire() {
        for kind in ErrorKind::ALL {
            let status = status_of(kind);
            assert!(status.is_client_error() || status.is_server_error(), "{kind:?}");
        }
        assert_eq!(status_of(ErrorKind::NotFound), StatusCode::NOT_FOUND);
        assert_eq!(status_of(ErrorKind::Internal), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
