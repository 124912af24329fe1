//! A way to the engine that can be watched and cut: a TCP port in front of its socket.

use std::sync::{Arc, Mutex};

use dory_core::adapters::docker::DockerAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

pub(super) struct Proxy {
    pub(super) address: DockerAddress,
    requests: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            // Dropped with this task: then all connections break.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                connections.spawn(async move {
                    let Ok(mut engine) = UnixStream::connect("/var/run/docker.sock").await else { return };
                    let mut first = vec![0; 64 * 1024];
                    let length = client.read(&mut first).await.unwrap_or(0);
                    let line = String::from_utf8_lossy(&first[..length]).lines().next().unwrap_or_default().to_owned();
                    seen.lock().unwrap().push(line);
                    if engine.write_all(&first[..length]).await.is_ok() {
                        // It ends when both sides have closed, or one is gone.
                        drop(tokio::io::copy_bidirectional(&mut client, &mut engine).await);
                    }
                });
            }
        });
        Self { address: DockerAddress::Tcp { authority }, requests, serving }
    }

    /// The first lines of all requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Breaks every connection and takes no new ones, as an engine does that is killed.
    pub(super) async fn cut(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }
}
