//! What a failed run of duplicity means: its exit code, and where that says too little, its words.
//!
//! The code alone tells whether a run failed: "backup complete" is logged after failures too. Versions differ (a
//! missing bucket is 50 in 3.2.1 and 23 in 3.0.4), and a code such as 30, "an exception", covers a full disk and a
//! missing permission alike, so the words decide first where they are certain.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::log::{Level, Record};
use crate::error::{Error, ErrorKind};

/// What a run was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To find out whether the key fits.
    Opening,
    /// Anything after that.
    Working,
}

/// What is known of a failed run.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: ExitStatus,
    /// The records of level error.
    pub(super) errors: Vec<Record>,
    /// What the program wrote besides records.
    pub(super) noise: String,
}

/// duplicity's own words, as a cause.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "duplicity: {}", self.0)
    }
}

impl std::error::Error for Said {}

impl Failure {
    /// Adds what a record says, if it is of use here.
    pub(super) fn note(errors: &mut Vec<Record>, record: &Record) {
        if record.level == Level::Error {
            errors.push(record.clone());
        }
    }

    /// Whether duplicity ended over an exception of this name.
    pub(super) fn is_exception(&self, name: &str) -> bool {
        self.errors.iter().any(|record| record.arguments == name)
    }

    /// The failure as an error of `operation` on `subject`.
    pub(super) fn into_error(self, operation: &str, subject: &str, phase: Phase) -> Error {
        let words = self.words();
        let verdict = judge(self.status.code(), &words, phase);
        let reason = match (verdict.reason, self.status.code(), self.status.signal()) {
            ("", Some(code), _) => format!("duplicity ended with code {code}"),
            ("", None, Some(signal)) => format!("duplicity was ended by signal {signal}"),
            (reason, ..) => reason.to_owned(),
        };
        let mut error = Error::new(verdict.kind, operation, subject, reason);
        if !verdict.hint.is_empty() {
            error = error.with_hint(verdict.hint);
        }
        if words.is_empty() { error } else { error.with_source(Said(summary(&words))) }
    }

    fn words(&self) -> String {
        let texts: Vec<_> = self.errors.iter().map(|record| record.text.as_str()).collect();
        if texts.is_empty() { self.noise.clone() } else { texts.join("\n") }
    }
}

struct Verdict {
    kind: ErrorKind,
    /// Empty where the code or signal is all there is to tell.
    reason: &'static str,
    /// Empty where no remedy is known.
    hint: &'static str,
}

const fn verdict(kind: ErrorKind, reason: &'static str, hint: &'static str) -> Verdict {
    Verdict { kind, reason, hint }
}

const KEY_HINT: &str = "set DORY_PASSPHRASE to the key that the repository was made with";

/// Words that are certain whatever the code, in the order in which they are looked for.
const BY_WORDS: &[(&[&str], Verdict)] = &[
    (
        &["No space left on device", "Errno 28]", "Disk quota exceeded", "Errno 122]", "Temp space has"],
        verdict(ErrorKind::Full, "there is no space left", "free space in the store or in the scratch folder"),
    ),
    (&["Read-only file system", "Errno 30]"], verdict(ErrorKind::PermissionDenied, "the file system is read-only", "")),
    (
        &["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403", "NoCredentialsError", "Unauthorized"],
        verdict(ErrorKind::PermissionDenied, "the store refuses the credentials", "check the store's access key"),
    ),
    (&["Permission denied", "Errno 13]"], verdict(ErrorKind::PermissionDenied, "permission is denied", "")),
    (
        &["does not exist", "NoSuchBucket", "bucket doesn't exist", "directory not found"],
        verdict(ErrorKind::NotFound, "it is not there", ""),
    ),
    (
        &["Another duplicity instance is already running"],
        verdict(ErrorKind::Conflict, "another duplicity is at work on it", ""),
    ),
    (
        &["UnsupportedBackendScheme", "No module named", "rclone: not found", "rclone not found", "rclone version"],
        verdict(
            ErrorKind::Unsupported,
            "this duplicity cannot reach such a store",
            "use Dory's own image (scripts/image.sh builds it)",
        ),
    ),
    (
        &[
            "EndpointConnectionError",
            "Could not connect",
            "ConnectTimeout",
            "ReadTimeout",
            "Connection refused",
            "connection refused",
            "Name or service not known",
            "no such host",
            "Connection reset",
            "SlowDown",
            "ServiceUnavailable",
            "InternalError",
            "503",
        ],
        verdict(ErrorKind::Unavailable, "the store cannot be reached", ""),
    ),
];

fn judge(code: Option<i32>, words: &str, phase: Phase) -> Verdict {
    let by_words = BY_WORDS.iter().find(|(signs, _)| signs.iter().any(|sign| words.contains(sign)));
    match (code, by_words) {
        // gpg's words say nothing of the store.
        (Some(31), _) => of_gpg(words, phase),
        // A wrong key with metadata in the cache ends in a traceback, with code 1.
        (Some(1), _) if words.contains("GPGError") => of_gpg(words, phase),
        (Some(21), _) => verdict(ErrorKind::Corrupt, "stored data is not what was stored", ""),
        (_, Some((_, known))) => verdict(known.kind, known.reason, known.hint),
        (Some(code), None) => of_code(code),
        (None, None) => verdict(ErrorKind::Internal, "", ""),
    }
}

