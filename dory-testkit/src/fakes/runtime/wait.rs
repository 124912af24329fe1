//! Waiting for the fake's containers.

use std::time::Duration;

use dory_core::domain::container::{ContainerState, Health};
use dory_core::domain::id::ContainerId;
use dory_core::ports::{Clock, WaitCondition};
use dory_core::{Error, ErrorKind, Result};

use super::FakeRuntime;
use super::state::{HealthScript, State};

/// How a container stands to a condition.
enum Standing {
    Reached,
    /// Its script changes something at this monotonic time.
    Changes(Duration),
    /// Its script says that nothing will ever change.
    Stuck,
    /// It is for others to change it.
    Open,
}

impl FakeRuntime {
    /// Time that scripts need passes by itself; for what others must do, this really waits.
    pub(super) async fn wait_for(&self, id: &ContainerId, condition: WaitCondition, timeout: Duration) -> Result<()> {
        let clock = self.clock();
        let deadline = clock.monotonic() + timeout;
        let mut changes = self.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let standing = {
                let mut state = self.lock();
                state.settle();
                state.standing(id, condition)?
            };
            let left = deadline.saturating_sub(clock.monotonic());
            match standing {
                Standing::Reached => return Ok(()),
                _ if left.is_zero() => {
                    let name = self.lock().name_of(id);
                    let reason = format!("it was not {} within {timeout:?}", word(condition));
                    return Err(Error::new(ErrorKind::TimedOut, "wait for container", name, reason));
                }
                Standing::Changes(at) if at <= deadline => self.pass(at.saturating_sub(clock.monotonic())),
                Standing::Changes(_) | Standing::Stuck => self.pass(left),
                Standing::Open => tokio::select! {
                    // The sender lives as long as this runtime.
                    _ = changes.changed() => {}
                    () = clock.sleep(left) => {}
                },
            }
        }
    }
}

impl State {
    fn standing(&self, id: &ContainerId, condition: WaitCondition) -> Result<Standing> {
        let record = &self.containers[self.position(id, "wait for container")?];
        let container = &record.container;
        let down = |reason: &str| {
            Err(Error::new(ErrorKind::ContainerDown, "wait for container", container.name.as_str(), reason))
        };
        let ended = matches!(container.state, ContainerState::Exited | ContainerState::Dead | ContainerState::Removing);
        let pending = || record.next_change().map_or(Standing::Open, Standing::Changes);
        match condition {
            WaitCondition::Stopped if ended || container.state == ContainerState::Created => Ok(Standing::Reached),
            WaitCondition::Stopped => Ok(pending()),
            _ if ended => down("it has ended"),
            WaitCondition::Running if container.state == ContainerState::Running => Ok(Standing::Reached),
            WaitCondition::Running => Ok(pending()),
            WaitCondition::Healthy => match container.health {
                Health::None => {
                    self.journal.complain(format!("container `{}` has no health check to wait for", container.name));
                    Err(Error::invalid("wait condition", container.name.as_str(), "it has no health check"))
                }
                Health::Healthy if container.state == ContainerState::Running => Ok(Standing::Reached),
                Health::Unhealthy => down("its health check fails"),
                _ if matches!(record.script.health, Some(HealthScript::Never)) => Ok(Standing::Stuck),
                _ => Ok(pending()),
            },
        }
    }
}

fn word(condition: WaitCondition) -> &'static str {
    match condition {
        WaitCondition::Running => "running",
        WaitCondition::Healthy => "healthy",
        WaitCondition::Stopped => "stopped",
    }
}
