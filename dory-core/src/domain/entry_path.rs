//! A path inside a snapshot: bytes, as Unix has it, and text that loses none of them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A path relative to `/backup` in a snapshot; its first part is a mount's key.
///
/// As text, bytes that are not UTF-8 and control characters stand as `\xNN`, and a backslash as `\\`, so that every
/// name can be shown on a line, typed, and put into JSON without loss.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryPath(Vec<u8>);

impl EntryPath {
    /// Wraps `path` as it is.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().as_os_str().as_bytes().to_vec())
    }

    /// The path for the operating system.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The path for the operating system.
    #[must_use]
    pub fn to_path_buf(&self) -> PathBuf {
        self.as_path().to_path_buf()
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                    c => fmt::Write::write_char(f, c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl FromStr for EntryPath {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let bad =
            || Error::invalid("path", text, "after a backslash, another one or `x` and two hex digits are expected");
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match (byte, tail) {
                (b'\\', [b'\\', tail @ ..]) => {
                    bytes.push(b'\\');
                    tail
                }
                (b'\\', [b'x', high, low, tail @ ..]) => {
                    let digit = |c: u8| char::from(c).to_digit(16);
                    let (high, low) = digit(*high).zip(digit(*low)).ok_or_else(bad)?;
                    bytes.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
                    tail
                }
                (b'\\', _) => return Err(bad()),
                (byte, tail) => {
                    bytes.push(byte);
                    tail
                }
            };
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for EntryPath {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<EntryPath> for String {
    fn from(path: EntryPath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_survives_text(bytes in proptest::collection::vec(1_u8.., 0..60)) {
            let path = EntryPath(bytes);
            prop_assert_eq!(path.to_string().parse::<EntryPath>().unwrap(), path);
        }
    }

    #[test]
    fn odd_bytes_are_shown_escaped() {
        assert_eq!(EntryPath(b"a\\b\xff\nd".to_vec()).to_string(), r"a\\b\xff\x0ad");
        assert!(r"a\b".parse::<EntryPath>().is_err());
        assert!(r"a\x4".parse::<EntryPath>().is_err());
    }
}
