//! What has a schedule runs when it is due, once, and not too much of it at once.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::restore_point::PointOrigin;
use dory_core::fleet::SchedulerLimits;
use dory_testkit::World;

use super::bench::{Running, dory, let_pass};

const HOUR: Duration = Duration::from_secs(3600);

/// A container with a volume, backed up at three each night (the world begins at noon).
fn nightly(world: &World, name: &str, labels: &[(&str, &str)]) {
    let mut container = world.runtime.container(name).volume(&format!("{name}-data"), "/data");
    for (name, value) in [&[("dory.schedule", "0 3 * * *")], labels].concat() {
        container = container.label(name, value);
    }
    container.running();
    world.write(&format!("{name}-data"), "rows", "one two three");
}

async fn points(world: &World, name: &str) -> usize {
    dory(world).find_backup(name).await.map_or(0, |backup| backup.points.len())
}

async fn serving(world: &World) -> Running {
    let server = Running::start(world);
    server.tells(world, "serving", 1).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_runs_and_the_fleet_is_told_what_is_next() {
    let world = World::new();
    nightly(&world, "db", &[]);
    let server = serving(&world).await;
    world.clock.advance(14 * HOUR);
    let_pass(&world, Duration::from_secs(60)).await;
    assert!(!server.news().iter().any(|told| told.starts_with("began")), "it is two at night");
    world.clock.advance(HOUR);
    server.tells(&world, "backed up db", 1).await;
    let backup = dory(&world).find_backup("db").await.unwrap();
    assert_eq!(backup.points[0].origin, PointOrigin::Schedule);

    // One heartbeat later.
    let_pass(&world, Duration::from_secs(20)).await;
    let ping = dory(&world).catalog().servers().await.unwrap().remove(0).ping;
    assert_eq!(ping.running, []);
    let next = ping.next_run.unwrap();
    assert_eq!((next.container.as_str(), next.at.to_string().as_str()), ("db", "2026-03-03T03:00:00Z"));
    server.end().await.unwrap();
    world.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn nights_that_were_missed_are_made_up_for_once() {
    let world = World::new();
    nightly(&world, "db", &[]);
    world.clock.advance(5 * 24 * HOUR);
    let server = serving(&world).await;
    server.tells(&world, "backed up db", 1).await;
    world.clock.advance(HOUR);
    let_pass(&world, Duration::from_secs(60)).await;
    server.end().await.unwrap();
    assert_eq!(points(&world, "db").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_comes_later_is_found_and_one_that_was_taken_out_is_not() {
    let world = World::new();
    nightly(&world, "out", &[("dory.backup", "false")]);
    let server = serving(&world).await;
    nightly(&world, "late", &[]);
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up late", 1).await;
    server.end().await.unwrap();
    assert_eq!(points(&world, "out").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_makes_no_sense_is_told_once_and_stops_nobody_else() {
    let world = World::new();
    nightly(&world, "db", &[]);
    nightly(&world, "odd", &[("dory.keep", "forever")]);
    let server = serving(&world).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    let_pass(&world, Duration::from_secs(60)).await;
    let told = server.news().into_iter().filter(|told| told.starts_with("unclear odd")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("dory.keep"), "{told:?}");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_may() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        nightly(&world, name, &[]);
    }
    let limits = SchedulerLimits { parallel: 1, containers_down: 10 };
    let server = Running::with(&world, limits);
    server.tells(&world, "serving", 1).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up", 3).await;
    let order: Vec<_> =
        server.news().into_iter().filter(|told| told.starts_with("began") || told.starts_with("backed")).collect();
    for pair in order.chunks(2) {
        assert!(pair[0].starts_with("began") && pair[1].starts_with("backed up"), "{order:?}");
    }
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_may_pass_is_tried_again() {
    let world = World::new();
    nightly(&world, "db", &[]);
    let server = serving(&world).await;
    let away = dory_core::Error::new(ErrorKind::Unavailable, "reach", "the store", "the test cut the line");
    world.faults.restic.fail_next("open", away);
    world.clock.advance(15 * HOUR);
    server.tells(&world, "failed db: Unavailable", 1).await;
    server.tells(&world, "backed up db", 1).await;
    server.end().await.unwrap();
    assert_eq!(world.runtime.state_of("db"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_do_not_keep_goes_after_the_backup() {
    let world = World::new();
    nightly(&world, "db", &[("dory.keep", "last=2")]);
    let server = serving(&world).await;
    for night in 1..=3 {
        world.clock.advance(24 * HOUR);
        server.tells(&world, "backed up db", night).await;
    }
    server.tells(&world, "pruned db: 1", 1).await;
    server.end().await.unwrap();
    assert_eq!(points(&world, "db").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_brings_its_containers_up_first() {
    let world = World::new();
    nightly(&world, "db", &[]);
    let server = serving(&world).await;
    let mut hold = world.faults.restic.hold_next("freeze");
    world.clock.advance(15 * HOUR);
    hold.reached().await;
    assert_eq!(world.runtime.state_of("db"), ContainerState::Exited);
    server.end().await.unwrap();
    assert_eq!(world.runtime.state_of("db"), ContainerState::Running);
    world.assert_tidy();
}
