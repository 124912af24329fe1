//! Identifiers. Each is its own type, parsed once at the edge; no bare string crosses a port.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::error::{Error, Result};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps `text`.
            ///
            /// # Errors
            /// `InvalidInput`, saying what is allowed.
            pub fn parse(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(allowed) => Err(Error::invalid($field, text, allowed)),
                }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

/// What any reference to an outside thing must hold: something, and nothing that breaks a line or a path.
fn printable(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    Ok(())
}

/// What Docker allows in names: a letter or digit, then letters, digits, `_`, `.` or `-`.
fn docker_name(text: &str) -> Result<(), &'static str> {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        Ok(())
    } else {
        Err("a letter or digit, then letters, digits, `_`, `.` and `-` are allowed")
    }
}

/// What may be a folder or object name in the store: a Docker name of at most 128 characters.
fn store_name(text: &str) -> Result<(), &'static str> {
    if text.len() > 128 {
        return Err("at most 128 characters are allowed");
    }
    docker_name(text)
}

text_id! {
    /// A container's full id, as the runtime gives it: 64 hex digits in Docker.
    ContainerId, "container id", docker_name
}
text_id! {
    /// A container's name, without the leading slash that Docker's API adds.
    ContainerName, "container name", docker_name
}
text_id! {
    /// A volume's name; anonymous volumes have one too.
    VolumeName, "volume name", docker_name
}
text_id! {
    /// An image by name or id: `postgres:17`, `sha256:…`.
    ImageRef, "image", printable
}
text_id! {
    /// A network by name.
    NetworkName, "network name", printable
}
text_id! {
    /// The name under which a running Dory is known in its fleet.
    ServerName, "server name", store_name
}
text_id! {
    /// Names a backup for good: the container's name and the short id of the container first seen.
    BackupId, "backup id", store_name
}
text_id! {
    /// An engine's own id of one snapshot: restic's hash, duplicity's set time.
    SnapshotId, "snapshot id", printable
}
text_id! {
    /// One mount of a container inside its restore points: its destination as a single folder name.
    MountKey, "mount key", store_name
}
text_id! {
    /// A dump inside a restore point: a file name such as `postgres.sql`.
    DumpName, "dump name", store_name
}

text_id! {
    /// Somebody who signs in to the web pages: a name or a mail address.
    UserName, "user name", user_name
}

/// A name that fits in a line and in a header: letters, digits and what mail addresses hold.
fn user_name(text: &str) -> Result<(), &'static str> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+' | '@'));
    if first && rest && text.len() <= 64 {
        Ok(())
    } else {
        Err("a letter or digit, then up to 63 letters, digits, `_`, `.`, `-`, `+` and `@` are allowed")
    }
}

impl ContainerId {
    /// The first twelve characters, as Docker shows ids.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

macro_rules! time_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// A new id: `at` in its high bits, so ids sort by time, and `noise` (80 bits used) below.
            #[must_use]
            pub fn new(at: Timestamp, noise: u128) -> Self {
                Self(Ulid::from_parts(at.as_millisecond().max(0).unsigned_abs(), noise))
            }

            /// Reads an id: 26 characters of Crockford's base 32.
            ///
            /// # Errors
            /// `InvalidInput` for anything else.
            pub fn parse(text: &str) -> Result<Self> {
                Ulid::from_string(text)
                    .map(Self)
                    .map_err(|_| Error::invalid($field, text, "26 characters of Crockford's base 32 are expected"))
            }
        }

        impl $name {
            /// When it was made, by its maker's clock, to the millisecond.
            #[must_use]
            pub fn made_at(&self) -> Timestamp {
                let milliseconds = i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX);
                Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }
    };
}

time_id! {
    /// Names one restore point of a backup.
    PointId, "restore point id"
}
time_id! {
    /// Names one run.
    RunId, "run id"
}
time_id! {
    /// Names one command.
    CommandId, "command id"
}
time_id! {
    /// Names one token of the web's programming interface.
    TokenId, "token id"
}
time_id! {
    /// Names one entry about who did what.
    AuditId, "audit entry id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in ["", "..", "../x", "a/b", ".hidden", "-flag", "a b", "é"] {
            assert!(BackupId::parse(text).is_err(), "{text:?}");
        }
        assert!(BackupId::parse("x".repeat(129)).is_err());
        assert!(BackupId::parse("shop-db-1.0123456789ab").is_ok());
    }

    #[test]
    fn time_ids_sort_by_time_and_survive_text() {
        let early = PointId::new(Timestamp::from_millisecond(1_000).unwrap(), u128::MAX);
        let late = PointId::new(Timestamp::from_millisecond(1_001).unwrap(), 0);
        assert!(early < late);
        assert_eq!(late.made_at(), Timestamp::from_millisecond(1_001).unwrap());
        assert_eq!(PointId::parse(&late.to_string()).unwrap(), late);
    }
}
