//! What a helper cannot do, and what nobody can see of it.

use std::path::Path;

use bollard::query_parameters::LogsOptions;
use dory_core::ports::{ContainerRuntime, HelperMount, HelperNetwork, HelperSource};
use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::DockerBench;

/// `CAP_DAC_READ_SEARCH` as a mask.
const DAC_READ_SEARCH: u64 = 1 << 2;

async fn said_by(bench: &DockerBench, change: impl FnOnce(&mut dory_core::ports::HelperSpec), script: &str) -> String {
    let mut spec = bench.helper_spec("confined", &["sh", "-c", script]);
    change(&mut spec);
    let mut helper = bench.runtime.launch_helper(&spec).await.unwrap();
    let mut said = String::new();
    helper.stdout.read_to_string(&mut said).await.unwrap();
    bench.runtime.remove_helper(&helper.id).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_has_only_the_capabilities_of_its_spec() {
    let Some(bench) = DockerBench::start().await else { return };
    for (capabilities, mask) in [(vec![], 0), (vec!["DAC_READ_SEARCH"], DAC_READ_SEARCH)] {
        let status = said_by(&bench, |spec| spec.capabilities = capabilities, "cat /proc/self/status").await;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(u64::from_str_radix(&field(set), 16).unwrap(), mask, "{set}");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2");
        assert_eq!(field("Uid").split_whitespace().next(), Some("0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_writes_to_its_scratch_folder_alone() {
    let Some(bench) = DockerBench::start().await else { return };
    let script =
        "for folder in / /bin /etc /dev /tmp; do (echo x > $folder/new) 2>/dev/null && echo $folder; done; true";
    assert_eq!(said_by(&bench, |_| {}, script).await, "/dev\n/tmp\n", "/dev is memory of the helper's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn scratch_space_can_be_a_folder_of_the_host() {
    let Some(bench) = DockerBench::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = HelperSource::HostPath(folder.path().to_owned());
    let mount = HelperMount { source, target: "/tmp".into(), writable: true };
    said_by(&bench, |spec| spec.mounts = vec![mount], "echo kept > /tmp/file").await;
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "kept\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_reaches_the_networks_of_its_spec() {
    let Some(bench) = DockerBench::start().await else { return };
    let interfaces = "grep -o '[a-z0-9]*:' /proc/net/dev";
    let alone = said_by(&bench, |_| {}, interfaces).await;
    assert!(alone.lines().all(|name| name == "lo:" || !name.starts_with("eth")), "{alone}");
    let bridged = said_by(&bench, |spec| spec.network = HelperNetwork::Bridge, interfaces).await;
    assert!(bridged.contains("eth0:"), "{bridged}");
    let of_the_host = said_by(&bench, |spec| spec.network = HelperNetwork::Host, "cat /proc/net/dev").await;
    assert_eq!(of_the_host.lines().count(), std::fs::read_to_string("/proc/net/dev").unwrap().lines().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_goes_through_its_pipes_can_be_seen() {
    let Some(bench) = DockerBench::start().await else { return };
    let spec = bench.helper_spec("discreet", &["sh", "-c", "cat; echo seen >&2"]);
    let mut helper = bench.runtime.launch_helper(&spec).await.unwrap();
    helper.stdin.write_all(b"a secret").await.unwrap();
    let mut echoed = [0; 8];
    helper.stdout.read_exact(&mut echoed).await.unwrap();

    let inspected = bench.docker.inspect_container(helper.id.as_str(), None).await.unwrap();
    assert!(!serde_json::to_string(&inspected).unwrap().contains("a secret"));
    let environment = inspected.config.unwrap().env.unwrap_or_default();
    assert!(environment.iter().all(|variable| variable.starts_with("PATH=")), "{environment:?}");
    assert!(!Path::new(&inspected.log_path.unwrap_or_default()).exists());
    drop(helper.stdin);
    helper.stderr.read_to_end(&mut Vec::new()).await.unwrap();
    let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
    let logs: Result<Vec<_>, _> = bench.docker.logs(helper.id.as_str(), Some(options)).try_collect().await;
    assert!(logs.as_ref().is_err() || logs.as_ref().unwrap().is_empty(), "{logs:?}");
}
