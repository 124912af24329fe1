//! An engine behind TLS: `stunnel` in front of its socket, with certificates that `openssl` makes.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use dory_core::ErrorKind;
use dory_core::adapters::docker::{DockerAddress, DockerRuntime, DockerSettings};
use dory_core::ports::ContainerRuntime;
use dory_testkit::contracts::container_runtime::{Subject, dropping_the_input_ends_a_helper};
use dory_testkit::live;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::bench::DockerBench;

/// A CA, a server's and a client's certificate signed by it, and one of a stranger.
const CERTIFICATES: &str = r#"
set -e
printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' > extensions
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem
for who in server client; do
    mkdir $who
    openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who/key.pem -out request
    openssl x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extensions -out $who/cert.pem
    cp ca.pem $who
done
mkdir stranger
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=stranger -keyout stranger/key.pem -out stranger/cert.pem
cp ca.pem stranger
"#;

async fn installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.await.is_ok_and(|status| status.success())
}

const TUNNEL: &str = "
foreground = yes
debug = emerg
connect = /var/run/docker.sock
cert = server/cert.pem
key = server/key.pem
CAfile = ca.pem
verifyChain = yes
";

/// The address of a proxy that asks for a client certificate; it goes with the test's runtime.
async fn start(folder: &Path) -> Option<String> {
    let programs = installed("stunnel").await && installed("openssl").await;
    live::or_skip("stunnel", programs.then_some(()))?;
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(folder).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(folder.join("tunnel"), TUNNEL).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let folder = folder.to_owned();
    tokio::spawn(async move {
        let mut tunnels = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            // A program for each connection, which it takes as its standard input and output.
            let client = client.into_std().unwrap();
            client.set_nonblocking(false).unwrap();
            let mut tunnel = Command::new("stunnel");
            tunnel.arg("tunnel").current_dir(&folder).kill_on_drop(true);
            tunnel.stdin(OwnedFd::from(client.try_clone().unwrap())).stdout(OwnedFd::from(client));
            tunnels.push(tunnel.spawn().unwrap());
        }
    });
    Some(authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_used_and_strangers_are_not_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let Some(authority) = start(folder.path()).await else { return };
    let address = |who: &str| {
        let host = format!("tcp://{authority}");
        DockerAddress::parse(&host, Some(&folder.path().join(who))).unwrap()
    };
    let Some(bench) = DockerBench::start_at(address("client")).await else { return };
    assert!(bench.runtime.info().await.unwrap().name.starts_with("docker "));
    dropping_the_input_ends_a_helper(Subject::new(bench)).await;

    let settings = DockerSettings { address: address("stranger"), ..DockerSettings::default() };
    let error = DockerRuntime::connect(settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.hint().unwrap().contains("DOCKER_CERT_PATH"));
}
