//! The testkit's doorbell keeps the promises of a doorbell.

use dory_testkit::contracts::doorbell::Subject;
use dory_testkit::fakes::{FakeClock, FakeDoorbell, Journal};

dory_testkit::doorbell_contract!(fake_doorbell, async {
    let clock = FakeClock::new();
    let bell = FakeDoorbell::with(&clock, &Journal::new(&clock));
    Some(Subject::new(bell.port(), bell.port()).keeping(clock.tick()))
});
