//! What the web side is started with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dory_core::domain::secret::Secret;
use dory_core::domain::user::Role;
use dory_core::services::Guarding;
use dory_core::{Error, Result};

/// The names of its settings.
pub mod variable {
    pub use dory_core::config::variable::{
        WEB_HOSTS, WEB_LISTEN, WEB_PROXIES, WEB_PROXY_ROLE, WEB_TLS_CERT, WEB_TLS_KEY, WEB_USER_HEADER,
    };
}

/// What the web side is started with.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether nobody chose that address.
    pub listen_by_default: bool,
    /// Host names it answers to, beside `localhost` and plain addresses: what a page elsewhere makes a browser ask for
    /// carries that page's name.
    pub hosts: Vec<String>,
    /// The certificate, where it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Who may say in a header who somebody is.
    pub proxy: Option<ProxyTrust>,
    /// Who brings containers back if Dory dies in a job of the web's.
    pub guarding: Guarding,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own first.
    pub certificates: String,
    /// The key.
    pub key: Secret,
}

/// A proxy in front, and what it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTrust {
    /// From where it may come.
    pub addresses: Vec<IpAddr>,
    /// The header in which it names who it let in; without one it only tells where requests come from.
    pub user_header: Option<String>,
    /// What somebody may do whom Dory does not know; nothing where `None`.
    pub role: Option<Role>,
}

impl WebOptions {
    /// The port where nobody chose one.
    pub const PORT: u16 = 8360;

    /// On this port of the loopback, with everything else off.
    #[must_use]
    pub fn on_loopback(port: u16) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            listen_by_default: true,
            hosts: Vec::new(),
            tls: None,
            proxy: None,
            guarding: Guarding::default(),
        }
    }

    /// Makes options from single values; `get` gives the value of a [`variable`].
    ///
    /// # Errors
    /// `InvalidInput` naming the setting and what is allowed; what `get` gives.
    pub fn resolve(mut get: impl FnMut(&str) -> Result<Option<String>>) -> Result<Self> {
        let mut value = |name: &str| get(name).map(|value| value.filter(|value| !value.trim().is_empty()));
        let mut options = Self::on_loopback(Self::PORT);
        if let Some(text) = value(variable::WEB_LISTEN)? {
            options.listen = parse_listen(&text)?;
            options.listen_by_default = false;
        }
        options.hosts = value(variable::WEB_HOSTS)?.map(|text| list(&text)).unwrap_or_default();
        options.tls = match (value(variable::WEB_TLS_CERT)?, value(variable::WEB_TLS_KEY)?) {
            (Some(certificates), Some(key)) => Some(TlsFiles { certificates, key: Secret::new(key) }),
            (None, None) => None,
            (Some(_), None) => return Err(both(variable::WEB_TLS_KEY, variable::WEB_TLS_CERT)),
            (None, Some(_)) => return Err(both(variable::WEB_TLS_CERT, variable::WEB_TLS_KEY)),
        };
        let user_header = value(variable::WEB_USER_HEADER)?.map(|header| header.trim().to_ascii_lowercase());
        let role = value(variable::WEB_PROXY_ROLE)?;
        options.proxy = match value(variable::WEB_PROXIES)? {
            Some(text) => {
                let address = |one: String| {
                    one.parse().map_err(|_| {
                        Error::invalid(variable::WEB_PROXIES, one, "addresses with commas between are allowed")
                    })
                };
                let addresses = list(&text).into_iter().map(address).collect::<Result<_>>()?;
                Some(ProxyTrust { addresses, user_header, role: role.map(|role| role.trim().parse()).transpose()? })
            }
            None if user_header.is_some() || role.is_some() => {
                return Err(Error::invalid(variable::WEB_PROXIES, "", "it must say which proxies may name users")
                    .with_hint("set DORY_WEB_PROXIES to the proxy's address"));
            }
            None => None,
        };
        Ok(options)
    }

    /// As it is in a container whose port somebody publishes: on all addresses, unless somebody chose another.
    #[must_use]
    pub fn in_a_container(mut self) -> Self {
        if self.listen_by_default {
            self.listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
        self
    }

    /// Whether a `Host` header names this server.
    #[must_use]
    pub fn answers_to(&self, host: &str) -> bool {
        let name = without_port(host);
        // A page elsewhere reaches this server by a name of its own that leads here; a plain address is nobody's name.
        if name.parse::<Ipv4Addr>().is_ok() || name.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
            return true;
        }
        let name = name.trim_end_matches('.');
        name.eq_ignore_ascii_case("localhost") || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    /// Where somebody on this machine finds it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match (self.hosts.first(), self.listen.ip()) {
            (Some(host), _) if self.tls.is_some() => format!("{scheme}://{host}:{}", self.listen.port()),
            (_, ip) if ip.is_unspecified() => format!("{scheme}://localhost:{}", self.listen.port()),
            _ => format!("{scheme}://{}", self.listen),
        }
    }
}

