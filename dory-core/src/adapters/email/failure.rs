//! What a mail server said, as an error.

use std::error::Error as _;
use std::io;

use lettre::transport::smtp::Error as SmtpError;

use crate::domain::contact::SmtpUrl;
use crate::error::{Error, ErrorKind};

/// What `error` means to whoever sends. The server's own words are in it.
pub(super) fn of(error: &SmtpError, server: &SmtpUrl) -> Error {
    let words = error.source().map(|source| source.to_string().trim().to_owned()).unwrap_or_default();
    let failed =
        |kind, reason: String| Error::new(kind, "send mail by", format!("{}:{}", server.host, server.port), reason);
    if let Some(code) = error.status() {
        let code = code.to_string();
        let said = format!("it refused: {code} {words}");
        let may_not = matches!(code.as_str(), "530" | "534" | "535" | "538") || words.starts_with("5.7.");
        return match (code.starts_with('4'), may_not) {
            (true, _) => failed(ErrorKind::Unavailable, said),
            (false, true) => failed(ErrorKind::PermissionDenied, said)
                .with_hint("check mail.smtp and mail.from with `dory settings`, and set mail.password anew"),
            (false, false) => {
                failed(ErrorKind::InvalidInput, said).with_hint("check the addresses with `dory settings`")
            }
        };
    }
    if error.is_timeout() {
        return failed(ErrorKind::Unavailable, "it did not answer in time".to_owned());
    }
    if error.is_tls() || is_about_certificates(error) {
        return failed(ErrorKind::PermissionDenied, "no trusted TLS connection comes about".to_owned())
            .with_root_of(error)
            .with_hint(
                "name the host as its certificate does; `smtps://` speaks TLS at once, `smtp://` after STARTTLS",
            );
    }
    if error.is_client() || error.is_response() {
        return failed(ErrorKind::InvalidInput, format!("it cannot do what is needed: {words}"))
            .with_hint("`smtps://` speaks TLS at once, `smtp://` after STARTTLS, which the server must offer");
    }
    failed(ErrorKind::Unavailable, "it cannot be reached".to_owned()).with_root_of(error)
}

/// rustls tells of a handshake that failed as of data that makes no sense.
fn is_about_certificates(error: &SmtpError) -> bool {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData))
}
