//! A request, taken apart.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::answer::Refusal;

/// One request of the XML API, path-style.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// As it came, still encoded: signatures are about that.
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
    pub(super) query: BTreeMap<String, String>,
}

impl Call {
    pub(super) fn new(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        let path = uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let part = |text: &str| Ok::<_, Refusal>((!text.is_empty()).then_some(decode(text)?));
        let (bucket, key) = (part(bucket)?, part(key)?);
        let mut query = BTreeMap::new();
        for (name, value) in pairs(uri.query().unwrap_or_default()) {
            query.insert(decode(&name)?, decode(&value)?);
        }
        Ok(Self { method, uri, headers, body, bucket, key, query })
    }

    /// `x-goog-name`, or `x-amz-name` where the client speaks AWS's dialect.
    pub(super) fn cloud_header(&self, name: &str) -> Option<&str> {
        ["x-goog-", "x-amz-"].iter().find_map(|prefix| self.header(&format!("{prefix}{name}")))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The bucket's and the object's name, for what needs both.
    pub(super) fn object(&self) -> Result<(&str, &str), Refusal> {
        match (&self.bucket, &self.key) {
            (Some(bucket), Some(key)) => Ok((bucket, key)),
            _ => Err(Refusal::invalid("The request names no object.")),
        }
    }

    /// What it is for, in the words of the documentation, and how it is charged.
    pub(super) fn operation(&self) -> (&'static str, Class) {
        let upload = self.query.contains_key("uploadId");
        match (self.method.as_str(), self.bucket.is_some(), self.key.is_some()) {
            ("GET", false, _) => ("list buckets", Class::A),
            ("PUT", true, false) => ("create bucket", Class::A),
            ("GET" | "HEAD", true, false) => ("list objects", Class::A),
            ("GET", true, true) => ("get object", Class::B),
            ("HEAD", true, true) => ("head object", Class::B),
            ("PUT", true, true) if upload => ("upload part", Class::A),
            ("PUT", true, true) if self.cloud_header("copy-source").is_some() => ("copy object", Class::A),
            ("PUT", true, true) => ("put object", Class::A),
            ("POST", true, true) if upload => ("complete upload", Class::A),
            ("POST", true, true) => ("initiate upload", Class::A),
            ("DELETE", true, true) if upload => ("abort upload", Class::Free),
            ("DELETE", ..) => ("delete object", Class::Free),
            _ => ("other", Class::A),
        }
    }
}

/// How the service charges a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    A,
    B,
    Free,
}

/// The parts of a query, still encoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(name, value)| (spaced(name), spaced(value)))
}

fn spaced(text: &str) -> String {
    text.replace('+', "%20")
}

fn decode(text: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(String::from).map_err(|_| Refusal::invalid("A name is not UTF-8."))
}
