//! This very program in an image that Dory made of it: as a helper, and as a Dory that runs in a container.
#![allow(clippy::print_stdout, reason = "a child tells its parent through its output")]

use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, LogsOptions, RemoveContainerOptions, RemoveImageOptions, WaitContainerOptions,
};
use dory_core::adapters::docker::{DockerRuntime, DockerSettings};
use dory_core::domain::id::ImageRef;
use dory_core::ports::{ContainerRuntime, HelperMount, HelperNetwork, HelperSource};
use dory_testkit::contracts::container_runtime::RuntimeBench;
use futures_util::TryStreamExt;
use tokio::io::AsyncReadExt;

use super::bench::DockerBench;

/// Where the tests below find the folder that says who they are.
const SEEN: &str = "/store";

fn run(test: &str) -> Vec<String> {
    [&format!("docker::packed::{test}"), "--exact", "--ignored", "--nocapture"].map(str::to_owned).to_vec()
}

/// What follows `word` at the end of one of `said`'s lines; libtest puts its own words before the first.
fn after<'a>(said: &'a str, word: &str) -> Option<&'a str> {
    said.lines().find_map(|line| Some(line.split_once(&format!("{word} "))?.1))
}

/// One test, as all of it shares one image: that of this executable.
#[tokio::test(flavor = "multi_thread")]
async fn this_program_runs_packed() {
    let Some(bench) = DockerBench::start().await else { return };
    let runtime = DockerRuntime::connect(DockerSettings::default()).await.unwrap();
    let image = runtime.ensure_helper_image().await.unwrap();
    assert!(image.as_str().starts_with("dory-helper:"), "{image}");
    let folder = bench.host_folder().await;

    runs_as_a_helper(&bench, &runtime, &image, &folder).await;
    knows_its_container(&bench, &image, &folder).await;

    let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
    bench.docker.remove_image(image.as_str(), Some(options), None).await.unwrap();
}

async fn runs_as_a_helper(bench: &DockerBench, runtime: &DockerRuntime, image: &ImageRef, folder: &Path) {
    let mut spec = bench.helper_spec("packed", &[]);
    spec.image = image.clone();
    spec.arguments = run("as_a_helper");
    spec.network = HelperNetwork::Bridge;
    spec.mounts =
        vec![HelperMount { source: HelperSource::HostPath(folder.to_owned()), target: SEEN.into(), writable: false }];
    let mut helper = runtime.launch_helper(&spec).await.unwrap();
    let (mut said, mut complained) = (String::new(), String::new());
    helper.stdout.read_to_string(&mut said).await.unwrap();
    helper.stderr.read_to_string(&mut complained).await.unwrap();
    runtime.remove_helper(&helper.id).await.unwrap();
    assert_eq!(after(&said, "names"), Some("are looked up"), "{said}{complained}");
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt").exists();
    assert_eq!(after(&said, "authorities"), Some(authorities.to_string().as_str()), "{said}{complained}");
}

#[tokio::test]
#[ignore = "another test runs it in a helper"]
async fn as_a_helper() {
    if !Path::new(SEEN).join("hello").exists() {
        return;
    }
    // Libraries that the C library loads later must be there, and a name that cannot exist must be no crash.
    assert!(("localhost", 1).to_socket_addrs().unwrap().any(|address| address.ip().is_loopback()));
    assert!(("no-such-host.invalid", 1).to_socket_addrs().is_err());
    println!("names are looked up");
    println!("authorities {}", Path::new("/etc/ssl/certs/ca-certificates.crt").exists());
}

async fn knows_its_container(bench: &DockerBench, image: &ImageRef, folder: &Path) {
    let binds = vec![format!("{}:{SEEN}", folder.display()), "/var/run/docker.sock:/var/run/docker.sock".to_owned()];
    let body = ContainerCreateBody {
        image: Some(image.to_string()),
        cmd: Some(run("as_dory_in_a_container")),
        host_config: Some(HostConfig { binds: Some(binds), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options =
        CreateContainerOptions { name: Some(format!("{}-dory", bench.unique())), ..CreateContainerOptions::default() };
    let id = bench.docker.create_container(Some(options), body).await.unwrap().id;
    bench.docker.start_container(&id, None).await.unwrap();
    let waiting = bench.docker.wait_container(&id, None::<WaitContainerOptions>);
    // How it ended shows in what it said.
    drop(waiting.try_collect::<Vec<_>>().await);
    let options = LogsOptions { stdout: true, stderr: true, ..LogsOptions::default() };
    let logs: Vec<_> = bench.docker.logs(&id, Some(options)).try_collect().await.unwrap();
    let said: String = logs.iter().map(ToString::to_string).collect();
    let image_id = bench.docker.inspect_container(&id, None).await.unwrap().image.unwrap();
    let options = RemoveContainerOptions { force: true, ..RemoveContainerOptions::default() };
    bench.docker.remove_container(&id, Some(options)).await.unwrap();

    assert_eq!(after(&said, "own container"), Some(id.as_str()), "{said}");
    assert_eq!(after(&said, "local"), Some("true"), "{said}");
    assert_eq!(after(&said, "helper image"), Some(image_id.as_str()), "{said}");
    assert_eq!(after(&said, "on the host"), Some(folder.join("new/file").to_str().unwrap()), "{said}");
    assert_eq!(after(&said, "hint"), Some("run Dory with `-v /srv/dory:/srv/dory`"), "{said}");
}

#[tokio::test]
#[ignore = "another test runs it in a container"]
async fn as_dory_in_a_container() {
    if !Path::new(SEEN).join("hello").exists() {
        return;
    }
    let runtime = DockerRuntime::connect(DockerSettings::default()).await.unwrap();
    let info = runtime.info().await.unwrap();
    println!("\nown container {}", info.own_container.unwrap());
    println!("local {}", info.is_local);
    println!("helper image {}", runtime.ensure_helper_image().await.unwrap());
    let host_path = runtime.host_path(&PathBuf::from(SEEN).join("new/file")).await.unwrap();
    println!("on the host {}", host_path.display());
    let missing = runtime.host_path(Path::new("/srv/dory")).await.unwrap_err();
    println!("hint {}", missing.hint().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_a_container_paths_are_what_they_are() {
    let Some(bench) = DockerBench::start().await else { return };
    let info = bench.runtime.info().await.unwrap();
    assert_eq!((info.own_container, info.is_local), (None, true));
    let folder = bench.host_folder().await.canonicalize().unwrap();
    assert_eq!(bench.runtime.host_path(&folder.join("new")).await.unwrap(), folder.join("new"));
}
