//! Checks V4 signatures in the `Authorization` header, from what came over the wire.
//!
//! Written from the documents and not from Dory's signer, so that a mistake there shows here:
//! <https://cloud.google.com/storage/docs/authentication/signatures> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use super::call::{Call, pairs};
use super::checksum::hex;

/// The furthest a request's time may be from the server's.
const SKEW_SECONDS: i64 = 15 * 60;

/// An `Authorization` header of one of the two dialects.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    dialect: Dialect,
    pub(super) key_id: &'a str,
    day: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Google,
    Amazon,
}

impl Dialect {
    fn prefix(self) -> &'static str {
        match self {
            Self::Google => "x-goog-",
            Self::Amazon => "x-amz-",
        }
    }

    fn terminator(self) -> &'static str {
        match self {
            Self::Google => "goog4_request",
            Self::Amazon => "aws4_request",
        }
    }
}

impl<'a> Presented<'a> {
    /// Reads `GOOG4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`; `None` for another scheme.
    pub(super) fn read(authorization: &'a str) -> Option<Result<Self, Refusal>> {
        let (scheme, rest) = authorization.split_once(' ')?;
        let dialect = match scheme {
            "GOOG4-HMAC-SHA256" => Dialect::Google,
            "AWS4-HMAC-SHA256" => Dialect::Amazon,
            _ => return None,
        };
        Some(Self::fields(dialect, rest).ok_or_else(malformed))
    }

    fn fields(dialect: Dialect, rest: &'a str) -> Option<Self> {
        let field =
            |name: &str| rest.split(',').map(str::trim).find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let mut scope = field("Credential")?.rsplitn(5, '/');
        let terminator = scope.next()?;
        let (service, region, day, key_id) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
        let right_service = match dialect {
            Dialect::Google => "storage",
            Dialect::Amazon => "s3",
        };
        let signed_headers = field("SignedHeaders")?.split(';').collect();
        let signature = field("Signature")?;
        (terminator == dialect.terminator() && service == right_service).then_some(Self {
            dialect,
            key_id,
            day,
            region,
            service,
            signed_headers,
            signature,
        })
    }

    /// Whether `secret` made this signature of `call`, not long before or after `now`.
    pub(super) fn check(&self, call: &Call, secret: &str, now: Timestamp) -> Result<(), Refusal> {
        self.only_one_dialect(call)?;
        let time = call.cloud_header("date").ok_or_else(malformed)?;
        self.fresh(time, now)?;
        self.everything_signed(call)?;
        let canonical = self.canonical_request(call, &payload(call)?)?;
        let digest = hex(&Sha256::digest(&canonical));
        let Self { day, region, service, .. } = self;
        let (name, terminator) = match self.dialect {
            Dialect::Google => ("GOOG4", "goog4_request"),
            Dialect::Amazon => ("AWS4", "aws4_request"),
        };
        let text = format!("{name}-HMAC-SHA256\n{time}\n{day}/{region}/{service}/{terminator}\n{digest}");
        let mut key = format!("{name}{secret}").into_bytes();
        for word in [*day, *region, *service, terminator] {
            key = hmac_sha256(&key, word);
        }
        if hex(&hmac_sha256(&key, &text)) == self.signature {
            return Ok(());
        }
        let message = "The request signature we calculated does not match the signature you provided. \
                       Check your Google secret key and signing method.";
        Err(Refusal::new(403, "SignatureDoesNotMatch", message)
            .with("StringToSign", &text)
            .with("CanonicalRequest", &canonical))
    }

    /// The service refuses requests that carry headers of both clouds.
    fn only_one_dialect(&self, call: &Call) -> Result<(), Refusal> {
        let foreign = match self.dialect {
            Dialect::Google => Dialect::Amazon.prefix(),
            Dialect::Amazon => Dialect::Google.prefix(),
        };
        if call.headers.keys().any(|name| name.as_str().starts_with(foreign)) {
            let message = "Multiple headers of both x-goog- and x-amz- were found; only one kind may be used.";
            return Err(Refusal::new(400, "ExcessHeaderValues", message));
        }
        Ok(())
    }

