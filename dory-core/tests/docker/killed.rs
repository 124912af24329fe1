//! A helper whose Dory is killed: its input ends with the process, so it ends too.
#![allow(clippy::print_stdout, reason = "a child tells its parent through its output")]

use std::process::Stdio;

use dory_core::adapters::docker::{DockerRuntime, DockerSettings};
use dory_core::domain::id::{ContainerId, ContainerName, ImageRef};
use dory_core::ports::{ContainerRuntime, HelperNetwork, HelperRole, HelperSpec};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::bench::DockerBench;

/// Ends when its input does. Meanwhile it fills its output, which nobody reads: that must not keep it alive.
const PROGRAM: &str = "cat /dev/zero & cat > /dev/null; kill $!";

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_ends_when_its_dory_is_killed() {
    let Some(bench) = DockerBench::start().await else { return };
    let mut child = Command::new("/proc/self/exe")
        .args(["docker::killed::holds_a_helper", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let spec = bench.helper_spec("orphan", &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{} {}\n", spec.image, spec.name).as_bytes()).await.unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = loop {
        let line = lines.next_line().await.unwrap().expect("the child launches a helper");
        if let Some((_, id)) = line.split_once("launched ") {
            break ContainerId::parse(id).unwrap();
        }
    };
    assert!(bench.runs(&id).await);
    // SIGKILL: no destructor runs, no signal handler, nothing.
    child.kill().await.unwrap();
    for _ in 0..400 {
        if !bench.runs(&id).await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the helper outlives its Dory");
}

/// The Dory of the test above: launches a helper and waits to be killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it in a process of its own"]
async fn holds_a_helper() {
    let mut words = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut words).await.unwrap();
    let Some((image, name)) = words.trim().split_once(' ') else { return };
    let runtime = DockerRuntime::connect(DockerSettings::default()).await.unwrap();
    let helper = runtime
        .launch_helper(&HelperSpec {
            name: ContainerName::parse(name).unwrap(),
            role: HelperRole::Engine,
            image: ImageRef::parse(image).unwrap(),
            arguments: ["sh", "-c", PROGRAM].map(str::to_owned).to_vec(),
            mounts: Vec::new(),
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels: std::collections::BTreeMap::new(),
        })
        .await
        .unwrap();
    println!("launched {}", helper.id);
    std::future::pending::<()>().await;
}
