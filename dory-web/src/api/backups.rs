//! `/api/v1/backups`

use dory_core::Error;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::services::{BackupEdit, PolicyPart};

use super::shapes::{BackupChange, BackupPage, BackupView, Begun, RetentionView, RunRequest, VerdictView};
use super::{begin, json, parse, window};
use crate::actions;
use crate::ask::Ask;
use crate::error::{Problem, Reply};
use crate::pages::backups::chosen;

/// Lists backups: all, or those that a search fits.
#[utoipa::path(get, path = "/api/v1/backups", tag = "backups", security(("token" = [])),
    params(("q" = Option<String>, Query, description = "Words that name, id, container, server or description hold"),
        ("server" = Option<String>, Query, description = "Only this server's"),
        ("show" = Option<String>, Query, description = "`attention`, `orphaned`, `marked` or `scheduled`"),
        ("sort" = Option<String>, Query, description = "`name`, `server`, `size`, `stored`, `points`, `oldest`, `latest`, `first` or `next`"),
        ("order" = Option<String>, Query, description = "`up` or `down`"),
        ("offset" = Option<usize>, Query), ("limit" = Option<usize>, Query, description = "1 to 500")),
    responses((status = 200, body = BackupPage), (status = "default", body = Problem)))]
pub(crate) async fn list(ask: Ask) -> Reply {
    let look = ask.app.look().await?;
    let rows = chosen(&look, &ask.query);
    let backups = window(&ask, &rows)?.iter().map(|row| (*row).into()).collect();
    json(&BackupPage { backups, total: rows.len(), damaged: look.damaged.clone() })
}

/// One backup, with its restore points.
#[utoipa::path(get, path = "/api/v1/backups/{backup}", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path)), responses((status = 200, body = BackupView), (status = "default", body = Problem)))]
pub(crate) async fn show(ask: Ask) -> Reply {
    json(&BackupView::from(&ask.backup().await?))
}

/// Changes a backup.
#[utoipa::path(patch, path = "/api/v1/backups/{backup}", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path)), request_body = BackupChange,
    responses((status = 200, body = BackupView), (status = "default", body = Problem)))]
pub(crate) async fn edit(ask: Ask) -> Reply {
    let id = ask.backup_id()?;
    let change: BackupChange = parse(&ask)?;
    let mut inherit = Vec::new();
    let policy = PolicyOverrides {
        schedule: part("schedule", change.schedule, PolicyPart::Schedule, &mut inherit)?,
        keep: part("keep", change.keep, PolicyPart::Keep, &mut inherit)?,
        stop: part("stop", change.stop, PolicyPart::Stop, &mut inherit)?,
        engine_options: change.engine_options,
        ..PolicyOverrides::default()
    };
    let edit = BackupEdit {
        name: change.name,
        server: change.server.map(|server| server.parse()).transpose()?,
        description: change.description,
        metadata: change.metadata,
        marked: change.marked.map(Some),
        policy,
        inherit,
        ..BackupEdit::default()
    };
    json(&BackupView::from(&ask.dory().edit_backup(id.as_str(), &edit).await?))
}

/// Deletes a backup with all its data. `confirm` repeats its name.
#[utoipa::path(delete, path = "/api/v1/backups/{backup}", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path), ("confirm" = String, Query, description = "The backup's name"), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn delete(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    if ask.query.get("confirm") != Some(backup.name.trim()) {
        return Err(Error::invalid(
            "confirm",
            ask.query.get("confirm").unwrap_or_default(),
            "the backup's name is expected",
        )
        .into());
    }
    begin(&ask, async { actions::delete_backup(&ask, &backup.id).await.map(Some) }).await
}

/// Backs it up now, on whichever server it belongs to.
#[utoipa::path(post, path = "/api/v1/backups/{backup}/run", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = RunRequest,
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn run(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let request: RunRequest = parse(&ask)?;
    let container = backup.identity.container.as_str();
    let (name, description) = (request.name.as_deref(), request.description.as_deref());
    begin(&ask, async { actions::back_up(&ask, &backup.server, container, name, description).await.map(Some) }).await
}

/// What the rules of a backup keep, and why.
#[utoipa::path(get, path = "/api/v1/backups/{backup}/retention", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path), ("keep" = Option<String>, Query, description = "Other rules, to try them out")),
    responses((status = 200, body = RetentionView), (status = "default", body = Problem)))]
pub(crate) async fn retention(ask: Ask) -> Reply {
    let id = ask.backup_id()?;
    let rules = ask.query.get("keep").map(str::parse).transpose()?;
    let plans = ask.dory().plan_prune(Some(id.as_str()), rules.as_ref()).await?;
    let points = plans.iter().flat_map(|plan| &plan.points).map(|verdict| VerdictView {
        id: verdict.id.to_string(),
        taken_at: verdict.taken_at.to_string(),
        stays: !verdict.reasons.is_empty(),
        reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
    });
    let rules = plans.first().map(|plan| plan.rules.to_string()).unwrap_or_default();
    json(&RetentionView { rules, points: points.collect() })
}

/// Deletes what the rules of a backup do not keep.
#[utoipa::path(post, path = "/api/v1/backups/{backup}/prune", tag = "backups", security(("token" = [])),
    params(("backup" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn prune(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    begin(&ask, async { actions::prune(&ask, &backup.server, &backup.id).await.map(Some) }).await
}

fn part<T: std::str::FromStr<Err = Error>>(
    name: &str,
    text: Option<String>,
    part: PolicyPart,
    inherit: &mut Vec<PolicyPart>,
) -> dory_core::Result<Option<T>> {
    match text {
        None => Ok(None),
        Some(text) if text.trim().is_empty() => {
            inherit.push(part);
            Ok(None)
        }
        Some(text) => text.trim().parse().map(Some).map_err(|error: Error| Error::invalid(name, &text, error.reason())),
    }
}
