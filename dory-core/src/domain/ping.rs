//! Pings around each backup, for a service that raises the alarm when they stay away.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::contact::WebUrl;
use super::id::{BackupId, ServerName};
use crate::error::{Error, Result};

/// What one source says about pings: an address, or that there are to be none whatever weaker sources say.
///
/// In the address `{backup}` stands for the backup's id, `{name}` for its name, `{server}` for its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PingWish {
    /// None.
    Off,
    /// At this address.
    At(String),
}

/// What a ping says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PingSignal {
    /// A run began.
    Start,
    /// It did all it was asked for.
    Success,
    /// It did not.
    Fail,
}

impl PingSignal {
    /// What follows the address, as healthchecks.io and its like have it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Start => "/start",
            Self::Success => "",
            Self::Fail => "/fail",
        }
    }
}

/// The words in braces, with an example each.
const PLACES: [(&str, &str); 3] = [("{backup}", "backup"), ("{name}", "name"), ("{server}", "server")];

impl PingWish {
    /// The address for one backup.
    ///
    /// # Errors
    /// `InvalidInput` where the pattern gives none.
    pub fn address(&self, backup: &BackupId, name: &str, server: &ServerName) -> Result<Option<WebUrl>> {
        let Self::At(pattern) = self else { return Ok(None) };
        let values = [backup.as_str(), name, server.as_str()];
        let fill = |text: String, ((place, _), value): (&(&str, &str), &str)| text.replace(place, &encoded(value));
        PLACES.iter().zip(values).fold(pattern.clone(), fill).parse().map(Some)
    }

    /// The address for `signal`: its path goes before a query.
    ///
    /// # Errors
    /// `InvalidInput` where it gives none.
    pub fn with_signal(address: &WebUrl, signal: PingSignal) -> Result<WebUrl> {
        let text = address.as_str();
        let end = text.find(['?', '#']).unwrap_or(text.len());
        format!("{}{}{}", text[..end].trim_end_matches('/'), signal.path(), &text[end..]).parse()
    }
}

/// Other letters than those of plain names as `%XX`.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

impl FromStr for PingWish {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let example = PLACES.iter().fold(text.to_owned(), |text, (place, example)| text.replace(place, example));
        if example.contains(['{', '}']) || example.parse::<WebUrl>().is_err() {
            let reason = "`off`, or a web address is expected, in which `{backup}`, `{name}` and `{server}` may stand";
            return Err(Error::invalid("ping", text, reason));
        }
        Ok(Self::At(text.to_owned()))
    }
}

impl fmt::Display for PingWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(pattern) => f.write_str(pattern),
        }
    }
}

impl TryFrom<String> for PingWish {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PingWish> for String {
    fn from(wish: PingWish) -> Self {
        wish.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(pattern: &str, name: &str) -> Option<String> {
        let wish: PingWish = pattern.parse().unwrap();
        let (backup, server) = ("db-0123".parse().unwrap(), "alpha".parse().unwrap());
        wish.address(&backup, name, &server).unwrap().map(|url| url.to_string())
    }

    #[test]
    fn a_pattern_gives_each_backup_an_address_of_its_own() {
        let filled = address("https://hc.example/key/{backup}?on={server}&is={name}", "shop & co/ü");
        assert_eq!(filled.as_deref(), Some("https://hc.example/key/db-0123?on=alpha&is=shop%20%26%20co%2F%C3%BC"));
        assert_eq!(address("off", "db"), None);
    }

    #[test]
    fn a_signal_goes_behind_the_path() {
        let signal = |text: &str, signal| PingWish::with_signal(&text.parse().unwrap(), signal).unwrap().to_string();
        assert_eq!(signal("https://hc.example/uuid", PingSignal::Start), "https://hc.example/uuid/start");
        assert_eq!(signal("https://hc.example/uuid/", PingSignal::Fail), "https://hc.example/uuid/fail");
        assert_eq!(signal("https://hc.example/uuid?a=b", PingSignal::Fail), "https://hc.example/uuid/fail?a=b");
        assert_eq!(signal("https://hc.example/uuid", PingSignal::Success), "https://hc.example/uuid");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in
            ["", "on", "hc.example", "https://hc.example/{id}", "https://hc.example/{backup", "ftp://x/{backup}"]
        {
            assert!(text.parse::<PingWish>().is_err(), "{text}");
        }
    }
}
