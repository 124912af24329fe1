//! Finding containers: the list, and one by name or id.

use bollard::errors::Error as Bollard;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::ListContainersOptions;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::helper_config::HELPER_LABEL;
use super::{DockerRuntime, container_view, error, nearest};
use crate::domain::container::{Container, SHORTEST_REFERENCE};
use crate::domain::id::{ContainerId, ContainerName};
use crate::error::{Error, ErrorKind, Result};

/// How many containers are inspected at once.
const INSPECTIONS: usize = 8;

impl DockerRuntime {
    pub(super) async fn all_containers(&self) -> Result<Vec<Container>> {
        let ids =
            self.summaries(None).await?.into_iter().filter(|summary| !is_helper(summary)).filter_map(|raw| raw.id);
        let inspected = stream::iter(ids).map(|id| async move {
            match self.docker.inspect_container(&id, None).await {
                Ok(raw) => container_view::container(raw).map(Some),
                Err(gone) if error::status(&gone) == Some(404) => Ok(None),
                Err(other) => Err(self.failed("inspect container", &id)(other)),
            }
        });
        let inspected: Vec<Option<Container>> = inspected.buffer_unordered(INSPECTIONS).try_collect().await?;
        let mut containers: Vec<Container> = inspected.into_iter().flatten().collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    pub(super) async fn find_container(&self, reference: &str) -> Result<Container> {
        let operation = "inspect container";
        // What can be no name and no id must not end up in a URL.
        let bare = reference.trim_start_matches('/');
        if ContainerName::parse(bare).is_err() {
            return Err(self.no_such_container(operation, reference).await);
        }
        let container = match self.docker.inspect_container(bare, None).await {
            Ok(raw) => container_view::container(raw)?,
            Err(gone) if error::status(&gone) == Some(404) => {
                return Err(self.no_such_container(operation, reference).await);
            }
            Err(several) if error::message(&several).contains("Multiple IDs found") => {
                if bare.len() < SHORTEST_REFERENCE {
                    return Err(self.no_such_container(operation, reference).await);
                }
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    operation,
                    reference,
                    "the ids of several containers begin so",
                ));
            }
            Err(other) => return Err(self.failed(operation, reference)(other)),
        };
        // The engine takes even one character of an id.
        if container.answers_to(bare) && !container.labels.contains_key(HELPER_LABEL) {
            Ok(container)
        } else {
            Err(self.no_such_container(operation, reference).await)
        }
    }

    /// What the engine says about a container that is known by its id; `operation` names what that is for.
    pub(super) async fn inspect_for(&self, operation: &str, id: &ContainerId) -> Result<ContainerInspectResponse> {
        self.docker.inspect_container(id.as_str(), None).await.map_err(self.failed(operation, id.as_str()))
    }

    /// Every container, or those with a label.
    pub(super) async fn summaries(&self, label: Option<&str>) -> Result<Vec<ContainerSummary>> {
        let filters = label.map(|label| [("label".to_owned(), vec![label.to_owned()])].into());
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        self.docker.list_containers(Some(options)).await.map_err(self.failed("list containers of", &self.host()))
    }

    /// Translates an error about the container `id`.
    pub(super) fn container_failed<'a>(
        &'a self,
        operation: &'a str,
        id: &'a ContainerId,
    ) -> impl FnOnce(Bollard) -> Error {
        self.failed(operation, id.short())
    }

    async fn no_such_container(&self, operation: &str, reference: &str) -> Error {
        let error = Error::new(ErrorKind::NotFound, operation, reference, "no such container");
        // The hint is a courtesy: a list that fails leaves the error as it is.
        let summaries = self.summaries(None).await.unwrap_or_default();
        let names: Vec<&str> = summaries.iter().filter(|summary| !is_helper(summary)).filter_map(own_name).collect();
        match nearest::hint(reference, &names) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn is_helper(summary: &ContainerSummary) -> bool {
    summary.labels.as_ref().is_some_and(|labels| labels.contains_key(HELPER_LABEL))
}

/// The container's own name: the others are links' aliases, which hold a second slash.
fn own_name(summary: &ContainerSummary) -> Option<&str> {
    summary.names.iter().flatten().filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'))
}
