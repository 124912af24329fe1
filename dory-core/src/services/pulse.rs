//! Whether the loops of the server in this process live, and whether what they do succeeds.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::pulse::{Health, Loop};
use crate::ports::Clock;

/// For how many of its limits a loop may make no turn at all before it counts as stuck: one that fails turns all the same.
const STUCK_AFTER: u64 = 3;

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

impl Pulse {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Says that a server's loops begin in this process.
    pub(crate) fn begin(&self) {
        let now = self.clock.monotonic();
        let mut state = self.lock();
        state.began = Some(now);
        // The heartbeat began before the others.
        state.turns.retain(|which, _| *which == Loop::Heartbeat);
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

    /// How many seconds ago each loop's last good turn was, or the server's begin where there was none yet; empty while
    /// none runs in this process.
    pub(crate) fn ages(&self) -> BTreeMap<Loop, u64> {
        self.since(|turns| turns.good).unwrap_or_default()
    }

    /// How the server is; `None` where none runs in this process.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.since(|turns| turns.good).map(|ages| Health::of(&ages))
    }

    /// Whether every loop goes round, whatever comes of it. A new process helps one that does not, and not one that fails.
    /// A process in which none began has none that could be stuck.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let is_going = |(which, age): (&Loop, &u64)| *age <= which.limit_seconds() * STUCK_AFTER;
        self.since(|turns| turns.last).is_none_or(|ages| ages.iter().all(is_going))
    }

    fn since(&self, moment: impl Fn(Turns) -> Option<Duration>) -> Option<BTreeMap<Loop, u64>> {
        let now = self.clock.monotonic();
        let state = self.lock();
        let began = state.began?;
        let age = |which: Loop| {
            let turns = state.turns.get(&which).copied().unwrap_or_default();
            (which, now.saturating_sub(moment(turns).unwrap_or(began)).as_secs())
        };
        Some(Loop::ALL.into_iter().map(age).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("state", &*self.lock()).finish_non_exhaustive()
    }
}
