//! An implementation of your own, held to the promises that Dory's are held to: one line enrols it in the suite.
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use async_trait::async_trait;
use dory_core::ports::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};

/// A clock that shows another time than the system's, for rehearsing what happens at the turn of the year.
#[derive(Debug)]
struct ShiftedClock {
    system: SystemClock,
    by: SignedDuration,
}

impl ShiftedClock {
    fn new(by: SignedDuration) -> Self {
        Self { system: SystemClock::new(), by }
    }
}

#[async_trait]
impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        self.system.now() + self.by
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}

fn main() {
    println!("tomorrow at this time: {}", ShiftedClock::new(SignedDuration::from_hours(24)).now());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dory_testkit::contracts::clock::Subject;

    use super::*;

    dory_testkit::clock_contract!(shifted_clock, async {
        Some(Subject::new(Arc::new(ShiftedClock::new(SignedDuration::from_hours(24)))))
    });
}
