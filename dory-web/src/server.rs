//! Sockets, TLS, and the patience that a stranger is shown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use dory_core::services::Cancel;
use dory_core::{Error, ErrorKind, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower::ServiceExt;

use crate::options::{TlsFiles, variable};
use crate::web::Web;

/// How long a request's head may take to come, and how long a connection may lie idle.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How large a request's head may be, in bytes and in lines.
const LARGEST_HEAD: (usize, usize) = (64 << 10, 100);

/// How many connections there may be.
const CONNECTIONS: usize = 1024;

/// How long answers under way may take once the server is to end.
const GRACE: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection, among a request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What the web side tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebNews {
    /// It can be opened there.
    Listening(String),
    /// Whoever opens this becomes an admin, once.
    FirstLink(String),
}

impl Web {
    /// Takes its place to listen.
    ///
    /// # Errors
    /// `Conflict` where somebody else has it; `PermissionDenied`; `Unavailable` for an address that this host lacks.
    pub async fn bind(&self) -> Result<TcpListener> {
        let listen = self.app.options.listen;
        TcpListener::bind(listen).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::AddrInUse => ErrorKind::Conflict,
                io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, "serve web pages on", listen.to_string(), "it cannot be had")
                .with_hint("choose another with `--web` or DORY_WEB_LISTEN, or go without: `--no-web`")
                .with_source(error)
        })
    }

    /// Answers until `cancel` says otherwise. Then what was begun here ends in order, containers first.
    ///
    /// # Errors
    /// `InvalidInput` for a certificate that makes no sense; as for reading users.
    pub async fn serve(self, listener: TcpListener, cancel: &Cancel, news: impl Fn(WebNews)) -> Result<()> {
        let tls = self.app.options.tls.as_ref().map(acceptor).transpose()?;
        let mut reached = self.app.options.clone();
        if let Ok(address) = listener.local_addr() {
            reached.listen = address;
        }
        let url = reached.url();
        news(WebNews::Listening(url.clone()));
        if let Some(path) = self.first_link().await? {
            news(WebNews::FirstLink(format!("{url}{path}")));
        }
        if let Err(error) = self.app.dory.trim_audit().await {
            tracing::warn!(%error, "old audit entries could not be removed");
        }
        let router = self.router();
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok((stream, peer)) = cancel.or(accept(&listener)).await {
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
            let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
            tokio::spawn(async move {
                let _permit = permit;
                match tls {
                    None => answer(stream, peer, router, watcher).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                            answer(stream, peer, router, watcher).await;
                        }
                    }
                }
            });
        }
        drop(listener);
        self.app.ending.cancel();
        tokio::join!(self.app.jobs.end(), async { tokio::time::timeout(GRACE, graceful.shutdown()).await.ok() });
        Ok(())
    }
}

/// The next connection. What goes wrong with one is its own business; a host without room is waited for.
async fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
    router: Router,
    watcher: Watcher,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let (bytes, lines) = LARGEST_HEAD;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(bytes)
        .max_headers(lines)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let wrong = |name: &str, reason: &str| Error::invalid(name, "", reason.to_owned());
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(files.certificates.as_bytes()).collect::<std::result::Result<_, _>>().map_err(
            |error| wrong(variable::WEB_TLS_CERT, "certificates as PEM are expected").with_source(error.to_string()),
        )?;
    if certificates.is_empty() {
        return Err(wrong(variable::WEB_TLS_CERT, "it holds no certificate as PEM")
            .with_hint("set DORY_WEB_TLS_CERT_FILE to the path of the certificate's file"));
    }
    let key = PrivateKeyDer::from_pem_slice(files.key.expose().as_bytes())
        .map_err(|error| wrong(variable::WEB_TLS_KEY, "a key as PEM is expected").with_source(error.to_string()))?;
    let unfit = |error: tokio_rustls::rustls::Error| {
        wrong(variable::WEB_TLS_KEY, "certificate and key do not make a pair").with_source(error)
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
