//! What makes a guardian act, and what does not.

use std::time::Duration;

use dory_core::agent::guard::protocol::{Order, Trigger};
use dory_core::domain::container::ContainerState;
use dory_core::domain::guard::{GuardEnd, GuardPlan};
use dory_core::domain::policy::StopMode;
use tokio::io::AsyncWriteExt;

use super::scene::{Guardian, RUN, Scene, another_run, quiet};

async fn guarded(change: impl FnOnce(&mut GuardPlan)) -> (Scene, Guardian) {
    let scene = Scene::new();
    let db = scene.runtime.container("db").running();
    let mut plan = scene.plan(vec![quiet(&db, StopMode::Stop)]);
    change(&mut plan);
    let guardian = scene.guarded(&plan).await;
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
    (scene, guardian)
}

/// Lets one second pass for everybody who waits for one.
async fn second(scene: &Scene) {
    scene.clock.wait_for_sleepers(1).await;
    scene.clock.advance(Duration::from_secs(1));
}

async fn brought_back(scene: &Scene, guardian: &Guardian) {
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::BroughtBack));
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_its_input() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    guardian.hang_up();
    guardian.acts_since(Trigger::Closed).await;
    brought_back(&scene, &guardian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_makes_no_sense() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    guardian.raw().write_all(b"\xff\x00 { nonsense\n").await.unwrap();
    guardian.acts_since(Trigger::Closed).await;
    brought_back(&scene, &guardian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    for _ in 0..5 {
        assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
        second(&scene).await;
    }
    guardian.acts_since(Trigger::Silence).await;
    brought_back(&scene, &guardian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dory_that_lives_is_let_be() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    for _ in 0..6 {
        for _ in 0..4 {
            second(&scene).await;
        }
        // Each answered order is a beat that was surely heard.
        guardian.order(Order::Written).await;
    }
    // The whole host slept: that is one round of silence, however long it took.
    scene.clock.wait_for_sleepers(1).await;
    scene.clock.advance(Duration::from_secs(900));
    guardian.say(&Order::Beat).await;
    guardian.order(Order::Disarm).await;
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::Disarmed));
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_takes_too_long() {
    let (scene, mut guardian) = guarded(|plan| plan.stop_limit = 8).await;
    for _ in 0..7 {
        second(&scene).await;
        guardian.order(Order::Written).await;
    }
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
    second(&scene).await;
    guardian.acts_since(Trigger::TooLong).await;
    brought_back(&scene, &guardian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_death() {
    let (scene, guardian) = guarded(|_| {}).await;
    scene.runtime.kill_guardians();
    brought_back(&scene, &guardian).await;
    drop(guardian);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_its_host() {
    let scene = Scene::new();
    let (db, cache) = (scene.runtime.container("db").running(), scene.runtime.container("cache").running());
    let plan = scene.plan(vec![quiet(&db, StopMode::Stop), quiet(&cache, StopMode::Pause)]);
    let guardian = scene.guarded(&plan).await;
    scene.runtime.restart_host();
    brought_back(&scene, &guardian).await;
    // What was frozen lost its processes with the host, and must be started.
    assert_eq!(scene.runtime.state_of("cache"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_waited_for() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    let _time = scene.tick();
    scene.runtime.disconnect();
    guardian.hang_up();
    guardian.acts_since(Trigger::Closed).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.runtime.reconnect();
    brought_back(&scene, &guardian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stays_away_gets_a_new_guardian() {
    let (scene, mut guardian) = guarded(|_| {}).await;
    let time = scene.hurry();
    scene.runtime.disconnect();
    guardian.hang_up();
    guardian.acts_since(Trigger::Closed).await;
    // The end of its output is the end of its process: a new one may see a new socket.
    assert_eq!(guardian.word().await, None);
    scene.runtime.reconnect();
    brought_back(&scene, &guardian).await;
    time.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_of_the_run_end_before_anything_starts_and_others_do_not() {
    let scene = Scene::new();
    let (own, other) = (scene.reader(RUN).await, scene.reader(&another_run()).await);
    let db = scene.runtime.container("db").running();
    let mut guardian = scene.guarded(&scene.plan(vec![quiet(&db, StopMode::Stop)])).await;
    guardian.hang_up();
    brought_back(&scene, &guardian).await;
    let left = scene.runtime.port().list_helpers().await.unwrap();
    assert!(!left.iter().any(|helper| helper.id == own));
    assert!(left.iter().any(|helper| helper.id == other && helper.running));
    let calls = scene.runtime.shared_journal().only(&["runtime remove_helper", "runtime start"]);
    assert_eq!(calls, [format!("runtime remove_helper dory-{RUN}"), "runtime start db".to_owned()]);
}
