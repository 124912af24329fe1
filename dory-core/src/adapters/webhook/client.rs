//! One way out to web servers that users name: no redirects, no proxies, and not into private networks unless allowed.

use std::fmt::{self, Debug};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};

use crate::domain::contact::WebUrl;
use crate::domain::private_address::is_private;
use crate::error::{Error, ErrorKind, Result};

/// What is sent: a POST of `body`, or a GET where there is none.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) patience: Duration,
}

/// A client for web servers that users name. Clones share connections.
#[derive(Clone)]
pub struct WebClient {
    client: Client,
    allow_private: bool,
}

impl WebClient {
    /// A client that reaches into private networks only if `allow_private`.
    ///
    /// # Errors
    /// `Internal`, where TLS cannot be set up.
    pub fn new(allow_private: bool) -> Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("Dory/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // A proxy would look names up by itself.
            .no_proxy()
            .dns_resolver(Guarded { allow_private })
            .build();
        let client = client.map_err(|error| {
            Error::new(ErrorKind::Internal, "speak to web servers", "", "it cannot be set up").with_root_of(&error)
        })?;
        Ok(Self { client, allow_private })
    }

    /// Sends a request; any answer of the 200s is good.
    pub(super) async fn send(&self, url: &WebUrl, request: Request) -> Result<()> {
        // A literal address is never looked up.
        if !self.allow_private && literal(url).is_some_and(is_private) {
            return Err(refused(url));
        }
        let method = if request.body.is_some() { Method::POST } else { Method::GET };
        let mut sent = self.client.request(method, url.as_str()).timeout(request.patience);
        for (name, value) in &request.headers {
            sent = sent.header(*name, value);
        }
        if let Some(body) = request.body {
            sent = sent.body(body);
        }
        match sent.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(of_status(url, answer.status())),
            Err(error) => Err(of_failure(url, &error)),
        }
    }
}

impl Debug for WebClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebClient").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

/// Looks names up, and gives no address that is not allowed: what is checked is what is connected to.
struct Guarded {
    allow_private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("it is in a private network")]
struct Private;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| allow_private || !is_private(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Private.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn literal(url: &WebUrl) -> Option<IpAddr> {
    let url = reqwest::Url::parse(url.as_str()).ok()?;
    // What looks odd to us, a browser's rules read as an address: `0x7f.1`.
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn failed(url: &WebUrl, kind: ErrorKind, reason: impl fmt::Display) -> Error {
    Error::new(kind, "tell", url.place(), reason)
}

fn refused(url: &WebUrl) -> Error {
    failed(
        url,
        ErrorKind::PermissionDenied,
        "it is in a private network, where settings of the fleet may not reach into",
    )
    .with_hint("set DORY_PRIVATE_TARGETS=allow on this host if they may")
}

fn of_status(url: &WebUrl, status: StatusCode) -> Error {
    let said = format!("it answered {status}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failed(url, ErrorKind::PermissionDenied, said),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY => {
            failed(url, ErrorKind::Unavailable, said)
        }
        status if status.is_server_error() => failed(url, ErrorKind::Unavailable, said),
        status if status.is_redirection() => {
            failed(url, ErrorKind::InvalidInput, format!("{said}, and nobody is told elsewhere than the settings say"))
                .with_hint("set the address that it redirects to")
        }
        _ => failed(url, ErrorKind::InvalidInput, said),
    }
}

fn of_failure(url: &WebUrl, error: &reqwest::Error) -> Error {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    if causes.any(|cause| cause.is::<Private>()) {
        return refused(url);
    }
    if error.is_timeout() {
        return failed(url, ErrorKind::Unavailable, "it did not answer in time");
    }
    if error.is_builder() {
        return failed(url, ErrorKind::InvalidInput, "it is no address");
    }
    failed(url, ErrorKind::Unavailable, "it cannot be reached").with_root_of(error)
}
