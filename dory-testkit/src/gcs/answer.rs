//! What goes back: XML documents, and errors as the service words them.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::CONTENT_TYPE;

/// A request that is not granted.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    details: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self { status, code, message, details: String::new() }
    }

    /// Adds an element that says more.
    pub(super) fn with(mut self, element: &str, text: &str) -> Self {
        self.details.push_str(&tag(element, text));
        self
    }

    pub(super) fn no_such_bucket() -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist.")
    }

    pub(super) fn no_such_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
            .with("Details", &format!("No such object: {key}"))
    }

    pub(super) fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold.";
        Self::new(412, "PreconditionFailed", message)
    }

    pub(super) fn access_denied(details: &str) -> Self {
        Self::new(403, "AccessDenied", "Access denied.").with("Details", details)
    }

    pub(super) fn slow_down(details: &str) -> Self {
        let message = "The object exceeded the rate limit for object mutation operations (create, update, and delete). \
                       Please reduce your request rate.";
        Self::new(429, "SlowDown", message).with("Details", details)
    }

    pub(super) fn invalid(message: &'static str) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    /// What any status says that a test asks for.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            429 => Self::slow_down("A test asked for it."),
            503 => Self::new(503, "ServiceUnavailable", "We encountered an internal error. Please try again."),
            500 => Self::new(500, "InternalError", "We encountered an internal error. Please try again."),
            403 => Self::access_denied("A test asked for it."),
            _ => Self::new(status, "TestFault", "A test asked for it."),
        }
    }

    pub(super) fn into_response(self) -> Response {
        let Self { status, code, message, details } = self;
        let inner = format!("{}{}{details}", tag("Code", code), tag("Message", message));
        xml(status, &format!("<Error>{inner}</Error>"))
    }
}

pub(super) fn xml(status: StatusCode, document: &str) -> Response {
    let text = format!("<?xml version='1.0' encoding='UTF-8'?>{document}");
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/xml; charset=UTF-8");
    response.body(Body::from(text)).unwrap()
}

pub(super) fn empty(status: StatusCode) -> Response {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

pub(super) fn tag(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
