//! One running Dory, as the fleet sees it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{ContainerName, ServerName};
use super::lease::Lease;
use super::pulse::{Health, Loop};

/// A server's own document: who owns its name, and the last it said about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerRecord {
    /// Its name.
    pub name: ServerName,
    /// Which process owns the name.
    pub lease: Lease,
    /// The last it said about itself.
    pub ping: Ping,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// When it said it, by its own clock.
    pub at: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// Its host's name.
    pub host: String,
    /// Its version of Dory.
    pub version: String,
    /// What runs its containers: `docker 20.10.24`; `None` while nobody answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The version of the interface by which it talks to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Room where that keeps its data; `None` where nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskSpace>,
    /// When its next backup is due, and of which container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<NextRun>,
    /// The containers it is backing up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<ContainerName>,
    /// For how many seconds each of its loops had not succeeded then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub loop_ages: BTreeMap<Loop, u64>,
}

impl Ping {
    /// What a server says that knows nothing of its host yet.
    #[must_use]
    pub fn bare(at: Timestamp, host: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            at,
            started_at: at,
            host: host.into(),
            version: version.into(),
            runtime: None,
            api_version: None,
            disk: None,
            next_run: None,
            running: Vec::new(),
            loop_ages: BTreeMap::new(),
        }
    }
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    /// What ordinary users can still write.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

/// The next backup of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRun {
    /// Of which container.
    pub container: ContainerName,
    /// When.
    pub at: Timestamp,
}

impl ServerRecord {
    /// How its loops are at `now` by the clock of its own host, with the last it said taken for the heartbeat's last turn.
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Health {
        let silent = u64::try_from(now.duration_since(self.ping.at).as_secs()).unwrap_or_default();
        let mut ages: BTreeMap<_, _> =
            self.ping.loop_ages.iter().map(|(name, age)| (*name, age.saturating_add(silent))).collect();
        ages.insert(Loop::Heartbeat, silent);
        Health::of(&ages)
    }

    /// How long it ran when it last said something.
    #[must_use]
    pub fn uptime(&self) -> SignedDuration {
        self.ping.at.duration_since(self.ping.started_at).max(SignedDuration::ZERO)
    }

    /// Whether it has said nothing for longer than its term, as far as clocks can be trusted: for people, never for
    /// taking over.
    #[must_use]
    pub fn is_silent(&self, now: Timestamp) -> bool {
        let term = SignedDuration::try_from(self.lease.term()).unwrap_or(SignedDuration::MAX);
        !self.lease.released && now.duration_since(self.ping.at) > term
    }
}
