//! Lists of objects, in pages: `list-type=2` and its elder.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::answer::{Refusal, tag, xml};
use super::call::Call;
use super::state::{Object, State};

const LONGEST_PAGE: usize = 1_000;

pub(super) fn list(state: &mut State, call: &Call) -> Result<Response, Refusal> {
    let bucket = call.bucket.as_deref().unwrap_or_default();
    let objects = &state.bucket(bucket)?.objects;
    let query = |name: &str| call.query.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let longest = match query("max-keys").map(str::parse::<usize>) {
        None => LONGEST_PAGE,
        Some(Ok(number)) => number.min(LONGEST_PAGE),
        Some(Err(_)) => return Err(Refusal::invalid("max-keys takes a number.")),
    };
    let newer = query("list-type") == Some("2");
    let after = if newer {
        match query("continuation-token") {
            Some(token) => Some(from_token(token)?),
            None => query("start-after").map(str::to_owned),
        }
    } else {
        query("marker").map(str::to_owned)
    };
    let page = page(objects, query("prefix").unwrap_or_default(), query("delimiter"), after.as_deref(), longest);
    let encode = query("encoding-type") == Some("url");
    let name = |text: &str| if encode { url_encoded(text) } else { text.to_owned() };

    let mut out = tag("Name", bucket) + &tag("Prefix", &name(query("prefix").unwrap_or_default()));
    out += &tag("MaxKeys", &longest.to_string());
    out += &tag("IsTruncated", &page.next.is_some().to_string());
    if encode {
        out += &tag("EncodingType", "url");
    }
    if newer {
        out += &tag("KeyCount", &(page.objects.len() + page.prefixes.len()).to_string());
        out += &page.next.as_deref().map(|next| tag("NextContinuationToken", &token(next))).unwrap_or_default();
    } else {
        out += &page.next.as_deref().map(|next| tag("NextMarker", &name(next))).unwrap_or_default();
    }
    for (key, object) in page.objects {
        out += &contents(&name(key), object);
    }
    for prefix in page.prefixes {
        out += &format!("<CommonPrefixes>{}</CommonPrefixes>", tag("Prefix", &name(&prefix)));
    }
    let document = format!("<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>{out}</ListBucketResult>");
    Ok(xml(StatusCode::OK, &document))
}

struct Page<'a> {
    objects: Vec<(&'a str, &'a Object)>,
    prefixes: Vec<String>,
    /// The last name of this page, where there is another.
    next: Option<String>,
}

fn page<'a>(
    objects: &'a BTreeMap<String, Object>,
    prefix: &str,
    delimiter: Option<&str>,
    after: Option<&str>,
    longest: usize,
) -> Page<'a> {
    let mut page = Page { objects: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last: Option<String> = None;
    let start = after.filter(|after| *after >= prefix).map_or(Bound::Included(prefix), Bound::Excluded);
    for (key, object) in objects.range::<str, _>((start, Bound::Unbounded)) {
        if !key.starts_with(prefix) {
            break;
        }
        let rest = &key[prefix.len()..];
        let folder =
            delimiter.and_then(|mark| rest.find(mark).map(|at| key[..prefix.len() + at + mark.len()].to_owned()));
        if folder.is_some() && (folder == last || folder.as_deref() == after) {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == longest {
            page.next = last;
            break;
        }
        match folder {
            Some(folder) => {
                last = Some(folder.clone());
                page.prefixes.push(folder);
            }
            None => {
                last = Some(key.clone());
                page.objects.push((key, object));
            }
        }
    }
    page
}

fn contents(name: &str, object: &Object) -> String {
    let fields = [
        ("Key", name.to_owned()),
        ("Generation", object.generation.to_string()),
        ("MetaGeneration", "1".to_owned()),
        ("LastModified", object.modified.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
        ("ETag", object.etag.clone()),
        ("Size", object.bytes.len().to_string()),
    ];
    let fields: String = fields.iter().map(|(name, text)| tag(name, text)).collect();
    format!("<Contents>{fields}</Contents>")
}

/// Opaque, so that no client can live on its being a name.
fn token(name: &str) -> String {
    BASE64URL_NOPAD.encode(name.as_bytes())
}

fn from_token(token: &str) -> Result<String, Refusal> {
    let name = BASE64URL_NOPAD.decode(token.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Refusal::invalid("The continuation token is not one of ours."))
}

fn url_encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2F", "/")
}
