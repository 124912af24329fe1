//! What one server is asked to do from another: once, by who may ask, seen from anywhere.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::command::{CommandOutcome, CommandState, FleetCommand, Order};
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::CommandId;
use dory_core::services::Dory;
use dory_testkit::World;

use super::bench::{Running, let_pass};

/// A world with one server that serves, and somebody who asks.
async fn serving() -> (World, Running, Dory) {
    let world = World::new();
    world.database("db");
    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let asker = world.dory();
    (world, server, asker)
}

fn backup(container: &str) -> Order {
    let how = Box::default();
    Order::Backup { container: container.into(), name: Some("asked for".into()), description: None, how }
}

async fn ask(asker: &Dory, order: Order) -> FleetCommand {
    asker.send_command(asker.server(), order, "ada").await.unwrap()
}

async fn state(asker: &Dory, id: CommandId) -> CommandState {
    asker.command(id).await.unwrap().state
}

async fn outcome(asker: &Dory, id: CommandId) -> CommandOutcome {
    match state(asker, id).await {
        CommandState::Over(outcome) => outcome,
        other => panic!("it is not over: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_once_and_its_outcome_seen() {
    let (world, server, asker) = serving().await;
    let command = ask(&asker, backup("db")).await;
    server.tells(&world, "over", 1).await;
    let outcome = outcome(&asker, command.id).await;
    let made = asker.find_backup("db").await.unwrap();
    assert_eq!((outcome.point, outcome.error), (Some(made.points[0].id), None));
    assert_eq!(made.points[0].name.as_deref(), Some("asked for"));
    let_pass(&world, Duration::from_secs(130)).await;
    assert_eq!(asker.find_backup("db").await.unwrap().points.len(), 1, "once");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_heard_within_seconds() {
    let (world, server, asker) = serving().await;
    let_pass(&world, Duration::from_secs(10)).await;
    let before = world.clock.port().monotonic();
    ask(&asker, Order::Mark { container: "db".into(), marked: true }).await;
    server.tells(&world, "over", 1).await;
    let took = world.clock.port().monotonic() - before;
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(asker.find_backup("db").await.unwrap().is_marked());
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_says_why() {
    let (world, server, asker) = serving().await;
    let command = ask(&asker, backup("nobody")).await;
    server.tells(&world, "over", 1).await;
    let error = outcome(&asker, command.id).await.error.unwrap();
    assert_eq!((error.kind, error.subject.as_str()), (ErrorKind::NotFound, "nobody"));
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_orders_by_writing_to_the_store() {
    let (world, server, asker) = serving().await;
    let command = ask(&asker, Order::Mark { container: "db".into(), marked: true }).await;
    server.tells(&world, "over", 1).await;
    let mut document: serde_json::Value =
        serde_json::from_str(&world.catalog.peek(&format!("commands/server-1/{}.json", command.id)).unwrap()).unwrap();
    let (again, forged, huge) = ["A", "B", "C"].map(|end| format!("01ARZ3NDEKTSV4RRFFQ69G5FA{end}")).into();
    let place = |id: &str| format!("commands/server-1/{id}.json");
    world.catalog.put(&place(&again), document.to_string());
    document["body"]["command"]["id"] = forged.clone().into();
    document["body"]["command"]["order"] = serde_json::json!({"do": "backup", "container": "db"});
    world.catalog.put(&place(&forged), document.to_string());
    world.catalog.put(&place(&huge), vec![b' '; 1 << 20]);
    server.tells(&world, "refused", 3).await;
    let_pass(&world, Duration::from_secs(70)).await;
    assert_eq!(server.news().iter().filter(|told| told.starts_with("refused")).count(), 3, "each is told once");
    assert_eq!(asker.find_backup("db").await.unwrap().points.len(), 0);
    // The loop is alive.
    ask(&asker, backup("db")).await;
    server.tells(&world, "over", 2).await;
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_can_be_taken_back_and_what_was_begun_cannot() {
    let (world, server, asker) = serving().await;
    server.end().await.unwrap();
    let command = ask(&asker, backup("db")).await;
    assert_eq!(state(&asker, command.id).await, CommandState::Waiting);
    asker.withdraw_command(command.id, "ada").await.unwrap();
    assert_eq!(state(&asker, command.id).await, CommandState::Withdrawn { by: "ada".into() });
    assert_eq!(asker.withdraw_command(command.id, "bob").await.unwrap_err().kind(), ErrorKind::Conflict);

    let server = Running::with_passphrase(&world);
    server.tells(&world, "serving", 1).await;
    let mut hold = world.faults.restic.hold_next("backup");
    let second = ask(&asker, backup("db")).await;
    server.tells(&world, "asked", 1).await;
    hold.reached().await;
    assert!(matches!(state(&asker, second.id).await, CommandState::Running { .. }));
    assert_eq!(asker.withdraw_command(second.id, "ada").await.unwrap_err().kind(), ErrorKind::Conflict);
    hold.release();
    server.tells(&world, "over", 1).await;
    assert_eq!(asker.find_backup("db").await.unwrap().points.len(), 1, "the first was not carried out");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_too_long_is_not_begun() {
    let (world, server, asker) = serving().await;
    server.end().await.unwrap();
    let command = ask(&asker, backup("db")).await;
    world.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(state(&asker, command.id).await, CommandState::Expired);
    let server = Running::with_passphrase(&world);
    server.tells(&world, "refused", 1).await;
    server.end().await.unwrap();
    assert_eq!(asker.find_backup("db").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_from_afar_in_order() {
    let (world, server, asker) = serving().await;
    let mut hold = world.faults.restic.hold_next("freeze");
    let command = ask(&asker, backup("db")).await;
    server.tells(&world, "asked", 1).await;
    hold.reached().await;
    assert_eq!(world.runtime.state_of("db"), ContainerState::Exited);
    ask(&asker, Order::Cancel { command: command.id }).await;
    server.tells(&world, "over", 2).await;
    assert_eq!(outcome(&asker, command.id).await.error.unwrap().kind, ErrorKind::Cancelled);
    assert_eq!(world.runtime.state_of("db"), ContainerState::Running);
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_seen_is_refused() {
    let (_world, server, asker) = serving().await;
    let error = asker.send_command(&"elsewhere".parse().unwrap(), backup("db"), "ada").await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::NotFound, "elsewhere"));
    assert!(error.hint().unwrap().contains("`server-1`"), "{error:?}");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_one_command_reads_what_belongs_to_it_and_nothing_else() {
    let (world, server, asker) = serving().await;
    for _ in 0..3 {
        ask(&asker, Order::Mark { container: "db".into(), marked: true }).await;
    }
    server.tells(&world, "over", 3).await;
    server.end().await.unwrap();
    let command = ask(&asker, backup("db")).await;
    world.journal.clear();
    assert_eq!(asker.look_after(&command).await.unwrap().state, CommandState::Waiting);
    let calls = world.journal.only(&["catalog get", "catalog list", "catalog create", "catalog replace"]);
    assert!(
        calls.iter().all(|call| call.contains("catalog get") && call.contains(&command.id.to_string())),
        "{calls:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_no_server_would_read_is_refused_before_it_is_sent() {
    let (world, server, asker) = serving().await;
    let how = dory_core::domain::command::BackupHow {
        policy: dory_core::domain::policy::PolicyOverrides {
            exclude: Some(vec!["x".repeat(1 << 16)]),
            ..Default::default()
        },
        ..Default::default()
    };
    let order = Order::Backup { container: "db".into(), name: None, description: None, how: Box::new(how) };
    let error = asker.send_command(asker.server(), order, "ada").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!world.catalog.keys().iter().any(|key| key.starts_with("commands/")), "nothing was written");
    server.end().await.unwrap();
}
