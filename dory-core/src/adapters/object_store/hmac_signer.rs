//! Signs requests with Google Cloud Storage's interoperability keys: `GOOG4-HMAC-SHA256`, the V4 signing process.
//!
//! Google describes it under <https://cloud.google.com/storage/docs/authentication/signatures> and
//! <https://cloud.google.com/storage/docs/authentication/canonical-requests>. It is AWS's Signature Version 4 with
//! other names, so the tests pin the algorithm with AWS's published examples.

use std::fmt::{self, Debug};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, InvalidHeaderValue};
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use object_store::client::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

use crate::domain::secret::Secret;
use crate::ports::Clock;

/// The body stays out of the signature: TLS guards it, and packs are not read twice.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What stays as it is in a query: RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What stays as it is in a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// The words that tell one cloud's V4 signatures from another's.
struct Dialect {
    algorithm: &'static str,
    key_prefix: &'static str,
    header_prefix: &'static str,
    region: &'static str,
    service: &'static str,
    terminator: &'static str,
}

const GOOGLE: Dialect = Dialect {
    algorithm: "GOOG4-HMAC-SHA256",
    key_prefix: "GOOG4",
    header_prefix: "x-goog-",
    region: "auto",
    service: "storage",
    terminator: "goog4_request",
};

/// Puts a signature into each request.
pub(super) struct HmacSigner {
    key_id: String,
    secret: Secret,
    clock: Arc<dyn Clock>,
}

