//! How long to wait for something, as a user writes it: `90s`, `5m`, `1h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How long to wait for something: more than nothing, and a day at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "SignedDuration", into = "SignedDuration")]
pub struct Patience(Duration);

impl Patience {
    /// The longest there is, in seconds: a day.
    const LONGEST: u64 = 24 * 3600;

    /// So many seconds, a day at most.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        let seconds = seconds as u64;
        Self(Duration::from_secs(if seconds == 0 {
            1
        } else if seconds > Self::LONGEST {
            Self::LONGEST
        } else {
            seconds
        }))
    }

    /// It, for a clock.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<SignedDuration> for Patience {
    type Error = Error;
    fn try_from(span: SignedDuration) -> Result<Self> {
        let wrong = || Error::invalid("time", format!("{span:#}"), "more than none and a day at most is allowed");
        let span = Duration::try_from(span).map_err(|_| wrong())?;
        if span.is_zero() || span > Duration::from_secs(Self::LONGEST) { Err(wrong()) } else { Ok(Self(span)) }
    }
}

impl From<Patience> for SignedDuration {
    fn from(patience: Patience) -> Self {
        Self::try_from(patience.0).unwrap_or(Self::MAX)
    }
}

impl FromStr for Patience {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("time", text, "a time up to a day with its unit is expected: `90s`, `5m`, `1h`");
        let span: SignedDuration = text.parse().map_err(|_| wrong())?;
        Self::try_from(span).map_err(|_| wrong())
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", SignedDuration::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood_and_shown_alike() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h", 3600), ("1h 30m", 5400)] {
            assert_eq!(text.parse::<Patience>().unwrap().get(), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!("300s".parse::<Patience>().unwrap().to_string(), "5m");
    }

    #[test]
    fn what_is_no_wait_is_refused() {
        for text in ["", "0s", "5", "-5m", "2 days", "25h", "soon"] {
            let error = text.parse::<Patience>().unwrap_err();
            assert!(error.reason().contains("`5m`"), "{text}: {error}");
        }
    }
}
