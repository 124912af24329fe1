//! `/api/v1/containers` and `/api/v1/servers`

use dory_core::Error;
use dory_core::domain::id::ServerName;

use super::shapes::{Begun, ContainerView, MarkRequest, RunRequest, ServerView};
use super::{begin, json, parse, window};
use crate::actions;
use crate::ask::Ask;
use crate::error::{Problem, Reply};

/// The containers of this server.
#[utoipa::path(get, path = "/api/v1/containers", tag = "fleet", security(("token" = [])),
    params(("offset" = Option<usize>, Query), ("limit" = Option<usize>, Query, description = "1 to 500")),
    responses((status = 200, body = [ContainerView]), (status = "default", body = Problem)))]
pub(crate) async fn containers(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let all = look.containers.as_ref().map_err(|error| Error::from(error.to_record()))?;
    json(&window(&ask, all)?.iter().map(ContainerView::from).collect::<Vec<_>>())
}

/// Backs a container up now; one that has no backup yet gets one.
#[utoipa::path(post, path = "/api/v1/containers/{container}/run", tag = "fleet", security(("token" = [])),
    params(("container" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = RunRequest,
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn run(ask: Ask) -> Reply {
    let request: RunRequest = parse(&ask)?;
    let server = server(&ask, request.server)?;
    let (name, description) = (request.name.as_deref(), request.description.as_deref());
    begin(&ask, async { actions::back_up(&ask, &server, ask.param("container"), name, description).await.map(Some) })
        .await
}

/// Chooses a container for `backup --all` and schedules, or takes it out. 202 where another server is asked.
#[utoipa::path(post, path = "/api/v1/containers/{container}/mark", tag = "fleet", security(("token" = [])),
    params(("container" = String, Path)), request_body = MarkRequest,
    responses((status = 204), (status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn mark(ask: Ask) -> Reply {
    let request: MarkRequest = parse(&ask)?;
    let server = server(&ask, request.server)?;
    begin(&ask, async { actions::mark(&ask, &server, ask.param("container"), request.marked).await }).await
}

/// The servers of the fleet.
#[utoipa::path(get, path = "/api/v1/servers", tag = "fleet", security(("token" = [])),
    responses((status = 200, body = [ServerView]), (status = "default", body = Problem)))]
pub(crate) async fn servers(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let now = ask.dory().now();
    json(&look.servers.iter().map(|server| ServerView::of(server, now)).collect::<Vec<_>>())
}

fn server(ask: &Ask, named: Option<String>) -> dory_core::Result<ServerName> {
    named.map_or_else(|| Ok(ask.dory().server().clone()), ServerName::parse)
}
