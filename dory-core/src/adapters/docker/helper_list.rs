//! Listing helpers, and keeping them.

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody, RestartPolicy,
    RestartPolicyNameEnum,
};
use jiff::Timestamp;

use super::helper_config::{HELPER_LABEL, role_of};
use super::{DockerRuntime, error};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::HelperInfo;

/// What the engine says of a moment that never came.
const NEVER: &str = "0001-01-01T00:00:00Z";

const KEEP: &str = "keep helper";

impl DockerRuntime {
    pub(super) async fn all_helpers(&self) -> Result<Vec<HelperInfo>> {
        let mut helpers = Vec::new();
        for summary in self.summaries(Some(HELPER_LABEL)).await? {
            helpers.extend(self.helper_info(summary).await?);
        }
        helpers.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(helpers)
    }

    /// What the list says of a helper, and where it does not run, how it ended; `None` for one that vanished meanwhile.
    async fn helper_info(&self, summary: ContainerSummary) -> Result<Option<HelperInfo>> {
        use ContainerSummaryStateEnum::{DEAD, EXITED};
        let id = ContainerId::parse(summary.id.unwrap_or_default())?;
        let running = !matches!(summary.state, Some(EXITED | DEAD));
        let (ended_at, exit_code) = if running {
            (None, None)
        } else {
            match self.docker.inspect_container(id.as_str(), None).await {
                Ok(raw) => end_of(&raw),
                Err(gone) if error::status(&gone) == Some(404) => return Ok(None),
                Err(other) => return Err(self.failed("inspect helper", id.short())(other)),
            }
        };
        let labels = summary.labels.unwrap_or_default();
        Ok(Some(HelperInfo {
            role: role_of(&labels),
            created_at: summary.created.and_then(|at| Timestamp::from_second(at).ok()).unwrap_or_default(),
            running,
            ended_at,
            exit_code,
            labels: labels.into_iter().collect(),
            id,
        }))
    }

    pub(super) async fn set_kept(&self, id: &ContainerId, keep: bool) -> Result<()> {
        self.check_helper(KEEP, id).await?;
        let name = if keep { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
        let policy = RestartPolicy { name: Some(name), maximum_retry_count: None };
        let change = ContainerUpdateBody { restart_policy: Some(policy), ..ContainerUpdateBody::default() };
        self.docker.update_container(id.as_str(), change).await.map_err(self.container_failed(KEEP, id))
    }

    /// Makes sure that `id` is a helper.
    pub(super) async fn check_helper(&self, operation: &str, id: &ContainerId) -> Result<()> {
        let raw = self.inspect_for(operation, id).await?;
        let labels = raw.config.and_then(|config| config.labels).unwrap_or_default();
        if labels.contains_key(HELPER_LABEL) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidInput, operation, id.short(), "that container is no helper"))
    }
}

/// When a container ended, and with which code.
fn end_of(raw: &ContainerInspectResponse) -> (Option<Timestamp>, Option<i64>) {
    let state = raw.state.as_ref();
    let ended = state.and_then(|state| state.finished_at.as_deref()).filter(|at| *at != NEVER);
    let ended: Option<Timestamp> = ended.and_then(|at| at.parse().ok());
    (ended, ended.and_then(|_| state?.exit_code))
}
