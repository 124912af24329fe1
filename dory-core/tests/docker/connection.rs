//! Reaching the engine, and losing it.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::adapters::docker::{DockerAddress, DockerRuntime, DockerSettings};
use dory_core::ports::{ContainerRuntime, ExecRequest};
use dory_testkit::contracts::container_runtime::{
    BenchContainer, BenchHealth, Program, RuntimeBench, Subject, dropping_the_input_ends_a_helper,
    much_goes_both_ways_at_once,
};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::bench::DockerBench;
use super::proxy::Proxy;

async fn connect(address: DockerAddress) -> dory_core::Result<DockerRuntime> {
    DockerRuntime::connect(DockerSettings {
        address,
        answer_within: Duration::from_secs(5),
        ..DockerSettings::default()
    })
    .await
}

#[tokio::test]
async fn without_a_socket_the_error_says_where_dory_looked() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let error = connect(DockerAddress::Unix(socket.clone())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&format!("`unix://{}`", socket.display())), "{error}");
    assert!(error.hint().unwrap().contains("systemctl start docker"));

    // A socket that a dead engine left behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let error = connect(DockerAddress::Unix(socket)).await.unwrap_err();
    assert_eq!((error.kind(), error.reason()), (ErrorKind::Unavailable, "nothing listens there"));
}

#[tokio::test]
async fn what_is_no_engine_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        assert!(client.read(&mut [0; 1024]).await.unwrap() > 0);
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    });
    let error = connect(DockerAddress::Tcp { authority }).await.unwrap_err();
    server.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.reason().contains("no Docker engine"), "{error}");
}

#[tokio::test]
async fn missing_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let address = DockerAddress::Tls { authority: "127.0.0.1:1".into(), certificates: folder.path().to_owned() };
    let error = connect(address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.hint().unwrap().contains("ca.pem"));
    assert!(error.causes()[0].contains(folder.path().to_str().unwrap()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_names_the_agreed_version() {
    let proxy = Proxy::start().await;
    let Some(bench) = DockerBench::start_at(proxy.address.clone()).await else { return };
    let info = bench.runtime.info().await.unwrap();
    bench.runtime.list_containers().await.unwrap();
    let requests = proxy.requests();
    assert!(requests[0].starts_with("GET /version "), "{requests:?}");
    let prefix = format!("/v{}/", info.api_version);
    assert!(requests.len() > 2 && requests[1..].iter().all(|line| line.contains(&prefix)), "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_work_over_tcp() {
    let proxy = Proxy::start().await;
    let Some(bench) = DockerBench::start_at(proxy.address.clone()).await else { return };
    dropping_the_input_ends_a_helper(Subject::new(bench)).await;
    let bench = DockerBench::start_at(proxy.address.clone()).await.unwrap();
    much_goes_both_ways_at_once(Subject::new(bench)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_away_is_unavailable() {
    let proxy = Proxy::start().await;
    let Some(bench) = DockerBench::start_at(proxy.address.clone()).await else { return };
    let id = bench
        .make_container(BenchContainer {
            name: bench.helper_spec("web", &[]).name,
            program: Program::Idle,
            volumes: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            health: BenchHealth::None,
        })
        .await;
    bench.runtime.start(&id).await.unwrap();
    let request = ExecRequest { command: bench.command(&Program::Copy), ..ExecRequest::default() };
    let mut session = bench.runtime.exec(&id, request).await.unwrap();
    let _stdin = session.stdin().unwrap();
    let mut events = bench.runtime.events().await.unwrap();
    let waiting = tokio::spawn(async move {
        loop {
            match events.next().await.expect("it ends with an error") {
                // Other tests' containers.
                Ok(_) => {}
                Err(error) => return error.kind(),
            }
        }
    });
    // The events' connection stands once a request for them has passed.
    while !proxy.requests().iter().any(|line| line.contains("/events?")) {
        tokio::task::yield_now().await;
    }

    proxy.cut().await;
    assert_eq!(session.wait().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(waiting.await.unwrap(), ErrorKind::Unavailable);
    assert_eq!(bench.runtime.info().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.runtime.stop(&id, None).await.unwrap_err().kind(), ErrorKind::Unavailable);
}