    fn fresh(&self, time: &str, now: Timestamp) -> Result<(), Refusal> {
        let broken_down = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", time).and_then(|parts| parts.to_datetime());
        let then = broken_down.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC)).map_err(|_| malformed())?;
        if !time.starts_with(self.day) {
            return Err(malformed());
        }
        if (then.timestamp().as_second() - now.as_second()).abs() > SKEW_SECONDS {
            let message = "The difference between the request time and the current time is too large.";
            return Err(Refusal::new(403, "RequestTimeTooSkewed", message));
        }
        Ok(())
    }

    /// The host and every header of the cloud's own must be under the signature.
    fn everything_signed(&self, call: &Call) -> Result<(), Refusal> {
        let own =
            call.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with(self.dialect.prefix()));
        for name in own.chain(["host"]) {
            if !self.signed_headers.contains(&name) {
                let details = format!("the header {name} is not signed");
                return Err(Refusal::access_denied(&details));
            }
        }
        Ok(())
    }

    fn canonical_request(&self, call: &Call, payload: &str) -> Result<String, Refusal> {
        let mut lines = vec![call.method.to_string(), reencode(call.uri.path(), true)];
        let mut query: Vec<String> = pairs(call.uri.query().unwrap_or_default())
            .map(|(name, value)| format!("{}={}", reencode(&name, false), reencode(&value, false)))
            .collect();
        query.sort();
        lines.push(query.join("&"));
        for name in &self.signed_headers {
            let values: Vec<_> =
                call.headers.get_all(*name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
            if values.is_empty() {
                return Err(malformed());
            }
            let trimmed: Vec<_> =
                values.iter().map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            lines.push(format!("{name}:{}", trimmed.join(",")));
        }
        lines.push(String::new());
        lines.push(self.signed_headers.join(";"));
        lines.push(payload.to_owned());
        Ok(lines.join("\n"))
    }
}

fn malformed() -> Refusal {
    Refusal::new(403, "InvalidSecurity", "The provided security credentials are not valid.")
        .with("Details", "Incorrect Authorization header")
}

/// What stands for the body: the digest that the header names, which must be the body's, or that it is unsigned.
fn payload(call: &Call) -> Result<String, Refusal> {
    let digest = hex(&Sha256::digest(&call.body));
    match call.cloud_header("content-sha256") {
        None => Ok(digest),
        Some("UNSIGNED-PAYLOAD") => Ok("UNSIGNED-PAYLOAD".to_owned()),
        Some(named) if named == digest => Ok(digest),
        Some(named) if named.starts_with("STREAMING-") => {
            Err(Refusal::new(501, "NotImplemented", "Chunked signatures are not supported."))
        }
        Some(_) => Err(Refusal::new(400, "ContentSHA256Mismatch", "The body is not what its SHA-256 says.")),
    }
}

