//! Over real sockets: patience has an end, and whoever behaves is answered meanwhile.

use std::time::{Duration, Instant};

use dory_core::domain::secret::Secret;
use dory_core::services::Cancel;
use dory_web::{TlsFiles, WebNews};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::site::Site;

/// A site that is served, and where.
async fn served() -> (Site, std::net::SocketAddr, Cancel) {
    let site = Site::new().await;
    let listener = site.web.bind().await.unwrap();
    let (address, cancel) = (listener.local_addr().unwrap(), Cancel::new());
    let (web, its) = (site.web.clone(), cancel.clone());
    tokio::spawn(async move { web.serve(listener, &its, |_| ()).await });
    (site, address, cancel)
}

/// Sends bytes and reads what comes back, until the other side closes.
async fn exchange(address: std::net::SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may answer and close before all of it is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_alive(address: std::net::SocketAddr) -> bool {
    let answer = exchange(address, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    answer.starts_with("HTTP/1.1 200")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_headers_and_junk_are_refused() {
    let (_site, address, _cancel) = served().await;
    let headers: String = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let answer = exchange(address, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer =
        exchange(address, format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(100_000)).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    for junk in [
        &b"\x81\x85\x37\xfa\x21\x3d"[..],
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = exchange(address, junk).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{junk:?}: {answer}");
    }
    assert!(is_alive(address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_is_cut_off_and_others_are_served() {
    let (_site, address, _cancel) = served().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    assert!(is_alive(address).await);
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(40), slow[0].read_to_end(&mut answer)).await.expect("it is cut off");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 2"));
    assert!(is_alive(address).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_is_not_waited_for_for_ever() {
    let (_site, address, _cancel) = served().await;
    let head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 1000\r\nConnection: close\r\n\r\nname=";
    let answer =
        tokio::time::timeout(Duration::from_secs(40), exchange(address, head.as_bytes())).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_although_a_browser_keeps_its_connection() {
    let site = Site::new().await;
    let listener = site.web.bind().await.unwrap();
    let (address, cancel) = (listener.local_addr().unwrap(), Cancel::new());
    let (web, its) = (site.web.clone(), cancel.clone());
    let serving = tokio::spawn(async move { web.serve(listener, &its, |_| ()).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(20), serving).await.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_taken_is_said_with_what_to_do() {
    let (site, address, _cancel) = served().await;
    let mut options = dory_web::WebOptions::on_loopback(address.port());
    options.listen = address;
    let other = dory_web::Web::new(site.dory.clone(), options).unwrap();
    let error = other.bind().await.unwrap_err();
    assert_eq!(error.kind(), dory_core::ErrorKind::Conflict);
    assert!(error.hint().unwrap().contains("--no-web"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_certificate_is_refused_before_anything_is_served() {
    let site = Site::with(|mut options| {
        options.tls = Some(TlsFiles { certificates: "nonsense".into(), key: Secret::new("nonsense") });
        options
    })
    .await;
    let listener = site.web.bind().await.unwrap();
    let error = site.web.clone().serve(listener, &Cancel::new(), |news: WebNews| panic!("{news:?}")).await.unwrap_err();
    assert_eq!(error.kind(), dory_core::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("DORY_WEB_TLS_CERT"));
}
