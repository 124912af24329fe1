//! One gate for all that a server runs: not too much at once, and one run at a time with the same data.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::error::Result;
use crate::services::{Cancel, RunNeeds};

/// How much a server does at once, and how many containers it may have down together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerLimits {
    /// Runs at once, of schedules and of commands; at least one.
    pub parallel: usize,
    /// Containers that stand still at once; a single run that needs more runs alone.
    pub containers_down: usize,
}

impl Default for SchedulerLimits {
    fn default() -> Self {
        Self { parallel: 2, containers_down: 10 }
    }
}

/// Where every run of a server waits for its turn: who came first goes first, unless its data is in use.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    limits: SchedulerLimits,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    plans: Arc<Semaphore>,
}

/// How many plan at once: each asks the container engine and the store.
const PLANS: usize = 2;

#[derive(Debug, Default)]
struct State {
    tickets: u64,
    waiting: BTreeMap<u64, RunNeeds>,
    running: BTreeMap<u64, RunNeeds>,
}

/// Why somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A run on the same data, or with the same containers, is under way or came first.
    SameData,
    /// So many runs are under way that there is no room for another, or others came first.
    Room { running: usize },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameData => f.write_str("waits its turn: a run works on the same data"),
            Self::Room { running: 1 } => f.write_str("waits its turn: 1 run is under way"),
            Self::Room { running } => write!(f, "waits its turn: {running} runs are under way"),
        }
    }
}

/// A place in the queue, and the right to run once it has come up. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    number: u64,
    gate: Gate,
}

impl Gate {
    pub(super) fn new(limits: SchedulerLimits) -> Self {
        let (changed, plans) = (Arc::new(watch::Sender::new(0)), Arc::new(Semaphore::new(PLANS)));
        Self { limits, state: Arc::default(), changed, plans }
    }

    /// Waits for a turn with what `plan` says is needed, and plans anew where waiting may have changed that. Tells
    /// `waits` why it takes time.
    ///
    /// # Errors
    /// What `plan` gives; `Cancelled`.
    pub(super) async fn enter<F: Future<Output = Result<RunNeeds>> + Send>(
        &self,
        plan: impl Fn() -> F + Send + Sync,
        cancel: &Cancel,
        waits: impl Fn(Wait) + Send + Sync,
    ) -> Result<Pass> {
        let mut needs = cancel.or(self.ask(&plan)).await?;
        loop {
            let pass = self.queue(needs.clone());
            let mut told = None;
            let mut changed = self.changed.subscribe();
            loop {
                changed.borrow_and_update();
                let Some(wait) = self.admit(pass.number) else { break };
                if told != Some(wait) {
                    waits(wait);
                    told = Some(wait);
                }
                cancel
                    .or(async {
                        // The sender lives as long as this gate.
                        let _ = changed.changed().await;
                        Ok(())
                    })
                    .await?;
            }
            if told.is_none() {
                return Ok(pass);
            }
            let now = cancel.or(self.ask(&plan)).await?;
            if now == needs {
                return Ok(pass);
            }
            needs = now;
        }
    }

    async fn ask<F: Future<Output = Result<RunNeeds>> + Send>(
        &self,
        plan: &(impl Fn() -> F + Send + Sync),
    ) -> Result<RunNeeds> {
        // It is never closed.
        let _permit = self.plans.acquire().await.ok();
        plan().await
    }

    fn queue(&self, needs: RunNeeds) -> Pass {
        let mut state = self.lock();
        state.tickets += 1;
        let number = state.tickets;
        state.waiting.insert(number, needs);
        Pass { number, gate: self.clone() }
    }

    /// Lets a ticket in, or tells why not.
    fn admit(&self, number: u64) -> Option<Wait> {
        let mut state = self.lock();
        if let Some(wait) = state.hindrance(number, self.limits) {
            return Some(wait);
        }
        if let Some(needs) = state.waiting.remove(&number) {
            state.running.insert(number, needs);
        }
        drop(state);
        self.tell();
        None
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.waiting.remove(&self.number);
        state.running.remove(&self.number);
        drop(state);
        self.gate.tell();
    }
}

