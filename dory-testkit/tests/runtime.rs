//! What the fake runtime adds to its port: the journal, strictness, helpers that can be killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::{ContainerName, ImageRef, VolumeName};
use dory_core::ports::{Helper, HelperMount, HelperNetwork, HelperRole, HelperSource, HelperSpec, WaitCondition};
use dory_testkit::fakes::{CallOutcome, FakeRuntime, HelperProgram};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn spec(mounts: Vec<HelperMount>) -> HelperSpec {
    HelperSpec {
        name: ContainerName::parse("dory-test").unwrap(),
        role: HelperRole::Engine,
        image: ImageRef::parse("dory-helper:fake").unwrap(),
        arguments: vec!["agent".to_owned()],
        mounts,
        network: HelperNetwork::None,
        capabilities: Vec::new(),
        labels: [("run".to_owned(), "1".to_owned())].into(),
    }
}

fn volume(name: &str, target: &str, writable: bool) -> HelperMount {
    let source = HelperSource::Volume(VolumeName::parse(name).unwrap());
    HelperMount { source, target: PathBuf::from(target), writable }
}

/// A helper that sends back what it gets, and a word when its input ends.
fn echo() -> HelperProgram {
    Arc::new(|mut io, _view| {
        async move {
            let _ = tokio::io::copy(&mut io.stdin, &mut io.stdout).await;
            let _ = io.stdout.write_all(b"bye").await;
            0
        }
        .boxed()
    })
}

async fn launch(runtime: &FakeRuntime, mounts: Vec<HelperMount>) -> Helper {
    runtime.port().ensure_helper_image().await.unwrap();
    runtime.port().launch_helper(&spec(mounts)).await.unwrap()
}

#[tokio::test]
async fn the_journal_tells_names_order_and_outcomes() {
    let runtime = FakeRuntime::new();
    let db = runtime.container("db").running();
    let port = runtime.port();
    port.stop(&db.id, Some(Duration::from_secs(3))).await.unwrap();
    port.pause(&db.id).await.unwrap_err();
    port.start(&db.id).await.unwrap();
    port.list_volumes().await.unwrap();

    let journal = runtime.shared_journal();
    let lines =
        ["runtime stop db (grace 3s)", "runtime pause db -> conflict", "runtime start db", "runtime list_volumes"];
    assert_eq!(journal.lines(), lines);
    assert_eq!(journal.stop_window().len(), 3);
    assert_eq!(journal.only(&["runtime pause", "runtime start"]), ["runtime start db"]);
}

#[tokio::test]
async fn a_dropped_call_is_told_as_abandoned() {
    let runtime = FakeRuntime::new();
    let db = runtime.container("db").created();
    let wait = runtime.port();
    let wait = wait.wait_until(&db.id, WaitCondition::Running, Duration::from_secs(5));
    assert!(wait.now_or_never().is_none());
    assert_eq!(runtime.journal()[0].outcome, CallOutcome::Abandoned);
}

#[tokio::test]
async fn a_container_cannot_start_without_the_one_whose_network_it_shares() {
    let runtime = FakeRuntime::new();
    let vpn = runtime.container("vpn").running();
    let app = runtime.container("app").network_of("vpn").running();
    let port = runtime.port();
    port.stop(&app.id, None).await.unwrap();
    port.stop(&vpn.id, None).await.unwrap();
    assert_eq!(port.start(&app.id).await.unwrap_err().kind(), ErrorKind::ContainerDown);
    port.start(&vpn.id).await.unwrap();
    port.start(&app.id).await.unwrap();
    runtime.assert_tidy();
}

#[tokio::test]
#[should_panic(expected = "containers run without their network: app")]
async fn cutting_off_a_container_from_its_network_is_untidy() {
    let runtime = FakeRuntime::new();
    let vpn = runtime.container("vpn").running();
    let _app = runtime.container("app").network_of("vpn").running();
    runtime.port().stop(&vpn.id, None).await.unwrap();
    runtime.port().start(&vpn.id).await.unwrap();
    runtime.assert_tidy();
}

