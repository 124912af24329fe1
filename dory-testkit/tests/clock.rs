//! What drives the fake clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dory_core::ports::Clock;
use dory_testkit::fakes::FakeClock;
use jiff::SignedDuration;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn sleepers_wake_in_the_order_of_their_deadlines() {
    let clock = FakeClock::new();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let sleeper = |name: &'static str, seconds: u32| {
        let (clock, woken) = (clock.clone(), Arc::clone(&woken));
        tokio::spawn(async move {
            clock.sleep(SECOND * seconds).await;
            woken.lock().unwrap().push(name);
        })
    };
    let tasks = [sleeper("late", 5), sleeper("early", 2), sleeper("never", 60)];
    clock.wait_for_sleepers(3).await;

    clock.advance(SECOND * 10);
    let [late, early, never] = tasks;
    late.await.unwrap();
    early.await.unwrap();

    assert_eq!(*woken.lock().unwrap(), ["early", "late"]);
    assert_eq!(clock.sleepers(), 1);
    never.abort();
}

#[tokio::test]
async fn waking_the_next_sleeper_lets_no_more_time_pass_than_it_needs() {
    let clock = FakeClock::new();
    let before = clock.monotonic();
    let task = {
        let clock = clock.clone();
        tokio::spawn(async move { clock.sleep(SECOND * 7).await })
    };
    assert_eq!(clock.wake_next().await, SECOND * 7);
    task.await.unwrap();
    assert_eq!(clock.monotonic() - before, SECOND * 7);
}

#[test]
fn the_wall_clock_jumps_alone() {
    let clock = FakeClock::new();
    let (wall, monotonic) = (clock.now(), clock.monotonic());
    clock.jump_wall(SignedDuration::from_hours(-2));
    clock.advance(SECOND);
    assert_eq!(clock.monotonic() - monotonic, SECOND);
    assert_eq!(clock.now().duration_since(wall), SignedDuration::from_secs(1 - 7200));
}