impl State {
    fn hindrance(&self, number: u64, limits: SchedulerLimits) -> Option<Wait> {
        let needs = self.waiting.get(&number)?;
        if self.shares_data(number, needs) {
            return Some(Wait::SameData);
        }
        // Who waits for its data holds up nobody else; who waits for room must get it before those who came later.
        let first_in_line = self.waiting.range(..number).all(|(earlier, needs)| self.shares_data(*earlier, needs));
        let room = first_in_line && self.has_room_for(needs, limits);
        (!room).then_some(Wait::Room { running: self.running.len() })
    }

    /// Whether what is under way, or came first, holds any of the same.
    fn shares_data(&self, number: u64, needs: &RunNeeds) -> bool {
        let earlier = self.waiting.range(..number).map(|(_, earlier)| earlier);
        self.running.values().chain(earlier).any(|other| !other.holds.is_disjoint(&needs.holds))
    }

    fn has_room_for(&self, needs: &RunNeeds, limits: SchedulerLimits) -> bool {
        let down: usize = self.running.values().map(|running| running.down).sum();
        let alone = down == 0 || needs.down == 0;
        self.running.len() < limits.parallel.max(1) && (alone || down + needs.down <= limits.containers_down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(parallel: usize, containers_down: usize) -> Gate {
        Gate::new(SchedulerLimits { parallel, containers_down })
    }

    fn needs(holds: &[&str], down: usize) -> RunNeeds {
        RunNeeds { holds: holds.iter().map(|&held| held.to_owned()).collect(), down }
    }

    #[test]
    fn two_with_the_same_data_go_one_after_the_other_and_a_third_beside_them() {
        let gate = gate(2, 10);
        let [first, second, third] =
            [&["volume a"][..], &["volume a", "volume b"], &["volume c"]].map(|holds| gate.queue(needs(holds, 1)));
        assert_eq!(gate.admit(first.number), None);
        assert_eq!(gate.admit(second.number), Some(Wait::SameData));
        assert_eq!(gate.admit(third.number), None);
        drop(third);
        drop(first);
        assert_eq!(gate.admit(second.number), None);
    }

    #[test]
    fn one_that_waits_for_two_volumes_is_not_overtaken_by_those_who_want_one_of_them() {
        let gate = gate(3, 10);
        let [first, both, later] =
            [&["volume a"][..], &["volume a", "volume b"], &["volume b"]].map(|holds| gate.queue(needs(holds, 1)));
        assert_eq!(gate.admit(first.number), None);
        assert_eq!(gate.admit(later.number), Some(Wait::SameData));
        drop(first);
        assert_eq!(gate.admit(both.number), None);
        assert_eq!(gate.admit(later.number), Some(Wait::SameData));
    }

    #[test]
    fn no_more_run_than_may_and_who_needs_much_gets_its_turn() {
        let gate = gate(2, 3);
        let [small, big, other] = [("a", 2), ("b", 5), ("c", 1)].map(|(held, down)| gate.queue(needs(&[held], down)));
        assert_eq!(gate.admit(small.number), None);
        assert_eq!(gate.admit(big.number), Some(Wait::Room { running: 1 }));
        assert_eq!(gate.admit(other.number), Some(Wait::Room { running: 1 }), "the big one came first");
        drop(small);
        assert_eq!(gate.admit(big.number), None);
        assert_eq!(gate.admit(other.number), Some(Wait::Room { running: 1 }), "a single one may need more than may");
        drop(big);
        assert_eq!(gate.admit(other.number), None);
    }

    #[test]
    fn what_stops_nothing_runs_beside_whatever_stops_much() {
        let gate = gate(2, 1);
        let (stops, reads) = (gate.queue(needs(&["a"], 1)), gate.queue(needs(&["b"], 0)));
        assert_eq!((gate.admit(stops.number), gate.admit(reads.number)), (None, None));
    }
}
