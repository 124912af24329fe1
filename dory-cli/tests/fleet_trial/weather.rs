//! A store that misbehaves: of ten requests one is refused, lost, cut off or slow.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dory_core::domain::store_url::{StoreAccess, StoreCredentials};
use dory_testkit::gcs::{Fault, FaultRule, GcsConfig, GcsServer};
use dory_testkit::live::LiveNetwork;
use dory_testkit::servers::{S3Server, seaweedfs};

/// What is answered so late that Dory has given up, and done all the same.
const TOO_LATE: Duration = Duration::from_secs(80);
const LATE: [&str; 3] = ["/servers/", "/commands/", "/backups/"];

/// A store on the fleet's network, and what the weather there is.
pub(super) enum Store {
    /// The testkit's stand-in for Google Cloud Storage, which misbehaves by itself.
    Gcs(GcsServer),
    /// An S3 server, and something between it and the fleet that does.
    S3(S3Server, Proxy),
}

impl Store {
    pub(super) fn gcs(network: &LiveNetwork) -> Self {
        let listen = format!("{}:0", network.host());
        // Google takes one write a second of a name; so do leases, heartbeats and backups here.
        let write_interval = Some(Duration::from_secs(1));
        Self::Gcs(GcsServer::start_with(GcsConfig { listen, write_interval, ..GcsConfig::default() }))
    }

    pub(super) fn s3(network: &LiveNetwork) -> Option<Self> {
        let server = seaweedfs()?;
        let access = server.access("dory", &prefix());
        let behind = access.endpoint.unwrap().trim_start_matches("http://").to_owned();
        let proxy = Proxy::start(&network.host(), behind);
        Some(Self::S3(server, proxy))
    }

    /// What a `dory` on the fleet's network is told of it.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let (access, names) = match self {
            Self::Gcs(server) => (server.access("trial"), ["GS_ACCESS_KEY", "GS_SECRET_ACCESS_KEY"]),
            Self::S3(server, proxy) => {
                let access = server.access("dory", &prefix());
                let endpoint = Some(format!("http://{}", proxy.address));
                (StoreAccess { endpoint, ..access }, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
            }
        };
        let StoreCredentials::AccessKey { id, secret, .. } = &access.credentials else { panic!("a key is expected") };
        let values = [id.clone(), secret.expose().to_owned()];
        let mut all: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
        all.push(("DORY_STORE".to_owned(), access.url.to_string()));
        all.push(("DORY_STORE_ENDPOINT".to_owned(), access.endpoint.unwrap()));
        all
    }

    /// Of ten requests one goes wrong from now on; in a long storm some answers come when nobody waits any more.
    pub(super) fn storm(&self, length: Duration) {
        let is_long = length > Duration::from_secs(300);
        match self {
            Self::Gcs(server) => {
                let faults = [
                    (2, Fault::Status(429)),
                    (2, Fault::Status(503)),
                    (2, Fault::DropRequest),
                    (2, Fault::CutBody),
                    (1, Fault::LoseAnswer),
                    (1, Fault::Slow(4000)),
                ];
                if is_long {
                    for part in LATE {
                        let millis = TOO_LATE.as_millis().try_into().unwrap();
                        server.inject(FaultRule::sometimes(1, 0, Fault::Slow(millis)).on(part));
                    }
                }
                for (seed, (percent, fault)) in (1..).zip(faults) {
                    server.inject(FaultRule::sometimes(percent, seed, fault));
                }
            }
            Self::S3(_, proxy) => {
                proxy.sky.late.store(is_long, Ordering::Relaxed);
                proxy.sky.rough.store(true, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn calm(&self) {
        match self {
            Self::Gcs(server) => server.behave(),
            Self::S3(_, proxy) => proxy.sky.rough.store(false, Ordering::Relaxed),
        }
    }
}

/// The S3 server may be one that others use, too.
fn prefix() -> String {
    format!("trial-{}", std::process::id())
}

/// Passes each request on over a connection of its own, or does not.
pub(super) struct Proxy {
    address: String,
    sky: Arc<Sky>,
}

#[derive(Debug, Default)]
struct Sky {
    rough: AtomicBool,
    late: AtomicBool,
    /// The requests that came.
    count: AtomicU64,
}

impl Proxy {
    fn start(host: &str, behind: String) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sky = Arc::<Sky>::default();
        let its = Arc::clone(&sky);
        // It ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (behind, sky) = (behind.clone(), Arc::clone(&its));
                thread::spawn(move || {
                    // Whoever is cut off notices that itself.
                    let _ = pass_on(client, &behind, &sky);
                });
            }
        });
        Self { address, sky }
    }
}

fn pass_on(mut client: TcpStream, behind: &str, sky: &Sky) -> std::io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        let mut more = [0; 4096];
        let length = client.read(&mut more)?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&more[..length]);
        if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 2;
        }
    };
    let number = sky.count.fetch_add(1, Ordering::Relaxed);
    // Spread evenly, and alike in each run: of a hundred requests, these.
    let fate = if sky.rough.load(Ordering::Relaxed) { number.wrapping_mul(37) % 100 } else { 99 };
    let line = String::from_utf8_lossy(&head);
    let line = line.lines().next().unwrap_or_default();
    if fate == 10 && sky.late.load(Ordering::Relaxed) && LATE.iter().any(|part| line.contains(part)) {
        thread::sleep(TOO_LATE);
    }
    match fate {
        0 | 1 => return refuse(&mut client, "429 Too Many Requests"),
        2 | 3 => return refuse(&mut client, "503 Service Unavailable"),
        4 | 5 => return Ok(()),
        6 => thread::sleep(Duration::from_secs(4)),
        _ => {}
    }
    let mut server = TcpStream::connect(behind)?;
    server.write_all(&head[..end])?;
    server.write_all(b"Connection: close\r\n\r\n")?;
    server.write_all(&head[end + 2..])?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to).map(drop));
    match fate {
        // The answer is lost; what was asked for is done.
        7 => drop(std::io::copy(&mut server, &mut std::io::sink())?),
        // It is cut off.
        8 | 9 => {
            let mut whole = Vec::new();
            server.read_to_end(&mut whole)?;
            client.write_all(&whole[..whole.len() / 2])?;
        }
        _ => drop(std::io::copy(&mut server, &mut client)?),
    }
    client.shutdown(Shutdown::Both)
}

fn refuse(client: &mut TcpStream, status: &str) -> std::io::Result<()> {
    client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())?;
    client.shutdown(Shutdown::Write)?;
    // What it still sends is taken, or it would not read the answer.
    std::io::copy(client, &mut std::io::sink()).map(drop)
}
