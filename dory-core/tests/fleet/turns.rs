//! Which turns of a schedule are over, across restarts, pauses and skips.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::keep_rules::KeepRules;
use dory_core::services::{ScheduleChange, ScheduleSource};
use dory_testkit::World;

use super::bench::{Running, dory, let_pass};

const HOUR: Duration = Duration::from_secs(3600);

fn nightly(world: &World, schedule: &str) {
    let container = world.runtime.container("db").volume("db-data", "/data");
    container.label("dory.schedule", schedule).label("dory.keep", "last=2").running();
    world.write("db-data", "rows", "one two three");
}

async fn points(world: &World) -> usize {
    dory(world).find_backup("db").await.map_or(0, |backup| backup.points.len())
}

async fn serving(world: &World) -> Running {
    let server = Running::start(world);
    server.tells(world, "serving", 1).await;
    server
}

async fn change(world: &World, change: ScheduleChange) -> Vec<String> {
    let changed = dory(world).change_schedule("db", &change).await.unwrap();
    changed.next.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_broken_off_is_made_up_for_after_a_restart() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let server = Running::as_process(&world);
    server.tells(&world, "serving", 1).await;
    let mut hold = world.faults.restic.hold_next("freeze");
    world.clock.advance(15 * HOUR);
    server.tells(&world, "began db", 1).await;
    // It is registered, and being read.
    hold.reached().await;
    server.kill_at_once();
    drop(hold);
    world.runtime.restart_host();
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    server.tells(&world, "backed up db", 1).await;
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_leaves_what_it_had_begun_to_the_one_after_it() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let server = serving(&world).await;
    let mut hold = world.faults.restic.hold_next("freeze");
    world.clock.advance(15 * HOUR);
    hold.reached().await;
    server.end().await.unwrap();
    drop(hold);
    let server = serving(&world).await;
    server.tells(&world, "backed up db", 1).await;
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_failed_for_good_is_not_tried_again_by_the_next_server() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let server = serving(&world).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    world.faults.restic.fail_next("open", ErrorKind::Full);
    world.clock.advance(24 * HOUR);
    server.tells(&world, "failed db: Full", 1).await;
    let_pass(&world, Duration::from_secs(2)).await;
    server.end().await.unwrap();
    let server = serving(&world).await;
    let_pass(&world, Duration::from_secs(60)).await;
    server.end().await.unwrap();
    assert_eq!(points(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_turn_is_left_out_and_the_next_one_is_not_across_a_change_of_clocks() {
    let world = World::new();
    // In Berlin, clocks go from 2 to 3 in the night to 29 March 2026.
    nightly(&world, "TZ=Europe/Berlin 30 2 * * *");
    world.clock.set_wall("2026-03-28T12:00:00Z".parse().unwrap());
    let asker = dory(&world);
    asker.open_or_found_fleet(&dory_core::services::RunEvents::ignored()).await.unwrap();
    let next = change(&world, ScheduleChange::Clear).await;
    assert_eq!(next[..2], ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
    assert_eq!(change(&world, ScheduleChange::SkipNext).await[0], "2026-03-30T00:30:00Z");
    let again = asker.change_schedule("db", &ScheduleChange::SkipNext).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);

    let server = serving(&world).await;
    world.clock.advance(24 * HOUR);
    let_pass(&world, Duration::from_secs(60)).await;
    assert_eq!(points(&world).await, 0, "it is noon after the night that was left out");
    world.clock.advance(13 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_leaves_out_all_turns_and_none_of_them_is_made_up_for() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let asker = dory(&world);
    asker.open_or_found_fleet(&dory_core::services::RunEvents::ignored()).await.unwrap();
    assert!(change(&world, ScheduleChange::Pause).await.is_empty());
    let server = serving(&world).await;
    for _ in 0..3 {
        world.clock.advance(24 * HOUR);
        let_pass(&world, Duration::from_secs(60)).await;
    }
    assert_eq!(points(&world).await, 0);
    assert_eq!(change(&world, ScheduleChange::Resume).await[0], "2026-03-05T03:00:00Z");
    let_pass(&world, Duration::from_secs(60)).await;
    assert_eq!(points(&world).await, 0, "what a pause left out is left out");
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_set_at_noon_begins_with_its_next_turn_and_cleared_the_label_counts() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let server = serving(&world).await;
    world.clock.advance(15 * HOUR);
    server.tells(&world, "backed up db", 1).await;
    world.clock.advance(9 * HOUR);
    let early = ScheduleChange::Set(Box::new("0 11 * * *".parse().unwrap()));
    assert_eq!(change(&world, early).await[0], "2026-03-03T11:00:00Z");
    let_pass(&world, Duration::from_secs(60)).await;
    assert_eq!(points(&world).await, 1, "eleven o'clock of today is over");
    let cleared = dory(&world).change_schedule("db", &ScheduleChange::Clear).await.unwrap();
    assert_eq!((cleared.source, cleared.next[0].to_string().as_str()), (ScheduleSource::Label, "2026-03-03T03:00:00Z"));
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_pruning_an_orphan_as_time_goes_by() {
    let world = World::new();
    let container = world.runtime.container("db").volume("db-data", "/data");
    container.label("dory.schedule", "0 3 * * *").label("dory.keep", "within=3d").running();
    world.write("db-data", "rows", "one two three");
    let server = serving(&world).await;
    for night in 1..=3 {
        world.clock.advance(24 * HOUR);
        server.tells(&world, "backed up db", night).await;
    }
    world.runtime.remove_container("db");
    for _ in 0..5 {
        world.clock.advance(24 * HOUR);
        let_pass(&world, Duration::from_secs(60)).await;
    }
    server.end().await.unwrap();
    assert_eq!(points(&world).await, 1, "the newest stays whatever the rules say");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_pruned_by_what_its_containers_labels_said_last() {
    let world = World::new();
    nightly(&world, "0 3 * * *");
    let server = serving(&world).await;
    for night in 1..=2 {
        world.clock.advance(24 * HOUR);
        server.tells(&world, "backed up db", night).await;
    }
    server.end().await.unwrap();
    world.runtime.remove_container("db");
    let asker = dory(&world);
    let plans = asker.plan_prune(Some("db"), None).await.unwrap();
    let rules: KeepRules = "last=2".parse().unwrap();
    assert_eq!(plans[0].rules, rules);
    let shown = asker.schedules(Some("db")).await.unwrap().remove(0);
    assert_eq!(shown.schedule.unwrap().to_string(), "0 3 * * *");
}
