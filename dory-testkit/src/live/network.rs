//! A network of a test's own on this host: a bridge, and a cable to the network namespace of each process that joins.
//!
//! Addresses are `10.213.<n>.0/24`, reached from nowhere else: no packet leaves the host, and nothing is forwarded.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};

use super::or_skip;

/// A bridge, and this host on it. It goes when this does.
#[derive(Debug)]
pub struct LiveNetwork {
    bridge: String,
    third: u8,
    joined: AtomicU8,
}

/// A network namespace's cable to a [`LiveNetwork`].
#[derive(Debug)]
pub struct Cable {
    host_end: String,
    address: String,
}

impl LiveNetwork {
    /// One that works; `None` where this user may not make any, or has not the programs for it (`ip`, `nsenter`).
    #[must_use]
    pub fn start() -> Option<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        remove_orphans();
        let pid = std::process::id();
        let first = u8::try_from(pid % 200).unwrap_or_default();
        let third = (first..=u8::MAX).chain(0..first).find(|third| is_free(*third))?;
        let network = Self { bridge: format!("dy{pid}b{number}"), third, joined: AtomicU8::new(0) };
        let made = ran(&["ip", "link", "add", &network.bridge, "type", "bridge"]);
        or_skip("dockerd", made.then_some(()))?;
        ok(&["ip", "address", "add", &format!("{}/24", network.host()), "dev", &network.bridge]);
        ok(&["ip", "link", "set", &network.bridge, "up"]);
        Some(network)
    }

    /// This host's address on it, for servers that all who joined are to reach.
    #[must_use]
    pub fn host(&self) -> String {
        format!("10.213.{}.1", self.third)
    }

    /// Lays a cable to the network namespace of the process `pid`, which must be another than this host's.
    ///
    /// # Panics
    /// If the system refuses.
    #[must_use]
    pub fn join(&self, pid: u32) -> Cable {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let (pid, host_end) = (pid.to_string(), format!("{}c{number}", self.bridge));
        let address = format!("10.213.{}.{}", self.third, 11 + number);
        ok(&["ip", "link", "add", &host_end, "type", "veth", "peer", "name", "eth0", "netns", &pid]);
        ok(&["ip", "link", "set", &host_end, "master", &self.bridge, "up"]);
        let inside = |words: &[&str]| ok(&[&["nsenter", "-t", &pid, "-n", "ip"], words].concat());
        inside(&["link", "set", "lo", "up"]);
        inside(&["address", "add", &format!("{address}/24"), "dev", "eth0"]);
        inside(&["link", "set", "eth0", "up"]);
        Cable { host_end, address }
    }
}

impl Cable {
    /// The address at its far end.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pulls it: what is on its way is lost, and nobody is told.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn pull(&self) {
        ok(&["ip", "link", "set", &self.host_end, "down"]);
    }

    /// Plugs it in again.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn plug_in(&self) {
        ok(&["ip", "link", "set", &self.host_end, "up"]);
    }
}

impl Drop for LiveNetwork {
    fn drop(&mut self) {
        // The cables' ends go with it, or with the namespaces they lead to.
        for number in 0..self.joined.load(Ordering::Relaxed) {
            ran(&["ip", "link", "delete", &format!("{}c{number}", self.bridge)]);
        }
        ran(&["ip", "link", "delete", &self.bridge]);
    }
}

/// Whether no other network has these addresses.
fn is_free(third: u8) -> bool {
    run(&["ip", "route", "show", &format!("10.213.{third}.0/24")]).is_none_or(|output| output.stdout.is_empty())
}

/// Removes the bridges of tests that were killed: what they would have removed themselves.
fn remove_orphans() {
    let bridges = run(&["ip", "-brief", "link", "show", "type", "bridge"]).map(|output| output.stdout);
    for line in String::from_utf8_lossy(&bridges.unwrap_or_default()).lines() {
        let bridge = line.split_whitespace().next().unwrap_or_default();
        let maker = bridge.strip_prefix("dy").and_then(|rest| rest.split_once('b')).map(|(pid, _)| pid);
        let is_dead = |pid: &str| pid.parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if maker.is_some_and(is_dead) {
            ran(&["ip", "link", "delete", bridge]);
        }
    }
}

fn run(words: &[&str]) -> Option<Output> {
    Command::new(words[0]).args(&words[1..]).output().ok()
}

fn ran(words: &[&str]) -> bool {
    run(words).is_some_and(|output| output.status.success())
}

fn ok(words: &[&str]) {
    let output = run(words).unwrap_or_else(|| panic!("{words:?} does not start"));
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
