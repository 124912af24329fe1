//! The one place where bollard's errors become Dory's.

use std::error::Error as StdError;
use std::io;

use bollard::errors::Error as Bollard;

use super::connect::DockerAddress;
use crate::error::{Error, ErrorKind};

/// Translates `error`, which came up while doing `operation` on `subject`.
///
/// Where the engine itself was not reached, the error is about its address instead.
pub(super) fn translate(address: &DockerAddress, operation: &str, subject: &str, error: Bollard) -> Error {
    match &error {
        Bollard::DockerResponseServerError { status_code, message } => {
            let (kind, reason) = refused(*status_code, message);
            Error::new(kind, operation, subject, reason).with_source(error)
        }
        Bollard::DockerStreamError { error: message } | Bollard::DockerContainerWaitError { error: message, .. } => {
            let (kind, reason) = refused(500, message);
            Error::new(kind, operation, subject, reason).with_source(error)
        }
        Bollard::RequestTimeoutError => {
            not_reached(address, ErrorKind::Unavailable, "it did not answer in time", &error)
        }
        Bollard::SocketNotFoundError(_) => no_socket(address, &error),
        Bollard::CertPathError { .. } | Bollard::CertParseError { .. } | Bollard::CertMultipleKeys { .. } => {
            let reason = "its certificates cannot be used";
            Error::new(ErrorKind::InvalidInput, "reach docker", address.to_string(), reason)
                .with_source(error)
                .with_hint("put `ca.pem`, `cert.pem` and `key.pem` into the folder that DOCKER_CERT_PATH names")
        }
        Bollard::IOError { .. } | Bollard::HyperLegacyError { .. } | Bollard::HyperResponseError { .. } => {
            disconnected(address, &error)
        }
        _ => Error::new(ErrorKind::Internal, operation, subject, "the engine's answer was not understood")
            .with_source(error),
    }
}

/// The failure of a connection that broke after it stood: an attached stream, a list of events.
pub(super) fn gone(address: &DockerAddress) -> Error {
    Error::new(ErrorKind::Unavailable, "reach docker", address.to_string(), "it closed the connection")
}

/// The status code of an answer that refuses something.
pub(super) fn status(error: &Bollard) -> Option<u16> {
    match error {
        Bollard::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's own words where it refused something.
pub(super) fn message(error: &Bollard) -> &str {
    match error {
        Bollard::DockerResponseServerError { message, .. } | Bollard::DockerStreamError { error: message } => message,
        _ => "",
    }
}

fn refused(status: u16, message: &str) -> (ErrorKind, &'static str) {
    let message = message.to_ascii_lowercase();
    if message.contains("no space left on device") || message.contains("disk quota exceeded") {
        return (ErrorKind::Full, "the engine's disk is full");
    }
    match status {
        400 => (ErrorKind::InvalidInput, "the engine calls the request wrong"),
        401 | 403 => (ErrorKind::PermissionDenied, "the engine does not allow it"),
        404 => (ErrorKind::NotFound, "there is none of that name"),
        409 => (ErrorKind::Conflict, "its state does not allow it"),
        501 => (ErrorKind::Unsupported, "the engine cannot do that"),
        502..=504 => (ErrorKind::Unavailable, "the engine is not ready"),
        _ => (ErrorKind::Internal, "the engine failed"),
    }
}

fn disconnected(address: &DockerAddress, error: &Bollard) -> Error {
    match io_error(error).map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => no_socket(address, error),
        Some(io::ErrorKind::PermissionDenied) => {
            not_reached(address, ErrorKind::PermissionDenied, "this user may not use it", error).with_hint(
                "run Dory as root, or add the user to the group that owns the socket: `sudo usermod -aG docker $USER`, then log in again",
            )
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            not_reached(address, ErrorKind::Unavailable, "nothing listens there", error).with_hint(start_hint(address))
        }
        // What a TLS library says when either side does not accept the other's certificate.
        Some(io::ErrorKind::InvalidData) => {
            not_reached(address, ErrorKind::PermissionDenied, "one side does not accept the other's certificate", error)
                .with_hint("DOCKER_CERT_PATH must hold a certificate signed by the CA that the engine trusts")
        }
        _ => not_reached(address, ErrorKind::Unavailable, "the connection failed", error),
    }
}

fn no_socket(address: &DockerAddress, error: &Bollard) -> Error {
    not_reached(address, ErrorKind::Unavailable, "there is no such socket", error).with_hint(start_hint(address))
}

fn not_reached(address: &DockerAddress, kind: ErrorKind, reason: &str, error: &Bollard) -> Error {
    Error::new(kind, "reach docker", address.to_string(), reason).with_root_of(error)
}

fn start_hint(address: &DockerAddress) -> String {
    match address {
        DockerAddress::Unix(path) => format!(
            "start the engine (`systemctl start docker`) or set DOCKER_HOST to where it listens; if Dory runs in a container, run it with `-v {0}:{0}`",
            path.display()
        ),
        _ => "start the engine, or set DOCKER_HOST to where it listens".to_owned(),
    }
}

/// The operating system's error below `error`, if one is.
fn io_error(error: &Bollard) -> Option<&io::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    let mut found = None;
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            found = Some(io);
        }
        next = cause.source();
    }
    match error {
        Bollard::IOError { err } => found.or(Some(err)),
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: Bollard) -> Error {
        translate(&DockerAddress::default(), "stop container", "db", error)
    }

    fn answer(status_code: u16, message: &str) -> Error {
        of(Bollard::DockerResponseServerError { status_code, message: message.into() })
    }

    #[test]
    fn answers_become_kinds() {
        assert_eq!(answer(404, "No such container: db").kind(), ErrorKind::NotFound);
        assert_eq!(answer(409, "Container db is not running").kind(), ErrorKind::Conflict);
        assert_eq!(answer(403, "authorization denied by plugin").kind(), ErrorKind::PermissionDenied);
        assert_eq!(answer(500, "write /x: no space left on device").kind(), ErrorKind::Full);
        assert_eq!(answer(503, "").kind(), ErrorKind::Unavailable);
        assert_eq!(answer(500, "boom").kind(), ErrorKind::Internal);
    }

    #[test]
    fn the_engines_words_are_the_cause_and_not_the_message() {
        let error = answer(409, "Container db is paused");
        assert_eq!(error.to_string(), "cannot stop container `db`: its state does not allow it");
        assert!(error.causes()[0].contains("Container db is paused"));
    }

    #[test]
    fn an_engine_that_is_not_reached_is_named_by_its_address() {
        let denied = of(Bollard::IOError { err: io::Error::from(io::ErrorKind::PermissionDenied) });
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        assert_eq!(denied.to_string(), "cannot reach docker `unix:///var/run/docker.sock`: this user may not use it");
        assert!(denied.hint().unwrap().contains("usermod -aG docker"));

        let missing = of(Bollard::SocketNotFoundError("/var/run/docker.sock".into()));
        assert_eq!(missing.kind(), ErrorKind::Unavailable);
        assert!(missing.hint().unwrap().contains("-v /var/run/docker.sock:/var/run/docker.sock"));

        let reset = of(Bollard::IOError { err: io::Error::from(io::ErrorKind::ConnectionReset) });
        assert_eq!(reset.kind(), ErrorKind::Unavailable);
        assert_eq!(of(Bollard::RequestTimeoutError).kind(), ErrorKind::Unavailable);
    }
}
