//! Who is told of what, and when: one of the fleet's servers does it.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::secret::Secret;
use dory_core::ports::Severity;
use dory_core::services::{BackupRequest, Cancel, Dory, RunEvents, SettingChange};
use dory_testkit::World;
use jiff::SignedDuration;

use super::bench::{Running, dory};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// Lets time pass by steps of five seconds, so that servers keep up with it.
pub(super) async fn pass(world: &World, duration: Duration) {
    for _ in 0..duration.as_secs() / 5 {
        world.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn set(dory: &Dory, key: &str, value: &str) {
    dory.change_setting(&key.parse().unwrap(), &SettingChange::Set(value.to_owned())).await.unwrap();
}

/// A world with a database that was backed up, and with somebody who gets mail.
pub(super) async fn world() -> World {
    let world = World::new();
    world.database("db");
    back_up(&dory(&world)).await.unwrap();
    for (key, value) in [
        ("mail.smtp", "smtp://localhost"),
        ("mail.from", "dory@example.org"),
        ("mail.to", "ada@example.org"),
        ("report.digest", "off"),
    ] {
        set(&dory(&world), key, value).await;
    }
    world
}

async fn back_up(dory: &Dory) -> dory_core::Result<()> {
    let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
    dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.map(drop)
}

/// A backup that fails.
pub(super) async fn fail(world: &World) {
    world.faults.restic.fail_next("open", ErrorKind::Full);
    back_up(&dory(world)).await.unwrap_err();
}

fn subjects(world: &World) -> Vec<String> {
    world.notifier.received().into_iter().map(|notice| notice.subject).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_at_once_and_what_stays_is_not() {
    let world = world().await;
    let server = Running::start(&world);
    server.tells(&world, "tells", 1).await;
    pass(&world, 3 * MINUTE).await;
    assert!(subjects(&world).is_empty(), "all is well: {:?}", subjects(&world));
    fail(&world).await;
    server.tells(&world, "told mail: Dory: db on server-1: backup is failing", 1).await;
    fail(&world).await;
    pass(&world, 3 * MINUTE).await;
    back_up(&dory(&world)).await.unwrap();
    server.tells(&world, "told mail: Dory: db on server-1: backup works again", 1).await;
    pass(&world, 3 * MINUTE).await;
    assert_eq!(world.notifier.deliveries().len(), 2);
    let notice = &world.notifier.received()[0];
    assert_eq!(notice.severity, Severity::Warning);
    assert!(notice.text.contains("failing: db on server-1"), "{}", notice.text);
    assert!(notice.html.as_ref().is_some_and(|html| html.contains("failing: db on server-1")));
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_comes_daily_at_its_hour_and_one_makes_up_for_those_missed() {
    let world = world().await;
    set(&dory(&world), "report.digest", "daily").await;
    set(&dory(&world), "report.hour", "13").await;
    let server = Running::start(&world);
    server.tells(&world, "tells", 1).await;
    pass(&world, 62 * MINUTE).await;
    let first = world.notifier.received().remove(0);
    assert!(first.id.starts_with("digest-20260301T130000Z."), "{}", first.id);
    server.end().await.unwrap();
    world.clock.advance(Duration::from_secs(3 * 24 * 3600));
    let server = Running::start(&world);
    server.tells(&world, "told mail", 1).await;
    pass(&world, 5 * MINUTE).await;
    server.end().await.unwrap();
    let ids: Vec<_> = world.notifier.deliveries().into_iter().map(|notice| notice.id).collect();
    assert!(ids.len() == 2 && ids[1].starts_with("digest-20260304T130000Z."), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_what_it_asked_for() {
    let world = world().await;
    set(&dory(&world), "webhook.ops.url", "https://hooks.example.org/dory").await;
    set(&dory(&world), "webhook.ops.events", "recovered").await;
    let server = Running::start(&world);
    fail(&world).await;
    server.tells(&world, "told mail", 1).await;
    assert!(world.webhooks.deliveries().is_empty());
    // Runs are told apart by when they began.
    pass(&world, MINUTE).await;
    back_up(&dory(&world)).await.unwrap();
    server.tells(&world, "told webhook.ops: Dory: db on server-1: backup works again", 1).await;
    server.tells(&world, "told mail", 2).await;
    assert_eq!(world.channels.endpoints()[0].url.as_str(), "https://hooks.example.org/dory");
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_refuses_is_asked_again_later_and_keeps_nobody_else_from_being_told() {
    let world = world().await;
    set(&dory(&world), "webhook.ops.url", "https://hooks.example.org/dory").await;
    world.notifier.refuse(ErrorKind::Unavailable);
    let server = Running::start(&world);
    fail(&world).await;
    server.tells(&world, "told webhook.ops", 1).await;
    server.tells(&world, "not told mail: Unavailable", 3).await;
    world.notifier.accept();
    server.tells(&world, "told mail", 1).await;
    pass(&world, 20 * MINUTE).await;
    assert_eq!((world.notifier.deliveries().len(), world.webhooks.deliveries().len()), (1, 1));
    server.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_told_to_be_silent_and_to_be_back() {
    let world = world().await;
    let teller = Running::start(&world);
    teller.tells(&world, "tells", 1).await;
    let other = Running::called(&world, "server-2");
    other.tells(&world, "serving", 1).await;
    pass(&world, 2 * MINUTE).await;
    other.kill().await;
    // Whatever the wall clock says.
    world.clock.jump_wall(SignedDuration::from_mins(-10));
    teller.tells(&world, "told mail: Dory: server server-2: is silent", 1).await;
    pass(&world, 10 * MINUTE).await;
    let again = Running::called(&world, "server-2");
    teller.tells(&world, "told mail: Dory: server server-2: is back", 1).await;
    again.end().await.unwrap();
    pass(&world, 10 * MINUTE).await;
    assert_eq!(world.notifier.deliveries().len(), 2, "one that ended in order is not silent: {:?}", subjects(&world));
    teller.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_in_the_fleets_name_what_none_of_its_servers_wrote() {
    let world = World::new();
    world.database("db");
    let dory = world.dory();
    back_up(&dory).await.unwrap();
    for (key, value) in [("mail.smtp", "smtp://ada@mail.example.org"), ("mail.from", "d@e.org"), ("mail.to", "a@e.org")]
    {
        set(&dory, key, value).await;
    }
    let secret = SettingChange::SetSecret(Secret::new("hunter2"));
    dory.change_setting(&"mail.password".parse().unwrap(), &secret).await.unwrap();
    assert!(!world.catalog.peek("settings.json").unwrap().contains("hunter2"));
    let server = Running::with_passphrase(&world);
    server.tells(&world, "tells", 1).await;
    pass(&world, 2 * MINUTE).await;
    let key = "reports/state.json";
    let mut document: serde_json::Value = serde_json::from_str(&world.catalog.peek(key).unwrap()).unwrap();
    let forged = r#"{"id":"x","severity":"alarm","subject":"pay here","text":"now"}"#;
    document["body"]["outbox"] = serde_json::json!([{
        "notice": forged, "seal": "00", "targets": ["mail"],
        "at": "2026-03-01T12:00:00Z", "next_at": "2026-03-01T12:00:00Z",
    }]);
    world.catalog.put(key, document.to_string());
    server.tells(&world, "not told mail: PermissionDenied, given up", 1).await;
    fail_with(&world, &dory).await;
    server.tells(&world, "told mail: Dory: db on server-1: backup is failing", 1).await;
    assert_eq!(world.notifier.deliveries().len(), 1);
    assert_eq!(world.channels.accounts()[0].password, Some(Secret::new("hunter2")));
    server.end().await.unwrap();
}

async fn fail_with(world: &World, dory: &Dory) {
    world.faults.restic.fail_next("open", ErrorKind::Full);
    back_up(dory).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_somebody_else_wrote_tell_nobody_and_stop_nothing() {
    let world = World::new();
    world.database("db");
    let dory = world.dory();
    back_up(&dory).await.unwrap();
    set(&dory, "default.stop", "pause").await;
    let forged = world.catalog.peek("settings.json").unwrap().replace("pause", "none");
    world.catalog.put("settings.json", forged);
    assert_eq!(dory.fleet_settings().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let server = Running::with_passphrase(&world);
    server.tells(&world, "blind reporter: PermissionDenied", 1).await;
    let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
    let plan = dory.plan_backup(&request).await.unwrap();
    assert_eq!(plan.policy.stop.as_str(), "stop", "as if nothing were set");
    pass(&world, 5 * MINUTE).await;
    assert_eq!(server.news().iter().filter(|told| told.starts_with("blind")).count(), 1, "{:?}", server.news());
    server.end().await.unwrap();
}
