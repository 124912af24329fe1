//! The loops of a server, and whether each succeeded recently enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A loop of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loop {
    /// Shows that the server lives.
    Heartbeat,
    /// Carries out what the server is asked to do.
    Mailbox,
    /// Backs up what is due.
    Scheduler,
    /// Tells the fleet what is on the host.
    Stocktaker,
}

impl Loop {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Heartbeat, Self::Mailbox, Self::Scheduler, Self::Stocktaker];

    /// The word for it: `heartbeat`, `mailbox`, `scheduler`, `stocktaker`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Mailbox => "mailbox",
            Self::Scheduler => "scheduler",
            Self::Stocktaker => "stocktaker",
        }
    }

    /// How many seconds ago its last good turn may be: several times what lies between two of them.
    #[must_use]
    pub fn limit_seconds(self) -> u64 {
        match self {
            Self::Heartbeat => 60,
            Self::Mailbox | Self::Scheduler | Self::Stocktaker => 300,
        }
    }
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether each loop's last good turn is recent enough.
    pub healthy: bool,
    /// Each loop.
    pub loops: Vec<LoopHealth>,
}

/// How one loop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LoopHealth {
    /// Which.
    pub name: Loop,
    /// Whether its last good turn is recent enough.
    pub healthy: bool,
    /// Seconds since its last good turn, or since the server began where there was none yet.
    pub good_seconds_ago: u64,
    /// How many seconds ago its last good turn may be.
    pub limit_seconds: u64,
}

impl Health {
    /// How a server is whose loops' last good turns are so many seconds ago.
    #[must_use]
    pub fn of(ages: &BTreeMap<Loop, u64>) -> Self {
        let look = |(name, age): (&Loop, &u64)| LoopHealth {
            name: *name,
            healthy: *age <= name.limit_seconds(),
            good_seconds_ago: *age,
            limit_seconds: name.limit_seconds(),
        };
        let loops: Vec<_> = ages.iter().map(look).collect();
        Self { healthy: loops.iter().all(|one| one.healthy), loops }
    }

    /// The loops that did not succeed for too long.
    pub fn failing(&self) -> impl Iterator<Item = &LoopHealth> {
        self.loops.iter().filter(|one| !one.healthy)
    }
}