/// Reads an address to listen on: `127.0.0.1:8360`, `:8360` for all, or a port of the loopback.
///
/// # Errors
/// `InvalidInput` for anything else.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr> {
    let text = text.trim();
    let loopback = || text.parse::<u16>().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let all =
        || text.strip_prefix(':')?.parse::<u16>().ok().map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    text.parse().ok().or_else(loopback).or_else(all).ok_or_else(|| {
        Error::invalid(variable::WEB_LISTEN, text, "`127.0.0.1:8360`, `:8360` for all addresses, or a port is allowed")
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn list(text: &str) -> Vec<String> {
    text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn both(missing: &str, set: &str) -> Error {
    Error::invalid(missing, "", format!("{set} is set, so it must be set too"))
}

#[cfg(test)]
mod tests {
    use dory_core::ErrorKind;

    use super::*;

    fn resolve(pairs: &[(&str, &str)]) -> Result<WebOptions> {
        WebOptions::resolve(|name| Ok(pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())))
    }

    #[test]
    fn it_listens_on_the_loopback_unless_told() {
        let options = resolve(&[]).unwrap();
        assert_eq!(options.listen.to_string(), "127.0.0.1:8360");
        assert_eq!(options.in_a_container().listen.to_string(), "0.0.0.0:8360");
        let chosen = resolve(&[("DORY_WEB_LISTEN", "10.0.0.1:80")]).unwrap().in_a_container();
        assert_eq!(chosen.listen.to_string(), "10.0.0.1:80");
        assert_eq!(resolve(&[("DORY_WEB_LISTEN", ":9")]).unwrap().listen.to_string(), "0.0.0.0:9");
        assert_eq!(resolve(&[("DORY_WEB_LISTEN", "everywhere")]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_name_somebody_else_gave_this_address_is_not_answered() {
        let options = resolve(&[("DORY_WEB_HOSTS", "dory.example, backup")]).unwrap();
        for host in
            ["localhost:8360", "127.0.0.1", "[::1]:8360", "10.1.2.3:80", "DORY.example:443", "backup", "backup."]
        {
            assert!(options.answers_to(host), "{host}");
        }
        for host in ["", "evil.example", "dory.example.evil", "localhost.evil:80", "127.0.0.1.nip.io", ":80"] {
            assert!(!options.answers_to(host), "{host}");
        }
    }

    #[test]
    fn what_belongs_together_is_set_together() {
        for half in [("DORY_WEB_TLS_CERT", "x"), ("DORY_WEB_TLS_KEY", "x"), ("DORY_WEB_USER_HEADER", "x-user")] {
            assert_eq!(resolve(&[half]).unwrap_err().kind(), ErrorKind::InvalidInput, "{half:?}");
        }
        let proxied =
            resolve(&[("DORY_WEB_PROXIES", "10.0.0.2, ::1"), ("DORY_WEB_USER_HEADER", "Remote-User")]).unwrap();
        let trust = proxied.proxy.unwrap();
        assert_eq!((trust.addresses.len(), trust.user_header.as_deref()), (2, Some("remote-user")));
    }
}
