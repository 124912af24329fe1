//! A server's name belongs to one process, whatever clocks say.

use dory_core::ErrorKind;
use dory_core::domain::guard::label;
use dory_core::domain::id::ContainerName;
use dory_core::domain::server::ServerRecord;
use dory_core::ports::{HelperNetwork, HelperRole, HelperSpec};
use dory_testkit::World;
use jiff::SignedDuration;

use super::bench::{Running, dory};

async fn record(world: &World) -> ServerRecord {
    dory(world).catalog().servers().await.unwrap().remove(0)
}

fn world() -> World {
    let world = World::new();
    world.database("db");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_refuses_and_says_who_has_the_name() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    let second = Running::start(&world);
    let error = second.ends(&world).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Conflict, "server-1"));
    assert!(error.reason().contains("since 2026-03-01 12:00:0") && error.reason().contains("until"), "{error}");
    assert!(error.hint().unwrap().contains("--server"), "{error:?}");
    first.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_given_back_is_free_at_once() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    first.end().await.unwrap();
    assert!(record(&world).await.lease.released);
    let before = world.clock.port().monotonic();
    let second = Running::start(&world);
    second.tells(&world, "serving", 1).await;
    assert!(world.clock.port().monotonic() - before < std::time::Duration::from_secs(5));
    assert_eq!(record(&world).await.lease.epoch, 2);
    second.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_name_is_free_once_it_stood_still_for_the_whole_term() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    first.kill().await;
    let before = world.clock.port().monotonic();
    let second = Running::start(&world);
    second.tells(&world, "waiting", 1).await;
    second.tells(&world, "serving", 1).await;
    let waited = world.clock.port().monotonic() - before;
    assert!((60..70).contains(&waited.as_secs()), "{waited:?}");
    second.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_takes_nobodys_name() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    for minutes in [10, -20] {
        world.clock.jump_wall(SignedDuration::from_mins(minutes));
        let second = Running::start(&world);
        assert_eq!(second.ends(&world).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    first.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_its_name_ends_its_runs_and_itself() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    let owned = record(&world).await;
    // As another server does that saw it stand still.
    let key = "servers/server-1.json";
    let mut document: serde_json::Value = serde_json::from_str(&world.catalog.peek(key).unwrap()).unwrap();
    document["body"]["lease"]["holder"] = "somebody-else".into();
    document["body"]["lease"]["epoch"] = (owned.lease.epoch + 1).into();
    world.catalog.put(key, document.to_string());
    let error = first.ends(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let now = record(&world).await;
    assert_eq!(
        (now.lease.holder.as_str(), now.lease.epoch, now.lease.released),
        ("somebody-else", owned.lease.epoch + 1, false)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stays_away_ends_a_server_before_another_may_take_over() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    let away = dory_core::Error::new(ErrorKind::Unavailable, "reach", "the store", "the test cut the line");
    world.faults.catalog.fail_from("replace", 1, away);
    let before = world.clock.port().monotonic();
    let error = first.ends(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let lasted = world.clock.port().monotonic() - before;
    assert!((30..60).contains(&lasted.as_secs()), "{lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_settles_what_breaks_off_while_it_serves() {
    let world = world();
    let server = Running::start(&world);
    server.tells(&world, "serving", 1).await;
    let text = |text: &str| text.to_owned();
    let labels = [
        (label::SERVER, "server-1"),
        (label::RUN, "01K9ZZZZZZZZZZZZZZZZZZZZZY"),
        (label::KIND, "backup"),
        (label::BACKUP, "db-4f1c"),
    ];
    let spec = HelperSpec {
        name: ContainerName::parse("dory-db-4f1c").unwrap(),
        role: HelperRole::Engine,
        image: world.runtime.port().ensure_helper_image().await.unwrap(),
        arguments: vec![text("agent")],
        mounts: Vec::new(),
        network: HelperNetwork::None,
        capabilities: Vec::new(),
        labels: labels.map(|(name, value)| (text(name), text(value))).into(),
    };
    // A command on the same host dies.
    drop(world.runtime.port().launch_helper(&spec).await.unwrap());
    server.tells(&world, "settled 01K9ZZZZZZZZZZZZZZZZZZZZZY", 1).await;
    server.end().await.unwrap();
    world.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_ends_a_server_before_another_may_take_over() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    let before = world.clock.port().monotonic();
    let hold = world.faults.catalog.hold_next("replace");
    let error = first.ends(&world).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let lasted = world.clock.port().monotonic() - before;
    assert!((30..60).contains(&lasted.as_secs()), "{lasted:?}");
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_never_answers_takes_nobodys_name() {
    let world = world();
    let first = Running::start(&world);
    first.tells(&world, "serving", 1).await;
    let beat = record(&world).await.lease.beat;
    let mut hold = world.faults.runtime.hold_next("info");
    super::bench::let_pass(&world, std::time::Duration::from_secs(120)).await;
    hold.reached().await;
    assert!(record(&world).await.lease.beat >= beat + 6, "it goes on showing that it lives");
    drop(hold);
    first.end().await.unwrap();
}
