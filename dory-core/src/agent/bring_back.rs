//! Bringing a container back to exactly what it was doing before it was quieted.

use std::time::Duration;

use crate::domain::container::{Container, ContainerState};
use crate::domain::id::ContainerId;
use crate::domain::identity::{ComposePlace, compose};
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ContainerRuntime, WaitCondition};

/// Undoes what the caller itself did to a container a moment ago, by the shortest way; where that leads nowhere, as
/// [`bring_back`]. `patience` is how long it may take until the processes run.
///
/// # Errors
/// As for [`bring_back`].
pub(crate) async fn undo(runtime: &dyn ContainerRuntime, quiet: &Quiet, patience: Duration) -> Result<()> {
    let undone = match (quiet.mode, quiet.was) {
        (StopMode::None, _) | (StopMode::Pause, ContainerState::Paused) => return Ok(()),
        (StopMode::Pause, _) => runtime.unpause(&quiet.id).await,
        (StopMode::Stop, ContainerState::Paused) => {
            // It is frozen still where thawing it failed, or again where the last answer was lost; and what is frozen
            // cannot be started.
            let thawed = runtime.unpause(&quiet.id).await;
            if thawed.is_ok() { runtime.start(&quiet.id).await } else { thawed }
        }
        (StopMode::Stop, _) => runtime.start(&quiet.id).await,
    };
    let undone = match undone {
        Ok(()) if quiet.was == ContainerState::Paused => runtime.pause(&quiet.id).await,
        Ok(()) => runtime.wait_until(&quiet.id, WaitCondition::Running, patience).await,
        failed => failed,
    };
    match undone.as_ref().map_err(Error::kind) {
        // It was created anew, or somebody froze it, or it ended while it was frozen.
        Err(ErrorKind::NotFound | ErrorKind::Conflict) => bring_back(runtime, quiet, patience).await,
        Err(ErrorKind::ContainerDown) if quiet.mode == StopMode::Pause => bring_back(runtime, quiet, patience).await,
        _ => undone,
    }
}

/// Brings a container back to what it was doing, whatever happened to it since it was quieted. One that was created anew
/// is found again by its place in its compose project, else by its name.
///
/// # Errors
/// `NotFound` if it is gone; `ContainerDown` if it does not start; `TimedOut` if its processes do not run after
/// `patience`; the engine's.
pub(crate) async fn bring_back(runtime: &dyn ContainerRuntime, quiet: &Quiet, patience: Duration) -> Result<()> {
    if quiet.mode == StopMode::None {
        return Ok(());
    }
    let container = find_again(runtime, quiet).await?;
    let id = &container.id;
    match (quiet.was, container.state) {
        (ContainerState::Paused, ContainerState::Paused) => Ok(()),
        (ContainerState::Paused, ContainerState::Running) => runtime.pause(id).await,
        (ContainerState::Paused, _) => {
            runtime.start(id).await?;
            runtime.pause(id).await
        }
        (_, ContainerState::Running) => Ok(()),
        (_, ContainerState::Paused) => {
            runtime.unpause(id).await?;
            running(runtime, id, patience).await
        }
        _ => {
            runtime.start(id).await?;
            running(runtime, id, patience).await
        }
    }
}

/// The container that `quiet` means, also where it was created anew.
///
/// # Errors
/// `NotFound` if it is gone; the engine's.
pub(crate) async fn find_again(runtime: &dyn ContainerRuntime, quiet: &Quiet) -> Result<Container> {
    match runtime.inspect_container(quiet.id.as_str()).await {
        Err(gone) if gone.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let all = runtime.list_containers().await?;
    let in_place = |container: &&Container| {
        quiet.compose.is_some()
            && ComposePlace::of(&container.labels) == quiet.compose
            && container.label(compose::ONE_OFF) != Some("True")
    };
    let anew = all.iter().find(in_place).or_else(|| all.iter().find(|container| container.name == quiet.name));
    anew.cloned().ok_or_else(|| {
        let reason = "it was removed while it stood still, and none took its place";
        Error::new(ErrorKind::NotFound, "find container", quiet.name.as_str(), reason)
            .with_hint("create it again: its volumes are as they were")
    })
}

async fn running(runtime: &dyn ContainerRuntime, id: &ContainerId, patience: Duration) -> Result<()> {
    runtime.wait_until(id, WaitCondition::Running, patience).await
}
