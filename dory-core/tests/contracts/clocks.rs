//! The system's clock and the testkit's keep the same promises.

use std::sync::Arc;

use dory_core::ports::SystemClock;
use dory_testkit::contracts::clock::Subject;
use dory_testkit::fakes::FakeClock;

dory_testkit::clock_contract!(system_clock, async { Some(Subject::new(Arc::new(SystemClock::new()))) });

dory_testkit::clock_contract!(fake_clock, async {
    let clock = FakeClock::new();
    Some(Subject::new(clock.port()).keeping(clock.tick()))
});
