//! Ends that need care: containers that vanish or come back by themselves, and launches that are abandoned.

use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::CreateContainerOptions;
use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::ContainerId;
use dory_core::ports::{ContainerRuntime, HelperMount, HelperSource, WaitCondition};
use dory_testkit::contracts::container_runtime::RuntimeBench;

use super::bench::DockerBench;

async fn made(bench: &DockerBench, stem: &str, script: &str, host: HostConfig) -> ContainerId {
    let body = ContainerCreateBody {
        image: Some(bench.image.to_string()),
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        stop_signal: Some("SIGKILL".to_owned()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    let name = Some(format!("{}-{stem}", bench.unique()));
    let options = CreateContainerOptions { name, ..CreateContainerOptions::default() };
    ContainerId::parse(bench.docker.create_container(Some(options), body).await.unwrap().id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_removed_when_it_ends_has_ended() {
    let Some(bench) = DockerBench::start().await else { return };
    let id = made(&bench, "rm", "sleep 1000", HostConfig { auto_remove: Some(true), ..HostConfig::default() }).await;
    bench.runtime.start(&id).await.unwrap();
    assert!(bench.runtime.inspect_container(id.as_str()).await.unwrap().removed_when_ended);
    let (runtime, waited) = (bench.runtime(), id.clone());
    let waiting =
        tokio::spawn(async move { runtime.wait_until(&waited, WaitCondition::Stopped, Duration::from_secs(20)).await });
    bench.runtime.stop(&id, None).await.unwrap();
    // Whoever began to wait too late finds nothing; whoever was in time hears of the end.
    let waited = waiting.await.unwrap();
    assert!(waited.is_ok() || waited.is_err_and(|error| error.kind() == ErrorKind::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_keeps_restarting_can_be_stopped() {
    let Some(bench) = DockerBench::start().await else { return };
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
    let host = HostConfig { restart_policy: Some(policy), ..HostConfig::default() };
    let id = made(&bench, "restarting", "exit 1", host).await;
    bench.runtime.start(&id).await.unwrap();
    bench.runtime.stop(&id, None).await.unwrap();
    let stopped = bench.runtime.inspect_container(id.as_str()).await.unwrap();
    assert_eq!(stopped.state, ContainerState::Exited);
    // Longer than the engine waits before it starts such a container again.
    let waited = bench.runtime.wait_until(&id, WaitCondition::Running, Duration::from_secs(2)).await;
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::ContainerDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_launch_leaves_nothing_in_the_way() {
    let Some(bench) = DockerBench::start().await else { return };
    let mut spec = bench.helper_spec("abandoned", &["cat"]);
    spec.labels.insert("dory.test.abandoned".to_owned(), bench.unique().to_owned());
    for patience in [1, 5, 20, 60, 120, 250].map(Duration::from_millis) {
        drop(tokio::time::timeout(patience, bench.runtime.launch_helper(&spec)).await);
        let mut launched = bench.runtime.launch_helper(&spec).await;
        // What was abandoned may have got as far as running, and needs a moment to see that nobody feeds it.
        for _ in 0..200 {
            match &launched {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    launched = bench.runtime.launch_helper(&spec).await;
                }
                _ => break,
            }
        }
        bench.runtime.remove_helper(&launched.unwrap().id).await.unwrap();
    }
    let left = bench.runtime.list_helpers().await.unwrap();
    assert!(left.iter().all(|helper| !helper.labels.contains_key("dory.test.abandoned")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_cannot_start_leaves_nothing() {
    let Some(bench) = DockerBench::start().await else { return };
    let mut spec = bench.helper_spec("broken", &["cat"]);
    // Found when the container is made, and of no use when it is started: a file that is no program.
    let source = HelperSource::HostPath(bench.host_folder().await.join("hello"));
    spec.mounts = vec![HelperMount { source, target: "/dory".into(), writable: false }];
    let error = bench.runtime.launch_helper(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown, "{error:?}");
    let left = bench.docker.inspect_container(spec.name.as_str(), None).await;
    assert!(left.is_err(), "{left:?}");
}
