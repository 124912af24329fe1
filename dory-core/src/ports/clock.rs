//! Time, so that tests can drive it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

/// Where time comes from. Nothing else in the crate asks the system.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock: for people and records. It may jump either way.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment: for durations and deadlines. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Returns once `duration` of monotonic time has passed. Dropping the future is free.
    async fn sleep(&self, duration: Duration);
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// The system's clocks; monotonic time counts from here.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where time enters")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
