//! Whatever a guardian finds, exactly the state before comes back, or it is told what does not.

use dory_core::agent::guard::protocol::Order;
use dory_core::domain::container::ContainerState::{self, Exited, Paused, Running};
use dory_core::domain::guard::{GuardEnd, GuardPlan};
use dory_core::domain::policy::StopMode;
use dory_core::domain::run::RunKind;

use super::scene::{Scene, quiet};

/// Every way in which Dory can die while it quiets a container, or the container can change meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn every_state_comes_back_from_every_state() {
    for (was, mode) in
        [(Running, StopMode::Stop), (Running, StopMode::Pause), (Paused, StopMode::Stop), (Paused, StopMode::Pause)]
    {
        for found in [Running, Paused, Exited] {
            let scene = Scene::new();
            let db = match was {
                Paused => scene.runtime.container("db").paused(),
                _ => scene.runtime.container("db").running(),
            };
            let plan = scene.plan(vec![quiet(&db, mode)]);
            let mut guardian = scene.launch(&plan).await;
            guardian.say(&super::scene::hello()).await;
            guardian.word().await;
            put_into(&scene, found).await;
            guardian.hang_up();
            let case = format!("was {was:?}, {mode:?}, found {found:?}");
            assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::BroughtBack), "{case}");
            assert_eq!(scene.runtime.state_of("db"), was, "{case}");
            scene.runtime.shared_journal().assert_no_complaints();
        }
    }
}

async fn put_into(scene: &Scene, state: ContainerState) {
    let (runtime, id) = (scene.runtime.port(), scene.runtime.peek("db").id);
    match state {
        Exited => runtime.stop(&id, None).await.unwrap(),
        Paused => runtime.pause(&id).await.unwrap(),
        _ => runtime.unpause(&id).await.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_start_in_order_and_past_one_that_does_not() {
    let scene = Scene::new();
    let containers = [
        scene.runtime.container("db").running(),
        scene.runtime.container("broken").refuses_to_start("no such device").running(),
        scene.runtime.container("web").running(),
    ];
    let plan = scene.plan(containers.iter().map(|container| quiet(container, StopMode::Stop)).collect());
    let mut guardian = scene.guarded(&plan).await;
    let time = scene.hurry();
    guardian.hang_up();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::SomeDown));
    time.abort();
    assert_eq!(scene.states(&["db", "broken", "web"]), [Running, Exited, Running]);
    let calls = scene.runtime.journal();
    let names: Vec<_> =
        calls.iter().filter(|call| call.is("runtime start")).map(|call| call.subject.as_str()).collect();
    assert_eq!(names, ["db", "broken", "web", "broken", "broken"], "it is tried again, last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_created_anew_is_found_by_its_place_or_its_name() {
    let scene = Scene::new();
    let in_compose = scene.runtime.container("shop-db-1").compose("shop", "db").running();
    let plain = scene.runtime.container("plain").running();
    let plan = scene.plan(vec![quiet(&in_compose, StopMode::Stop), quiet(&plain, StopMode::Stop)]);
    let mut guardian = scene.guarded(&plan).await;
    for name in ["shop-db-1", "plain"] {
        let _ = scene.runtime.recreate(name);
        assert_eq!(scene.runtime.state_of(name), Exited);
    }
    scene.runtime.rename_container("shop-db-1", "renamed");
    guardian.hang_up();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::BroughtBack));
    assert_eq!(scene.states(&["renamed", "plain"]), [Running, Running]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_gone_is_missed_and_the_others_run() {
    let scene = Scene::new();
    let (gone, web) = (scene.runtime.container("gone").running(), scene.runtime.container("web").running());
    let plan = scene.plan(vec![quiet(&gone, StopMode::Stop), quiet(&web, StopMode::Stop)]);
    let mut guardian = scene.guarded(&plan).await;
    scene.runtime.remove_container("gone");
    let time = scene.hurry();
    guardian.hang_up();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::SomeDown));
    time.abort();
    assert_eq!(scene.runtime.state_of("web"), Running);
}

fn restore(scene: &Scene) -> GuardPlan {
    let db = scene.runtime.container("db").running();
    GuardPlan { kind: RunKind::Restore, ..scene.plan(vec![quiet(&db, StopMode::Stop)]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_restored_stays_down_whatever_ends_the_run() {
    for how in ["closed", "killed", "restarted"] {
        let scene = Scene::new();
        let mut guardian = scene.guarded(&restore(&scene)).await;
        guardian.order(Order::Writing).await;
        match how {
            "closed" => guardian.hang_up(),
            "killed" => scene.runtime.kill_guardians(),
            _ => scene.runtime.restart_host(),
        }
        assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::KeptDown), "{how}");
        assert_eq!(scene.runtime.state_of("db"), Exited, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_starts_by_itself_on_half_restored_data_is_stopped_again() {
    let scene = Scene::new();
    let plan = restore(&scene);
    let mut guardian = scene.guarded(&plan).await;
    guardian.order(Order::Writing).await;
    // As an engine does after its own restart with what always restarts.
    scene.runtime.port().start(&plan.containers[0].id).await.unwrap();
    scene.runtime.kill_guardians();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::KeptDown));
    assert_eq!(scene.runtime.state_of("db"), Exited);
    guardian.hang_up();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_wrote_nothing_yet_or_all_of_it_comes_back() {
    for orders in [vec![], vec![Order::Writing, Order::Written]] {
        let scene = Scene::new();
        let mut guardian = scene.guarded(&restore(&scene)).await;
        for order in &orders {
            guardian.order(order.clone()).await;
        }
        scene.runtime.kill_guardians();
        assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::BroughtBack), "{orders:?}");
        assert_eq!(scene.runtime.state_of("db"), Running, "{orders:?}");
        guardian.hang_up();
    }
}
