//! Where notices go: mail servers, mail addresses, web addresses; as users write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpSecurity {
    /// TLS from the first byte: `smtps://`.
    Tls,
    /// TLS after `STARTTLS`, which the server must offer: `smtp://`.
    StartTls,
    /// TLS where the server offers it: `smtp://` on this host's own loopback.
    IfOffered,
}

/// A mail server: `smtp://name@host:587`, `smtps://host`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SmtpUrl {
    /// As it was written.
    text: String,
    /// Who logs in, if anybody does.
    pub user: Option<String>,
    /// The server's host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: SmtpSecurity,
}

impl SmtpUrl {
    /// Whether a password that was meant for `other` may be shown to this one too.
    #[must_use]
    pub fn is_same_account(&self, other: &Self) -> bool {
        (&self.user, &self.host) == (&other.user, &other.host)
    }
}

impl FromStr for SmtpUrl {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid("mail.smtp", text, reason);
        let parts = Parts::of(text).filter(|parts| parts.path.is_empty() || parts.path == "/");
        let parts = parts.ok_or_else(|| {
            wrong("`smtp://name@host:587` (STARTTLS) or `smtps://name@host:465` is expected, the name as far as one logs in")
        })?;
        let tls = match parts.scheme {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(wrong("`smtp://` and `smtps://` are allowed")),
        };
        let user = match parts.user {
            Some(user) if user.contains(':') => {
                let hidden = text.replace(user, "***");
                return Err(Error::invalid("mail.smtp", hidden, "a password does not belong into the address")
                    .with_hint("leave it out, and hand it to `dory settings set mail.password` on standard input"));
            }
            // Names of accounts often hold an `@`.
            Some(user) => Some(user.replace("%40", "@")),
            None => None,
        };
        let security = match (tls, is_loopback(&parts.host)) {
            (true, _) => SmtpSecurity::Tls,
            (false, true) => SmtpSecurity::IfOffered,
            (false, false) => SmtpSecurity::StartTls,
        };
        let port = parts.port.unwrap_or(match security {
            SmtpSecurity::Tls => 465,
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::IfOffered => 25,
        });
        Ok(Self { text: text.to_owned(), user, host: parts.host, port, security })
    }
}

/// A mail address, without the name that may stand before it: `ada@example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailAddress(String);

impl FromStr for MailAddress {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c);
        let fits = text.split_once('@').is_some_and(|(name, host)| {
            let dots = |part: &str| part.split('.').all(|label| !label.is_empty());
            !host.contains('@') && dots(name) && dots(host) && text.len() <= 254 && !text.contains(odd)
        });
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::invalid("mail address", text, "an address such as `ada@example.org` is expected")),
        }
    }
}

/// A web address that is told something: `https://hooks.example.org/dory`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl(String);

impl WebUrl {
    /// The part that can be shown to anybody: paths and queries of such addresses are often secrets.
    #[must_use]
    pub fn place(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[start..].find(['/', '?', '#']).map_or(self.0.len(), |at| start + at);
        &self.0[..end]
    }
}

impl FromStr for WebUrl {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parts = Parts::of(text).filter(|parts| matches!(parts.scheme, "https" | "http"));
        let parts = parts.ok_or_else(|| {
            Error::invalid("web address", text, "an address such as `https://hooks.example.org/dory` is expected")
        })?;
        if parts.user.is_some() {
            return Err(Error::invalid("web address", text, "a name or password before `@` is not allowed"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The parts of an address.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: String,
    port: Option<u16>,
    path: &'a str,
}

impl<'a> Parts<'a> {
    /// `None` for what is no address, or holds what could break a line or a header.
    fn of(text: &'a str) -> Option<Self> {
        if text.len() > 2000
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
            || text.contains(['"', '<', '>', '\\'])
        {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) if !user.is_empty() => (Some(user), place),
            Some(_) => return None,
            None => (None, authority),
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(literal) => {
                let (host, port) = literal.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, Some("")),
            },
        };
        let port = match port? {
            "" if place.ends_with(':') => return None,
            "" => None,
            port => Some(port.parse().ok().filter(|port| *port > 0)?),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        (!host.is_empty() && host.chars().all(fits)).then(|| Self { scheme, user, host: host.to_owned(), port, path })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

macro_rules! as_text {
    ($name:ident, $field:tt) => {
        impl $name {
            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.$field
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.$field)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.$field
            }
        }
    };
}

as_text!(SmtpUrl, text);
as_text!(MailAddress, 0);
as_text!(WebUrl, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_says_how_it_is_spoken_to() {
        let server = |text: &str| {
            let url: SmtpUrl = text.parse().unwrap();
            (url.user, url.host, url.port, url.security)
        };
        let host = || "mail.example.org".to_owned();
        assert_eq!(server("smtp://mail.example.org"), (None, host(), 587, SmtpSecurity::StartTls));
        let with_name = server("smtps://ada%40example.org@mail.example.org:2465");
        assert_eq!(with_name, (Some("ada@example.org".into()), host(), 2465, SmtpSecurity::Tls));
        assert_eq!(server("smtp://localhost:1025").3, SmtpSecurity::IfOffered);
        assert_eq!(server("smtp://[::1]"), (None, "::1".into(), 25, SmtpSecurity::IfOffered));
    }

    #[test]
    fn what_is_no_mail_server_is_refused_and_a_password_not_repeated() {
        for text in [
            "",
            "mail.example.org",
            "http://x",
            "smtp://",
            "smtp://a b",
            "smtp://h:0",
            "smtp://h:x",
            "smtp://h/path",
            "smtp://@h",
            "smtp://h:",
        ] {
            assert!(text.parse::<SmtpUrl>().is_err(), "{text}");
        }
        let error = "smtp://ada:hunter2@h".parse::<SmtpUrl>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert!(error.hint().unwrap().contains("mail.password"));
    }

    #[test]
    fn a_mail_address_can_break_no_header() {
        for text in ["ada@example.org", "a.b+dory@localhost", "ü@exämple.org"] {
            assert!(text.parse::<MailAddress>().is_ok(), "{text}");
        }
        for text in
            ["", "ada", "@x", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "Ada <a@b>", "a@b,c@d", "a@.b", "a..b@c"]
        {
            assert!(text.parse::<MailAddress>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_web_address_shows_its_place_alone() {
        let url: WebUrl = "https://hooks.example.org:8443/s3cret?key=x".parse().unwrap();
        assert_eq!(url.place(), "https://hooks.example.org:8443");
        for text in ["", "ftp://x", "https://", "https://a b", "https://u:p@h/x", "//h", "https://h\r\nX: y"] {
            assert!(text.parse::<WebUrl>().is_err(), "{text:?}");
        }
    }
}
