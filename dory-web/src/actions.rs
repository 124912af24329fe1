//! What people and programs can have done: here, as a job of this process, or by a command to another server.

use dory_core::Result;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::command::Order;
use dory_core::domain::id::{BackupId, CommandId, PointId, ServerName};
use dory_core::services::{BackupRequest, PrunePlan, RestoreChoice};

use crate::ask::Ask;
use crate::jobs::Done;
use crate::text;

/// Backs a container up, now.
///
/// # Errors
/// What the plan says, here; as for sending commands, elsewhere.
pub(crate) async fn back_up(
    ask: &Ask,
    server: &ServerName,
    container: &str,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<CommandId> {
    let (name, description) = (name.map(str::to_owned), description.map(str::to_owned));
    if server != ask.dory().server() {
        let order = Order::Backup { container: container.to_owned(), name, description };
        return send(ask, server, order).await;
    }
    let request = BackupRequest {
        container: container.to_owned(),
        point_name: name,
        point_description: description,
        guarding: ask.app.options.guarding,
        ..BackupRequest::default()
    };
    // What can be refused is refused while somebody looks.
    let plan = ask.dory().plan_backup(&request).await?;
    let dory = ask.dory().clone();
    ask.app.jobs.start(format!("back up {container}"), ask.who.name(), Some(plan.backup), |cancel, events| async move {
        let report = dory.run_backup(&request, &cancel, &events).await?;
        let but = report.containers_down.as_ref().or(report.hook_failed.as_ref()).map(dory_core::Error::to_record);
        let size = text::bytes(report.point.size.bytes);
        Ok(Done {
            words: format!("made restore point {} with {size}", report.point.id),
            backup: Some(report.backup),
            point: Some(report.point.id),
            undo: None,
            but,
        })
    })
}

/// Restores a point.
///
/// # Errors
/// As for [`back_up`].
pub(crate) async fn restore(ask: &Ask, server: &ServerName, choice: RestoreChoice) -> Result<CommandId> {
    let dory = ask.dory().clone();
    if server != dory.server() {
        let backup = dory.find_backup(&choice.backup).await?;
        let order = Order::Restore {
            backup: backup.id.clone(),
            point: backup.find_whole_point(&choice.point)?.id,
            into: choice.into,
            maps: choice.maps.iter().map(ToString::to_string).collect(),
            safety: choice.safety,
        };
        return send(ask, server, order).await;
    }
    let plan = dory.plan_restore(&choice).await?;
    let place = plan.target.as_ref().map(|target| format!(" into {target}")).unwrap_or_default();
    let what = format!("restore {}{place}", plan.backup);
    ask.app.jobs.start(what, ask.who.name(), Some(plan.home), |cancel, events| async move {
        let outcome = dory.run_restore(&choice, &cancel, &events).await?;
        Ok(Done {
            words: format!("restored point {}", outcome.plan.point),
            backup: Some(outcome.plan.backup.clone()),
            point: Some(outcome.plan.point),
            undo: outcome.safety_point.map(|point| outcome.plan.undo(point)),
            but: outcome.containers_down.as_ref().map(dory_core::Error::to_record),
        })
    })
}

/// Deletes what the rules of a backup do not keep.
///
/// # Errors
/// As for [`back_up`].
pub(crate) async fn prune(ask: &Ask, server: &ServerName, backup: &BackupId) -> Result<CommandId> {
    if server != ask.dory().server() {
        return send(ask, server, Order::Prune { backup: backup.clone() }).await;
    }
    let dory = ask.dory().clone();
    let plans = dory.plan_prune(Some(backup.as_str()), None).await?;
    ask.app.jobs.start(format!("prune {backup}"), ask.who.name(), Some(backup.clone()), |_, _| async move {
        for plan in &plans {
            dory.run_prune(plan).await?;
        }
        let gone: usize = plans.iter().map(PrunePlan::going).sum();
        Ok(Done { words: format!("deleted {}", text::count(gone, "restore point")), ..Done::default() })
    })
}

/// Deletes a point, with what cannot stay without it.
///
/// # Errors
/// As for [`back_up`].
pub(crate) async fn delete_point(
    ask: &Ask,
    server: &ServerName,
    backup: &BackupId,
    point: PointId,
) -> Result<CommandId> {
    if server != ask.dory().server() {
        return send(ask, server, Order::DeletePoint { backup: backup.clone(), point }).await;
    }
    let choice = PointChoice::Named(point.to_string());
    delete(ask, backup, Some(&choice), format!("delete point {point} of {backup}")).await
}

/// Deletes a backup of this server, with all its data.
///
/// # Errors
/// As for [`back_up`]; `Conflict` for another server's.
pub(crate) async fn delete_backup(ask: &Ask, backup: &BackupId) -> Result<CommandId> {
    delete(ask, backup, None, format!("delete {backup}")).await
}

async fn delete(ask: &Ask, backup: &BackupId, point: Option<&PointChoice>, what: String) -> Result<CommandId> {
    let dory = ask.dory().clone();
    let plan = dory.plan_delete(backup.as_str(), point).await?;
    ask.app.jobs.start(what, ask.who.name(), Some(backup.clone()), |_, _| async move {
        let report = dory.run_delete(&plan).await?;
        let points = text::count(report.plan.points.len(), "restore point");
        let freed = report.freed_bytes.map(|bytes| format!(", {} are free again", text::bytes(bytes)));
        Ok(Done { words: format!("deleted {points}{}", freed.unwrap_or_default()), ..Done::default() })
    })
}

/// Chooses a container for `backup --all` and schedules, or takes it out.
///
/// # Errors
/// As for [`back_up`].
pub(crate) async fn mark(ask: &Ask, server: &ServerName, container: &str, marked: bool) -> Result<Option<CommandId>> {
    if server != ask.dory().server() {
        let order = Order::Mark { container: container.to_owned(), marked };
        return send(ask, server, order).await.map(Some);
    }
    ask.dory().mark(container, marked).await.map(|_| None)
}

/// Ends something in order, or takes back what nobody began.
///
/// # Errors
/// `NotFound`; `Conflict` for what is over.
pub(crate) async fn cancel(ask: &Ask, id: CommandId) -> Result<CommandId> {
    use dory_core::domain::command::CommandState;
    if let Some(job) = ask.app.jobs.find(id) {
        job.cancel.cancel();
        return Ok(id);
    }
    let status = ask.dory().command(id).await?;
    match status.state {
        CommandState::Waiting => ask.dory().withdraw_command(id, &ask.who.name()).await.map(|command| command.id),
        CommandState::Running { .. } => {
            send(ask, &status.command.server, Order::Cancel { command: id }).await.map(|_| id)
        }
        _ => Err(dory_core::Error::new(dory_core::ErrorKind::Conflict, "cancel", id.to_string(), "it is over")),
    }
}

async fn send(ask: &Ask, server: &ServerName, order: Order) -> Result<CommandId> {
    Ok(ask.dory().send_command(server, order, &ask.who.name()).await?.id)
}
