//! `/api/v1/backups/{backup}/points`

use dory_core::services::{PointEdit, RestoreChoice};

use super::shapes::{Begun, FileView, PointChange, PointView, RestoreRequest};
use super::{begin, json, parse};
use crate::actions;
use crate::ask::Ask;
use crate::error::{Problem, Reply};
use crate::pages;

/// One restore point.
#[utoipa::path(get, path = "/api/v1/backups/{backup}/points/{point}", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path)),
    responses((status = 200, body = PointView), (status = "default", body = Problem)))]
pub(crate) async fn show(ask: Ask) -> Reply {
    let (_, point) = ask.backup_and_point().await?;
    json(&PointView::from(&point))
}

/// Names, describes or protects a restore point.
#[utoipa::path(patch, path = "/api/v1/backups/{backup}/points/{point}", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path)), request_body = PointChange,
    responses((status = 200, body = PointView), (status = "default", body = Problem)))]
pub(crate) async fn edit(ask: Ask) -> Reply {
    let (id, choice) = (ask.backup_id()?, ask.point_choice()?);
    let change: PointChange = parse(&ask)?;
    let edit = PointEdit { name: change.name, description: change.description, protected: change.protected };
    ask.dory().edit_point(id.as_str(), &choice, &edit).await?;
    show(ask).await
}

/// Deletes a restore point, with what cannot stay without it.
#[utoipa::path(delete, path = "/api/v1/backups/{backup}/points/{point}", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn delete(ask: Ask) -> Reply {
    let (backup, point) = ask.backup_and_point().await?;
    begin(&ask, async { actions::delete_point(&ask, &backup.server, &backup.id, point.id).await.map(Some) }).await
}

/// What is in a folder of a restore point.
#[utoipa::path(get, path = "/api/v1/backups/{backup}/points/{point}/files", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path), ("path" = Option<String>, Query, description = "Where the container saw the folder; `/` lists mounts and dumps")),
    responses((status = 200, body = [FileView]), (status = "default", body = Problem)))]
pub(crate) async fn files(ask: Ask) -> Reply {
    let (id, choice, path) = (ask.backup_id()?, ask.point_choice()?, ask.path()?);
    let entries = ask.dory().list_files(id.as_str(), &choice, &path, false).await?;
    json(&entries.iter().map(FileView::from).collect::<Vec<_>>())
}

/// The contents of a file.
#[utoipa::path(get, path = "/api/v1/backups/{backup}/points/{point}/file", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path), ("path" = String, Query)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = "default", body = Problem)))]
pub(crate) async fn file(ask: Ask) -> Reply {
    pages::files::file(ask).await
}

/// A folder with all below it, as tar.
#[utoipa::path(get, path = "/api/v1/backups/{backup}/points/{point}/tar", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path), ("path" = Option<String>, Query)),
    responses((status = 200, content_type = "application/x-tar", body = Vec<u8>), (status = "default", body = Problem)))]
pub(crate) async fn tar(ask: Ask) -> Reply {
    pages::files::tar(ask).await
}

/// Restores a point.
#[utoipa::path(post, path = "/api/v1/backups/{backup}/points/{point}/restore", tag = "points", security(("token" = [])),
    params(("backup" = String, Path), ("point" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = RestoreRequest,
    responses((status = 202, body = Begun), (status = "default", body = Problem)))]
pub(crate) async fn restore(ask: Ask) -> Reply {
    let (backup, _) = ask.backup_and_point().await?;
    let request: RestoreRequest = parse(&ask)?;
    let server = request.server.map_or_else(|| Ok(ask.dory().server().clone()), |server| server.parse())?;
    let choice = RestoreChoice {
        backup: backup.id.to_string(),
        point: ask.point_choice()?,
        into: request.into,
        maps: request.maps.iter().map(|map| map.parse()).collect::<dory_core::Result<_>>()?,
        safety: !request.no_safety,
        delete_extra_from_binds: request.delete_extra,
        guarding: ask.app.options.guarding,
    };
    begin(&ask, async { actions::restore(&ask, &server, choice).await.map(Some) }).await
}