/// Unreserved characters as they are, everything else as upper-case hex, whatever the client chose to encode.
fn reencode(text: &str, is_path: bool) -> String {
    let mut out = String::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or(b'%')
            }
            other => other,
        };
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if is_path => out.push('/'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, Method};

    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn call(method: Method, target: &str, headers: &[(&'static str, &str)], body: &'static str) -> Call {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Call::new(method, target.parse().unwrap(), HeaderMap::from_iter(headers), Bytes::from_static(body.as_bytes()))
            .unwrap()
    }

    fn check(call: &Call, secret: &str, at: &str) -> Result<(), String> {
        let presented = Presented::read(call.header("authorization").unwrap()).unwrap().unwrap();
        presented.check(call, secret, at.parse().unwrap()).map_err(|refusal| format!("{refusal:?}"))
    }

    /// "Examples: Signature Calculations", Amazon S3 API Reference, sig-v4-header-based-auth.html.
    #[test]
    fn aws_examples_are_accepted_and_nothing_else() {
        const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let with = |signed: &str, signature: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                 SignedHeaders={signed},Signature={signature}"
            )
        };
        let (host, date) = (("host", "examplebucket.s3.amazonaws.com"), ("x-amz-date", "20130524T000000Z"));
        let empty = ("x-amz-content-sha256", EMPTY);
        let noon = "2013-05-24T00:10:00Z";

        let range = with(
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        let get = [host, date, empty, ("range", "bytes=0-9"), ("authorization", &range)];
        let get = call(Method::GET, "/test.txt", &get, "");
        assert_eq!(check(&get, SECRET, noon), Ok(()));
        assert!(check(&get, "another", noon).unwrap_err().contains("SignatureDoesNotMatch"));
        assert!(check(&get, SECRET, "2013-05-24T00:20:00Z").unwrap_err().contains("RequestTimeTooSkewed"));

        let put = with(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        let welcome = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let headers = [
            host,
            date,
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-content-sha256", welcome),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("authorization", &put),
        ];
        for target in ["/test$file.text", "/test%24file.text", "/test%24file%2etext"] {
            assert_eq!(check(&call(Method::PUT, target, &headers, "Welcome to Amazon S3."), SECRET, noon), Ok(()));
        }
        let tampered = call(Method::PUT, "/test$file.text", &headers, "Welcome to Amazon S4.");
        assert!(check(&tampered, SECRET, noon).unwrap_err().contains("ContentSHA256Mismatch"));

        let plain = "host;x-amz-content-sha256;x-amz-date";
        for (target, signature) in [
            ("/?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            ("/?prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            let authorization = with(plain, signature);
            let get = call(Method::GET, target, &[host, date, empty, ("authorization", &authorization)], "");
            assert_eq!(check(&get, SECRET, noon), Ok(()), "{target}");
        }
    }

    /// Vectors of two signers that are used against Google: lua-resty-aws-signature's `gcs-signature` tests, and
    /// ClickHouse's `gtest_goog4_signer`, which its header says was validated against the live service.
    #[test]
    fn google_vectors_are_accepted_and_nothing_else() {
        let unsigned = ("x-goog-content-sha256", "UNSIGNED-PAYLOAD");
        let authorization = "GOOG4-HMAC-SHA256 Credential=XXXXX/20241121/auto/storage/goog4_request,\
                             SignedHeaders=host;x-goog-content-sha256;x-goog-date,\
                             Signature=528346f587a0b46433f92d583f3148b88a5117bf26131f328553789feb433028";
        let lua =
            [("host", "example.com"), ("x-goog-date", "20241121T023539Z"), unsigned, ("authorization", authorization)];
        assert_eq!(check(&call(Method::GET, "/foo/bar", &lua, ""), "YYYYY", "2024-11-21T02:35:39Z"), Ok(()));

        let authorization = "GOOG4-HMAC-SHA256 Credential=GOOGTESTACCESSKEY/20260703/auto/storage/goog4_request, \
                             SignedHeaders=host;x-goog-content-sha256;x-goog-date;x-goog-if-generation-match, \
                             Signature=4f82e49c69753329afd4768ccf1db6b472dbbd86d082a08b5b9f9fe368fb6ef6";
        let mut clickhouse = vec![
            ("host", "storage.googleapis.com"),
            ("x-goog-date", "20260703T000000Z"),
            unsigned,
            ("x-goog-if-generation-match", "0"),
            ("authorization", authorization),
        ];
        let check = |headers: &[(&'static str, &str)]| {
            let put = call(Method::PUT, "/test-bucket/dir/obj.txt", headers, "any body");
            check(&put, "testsecretkey", "2026-07-03T00:00:01Z")
        };
        assert_eq!(check(&clickhouse), Ok(()));
        clickhouse.push(("x-goog-meta-a", "b"));
        assert!(check(&clickhouse).unwrap_err().contains("not signed"));
        *clickhouse.last_mut().unwrap() = ("x-amz-meta-a", "b");
        assert!(check(&clickhouse).unwrap_err().contains("ExcessHeaderValues"));
        clickhouse.pop();
        clickhouse[3] = ("x-goog-if-generation-match", "1");
        assert!(check(&clickhouse).unwrap_err().contains("SignatureDoesNotMatch"));
    }
}