impl Debug for HmacSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacSigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// A request that cannot be signed: its URL or a header is malformed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignError {
    #[error("the request has no host")]
    NoHost,
    #[error("the request's URL cannot be written canonically")]
    Url(#[from] InvalidUri),
    #[error("a header to sign is not text")]
    Header(#[from] http::header::ToStrError),
    #[error("the access key cannot be sent in a header")]
    Value(#[from] InvalidHeaderValue),
}

impl HmacSigner {
    pub(super) fn new(key_id: String, secret: Secret, clock: Arc<dyn Clock>) -> Self {
        Self { key_id, secret, clock }
    }

    /// Signs `request`, replacing what it had for authorization. Its URL is rewritten in the canonical form, so
    /// that what is signed is what is sent, byte for byte.
    pub(super) fn sign(&self, request: &mut HttpRequest) -> Result<(), SignError> {
        let moment = Moment::at(self.clock.now());
        let host = request.uri().authority().ok_or(SignError::NoHost)?.as_str().to_owned();
        let path = canonical_path(request.uri().path());
        let query = canonical_query(request.uri().query().unwrap_or_default());
        *request.uri_mut() = rewritten(request.uri(), &path, &query)?;

        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        headers.insert(HeaderName::from_static("x-goog-date"), HeaderValue::from_str(&moment.time)?);
        headers.insert(HeaderName::from_static("x-goog-content-sha256"), HeaderValue::from_static(UNSIGNED_PAYLOAD));

        let signed = headers_to_sign(&GOOGLE, request.headers(), &host)?;
        let canonical = canonical_request(request.method().as_str(), &path, &query, &signed, UNSIGNED_PAYLOAD);
        let authorization = authorization(&GOOGLE, &self.key_id, &self.secret, &moment, &signed, &canonical);
        let mut value = HeaderValue::from_str(&authorization)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }
}

/// A moment as signatures write it, in UTC.
struct Moment {
    /// `20130524`
    day: String,
    /// `20130524T000000Z`
    time: String,
}

impl Moment {
    fn at(now: Timestamp) -> Self {
        Self { day: now.strftime("%Y%m%d").to_string(), time: now.strftime("%Y%m%dT%H%M%SZ").to_string() }
    }
}

fn canonical_path(path: &str) -> String {
    encode(path, PATH)
}

/// Decodes what is encoded and encodes what must be, so that two spellings of one text become the same.
fn encode(text: &str, keep: &'static AsciiSet) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    percent_encode(&bytes, keep).to_string()
}

/// Each name and value encoded, sorted by name, `name=` where there is no value.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        // A plus is a space in the form encoding that HTTP clients use for queries.
        .map(|(name, value)| (encode(&name.replace('+', " "), QUERY), encode(&value.replace('+', " "), QUERY)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn rewritten(uri: &Uri, path: &str, query: &str) -> Result<Uri, SignError> {
    let scheme = uri.scheme_str().unwrap_or("https");
    let authority = uri.authority().ok_or(SignError::NoHost)?;
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(format!("{scheme}://{authority}{path}{mark}{query}").parse()?)
}

/// The host, the content type, and every header of the cloud's own, sorted by name.
fn headers_to_sign(dialect: &Dialect, headers: &HeaderMap, host: &str) -> Result<Vec<(String, String)>, SignError> {
    let mut signed = vec![(HOST.as_str().to_owned(), host.to_owned())];
    for name in headers.keys() {
        if name == CONTENT_TYPE || name.as_str().starts_with(dialect.header_prefix) {
            let values: Result<Vec<_>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
            let values: Vec<_> = values?.into_iter().map(single_spaced).collect();
            signed.push((name.as_str().to_owned(), values.join(",")));
        }
    }
    signed.sort();
    Ok(signed)
}

fn single_spaced(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn names(signed: &[(String, String)]) -> String {
    signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

fn canonical_request(method: &str, path: &str, query: &str, signed: &[(String, String)], payload: &str) -> String {
    let headers: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    format!("{method}\n{path}\n{query}\n{headers}\n{}\n{payload}", names(signed))
}

fn authorization(
    dialect: &Dialect,
    key_id: &str,
    secret: &Secret,
    moment: &Moment,
    signed: &[(String, String)],
    canonical_request: &str,
) -> String {
    let Dialect { algorithm, region, service, terminator, .. } = dialect;
    let scope = format!("{}/{region}/{service}/{terminator}", moment.day);
    let digest = HEXLOWER.encode(&Sha256::digest(canonical_request));
    let text = format!("{algorithm}\n{}\n{scope}\n{digest}", moment.time);
    let signature = HEXLOWER.encode(&hmac(&signing_key(dialect, secret, &moment.day), &text));
    let names = names(signed);
    format!("{algorithm} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

/// The key of one day, one region and one service: what leaks with it is little.
fn signing_key(dialect: &Dialect, secret: &Secret, day: &str) -> [u8; 32] {
    let Dialect { key_prefix, region, service, terminator, .. } = dialect;
    let root = Secret::new(format!("{key_prefix}{}", secret.expose()));
    let of_the_day = hmac(root.expose().as_bytes(), day);
    [region, service, terminator].into_iter().fold(of_the_day, |key, word| hmac(&key, word))
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else {
        unreachable!("an HMAC takes a key of any length");
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;

    /// The names of AWS's examples, "Signature Calculations for the Authorization Header", Amazon S3 API Reference:
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
    const AMAZON: Dialect = Dialect {
        algorithm: "AWS4-HMAC-SHA256",
        key_prefix: "AWS4",
        header_prefix: "x-amz-",
        region: "us-east-1",
        service: "s3",
        terminator: "aws4_request",
    };
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HOST_OF_EXAMPLES: &str = "examplebucket.s3.amazonaws.com";

    fn published(method: &str, path: &str, query: &str, headers: &[(&str, &str)], payload: &str) -> String {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let moment = Moment::at("2013-05-24T00:00:00Z".parse().unwrap());
        let signed: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = canonical_request(method, &canonical_path(path), &canonical_query(query), &signed, payload);
        let authorization = authorization(&AMAZON, "AKIAIOSFODNN7EXAMPLE", &secret, &moment, &signed, &request);
        authorization.rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn signatures_are_those_that_aws_publishes() {
        let dated = ("x-amz-date", "20130524T000000Z");
        let host = ("host", HOST_OF_EXAMPLES);
        let empty = ("x-amz-content-sha256", EMPTY);
        assert_eq!(
            published("GET", "/test.txt", "", &[host, ("range", "bytes=0-9"), empty, dated], EMPTY),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let put = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", welcome),
            dated,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        assert_eq!(
            published("PUT", "/test$file.text", "", &put, welcome),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            published("GET", "/", "lifecycle", &[host, empty, dated], EMPTY),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            published("GET", "/", "prefix=J&max-keys=2", &[host, empty, dated], EMPTY),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    /// A clock that stands.
    #[derive(Debug)]
    struct At(&'static str);

    #[async_trait]
    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0.parse().unwrap()
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }

        async fn sleep(&self, _: Duration) {}
    }

    fn signed(key: (&str, &str), at: &'static str, request: http::request::Builder) -> HttpRequest {
        let signer = HmacSigner::new(key.0.into(), Secret::new(key.1), Arc::new(At(at)));
        let mut request = request.body(Vec::new().into()).unwrap();
        signer.sign(&mut request).unwrap();
        request
    }

    fn signature(request: &HttpRequest) -> &str {
        request.headers()[AUTHORIZATION].to_str().unwrap().rsplit_once("Signature=").unwrap().1
    }

    /// From the tests of two signers that are in use against Google: lua-resty-aws-signature's `gcs-signature` and
    /// ClickHouse's `gtest_goog4_signer`.
    #[test]
    fn signatures_are_those_of_signers_that_google_accepts() {
        let get = http::Request::get("https://example.com/foo/bar");
        let request = signed(("XXXXX", "YYYYY"), "2024-11-21T02:35:39Z", get);
        assert_eq!(
            request.headers()[AUTHORIZATION],
            "GOOG4-HMAC-SHA256 Credential=XXXXX/20241121/auto/storage/goog4_request, \
             SignedHeaders=host;x-goog-content-sha256;x-goog-date, \
             Signature=528346f587a0b46433f92d583f3148b88a5117bf26131f328553789feb433028"
        );

        let key = ("GOOGTESTACCESSKEY", "testsecretkey");
        let put = http::Request::put("https://storage.googleapis.com/test-bucket/dir/obj.txt")
            .header("x-goog-if-generation-match", "0");
        assert_eq!(
            signature(&signed(key, "2026-07-03T00:00:00Z", put)),
            "4f82e49c69753329afd4768ccf1db6b472dbbd86d082a08b5b9f9fe368fb6ef6"
        );
        let get = http::Request::get("https://storage.googleapis.com/test-bucket/?versioning");
        assert_eq!(
            signature(&signed(key, "2026-07-03T00:00:00Z", get)),
            "28a981c32acff334738b9ea1a0f82c28c9a1ccff5b6dc8fb92a2e6622c8db73f"
        );
    }

    #[test]
    fn what_is_sent_is_what_was_signed() {
        let put = http::Request::put("https://host:4443/bucket/a%2Fb%2Ejson?uploads=&z=1%2B1&a=x+y")
            .header(AUTHORIZATION, "Bearer replaced");
        let request = signed(("key", "secret"), "2024-11-21T02:35:39Z", put);
        assert_eq!(request.uri(), "https://host:4443/bucket/a/b.json?a=x%20y&uploads=&z=1%2B1");
        assert_eq!(request.headers().get_all(AUTHORIZATION).iter().count(), 1);
        assert!(!format!("{:?}", request.headers()).contains("Signature"), "the signature shows in debug output");
    }
}
