//! `/api/v1/runs`

use dory_core::ErrorKind;

use super::shapes::RunView;
use super::{json, window};
use crate::actions;
use crate::ask::Ask;
use crate::error::{Problem, Reply};

/// What was begun through this server, and the commands that were sent to others; the newest first.
#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", security(("token" = [])),
    params(("offset" = Option<usize>, Query), ("limit" = Option<usize>, Query, description = "1 to 500")),
    responses((status = 200, body = [RunView]), (status = "default", body = Problem)))]
pub(crate) async fn list(ask: Ask) -> Reply {
    let server = ask.dory().server().to_string();
    let mut runs: Vec<RunView> = ask.app.jobs.all().iter().map(|job| RunView::of_job(job, &server)).collect();
    match ask.dory().commands().await {
        Ok(commands) => runs.extend(commands.iter().map(RunView::of_command)),
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        Err(error) => return Err(error.into()),
    }
    runs.sort_by(|a, b| b.id.cmp(&a.id));
    json(&window(&ask, &runs)?)
}

/// How far a run is, or how it went.
#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs", security(("token" = [])), params(("run" = String, Path)),
    responses((status = 200, body = RunView), (status = "default", body = Problem)))]
pub(crate) async fn show(ask: Ask) -> Reply {
    let id = ask.run_id()?;
    match ask.app.jobs.find(id) {
        Some(job) => json(&RunView::of_job(&job, ask.dory().server().as_str())),
        None => json(&RunView::of_command(&ask.dory().command(id).await?)),
    }
}

/// Ends a run in order, containers first; or takes back what its server has not begun.
#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs", security(("token" = [])), params(("run" = String, Path)),
    responses((status = 200, body = RunView), (status = "default", body = Problem)))]
pub(crate) async fn cancel(ask: Ask) -> Reply {
    actions::cancel(&ask, ask.run_id()?).await?;
    show(ask).await
}
