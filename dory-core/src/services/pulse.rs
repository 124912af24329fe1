//! Whether the loops of a server live, and whether what they do succeeds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::ports::Clock;

/// A loop of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loop {
    /// Shows that the server lives.
    Heartbeat,
    /// Carries out what the server is asked to do.
    Mailbox,
    /// Backs up what is due.
    Scheduler,
}

impl Loop {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Heartbeat, Self::Mailbox, Self::Scheduler];

    /// The word for it: `heartbeat`, `mailbox`, `scheduler`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Mailbox => "mailbox",
            Self::Scheduler => "scheduler",
        }
    }

    /// How long ago its last good turn may be: several times what lies between two of them.
    #[must_use]
    pub fn limit(self) -> Duration {
        match self {
            Self::Heartbeat => Duration::from_secs(60),
            Self::Mailbox | Self::Scheduler => Duration::from_secs(300),
        }
    }
}

/// For how many of its limits a loop may make no turn at all before it counts as stuck: one that fails turns all the same.
const STUCK_AFTER: u32 = 3;

/// When each loop of this process last made a turn, and when one last succeeded. Clones share what they know.
#[derive(Clone)]
pub struct Pulse {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// When the server began; `None` while none runs in this process.
    began: Option<Duration>,
    turns: BTreeMap<Loop, Turns>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turns {
    last: Option<Duration>,
    good: Option<Duration>,
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
    /// Seconds since it last tried.
    pub turned_seconds_ago: u64,
    /// How many seconds ago its last good turn may be.
    pub limit_seconds: u64,
}

impl Pulse {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Says that a server's loops begin in this process.
    pub(crate) fn begin(&self) {
        let now = self.clock.monotonic();
        *self.lock() = State { began: Some(now), turns: BTreeMap::new() };
    }

    /// Says that they ended.
    pub(crate) fn end(&self) {
        *self.lock() = State::default();
    }

    /// Notes a turn of a loop, and whether it succeeded.
    pub(crate) fn turn(&self, which: Loop, went_well: bool) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        let turns = state.turns.entry(which).or_default();
        turns.last = Some(now);
        if went_well {
            turns.good = Some(now);
        }
    }

    /// How the server is; `None` where none runs in this process.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        let now = self.clock.monotonic();
        let state = self.lock();
        let began = state.began?;
        let look = |which: Loop| {
            let turns = state.turns.get(&which).copied().unwrap_or_default();
            let ago = |moment: Option<Duration>| now.saturating_sub(moment.unwrap_or(began));
            LoopHealth {
                name: which,
                healthy: ago(turns.good) <= which.limit(),
                good_seconds_ago: ago(turns.good).as_secs(),
                turned_seconds_ago: ago(turns.last).as_secs(),
                limit_seconds: which.limit().as_secs(),
            }
        };
        let loops: Vec<_> = Loop::ALL.into_iter().map(look).collect();
        Some(Health { healthy: loops.iter().all(|one| one.healthy), loops })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    /// Whether every loop goes round, whatever comes of it. A new process helps one that does not, and not one that fails.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.loops.iter().all(|one| one.turned_seconds_ago <= one.limit_seconds * u64::from(STUCK_AFTER))
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("state", &*self.lock()).finish_non_exhaustive()
    }
}
