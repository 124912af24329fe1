//! Objects: put, get, head, delete, copy.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::response::Builder;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{Refusal, empty, tag, xml};
use super::call::Call;
use super::checksum::{base64, md5};
use super::state::{Labels, Object, State};

/// Headers that are kept with an object and given back with it.
const CONTENT: [&str; 5] =
    ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language"];
const IF_GENERATION: &str = "if-generation-match";

pub(super) fn put(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    if call.header("content-md5").is_some_and(|named| named != base64(&md5(&call.body))) {
        return Err(Refusal::new(400, "BadDigest", "The Content-MD5 you specified did not match what we received."));
    }
    state.admit(bucket, key, call.cloud_header(IF_GENERATION))?;
    let object = state.store(bucket, key, call.body.clone(), labels(call))?;
    Ok(described(Response::builder(), object, call).body(Body::empty()).unwrap())
}

pub(super) fn copy(state: &mut State, call: &Call, source: &str) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    let source = percent_decode_str(source.trim_start_matches('/')).decode_utf8_lossy().into_owned();
    let (from_bucket, from_key) =
        source.split_once('/').ok_or_else(|| Refusal::invalid("The source names no object."))?;
    let found = state.find(from_bucket, from_key)?;
    state.admit(bucket, key, call.cloud_header(IF_GENERATION))?;
    let labels = Labels { content: found.content, metadata: found.metadata };
    let object = state.store_as(bucket, key, found.bytes, labels, found.etag, found.hashes)?;
    let modified = object.modified.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    let document =
        format!("<CopyObjectResult>{}{}</CopyObjectResult>", tag("ETag", &object.etag), tag("LastModified", &modified));
    let mut response = xml(StatusCode::OK, &document);
    response.headers_mut().insert("x-goog-generation", object.generation.into());
    Ok(response)
}

pub(super) fn get(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    let object = state.find(bucket, key)?;
    if call.query.get("generation").is_some_and(|wanted| *wanted != object.generation.to_string()) {
        return Err(Refusal::no_such_key(key));
    }
    if let Some(outcome) = condition(call, &object) {
        return outcome;
    }
    let total = object.bytes.len();
    let (status, bytes, range) = match call.header("range").map(|text| range(text, total)) {
        None => (StatusCode::OK, object.bytes.clone(), None),
        Some(Some((start, end))) => (
            StatusCode::PARTIAL_CONTENT,
            object.bytes.slice(start..end),
            Some(format!("bytes {start}-{}/{total}", end - 1)),
        ),
        Some(None) => return Err(Refusal::new(416, "InvalidRange", "The requested range cannot be satisfied.")),
    };
    let mut response = described(Response::builder().status(status), &object, call).header(ACCEPT_RANGES, "bytes");
    if !object.content.iter().any(|(name, _)| name == CONTENT_TYPE.as_str()) {
        response = response.header(CONTENT_TYPE, "application/octet-stream");
    }
    for (name, value) in &object.content {
        response = response.header(name, value);
    }
    if let Some(range) = range {
        response = response.header(CONTENT_RANGE, range);
    }
    let bytes = if call.method == Method::HEAD {
        response = response.header(CONTENT_LENGTH, bytes.len());
        Bytes::new()
    } else {
        bytes
    };
    Ok(response.body(Body::from(bytes)).unwrap())
}

/// The outcome of a read whose conditions do not hold (RFC 9110, 13.2.2); `None` where they do.
fn condition(call: &Call, object: &Object) -> Option<Result<Response, Refusal>> {
    let names_it = |etags: &str| etags.split(',').any(|etag| matches!(etag.trim(), "*") || etag.trim() == object.etag);
    let changed_since = |text: &str| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(object.modified.as_second() > date.timestamp().as_second())
    };
    let named = |header: HeaderName| call.header(header.as_str());
    let failed = match (call.cloud_header(IF_GENERATION), named(IF_MATCH), named(IF_UNMODIFIED_SINCE)) {
        (Some(wanted), ..) => wanted != object.generation.to_string(),
        (_, Some(etags), _) => !names_it(etags),
        (_, _, Some(date)) => changed_since(date) == Some(true),
        _ => false,
    };
    if failed {
        return Some(Err(Refusal::precondition_failed()));
    }
    let unmodified = match (named(IF_NONE_MATCH), named(IF_MODIFIED_SINCE)) {
        (Some(etags), _) => names_it(etags),
        (_, Some(date)) => changed_since(date) == Some(false),
        _ => false,
    };
    unmodified.then(|| Ok(empty(StatusCode::NOT_MODIFIED)))
}

pub(super) fn delete(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    state.find(bucket, key)?;
    state.admit(bucket, key, call.cloud_header(IF_GENERATION))?;
    state.bucket(bucket)?.objects.remove(key);
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) fn labels(call: &Call) -> Labels {
    let content = CONTENT.iter().filter_map(|name| Some(((*name).to_owned(), call.header(name)?.to_owned()))).collect();
    let own = |name: &str| {
        let rest = name.strip_prefix("x-goog-meta-").or_else(|| name.strip_prefix("x-amz-meta-"))?;
        Some((rest.to_owned(), call.header(name)?.to_owned()))
    };
    let metadata = call.headers.keys().filter_map(|name| own(name.as_str())).collect();
    Labels { content, metadata }
}

/// What is said of an object after every read and write, with metadata in the caller's dialect.
pub(super) fn described(response: Builder, object: &Object, call: &Call) -> Builder {
    let amazon = call.header("authorization").is_some_and(|text| text.starts_with("AWS4"));
    let prefix = if amazon { "x-amz-meta-" } else { "x-goog-meta-" };
    let mut response = response
        .header(ETAG, &object.etag)
        .header(LAST_MODIFIED, object.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .header("x-goog-generation", object.generation)
        .header("x-goog-metageneration", 1)
        .header("x-goog-stored-content-length", object.bytes.len());
    for hash in &object.hashes {
        response = response.header("x-goog-hash", hash);
    }
    for (name, value) in &object.metadata {
        response = response.header(format!("{prefix}{name}"), value);
    }
    response
}

/// `bytes=a-b`, `bytes=a-` or `bytes=-n` as a half-open range; `None` where it lies outside.
fn range(text: &str, total: usize) -> Option<(usize, usize)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start.parse::<usize>(), end.parse::<usize>()) {
        (Ok(start), Ok(end)) => (start, end.saturating_add(1).min(total)),
        (Ok(start), Err(_)) => (start, total),
        (Err(_), Ok(length)) => (total.saturating_sub(length), total),
        (Err(_), Err(_)) => return None,
    };
    (start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=5-", Some((5, 100))),
            ("bytes=-7", Some((93, 100))),
            ("bytes=90-1000", Some((90, 100))),
            ("bytes=-1000", Some((0, 100))),
            ("bytes=100-", None),
            ("bytes=-0", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(range(text, 100), expected, "{text}");
        }
    }
}