#[tokio::test]
async fn a_container_that_is_not_kept_goes_when_it_ends() {
    let runtime = FakeRuntime::new();
    let job = runtime.container("job").removed_when_ended().running();
    runtime.port().stop(&job.id, None).await.unwrap();
    assert_eq!(runtime.port().start(&job.id).await.unwrap_err().kind(), ErrorKind::NotFound);
    let other = runtime.container("other").removed_when_ended().running();
    runtime.crash("other");
    assert_eq!(runtime.port().inspect_container(other.id.as_str()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn stopping_a_helper_is_refused_and_not_forgotten() {
    let runtime = FakeRuntime::new();
    runtime.run_helpers_with(echo());
    let helper = launch(&runtime, Vec::new()).await;
    let error = runtime.port().stop(&helper.id, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(runtime.shared_journal().take_complaints().len(), 1);
}

#[tokio::test]
async fn scripted_health_takes_no_real_time() {
    let runtime = FakeRuntime::new();
    let minute = Duration::from_secs(60);
    let good = runtime.container("good").healthy_after(minute).running();
    let bad = runtime.container("bad").unhealthy_after(minute).running();
    let mute = runtime.container("mute").never_healthy().running();
    let frail = runtime.container("frail").healthy_after(minute * 9).crashes_after(minute).running();
    let port = runtime.port();
    let kind =
        async |id, timeout| port.wait_until(id, WaitCondition::Healthy, timeout).await.map_err(|error| error.kind());
    assert_eq!(kind(&good.id, minute / 2).await, Err(ErrorKind::TimedOut));
    assert_eq!(kind(&good.id, minute).await, Ok(()));
    assert_eq!(kind(&bad.id, minute * 2).await, Err(ErrorKind::ContainerDown));
    assert_eq!(kind(&mute.id, minute * 2).await, Err(ErrorKind::TimedOut));
    assert_eq!(kind(&frail.id, minute * 2).await, Err(ErrorKind::ContainerDown));
    assert_eq!(runtime.state_of("frail"), ContainerState::Exited);
}

#[tokio::test]
async fn a_helper_sees_its_mounts_and_nothing_else() {
    let runtime = FakeRuntime::new();
    fs::write(runtime.volume("data").join("file"), "contents").unwrap();
    runtime.run_helpers_with(Arc::new(|mut io, view| {
        async move {
            assert_eq!(view.real_path(Path::new("/etc/passwd")), None);
            assert_eq!(view.real_path(Path::new("/backup/data/../../etc")), None);
            assert!(!view.may_write(Path::new("/backup/data")) && view.may_write(Path::new("/backup/data/cache/x")));
            let file = view.real_path(Path::new("/backup/data/file")).unwrap();
            io.stdout.write_all(&fs::read(file).unwrap()).await.unwrap();
            0
        }
        .boxed()
    }));
    let mounts = vec![volume("data", "/backup/data", false), {
        runtime.volume("cache");
        volume("cache", "/backup/data/cache", true)
    }];
    let mut helper = launch(&runtime, mounts).await;
    let mut output = String::new();
    helper.stdout.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "contents");
}

#[tokio::test]
async fn a_helper_dies_when_it_is_told_to() {
    let runtime = FakeRuntime::new();
    runtime.run_helpers_with(echo());
    runtime.kill_next_helper_after(4);
    let mut helper = launch(&runtime, Vec::new()).await;
    helper.stdin.write_all(b"12345678").await.unwrap();
    let mut output = Vec::new();
    helper.stdout.read_to_end(&mut output).await.unwrap();
    assert_eq!(output, b"1234");

    let infos = runtime.port().list_helpers().await.unwrap();
    assert_eq!(infos.iter().map(|info| info.running).collect::<Vec<_>>(), [false]);
    runtime.port().remove_helper(&helper.id).await.unwrap();
    runtime.assert_tidy();
}

#[tokio::test]
async fn a_named_call_can_kill_helpers() {
    let runtime = FakeRuntime::new();
    let db = runtime.container("db").running();
    runtime.run_helpers_with(echo());
    let mut helper = launch(&runtime, Vec::new()).await;
    runtime.kill_helpers_on("stop");
    runtime.port().stop(&db.id, None).await.unwrap();
    let mut output = Vec::new();
    helper.stdout.read_to_end(&mut output).await.unwrap();
    assert_eq!(output, b"");
    helper.stdin.write_all(b"anybody?").await.unwrap_err();
}
