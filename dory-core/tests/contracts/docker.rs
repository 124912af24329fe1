//! Docker, enrolled: the engine of this machine.

use dory_testkit::container_runtime_contract;
use dory_testkit::contracts::container_runtime::Subject;

use crate::docker::bench::DockerBench;

async fn engine() -> Option<Subject> {
    DockerBench::start().await.map(Subject::new)
}

container_runtime_contract!(docker, engine());
