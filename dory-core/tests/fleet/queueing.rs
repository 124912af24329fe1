//! Schedules and commands wait at one gate: no two runs with the same data, and no more than may.

use std::time::Duration;

use dory_core::domain::command::{CommandState, FleetCommand, Order};
use dory_core::domain::container::ContainerState;
use dory_core::fleet::SchedulerLimits;
use dory_core::services::Dory;
use dory_testkit::World;

use super::bench::{Running, let_pass};

const HOUR: Duration = Duration::from_secs(3600);

/// Backed up at three each night (the world begins at noon), with a volume that may be others' too.
fn nightly(world: &World, name: &str, volume: &str) {
    world.runtime.container(name).volume(volume, "/data").label("dory.schedule", "0 3 * * *").running();
    world.write(volume, "rows", "one two three");
}

async fn points(asker: &Dory, name: &str) -> usize {
    asker.find_backup(name).await.map_or(0, |backup| backup.points.len())
}

async fn ask(asker: &Dory, container: &str) -> FleetCommand {
    let order = Order::Backup { container: container.into(), name: None, description: None, how: Box::default() };
    asker.send_command(asker.server(), order, "ada").await.unwrap()
}

async fn serving(world: &World, limits: SchedulerLimits) -> Running {
    let server = Running::with_passphrase_and(world, limits);
    server.tells(world, "serving", 1).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_share_a_volume_take_turns_and_none_fails() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        nightly(&world, name, "shared");
    }
    let server = serving(&world, SchedulerLimits { parallel: 3, containers_down: 10 }).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up", 3).await;
    assert!(!server.news().iter().any(|told| told.starts_with("failed")), "{:#?}", server.news());
    server.end().await.unwrap();
    world.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_a_run_on_the_same_data_says_so_and_can_be_cancelled() {
    let world = World::new();
    nightly(&world, "db", "shared");
    nightly(&world, "web", "shared");
    let server = serving(&world, SchedulerLimits::default()).await;
    let asker = world.dory();
    let mut hold = world.faults.restic.hold_next("freeze");
    let first = ask(&asker, "db").await;
    server.tells(&world, "asked", 1).await;
    hold.reached().await;
    let [second, third] = [ask(&asker, "web").await, ask(&asker, "web").await];
    server.tells(&world, "asked", 3).await;
    let_pass(&world, Duration::from_secs(10)).await;
    for waits in [&second, &third] {
        match asker.look_after(waits).await.unwrap().state {
            CommandState::Running { progress: Some(words), .. } => assert!(words.contains("waits its turn"), "{words}"),
            other => panic!("{other:?}"),
        }
    }
    let cancel = Order::Cancel { command: third.id };
    asker.send_command(asker.server(), cancel, "ada").await.unwrap();
    // The cancelled one and the one that cancels it.
    server.tells(&world, "over", 2).await;
    hold.release();
    server.tells(&world, "over", 4).await;
    for command in [&first, &second] {
        match asker.look_after(command).await.unwrap().state {
            CommandState::Over(outcome) => assert_eq!(outcome.error, None),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((points(&asker, "db").await, points(&asker, "web").await), (1, 1));
    server.end().await.unwrap();
    world.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_and_commands_count_together() {
    let world = World::new();
    nightly(&world, "scheduled", "one");
    world.database("asked");
    let server = serving(&world, SchedulerLimits { parallel: 1, containers_down: 10 }).await;
    let asker = world.dory();
    let mut hold = world.faults.restic.hold_next("freeze");
    world.clock.advance(15 * HOUR);
    server.tells(&world, "began scheduled", 1).await;
    hold.reached().await;
    ask(&asker, "asked").await;
    server.tells(&world, "asked", 1).await;
    let_pass(&world, Duration::from_secs(20)).await;
    assert_eq!(world.runtime.state_of("asked"), ContainerState::Running);
    assert_eq!(points(&asker, "asked").await, 0);
    hold.release();
    server.tells(&world, "over", 1).await;
    assert_eq!((points(&asker, "asked").await, points(&asker, "scheduled").await), (1, 1));
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pruning_keeps_no_other_backup_waiting_and_ends_with_its_server() {
    let world = World::new();
    world
        .runtime
        .container("db")
        .volume("db-data", "/data")
        .label("dory.schedule", "0 3 * * *")
        .label("dory.keep", "last=1")
        .running();
    world.write("db-data", "rows", "one two three");
    let server = serving(&world, SchedulerLimits::default()).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    let mut hold = world.faults.restic.hold_next("prune");
    world.clock.advance(24 * HOUR);
    server.tells(&world, "backed up db", 2).await;
    hold.reached().await;
    nightly(&world, "other", "other-data");
    world.clock.advance(24 * HOUR);
    server.tells(&world, "backed up other", 1).await;
    server.end().await.unwrap();
    drop(hold);
}
