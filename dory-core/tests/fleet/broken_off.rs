//! A command is carried out once, and has an outcome, whenever its server dies and whoever tampers with the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::command::{CommandOutcome, CommandState, FleetCommand, Order};
use dory_core::ports::DocumentKey;
use dory_core::services::Dory;
use dory_testkit::World;

use super::bench::{Running, let_pass};

fn world() -> World {
    let world = World::new();
    world.database("db");
    world
}

async fn ask(asker: &Dory) -> FleetCommand {
    let order = Order::Backup { container: "db".into(), name: None, description: None, how: Box::default() };
    asker.send_command(asker.server(), order, "ada").await.unwrap()
}

async fn points(asker: &Dory) -> usize {
    asker.find_backup("db").await.map_or(0, |backup| backup.points.len())
}

async fn outcome(asker: &Dory, command: &FleetCommand) -> CommandOutcome {
    match asker.look_after(command).await.unwrap().state {
        CommandState::Over(outcome) => outcome,
        other => panic!("it is not over: {other:?}"),
    }
}

async fn remove(world: &World, key: String) {
    world.catalog.port().delete(&DocumentKey::parse(key).unwrap()).await.unwrap();
}

/// Kills the server at the `nth` write of a kind after it was asked, and lets another take its place.
async fn killed_at(method: &'static str, nth: usize) -> (usize, Option<ErrorKind>) {
    let world = world();
    let server = Running::as_process(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    let reached = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reached);
    let command = ask(&asker).await;
    world.faults.catalog.act_after(method, nth, move || seen.store(true, Ordering::SeqCst));
    for _ in 0..2_000 {
        if reached.load(Ordering::SeqCst) || server.news().iter().any(|told| told.starts_with("over")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        world.clock.advance(Duration::from_millis(100));
    }
    server.kill_at_once();
    world.faults.heal();
    let next = Running::with_passphrase(&world);
    next.tells(&world, "serving", 1).await;
    let_pass(&world, Duration::from_secs(90)).await;
    let error = outcome(&asker, &command).await.error.map(|error| error.kind);
    next.end().await.unwrap();
    (points(&asker).await, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_an_outcome_and_was_begun_once_whenever_its_server_is_killed() {
    for (method, count) in [("create", 6), ("replace", 6)] {
        for nth in 1..=count {
            let (points, error) = killed_at(method, nth).await;
            let done = format!("killed after {method} no. {nth}: {points} points, {error:?}");
            assert!(matches!((points, error), (1, None) | (0 | 1, Some(ErrorKind::Incomplete))), "{done}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_carried_out_is_not_again_by_who_can_only_write_to_the_store() {
    let world = world();
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    let command = ask(&asker).await;
    server.tells(&world, "over", 1).await;
    let traces = ["claim", "outcome", "progress"].map(|end| format!("commands/server-1/{}.{end}", command.id));
    for trace in traces.clone() {
        remove(&world, trace).await;
    }
    server.tells(&world, "refused", 1).await;
    server.end().await.unwrap();

    // Nor by the process after it, and not if its memory is gone either.
    for memory_is_gone in [false, true] {
        if memory_is_gone {
            world.clock.advance(Duration::from_secs(20 * 60));
            remove(&world, "ledgers/server-1.json".into()).await;
        }
        let server = Running::with_passphrase(&world);
        server.tells(&world, "refused", 1).await;
        server.end().await.unwrap();
    }
    assert_eq!(points(&asker).await, 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_that_nobody_of_the_fleet_wrote_counts_for_nothing() {
    let world = world();
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    ask(&asker).await;
    server.tells(&world, "over", 1).await;
    let mut ledger: serde_json::Value =
        serde_json::from_str(&world.catalog.peek("ledgers/server-1.json").unwrap()).unwrap();
    ledger["body"]["ledger"]["taken"] = serde_json::json!({});
    ledger["body"]["ledger"]["since"] = "2020-01-01T00:00:00Z".into();
    world.catalog.put("ledgers/server-1.json", ledger.to_string());
    server.end().await.unwrap();
    let before = world.clock.port().now();
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let_pass(&world, Duration::from_secs(5)).await;
    let ledger: serde_json::Value =
        serde_json::from_str(&world.catalog.peek("ledgers/server-1.json").unwrap()).unwrap();
    let since: jiff::Timestamp = ledger["body"]["ledger"]["since"].as_str().unwrap().parse().unwrap();
    assert!(since >= before, "{ledger}");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_claim_seemed_to_fail_is_begun_all_the_same() {
    let world = world();
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    // The doorbell's document is the first that is created, the order the second: the claim comes after both.
    let command = ask(&asker).await;
    world.faults.catalog.lose_answer("create", ErrorKind::Unavailable);
    server.tells(&world, "over", 1).await;
    assert_eq!((outcome(&asker, &command).await.error, points(&asker).await), (None, 1));
    server.end().await.unwrap();
}
