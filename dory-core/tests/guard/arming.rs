//! A guardian is armed once it knows who made it, reached the engine, and sees what it guards; else it says why not.

use dory_core::ErrorKind;
use dory_core::agent::guard::protocol::{Order, PROTOCOL, Word};
use dory_core::domain::container::ContainerState;
use dory_core::domain::guard::GuardEnd;
use dory_core::domain::policy::StopMode;

use super::scene::{Scene, hello, quiet};

#[tokio::test(flavor = "multi_thread")]
async fn an_armed_guardian_is_kept_and_leaves_when_it_is_disarmed() {
    let scene = Scene::new();
    let db = scene.runtime.container("db").running();
    let mut guardian = scene.guarded(&scene.plan(vec![quiet(&db, StopMode::Stop)])).await;
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
    let calls = scene.runtime.shared_journal().lines();
    let kept = calls.iter().position(|call| call.contains("keep_helper")).expect("it is kept");
    assert!(kept < calls.iter().position(|call| call.contains("runtime stop")).unwrap(), "{calls:#?}");

    guardian.order(Order::Disarm).await;
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::Disarmed));
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited, "a disarmed guardian touches nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_other_versions_are_refused() {
    let stranger = Order::Hello { protocol: PROTOCOL, nonce: "guessed".to_owned() };
    let other = Order::Hello { protocol: PROTOCOL + 1, nonce: "0123456789abcdef".to_owned() };
    for (order, kind) in [
        (stranger, ErrorKind::PermissionDenied),
        (other, ErrorKind::Unsupported),
        (Order::Beat, ErrorKind::Unsupported),
    ] {
        let scene = Scene::new();
        let mut guardian = scene.launch(&scene.plan(Vec::new())).await;
        guardian.say(&order).await;
        let Some(Word::Refused(error)) = guardian.word().await else { panic!("{order:?} was taken") };
        assert_eq!(error.kind, kind, "{error:?}");
        assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::NeverArmed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_not_waited_for_and_nothing_is_touched() {
    let scene = Scene::new();
    let db = scene.runtime.container("db").stopped();
    for hangs_up in [true, false] {
        let mut guardian = scene.launch(&scene.plan(vec![quiet(&db, StopMode::Stop)])).await;
        let time = (!hangs_up).then(|| scene.hurry());
        if hangs_up {
            guardian.hang_up();
        }
        assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::NeverArmed));
        if let Some(time) = time {
            time.abort();
        }
    }
    assert_eq!(scene.runtime.state_of("db"), ContainerState::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_that_does_not_see_what_it_guards_is_not_armed() {
    let scene = Scene::new();
    let db = scene.runtime.container("db").running();
    let plan = scene.plan(vec![quiet(&db, StopMode::Stop)]);
    scene.runtime.remove_container("db");
    let mut guardian = scene.launch(&plan).await;
    guardian.say(&hello()).await;
    let Some(Word::Refused(error)) = guardian.word().await else { panic!("it was armed") };
    // It is no fault of the guardian's, and to go without one would be no help.
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.hint.as_ref().unwrap().contains("again"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_that_does_not_reach_the_engine_is_not_armed() {
    let scene = Scene::new();
    let mut guardian = scene.launch(&scene.plan(Vec::new())).await;
    scene.runtime.disconnect();
    guardian.say(&hello()).await;
    let Some(Word::Refused(error)) = guardian.word().await else { panic!("it was armed") };
    assert_eq!(error.kind, ErrorKind::Unavailable);
    scene.runtime.reconnect();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::NeverArmed));
}
