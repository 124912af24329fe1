//! What happens to containers, as the engine tells it.

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::{Stream, StreamExt, future, stream};
use jiff::Timestamp;

use super::helper_config::HELPER_LABEL;
use super::{DockerRuntime, error};
use crate::domain::id::{ContainerId, ContainerName};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ContainerAction, ContainerEvent, EventStream};

/// The engine's words for what [`ContainerAction`] lists.
const ACTIONS: [&str; 6] = ["create", "start", "die", "destroy", "rename", "health_status"];

impl DockerRuntime {
    pub(super) async fn container_events(&self) -> Result<EventStream> {
        let events = self.subscribe(None, &ACTIONS).await?;
        Ok(Box::pin(events.filter_map(|event| future::ready(event.map(translate).transpose()))))
    }

    /// The engine's events from this moment on, of one container or of all; at the end there is always an error.
    ///
    /// bollard connects when the stream is first read. Asking for what happened since now, by the engine's own clock,
    /// makes sure that nothing is lost in between.
    pub(super) async fn subscribe(
        &self,
        id: Option<&ContainerId>,
        actions: &[&str],
    ) -> Result<impl Stream<Item = Result<EventMessage>> + Send + use<>> {
        let operation = "watch containers of";
        let host = self.host();
        let info = self.docker.info().await.map_err(self.failed(operation, &host))?;
        let now: Timestamp =
            info.system_time.as_deref().and_then(|time| time.parse().ok()).ok_or_else(|| {
                Error::new(ErrorKind::Internal, operation, &host, "the engine does not tell the time")
            })?;

        let mut filters = std::collections::HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), actions.iter().map(|&action| action.to_owned()).collect()),
        ]);
        if let Some(id) = id {
            filters.insert("container".to_owned(), vec![id.to_string()]);
        }
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let events =
            self.docker.events(Some(EventsOptions { since: Some(since), until: None, filters: Some(filters) }));

        let address = self.address.clone();
        let end = error::gone(&address);
        let events =
            events.map(move |event| event.map_err(|cause| error::translate(&address, operation, &host, cause)));
        Ok(events.chain(stream::once(future::ready(Err(end)))))
    }
}

/// The domain's form of an event; `None` for one that it leaves out.
fn translate(event: EventMessage) -> Option<ContainerEvent> {
    let action = match event.action.as_deref()? {
        "create" => ContainerAction::Created,
        "start" => ContainerAction::Started,
        "die" => ContainerAction::Ended,
        "destroy" => ContainerAction::Removed,
        "rename" => ContainerAction::Renamed,
        health if health.starts_with("health_status") => ContainerAction::HealthChanged,
        _ => return None,
    };
    let actor = event.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    if attributes.contains_key(HELPER_LABEL) {
        return None;
    }
    Some(ContainerEvent {
        id: ContainerId::parse(actor.id?).ok()?,
        name: attributes.get("name").and_then(|name| ContainerName::parse(name.trim_start_matches('/')).ok()),
        action,
        at: Timestamp::from_nanosecond(event.time_nano?.into()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, labels: &str) -> Option<ContainerEvent> {
        let json = format!(
            r#"{{"Type": "container", "Action": "{action}", "scope": "local", "time": 1700000000,
            "timeNano": 1700000000123456789, "Actor": {{"ID": "4fa6e0", "Attributes": {{"name": "db" {labels}}}}}}}"#
        );
        translate(serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn events_are_translated() {
        let died = event("die", "").unwrap();
        assert_eq!(died.action, ContainerAction::Ended);
        assert_eq!(died.name.unwrap().as_str(), "db");
        assert_eq!(died.at.as_nanosecond(), 1_700_000_000_123_456_789);
        assert_eq!(event("health_status: healthy", "").unwrap().action, ContainerAction::HealthChanged);
        assert_eq!(event("exec_create: sh", ""), None);
    }

    #[test]
    fn helpers_are_left_out() {
        assert_eq!(event("start", r#", "dory.helper": "true""#), None);
    }
}
