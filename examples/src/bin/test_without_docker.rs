//! Code of your own that works on containers, and how to prove what it does, in which order, with no Docker.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example shows what it did, and ends where it is wrong"
)]

use dory_core::Result;
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::VolumeName;
use dory_core::domain::order::start_order;
use dory_core::ports::ContainerRuntime;
use dory_testkit::fakes::FakeRuntime;

/// Your code: restarts everything that uses a volume, what others need last to stop and first to start.
async fn restart_users_of(runtime: &dyn ContainerRuntime, volume: &VolumeName) -> Result<()> {
    let mut users = runtime.list_containers().await?;
    users.retain(|container| {
        container.state == ContainerState::Running
            && container.mounts.iter().any(|mount| mount.volume() == Some(volume))
    });
    let users = start_order(users);
    for container in users.iter().rev() {
        runtime.stop(&container.id, None).await?;
    }
    for container in &users {
        runtime.start(&container.id).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() {
    let runtime = FakeRuntime::new();
    runtime.container("db").volume("data", "/var/lib/db").compose("shop", "db").running();
    runtime.container("app").volume("data", "/data").compose("shop", "app").depends_on(&["db"]).running();
    runtime.container("archive").volume("data", "/data").stopped();

    restart_users_of(runtime.port().as_ref(), &VolumeName::parse("data").unwrap()).await.unwrap();

    let changes = runtime.shared_journal().only(&["runtime stop", "runtime start"]);
    println!("{}", changes.join("\n"));
    assert_eq!(changes, ["runtime stop app", "runtime stop db", "runtime start db", "runtime start app"]);
    assert_eq!(runtime.state_of("archive"), ContainerState::Exited);
    runtime.assert_tidy();
}
