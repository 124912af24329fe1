//! Objects in parts: initiate, upload, complete, abort.

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::ETAG;

use super::answer::{Refusal, empty, tag, xml};
use super::call::Call;
use super::checksum::{crc32c_base64, hex, md5};
use super::object_calls::labels;
use super::state::{Labels, State, Upload};

/// What every part but the last must reach.
const SMALLEST_PART: usize = 5 << 20;

pub(super) fn initiate(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    let id = state.next_upload();
    let Labels { content, metadata } = labels(call);
    let upload = Upload { key: key.to_owned(), content, metadata, parts: Default::default() };
    state.bucket(bucket)?.uploads.insert(id.clone(), upload);
    let inner = tag("Bucket", bucket) + &tag("Key", key) + &tag("UploadId", &id);
    Ok(xml(StatusCode::OK, &format!("<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>")))
}

pub(super) fn upload_part(state: &mut State, call: &Call, id: &str) -> Result<Response, Refusal> {
    let number = call.query.get("partNumber").and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..=10_000).contains(number));
    let number: u32 = number.ok_or_else(|| Refusal::invalid("partNumber is from 1 to 10000."))?;
    under_way(state, call, id)?.parts.insert(number, call.body.clone());
    let response = Response::builder().header(ETAG, etag(&call.body));
    Ok(response.body(Body::empty()).unwrap())
}

pub(super) fn complete(state: &mut State, call: &Call, id: &str) -> Result<Response, Refusal> {
    let (bucket, key) = call.object()?;
    let upload = under_way(state, call, id)?;
    let named = named_parts(&String::from_utf8_lossy(&call.body))?;
    let parts = chosen(upload, &named)?;
    let labels = Labels { content: upload.content.clone(), metadata: upload.metadata.clone() };
    state.admit(bucket, key, call.cloud_header("if-generation-match"))?;
    let mut bytes = BytesMut::new();
    let mut digests = Vec::new();
    for part in &parts {
        bytes.extend_from_slice(part);
        digests.extend_from_slice(&md5(part));
    }
    let etag = format!("\"{}-{}\"", hex(&md5(&digests)), parts.len());
    let hashes = vec![format!("crc32c={}", crc32c_base64(&bytes))];
    let generation = state.store_as(bucket, key, bytes.freeze(), labels, etag.clone(), hashes)?.generation;
    state.bucket(bucket)?.uploads.remove(id);
    let inner = tag("Bucket", bucket) + &tag("Key", key) + &tag("ETag", &etag);
    let document = format!("<CompleteMultipartUploadResult>{inner}</CompleteMultipartUploadResult>");
    let mut response = xml(StatusCode::OK, &document);
    response.headers_mut().insert("x-goog-generation", generation.into());
    Ok(response)
}

pub(super) fn abort(state: &mut State, call: &Call, id: &str) -> Result<Response, Refusal> {
    under_way(state, call, id)?;
    let (bucket, _) = call.object()?;
    state.bucket(bucket)?.uploads.remove(id);
    Ok(empty(StatusCode::NO_CONTENT))
}

fn under_way<'a>(state: &'a mut State, call: &Call, id: &str) -> Result<&'a mut Upload, Refusal> {
    let (bucket, key) = call.object()?;
    let upload = state.bucket(bucket)?.uploads.get_mut(id).filter(|upload| upload.key == key);
    upload.ok_or_else(|| Refusal::new(404, "NoSuchUpload", "The specified upload does not exist."))
}

/// The parts in the order of their numbers, each with the ETag that its upload gave.
fn chosen(upload: &Upload, named: &[(u32, String)]) -> Result<Vec<Bytes>, Refusal> {
    if !named.is_sorted_by(|one, other| one.0 < other.0) || named.is_empty() {
        return Err(Refusal::new(400, "InvalidPartOrder", "The parts are not in ascending order."));
    }
    let invalid = || Refusal::new(400, "InvalidPart", "A part was not uploaded, or its ETag differs.");
    let mut parts = Vec::new();
    for (number, named_etag) in named {
        let part = upload.parts.get(number).ok_or_else(invalid)?;
        if etag(part).trim_matches('"') != named_etag.trim_matches('"') {
            return Err(invalid());
        }
        parts.push(part.clone());
    }
    if parts.iter().rev().skip(1).any(|part| part.len() < SMALLEST_PART) {
        return Err(Refusal::new(400, "EntityTooSmall", "A part other than the last is smaller than 5 MiB."));
    }
    Ok(parts)
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&md5(bytes)))
}

fn named_parts(document: &str) -> Result<Vec<(u32, String)>, Refusal> {
    let malformed = || Refusal::new(400, "MalformedCompleteMultipartUploadRequest", "The document is malformed.");
    let between = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim().replace("&quot;", "\""))
    };
    let part = |text: &str| Some((between(text, "PartNumber")?.parse().ok()?, between(text, "ETag")?));
    document.split("<Part>").skip(1).map(|text| part(text).ok_or_else(malformed)).collect()
}
