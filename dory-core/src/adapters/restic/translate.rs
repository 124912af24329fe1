//! Errors of the object store and of `rustic_core` as Dory's own.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustic_core::{ErrorKind as RusticKind, RusticError};

use crate::error::{Error, ErrorKind};

/// What an object store's error means.
pub(super) fn from_store(error: &object_store::Error, operation: &str, subject: &str) -> Error {
    use object_store::Error as Store;
    let (kind, reason) = match error {
        Store::NotFound { .. } => (ErrorKind::NotFound, "the store has no such object"),
        Store::AlreadyExists { .. } | Store::Precondition { .. } => {
            (ErrorKind::AlreadyExists, "somebody else wrote it first")
        }
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            (ErrorKind::PermissionDenied, "the store refuses the credentials")
        }
        Store::NotImplemented { .. } | Store::NotSupported { .. } => {
            (ErrorKind::Unsupported, "the store cannot do this")
        }
        _ => from_io(error),
    };
    let is_key = matches!(error, Store::PermissionDenied { .. } | Store::Unauthenticated { .. });
    let error = Error::new(kind, operation, subject, reason).with_root_of(error);
    match kind {
        ErrorKind::Full => error.with_hint("free space in the store, or choose another with DORY_STORE"),
        ErrorKind::PermissionDenied if is_key => error.with_hint(
            "look at what the store's key may do: GS_ACCESS_KEY, AWS_ACCESS_KEY_ID, the storage or service account",
        ),
        ErrorKind::PermissionDenied => {
            error.with_hint("look at the owner and the mode of the store's folder, and at how its disk is mounted")
        }
        _ => error,
    }
}

/// Folders report all but the plainest failures as a generic error around the system's own.
fn from_io(error: &(dyn StdError + 'static)) -> (ErrorKind, &'static str) {
    let kind = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
            (ErrorKind::Full, "there is no space left")
        }
        Some(io::ErrorKind::PermissionDenied) => (ErrorKind::PermissionDenied, "the system refuses access"),
        Some(io::ErrorKind::ReadOnlyFilesystem) => (ErrorKind::PermissionDenied, "the file system is read-only"),
        Some(io::ErrorKind::TimedOut) => (ErrorKind::TimedOut, "the store did not answer in time"),
        Some(io::ErrorKind::NotFound) => (ErrorKind::NotFound, "the store has no such object"),
        _ => (ErrorKind::Unavailable, "the store gave no usable answer"),
    }
}

/// Wraps an error so that `rustic_core` carries it through.
pub(super) fn into_rustic(error: Error) -> Box<RusticError> {
    RusticError::with_source(RusticKind::Backend, "the store failed", error)
}

/// What an error of `rustic_core` means: the store's own error if it carries one, else `kind`.
pub(super) fn from_rustic(error: &RusticError, kind: ErrorKind, operation: &str, subject: &str) -> Error {
    if let Some(carried) = carried(error) {
        return Error::from(carried.to_record());
    }
    if error.is_incorrect_password() {
        return wrong_key(operation, subject);
    }
    Error::new(kind, operation, subject, brief(error))
}

/// The error of ours that an error of `rustic_core` was made from, if it was.
pub(super) fn carried(error: &RusticError) -> Option<&Error> {
    chain(error).find_map(|cause| cause.downcast_ref::<Error>())
}

pub(super) fn wrong_key(operation: &str, subject: &str) -> Error {
    Error::new(ErrorKind::WrongKey, operation, subject, "the password opens none of its keys")
        .with_hint("set DORY_PASSPHRASE to the passphrase it was made with")
}

/// An error of `rustic_core` on one line; its own `Display` fills a page.
pub(super) fn brief(error: &RusticError) -> String {
    let text = error.display_log();
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    let end = text.find(" (kind: ").unwrap_or(text.len());
    one_line(&text[..end])
}

/// Any text on one line.
pub(super) fn one_line(text: impl fmt::Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn StdError + 'static)| (*cause).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(kind: io::ErrorKind) -> object_store::Error {
        object_store::Error::Generic { store: "x", source: Box::new(io::Error::from(kind)) }
    }

    #[test]
    fn a_full_disk_is_told_from_a_store_that_is_away() {
        let kind = |kind| from_store(&generic(kind), "write", "x").kind();
        assert_eq!(kind(io::ErrorKind::StorageFull), ErrorKind::Full);
        assert_eq!(kind(io::ErrorKind::ReadOnlyFilesystem), ErrorKind::PermissionDenied);
        assert_eq!(kind(io::ErrorKind::ConnectionRefused), ErrorKind::Unavailable);
    }

    #[test]
    fn our_errors_come_back_out_of_rustics() {
        let ours = Error::new(ErrorKind::Full, "write object", "data/x", "there is no space left").with_hint("h");
        let wrapped = into_rustic(ours).prepend_guidance_line("Error while backing up");
        let back = from_rustic(&wrapped, ErrorKind::Internal, "back up", "y");
        assert_eq!(back.to_string(), "cannot write object `data/x`: there is no space left");
        assert_eq!((back.kind(), back.hint()), (ErrorKind::Full, Some("h")));
    }

    #[test]
    fn a_page_of_text_becomes_a_line() {
        let error = RusticError::new(RusticKind::Internal, "Blob `{id}` is\nmissing").attach_context("id", "ab");
        assert_eq!(brief(&error), "Blob `ab` is missing");
    }
}