fn of_gpg(words: &str, phase: Phase) -> Verdict {
    let no_program = ["No such file or directory: 'gpg'", "gpg: not found", "GnuPG not found", "pinentry"];
    if no_program.iter().any(|sign| words.contains(sign)) {
        return verdict(
            ErrorKind::Unsupported,
            "gpg does not work here",
            "use Dory's own image (scripts/image.sh builds it), or install gpg and gpg-agent",
        );
    }
    if words.contains("No space left") {
        return verdict(ErrorKind::Full, "there is no space left", "free space in the scratch folder");
    }
    match phase {
        Phase::Opening => verdict(ErrorKind::WrongKey, "the key does not fit", KEY_HINT),
        // The key was proven when the repository was opened.
        Phase::Working => verdict(ErrorKind::Corrupt, "stored data cannot be decrypted", ""),
    }
}

fn of_code(code: i32) -> Verdict {
    match code {
        2 | 10 => verdict(
            ErrorKind::Unsupported,
            "this duplicity does not take its arguments",
            "duplicity 3.0 or newer is needed; Dory's own image has it (scripts/image.sh builds it)",
        ),
        4..=6 | 17 | 18 | 20 | 22 | 39 | 44 => verdict(ErrorKind::Corrupt, "what is stored is not whole", ""),
        11 => verdict(ErrorKind::AlreadyExists, "something is there already", ""),
        12 | 13 => verdict(ErrorKind::InvalidInput, "the folder is not there", ""),
        19 | 52 => verdict(ErrorKind::NotFound, "it is not there", ""),
        34 | 36 | 37 | 43 | 46 => verdict(ErrorKind::Unsupported, "this machine lacks what duplicity needs", ""),
        35 | 53 => verdict(ErrorKind::Full, "there is no space left", ""),
        38 | 50 | 54 | 55 => verdict(ErrorKind::Unavailable, "the store does not do what it is asked", ""),
        45 => verdict(ErrorKind::WrongKey, "it was made with other encryption", KEY_HINT),
        51 => verdict(ErrorKind::PermissionDenied, "the store refuses it", ""),
        56 => verdict(ErrorKind::Unavailable, "what was uploaded did not arrive whole", ""),
        126 | 127 => verdict(ErrorKind::Unsupported, "duplicity does not start", "install Python 3.10 or newer"),
        _ => verdict(ErrorKind::Internal, "", ""),
    }
}

/// The part of duplicity's words that tells most, on one line: of a traceback, its last line.
fn summary(words: &str) -> String {
    let lines: Vec<_> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let traceback = lines.iter().any(|line| line.starts_with("Traceback"));
    let kept = if traceback { &lines[lines.len() - 1..] } else { &lines[..lines.len().min(4)] };
    let mut line = kept.join("; ");
    if let Some((end, _)) = line.char_indices().nth(400) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32, words: &str) -> Failure {
        let record = Record { level: Level::Error, code: 0, arguments: String::new(), text: words.to_owned() };
        Failure { status: ExitStatus::from_raw(code << 8), errors: vec![record], noise: String::new() }
    }

    fn kind(code: i32, words: &str, phase: Phase) -> ErrorKind {
        failure(code, words).into_error("back up", "x", phase).kind()
    }

    #[test]
    fn what_was_seen_of_real_versions_gets_its_kind() {
        use Phase::{Opening, Working};
        for (code, words, phase, expected) in [
            (31, "gpg: decryption failed: Bad session key", Opening, ErrorKind::WrongKey),
            (31, "gpg: decryption failed: Bad session key", Working, ErrorKind::Corrupt),
            (1, "Traceback\nduplicity.gpg.GPGError: bad key", Opening, ErrorKind::WrongKey),
            (31, "GnuPG agent does not allow loopback pinentry.", Opening, ErrorKind::Unsupported),
            (50, "FatalBackendException: S3 bucket \"x\" does not exist", Opening, ErrorKind::NotFound),
            (23, "BackendException: S3 bucket \"x\" does not exist", Opening, ErrorKind::NotFound),
            (50, "Could not connect to the endpoint URL", Working, ErrorKind::Unavailable),
            (50, "An error occurred (403) when calling HeadBucket: Forbidden", Working, ErrorKind::PermissionDenied),
            (50, "An error occurred (InvalidAccessKeyId)", Working, ErrorKind::PermissionDenied),
            (23, "Another duplicity instance is already running with this", Working, ErrorKind::Conflict),
            (23, "UnsupportedBackendScheme: scheme not supported in url: gs://", Opening, ErrorKind::Unsupported),
            (30, "Traceback\nOSError: [Errno 28] No space left on device", Working, ErrorKind::Full),
            (
                30,
                "Traceback\nPermissionError: [Errno 13] Permission denied: '/x'",
                Working,
                ErrorKind::PermissionDenied,
            ),
            (35, "Temp space has 1 available, backup needs approx 2.", Working, ErrorKind::Full),
            (21, "Invalid data - SHA1 hash mismatch for file", Working, ErrorKind::Corrupt),
            (17, "Old signatures not found and incremental specified", Working, ErrorKind::Corrupt),
            (19, "data/zzz not found in archive", Working, ErrorKind::NotFound),
            (56, "File was corrupted during upload.", Working, ErrorKind::Unavailable),
            (2, "error: unrecognized arguments", Opening, ErrorKind::Unsupported),
            (99, "what is this", Working, ErrorKind::Internal),
        ] {
            assert_eq!(kind(code, words, phase), expected, "{code}: {words}");
        }
    }

    #[test]
    fn a_signal_is_told() {
        let failure = Failure { status: ExitStatus::from_raw(9), errors: Vec::new(), noise: String::new() };
        let error = failure.into_error("back up", "x", Phase::Working);
        assert_eq!(error.to_string(), "cannot back up `x`: duplicity was ended by signal 9");
    }

    #[test]
    fn of_a_traceback_the_last_line_is_the_cause() {
        let error = failure(30, "Traceback (innermost last):\n  File x\n OSError: gone wrong\n\n");
        assert_eq!(error.into_error("list", "x", Phase::Working).causes(), ["duplicity: OSError: gone wrong"]);
    }
}
