//! The promises of [`Clock`], one test each. Time must pass by itself, really or with a ticker.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use dory_core::ports::Clock;
use futures_util::future::join;

/// What a sleep may take longer than it was asked to, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock to try.
pub struct Subject {
    clock: Arc<dyn Clock>,
    keep: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// A clock whose time passes by itself.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keep: Vec::new() }
    }

    /// Keeps something alive for as long as the test runs: what lets time pass.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send) -> Self {
        self.keep.push(Box::new(thing));
        self
    }
}

impl Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// Monotonic time never goes back, whatever was done in between.
pub async fn monotonic_time_never_goes_back(subject: Subject) {
    let mut last = subject.clock.monotonic();
    for _ in 0..50 {
        subject.clock.sleep(Duration::from_micros(200)).await;
        let now = subject.clock.monotonic();
        assert!(now >= last, "{now:?} came after {last:?}");
        last = now;
    }
}

/// A sleep is never shorter than it was asked to be, and ends.
pub async fn a_sleep_lasts_as_long_as_asked(subject: Subject) {
    for millis in [1, 10, 60] {
        let asked = Duration::from_millis(millis);
        let before = subject.clock.monotonic();
        subject.clock.sleep(asked).await;
        let slept = subject.clock.monotonic() - before;
        assert!(slept >= asked && slept < asked + PATIENCE, "{asked:?} took {slept:?}");
    }
}

/// Sleeps run beside each other, and end in the order of their lengths.
pub async fn a_shorter_sleep_ends_before_a_longer_one(subject: Subject) {
    let sleep = async |millis| {
        subject.clock.sleep(Duration::from_millis(millis)).await;
        subject.clock.monotonic()
    };
    let before = subject.clock.monotonic();
    let (long, short) = join(sleep(120), sleep(20)).await;
    assert!(short < long, "the longer ended first");
    assert!(long - before < Duration::from_millis(120) + PATIENCE);
}

/// A sleep that is dropped disturbs none of the others.
pub async fn dropping_a_sleep_is_free(subject: Subject) {
    let before = subject.clock.monotonic();
    tokio::select! {
        () = subject.clock.sleep(Duration::from_secs(3600)) => panic!("an hour passed"),
        () = subject.clock.sleep(Duration::from_millis(20)) => {}
    }
    subject.clock.sleep(Duration::from_millis(20)).await;
    assert!(subject.clock.monotonic() - before < PATIENCE);
}

/// No time at all passes at once.
pub async fn a_sleep_of_nothing_returns(subject: Subject) {
    subject.clock.sleep(Duration::ZERO).await;
}

/// The wall clock goes on with the monotonic one, as long as nobody sets it.
pub async fn the_wall_clock_goes_on(subject: Subject) {
    let before = subject.clock.now();
    subject.clock.sleep(Duration::from_millis(50)).await;
    let passed = subject.clock.now().duration_since(before);
    assert!(passed.as_millis() >= 40, "only {passed} passed on the wall");
}

/// Enrols a clock: `clock_contract!(name, async { Some(Subject::new(…)) })`.
#[macro_export]
macro_rules! clock_contract {
    ($name:ident, $subject:expr) => {
        $crate::clock_contract!(@tests $name, $subject,
            monotonic_time_never_goes_back, a_sleep_lasts_as_long_as_asked, a_shorter_sleep_ends_before_a_longer_one,
            dropping_a_sleep_is_free, a_sleep_of_nothing_returns, the_wall_clock_goes_on
        );
    };
    (@tests $name:ident, $subject:expr, $($promise:ident),+) => {
        mod $name {
            #[allow(unused_imports, reason = "an enrolment may need nothing of its surroundings")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let subject: Option<$crate::contracts::clock::Subject> = $subject.await;
                    if let Some(subject) = subject {
                        $crate::contracts::clock::$promise(subject).await;
                    }
                }
            )+
        }
    };
}
