//! Time that stands still until a test moves it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dory_core::ports::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// A clock that tests drive. Clones share one time.
///
/// [`advance`](Self::advance) moves both clocks and wakes sleepers in the order of their deadlines;
/// [`jump_wall`](Self::jump_wall) moves the wall clock alone, as an administrator or a time server does.
#[derive(Clone, Debug)]
pub struct FakeClock {
    state: Arc<Mutex<State>>,
    sleeping: Arc<watch::Sender<usize>>,
}

#[derive(Debug)]
struct State {
    wall: Timestamp,
    monotonic: Duration,
    /// By deadline, then by who came first.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    slept: u64,
}

impl FakeClock {
    /// A clock that shows noon of 1 March 2026, UTC. Its monotonic time starts at an hour, for nothing may rely on zero.
    #[must_use]
    pub fn new() -> Self {
        let wall = "2026-03-01T12:00:00Z".parse().expect("a valid time");
        let state = State { wall, monotonic: Duration::from_secs(3600), sleepers: BTreeMap::new(), slept: 0 };
        Self { state: Arc::new(Mutex::new(state)), sleeping: Arc::new(watch::Sender::new(0)) }
    }

    /// Lets `duration` pass: both clocks move, stopping at each sleeper's deadline on the way to wake it.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.lock();
        let end = state.monotonic + duration;
        while let Some(entry) = state.sleepers.first_entry().filter(|entry| entry.key().0 <= end) {
            let deadline = entry.key().0;
            let waker = entry.remove();
            state.move_to(deadline);
            // A sleeper that was dropped meanwhile does not care.
            let _ = waker.send(());
        }
        state.move_to(end);
        self.sleeping.send_replace(state.sleepers.len());
    }

    /// Moves the wall clock alone, forward or back.
    pub fn jump_wall(&self, by: SignedDuration) {
        let mut state = self.lock();
        state.wall = state.wall.checked_add(by).expect("a time within reach");
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, to: Timestamp) {
        self.lock().wall = to;
    }

    /// How many sleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    /// Waits until at least `count` sleep: the code under test has come so far and waits for time to pass.
    pub async fn wait_for_sleepers(&self, count: usize) {
        let mut sleeping = self.sleeping.subscribe();
        // The sender lives as long as this clock.
        let _ = sleeping.wait_for(|sleeping| *sleeping >= count).await;
    }

    /// Waits until somebody sleeps, and lets exactly so much time pass as the first to wake needs; tells how much.
    pub async fn wake_next(&self) -> Duration {
        loop {
            self.wait_for_sleepers(1).await;
            let wait = {
                let state = self.lock();
                state.sleepers.keys().next().map(|(deadline, _)| deadline.saturating_sub(state.monotonic))
            };
            // The sleeper may have been dropped meanwhile.
            if let Some(wait) = wait {
                self.advance(wait);
                return wait;
            }
        }
    }

    /// Lets time pass by itself, as fast as it really does, until the ticker is dropped: for suites that real clocks
    /// take too. Call it inside a tokio runtime.
    #[must_use = "time stands still again when the ticker is dropped"]
    pub fn tick(&self) -> Ticker {
        let clock = self.clone();
        Ticker(tokio::spawn(async move {
            let mut last = Instant::now();
            loop {
                tokio::time::sleep(Duration::from_millis(2)).await;
                let now = Instant::now();
                clock.advance(now - last);
                last = now;
            }
        }))
    }

    /// This clock as the port.
    #[must_use]
    pub fn port(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn move_to(&mut self, monotonic: Duration) {
        let passed = monotonic.saturating_sub(self.monotonic);
        self.wall = self.wall.checked_add(passed).expect("a time within reach");
        self.monotonic = monotonic;
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.lock().monotonic
    }

    async fn sleep(&self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let (waker, woken) = oneshot::channel();
        let key = {
            let mut state = self.lock();
            state.slept += 1;
            let key = (state.monotonic + duration, state.slept);
            state.sleepers.insert(key, waker);
            self.sleeping.send_replace(state.sleepers.len());
            key
        };
        let _bed = Bed { clock: self, key };
        // The waker is only ever dropped together with this future's bed.
        let _ = woken.await;
    }
}

/// A sleeper's place, cleared when its future ends or is dropped.
struct Bed<'a> {
    clock: &'a FakeClock,
    key: (Duration, u64),
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        let mut state = self.clock.lock();
        if state.sleepers.remove(&self.key).is_some() {
            self.clock.sleeping.send_replace(state.sleepers.len());
        }
    }
}

/// Time passes while this lives. See [`FakeClock::tick`].
#[derive(Debug)]
pub struct Ticker(JoinHandle<()>);

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
