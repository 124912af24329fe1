//! Waiting for what a container needs before it starts again: compose's `depends_on` conditions.

use crate::agent::bring_back::find_again;
use crate::domain::container::ContainerState;
use crate::domain::id::ContainerName;
use crate::domain::order::{Need, NeedCondition};
use crate::domain::plan::Quiet;
use crate::domain::policy::StopMode;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ContainerRuntime, WaitCondition};

/// Waits until those of `all` that `quiet` needs are as far as it needs them, each for its own time at most. Call it
/// just before `quiet` starts, with those it needs started. Gives what fell short, since a container that starts too
/// early is better than one that stays down.
pub(crate) async fn wait_for_needs(
    runtime: &dyn ContainerRuntime,
    quiet: &Quiet,
    all: &[Quiet],
) -> Vec<(ContainerName, Error)> {
    let mut unmet = Vec::new();
    if quiet.mode != StopMode::Stop {
        return unmet;
    }
    for need in &quiet.start.needs {
        let stopped_too = |other: &&Quiet| {
            other.name == need.on && other.mode == StopMode::Stop && other.was != ContainerState::Paused
        };
        let Some(needed) = all.iter().find(stopped_too) else { continue };
        if let Err(error) = wait_for(runtime, need, needed).await {
            unmet.push((need.on.clone(), error));
        }
    }
    unmet
}

async fn wait_for(runtime: &dyn ContainerRuntime, need: &Need, needed: &Quiet) -> Result<()> {
    let condition = match need.until {
        NeedCondition::Started => return Ok(()),
        // It was ill before, or has no check by now: waiting would only make the stop longer.
        NeedCondition::Healthy if !needed.has_health_check => return Ok(()),
        NeedCondition::Healthy => WaitCondition::Healthy,
        NeedCondition::Completed => WaitCondition::Stopped,
    };
    let id = find_again(runtime, needed).await?.id;
    runtime.wait_until(&id, condition, needed.start.healthy_timeout.get()).await?;
    if need.until == NeedCondition::Completed {
        return completed_well(runtime, needed).await;
    }
    Ok(())
}

async fn completed_well(runtime: &dyn ContainerRuntime, needed: &Quiet) -> Result<()> {
    match find_again(runtime, needed).await?.exit_code {
        None | Some(0) => Ok(()),
        Some(code) => {
            let reason = format!("it ended with code {code}");
            Err(Error::new(ErrorKind::ContainerDown, "wait for the end of container", needed.name.as_str(), reason))
        }
    }
}
