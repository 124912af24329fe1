//! Three servers with three Docker engines of their own, over one store that fails one request of ten: nothing is lost,
//! nothing is done twice.
//!
//! The network, which [`the_network_is_what_the_trial_needs`] proves before anything else is built on it:
//!
//! - a bridge on this host, `10.213.n.1`, where the store and the mail server listen and from where no packet goes on;
//! - each engine (`dockerd` with socket, data root and network namespace of its own) has a cable to it, `10.213.n.11` and
//!   on; `dory serve` runs in its engine's namespace, and so do its helpers, which join the network of *their* host;
//! - a pulled cable therefore cuts a server and its helpers off from the store, and from nothing else.
//!
//! Clocks are wrong by ten minutes in both directions (`libfaketime`, the monotonic clock apart).
//!
//! `DORY_TRIAL_SECONDS` says for how long the weather is bad: a minute, and ten in `scripts/soak.sh`.

mod afterwards;
mod crossing;
mod host;
mod post;
mod trial;
mod weather;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use dory_testkit::live::{LiveNetwork, or_skip};

use self::trial::Trial;
use self::weather::Store;

/// A process in a network namespace of its own. It ends with the test, however that ends.
struct Elsewhere(Child);

impl Elsewhere {
    fn start() -> Self {
        let elsewhere = Self(Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap());
        // Until then it is in this host's network.
        let its = format!("/proc/{}/ns/net", elsewhere.0.id());
        while std::fs::read_link(&its).unwrap() == std::fs::read_link("/proc/self/ns/net").unwrap() {
            thread::yield_now();
        }
        elsewhere
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

#[test]
fn the_network_is_what_the_trial_needs() {
    let Some(network) = LiveNetwork::start() else { return };
    let [one, other] = [Elsewhere::start(), Elsewhere::start()];
    let (cable, _) = (network.join(one.0.id()), network.join(other.0.id()));
    let listener = TcpListener::bind((network.host(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the process.
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut heard = [0; 6];
            client.read_exact(&mut heard).and_then(|()| client.write_all(&heard)).unwrap_or_default();
        }
    });
    let reaches = |from: &Elsewhere| {
        let script = format!(
            "exec 3<>/dev/tcp/{}/{} && echo hello >&3 && read -r word <&3 && [ $word = hello ]",
            address.ip(),
            address.port()
        );
        let pid = from.0.id().to_string();
        let words = ["-t", &pid, "-n", "timeout", "2", "bash", "-c", &script];
        Command::new("nsenter").args(words).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(reaches(&one) && reaches(&other), "both servers reach the store");
    cable.pull();
    assert!(!reaches(&one), "a pulled cable cuts one off");
    assert!(reaches(&other), "and nobody else");
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok(), "this host neither");
    cable.plug_in();
    assert!(reaches(&one), "plugged in again it carries as before");
}

#[test]
fn three_servers_over_google_cloud_storage_in_bad_weather() {
    let Some(network) = ready() else { return };
    let store = Store::gcs(&network);
    if let Some(trial) = Trial::start(&network, store) {
        trial.run();
    }
}

#[test]
fn three_servers_over_s3_in_bad_weather() {
    let Some(network) = ready() else { return };
    let Some(store) = or_skip("s3", Store::s3(&network)) else { return };
    if let Some(trial) = Trial::start(&network, store) {
        trial.run();
    }
}

fn ready() -> Option<LiveNetwork> {
    or_skip("dockerd", host::has_faketime().then_some(()))?;
    LiveNetwork::start()
}
