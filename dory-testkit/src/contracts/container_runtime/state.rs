//! Promises about stopping, starting, freezing and waiting.

use std::time::{Duration, Instant};

use dory_core::domain::container::ContainerState;
use dory_core::domain::id::ContainerId;
use dory_core::ports::WaitCondition;
use dory_core::{ErrorKind, Result};

use super::{BenchHealth, Program, Subject};

/// Longer than anything here takes, and shorter than a test may.
const LONG: Duration = Duration::from_secs(30);

async fn state(subject: &Subject, id: &ContainerId) -> ContainerState {
    subject.runtime().inspect_container(id.as_str()).await.unwrap().state
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// When `stop` returns, nothing runs any more; a second one changes nothing.
pub async fn stopping_reaches_the_end_and_can_be_repeated(subject: Subject) {
    let id = subject.idle("web").await;
    subject.runtime().stop(&id, None).await.unwrap();
    assert_eq!(state(&subject, &id).await, ContainerState::Exited);
    subject.runtime().stop(&id, None).await.unwrap();
    let fresh = subject.made("fresh", Program::Idle).await;
    subject.runtime().stop(&fresh, None).await.unwrap();
    assert_eq!(state(&subject, &fresh).await, ContainerState::Created);
}

/// What does not end when asked is killed after the grace it got, and not after its usual one.
pub async fn what_ignores_the_request_is_killed_after_its_grace(subject: Subject) {
    let id = subject.made("stubborn", Program::Stubborn).await;
    subject.runtime().start(&id).await.unwrap();
    let begun = Instant::now();
    subject.runtime().stop(&id, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(state(&subject, &id).await, ContainerState::Exited);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

/// A frozen container can be stopped.
pub async fn a_paused_container_can_be_stopped(subject: Subject) {
    let id = subject.idle("web").await;
    subject.runtime().pause(&id).await.unwrap();
    subject.runtime().stop(&id, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(state(&subject, &id).await, ContainerState::Exited);
}

/// When `start` returns it runs; a second one changes nothing; it can start again after a stop.
pub async fn starting_reaches_running_and_can_be_repeated(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    for _ in 0..2 {
        subject.runtime().start(&id).await.unwrap();
        let first = subject.runtime().inspect_container(id.as_str()).await.unwrap();
        assert_eq!(first.state, ContainerState::Running);
        subject.runtime().start(&id).await.unwrap();
        let second = subject.runtime().inspect_container(id.as_str()).await.unwrap();
        assert_eq!(second.started_at, first.started_at);
        subject.runtime().stop(&id, None).await.unwrap();
    }
}

/// A container whose program is not there does not start, and the engine's words are in the causes.
pub async fn what_cannot_start_is_down(subject: Subject) {
    let id = subject.made("broken", Program::Missing).await;
    let error = subject.runtime().start(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown);
    assert!(!error.causes().is_empty());
}

/// What is not there cannot change its state.
pub async fn changing_what_is_gone_is_not_found(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    subject.bench().remove_container(&id).await;
    let runtime = subject.runtime();
    assert_eq!(kind(runtime.stop(&id, None).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(runtime.start(&id).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(runtime.pause(&id).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(runtime.unpause(&id).await), Some(ErrorKind::NotFound));
    for condition in [WaitCondition::Running, WaitCondition::Healthy, WaitCondition::Stopped] {
        assert_eq!(kind(runtime.wait_until(&id, condition, LONG).await), Some(ErrorKind::NotFound), "{condition:?}");
    }
}

/// Pausing freezes, unpausing thaws, and both can be repeated.
pub async fn pausing_freezes_and_unpausing_thaws(subject: Subject) {
    let id = subject.idle("web").await;
    for _ in 0..2 {
        subject.runtime().pause(&id).await.unwrap();
        assert_eq!(state(&subject, &id).await, ContainerState::Paused);
    }
    for _ in 0..2 {
        subject.runtime().unpause(&id).await.unwrap();
        assert_eq!(state(&subject, &id).await, ContainerState::Running);
    }
}

/// What does not run cannot be frozen.
pub async fn pausing_what_does_not_run_is_a_conflict(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    assert_eq!(kind(subject.runtime().pause(&id).await), Some(ErrorKind::Conflict));
    subject.runtime().unpause(&id).await.unwrap();
}

/// Waiting for what is so already returns at once.
pub async fn waiting_for_what_is_so_returns(subject: Subject) {
    let id = subject.idle("web").await;
    subject.runtime().wait_until(&id, WaitCondition::Running, LONG).await.unwrap();
    subject.runtime().stop(&id, None).await.unwrap();
    subject.runtime().wait_until(&id, WaitCondition::Stopped, LONG).await.unwrap();
}

/// Whoever waits hears of what happens meanwhile.
pub async fn waiting_ends_when_it_happens(subject: Subject) {
    let id = subject.made("web", Program::Idle).await;
    let (runtime, waited) = (subject.runtime(), id.clone());
    let waiting = tokio::spawn(async move { runtime.wait_until(&waited, WaitCondition::Running, LONG).await });
    subject.runtime().start(&id).await.unwrap();
    waiting.await.unwrap().unwrap();

    let (runtime, waited) = (subject.runtime(), id.clone());
    let waiting = tokio::spawn(async move { runtime.wait_until(&waited, WaitCondition::Stopped, LONG).await });
    subject.runtime().stop(&id, None).await.unwrap();
    waiting.await.unwrap().unwrap();
}

/// A container that ended never comes up by itself.
pub async fn waiting_for_what_has_ended_fails_at_once(subject: Subject) {
    let id = subject.made("job", Program::Exit(3)).await;
    subject.runtime().start(&id).await.unwrap();
    subject.runtime().wait_until(&id, WaitCondition::Stopped, LONG).await.unwrap();
    let waited = subject.runtime().wait_until(&id, WaitCondition::Running, LONG).await;
    assert_eq!(kind(waited), Some(ErrorKind::ContainerDown));
}

/// How a container ended is told, and nothing of the kind while it runs or where it never ran.
pub async fn how_it_ended_is_told(subject: Subject) {
    let code = |id: ContainerId| {
        let runtime = subject.runtime();
        async move { runtime.inspect_container(id.as_str()).await.unwrap().exit_code }
    };
    let job = subject.made("job", Program::Exit(3)).await;
    assert_eq!(code(job.clone()).await, None);
    subject.runtime().start(&job).await.unwrap();
    subject.runtime().wait_until(&job, WaitCondition::Stopped, LONG).await.unwrap();
    assert_eq!(code(job).await, Some(3));
    assert_eq!(code(subject.idle("web").await).await, None);
}

/// What ends while somebody waits for its health is down.
pub async fn waiting_for_what_ends_meanwhile_fails(subject: Subject) {
    let id = subject.made_with("web", Program::Idle, |container| container.health = BenchHealth::Undecided).await;
    subject.runtime().start(&id).await.unwrap();
    let (runtime, waited) = (subject.runtime(), id.clone());
    let waiting = tokio::spawn(async move { runtime.wait_until(&waited, WaitCondition::Healthy, LONG).await });
    subject.runtime().stop(&id, None).await.unwrap();
    assert_eq!(kind(waiting.await.unwrap()), Some(ErrorKind::ContainerDown));
}

/// What does not happen is not waited for longer than was said.
pub async fn waiting_has_an_end(subject: Subject) {
    let id = subject.idle("web").await;
    let waited = subject.runtime().wait_until(&id, WaitCondition::Stopped, Duration::from_millis(300)).await;
    assert_eq!(kind(waited), Some(ErrorKind::TimedOut));
}

/// A health check is believed, whatever it says.
pub async fn health_is_waited_for(subject: Subject) {
    let made = |stem, health| subject.made_with(stem, Program::Idle, move |container| container.health = health);
    let well = made("well", BenchHealth::Healthy).await;
    let ill = made("ill", BenchHealth::Unhealthy).await;
    let without = made("without", BenchHealth::None).await;
    for id in [&well, &ill, &without] {
        subject.runtime().start(id).await.unwrap();
    }
    subject.runtime().wait_until(&well, WaitCondition::Healthy, LONG).await.unwrap();
    let wait = |id| {
        let runtime = subject.runtime();
        async move { kind(runtime.wait_until(id, WaitCondition::Healthy, LONG).await) }
    };
    assert_eq!(wait(&ill).await, Some(ErrorKind::ContainerDown));
    assert_eq!(wait(&without).await, Some(ErrorKind::InvalidInput));
}
