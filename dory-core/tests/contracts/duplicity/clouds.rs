//! The stores that are no folders: there and back, wrong keys, and stores that are not there.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use dory_core::adapters::object_store::ensure_bucket;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_core::error::ErrorKind;
use dory_core::ports::{OpenMode, VerifyDepth};
use dory_testkit::gcs::GcsServer;
use dory_testkit::{live, servers};
use ulid::Ulid;

use super::{Stage, files, write};

/// All that a repository does, once.
async fn there_and_back(store: StoreAccess) {
    let Some(mut stage) = Stage::at(store) else { return };
    let error = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");

    let repository = stage.open().await;
    write(&stage.source().join("file"), "1");
    let first = stage.backup(&*repository).await;
    write(&stage.source().join("file"), "2");
    let second = stage.backup(&*repository).await;

    let again = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap();
    let listed = again.list_snapshots().await.unwrap();
    assert_eq!(listed.iter().map(|one| &one.id).collect::<Vec<_>>(), [&first.snapshot, &second.snapshot]);
    assert_eq!(listed[0].tags, ["point-1"]);
    assert_eq!(stage.restored(&*again, &first.snapshot).await, files(&[("file", "1")]));
    let mut out = Vec::new();
    again.read_file(&second.snapshot, &EntryPath::new("data/file"), &mut out).await.unwrap();
    assert_eq!(out, b"2");
    assert!(again.verify(VerifyDepth::Data).await.unwrap().faults.is_empty());
    let stats = again.stats().await.unwrap();
    assert!(stats.snapshots == 2 && stats.objects > 6 && stats.stored_bytes > 1000, "{stats:?}");

    let right = stage.spec.password.replace(Secret::new("another"));
    let error = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey, "{error:?}");
    stage.spec.password = right;

    again.forget(&[first.snapshot, second.snapshot]).await.unwrap();
    again.prune().await.unwrap();
    assert!(again.list_snapshots().await.unwrap().is_empty());
    assert!(again.stats().await.unwrap().objects < stats.objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_with_signatures_checked() {
    let Some(server) = live::or_skip("s3", servers::seaweedfs()) else { return };
    let access = server.access("dory-duplicity", &Ulid::generate().to_string());
    ensure_bucket(&access, None).await.unwrap();
    there_and_back(access).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_by_interoperability_keys() {
    let server = GcsServer::start();
    there_and_back(server.access("fleet")).await;
}

/// The account's key is made up, and so is what gives tokens for it; rclone signs for a token and sends it along.
#[tokio::test(flavor = "multi_thread")]
async fn google_by_service_account_and_rclone() {
    let Some(server) = live::or_skip("gcs", servers::fake_gcs()) else { return };
    server.create_bucket("dory-duplicity");
    let openssl = Command::new("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA"]).output().ok();
    let Some(key) = live::or_skip("openssl", openssl.filter(|output| output.status.success())) else { return };
    let json = serde_json::json!({
        "type": "service_account",
        "client_email": "dory@dory-project.iam.gserviceaccount.com",
        "private_key": String::from_utf8(key.stdout).unwrap(),
        "private_key_id": "1",
        "token_uri": give_tokens(),
    });
    there_and_back(StoreAccess {
        url: "gs://dory-duplicity/fleet".parse().unwrap(),
        credentials: StoreCredentials::ServiceAccount { json: Secret::new(json.to_string()) },
        endpoint: Some(server.url()),
        region: None,
    })
    .await;
}

/// Answers every request with a token, for as long as the test runs.
fn give_tokens() -> String {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let (mut request, mut byte) = (Vec::new(), [0; 1]);
            while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                request.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&request).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let _ = stream.read_exact(&mut vec![0; length.unwrap_or(0)]);
            let body = r#"{"access_token":"made-up","token_type":"Bearer","expires_in":3600}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_write_hears_of_a_bucket_that_may_only_be_read() {
    let server = GcsServer::start();
    let Some(mut stage) = Stage::at(server.access("fleet")) else { return };
    stage.spec.options.insert("num-retries".into(), "1".into());
    write(&stage.source().join("file"), "1");
    let report = stage.backup(&*stage.open().await).await;
    server.set_read_only(true);
    let error = stage.engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    let reader = stage.engine.open(&stage.spec, OpenMode::Existing).await.unwrap();
    assert_eq!(reader.list_snapshots().await.unwrap()[0].id, report.snapshot);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_a_missing_bucket_and_a_silent_address_are_told_apart() {
    let server = GcsServer::start();
    let access = server.access("fleet");
    let refused = match &access.credentials {
        StoreCredentials::AccessKey { id, .. } => {
            StoreCredentials::AccessKey { id: id.clone(), secret: Secret::new("not-the-secret"), session: None }
        }
        other => other.clone(),
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (store, kind) in [
        (StoreAccess { credentials: refused, ..access.clone() }, ErrorKind::PermissionDenied),
        (StoreAccess { url: "gs://no-such-bucket/fleet".parse().unwrap(), ..access.clone() }, ErrorKind::NotFound),
        (StoreAccess { endpoint: Some(format!("http://{nobody}")), ..access }, ErrorKind::Unavailable),
    ] {
        let Some(mut stage) = Stage::at(store) else { return };
        stage.spec.options.insert("num-retries".into(), "1".into());
        let error = stage.engine.open(&stage.spec, OpenMode::CreateIfMissing).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error:?}").contains("not-the-secret"));
    }
}
