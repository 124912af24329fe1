//! `dory backup`

use dory_core::domain::backup::Backup;
use dory_core::domain::id::BackupId;
use dory_core::domain::plan::BackupPlan;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::services::{BackupReport, BackupRequest, Dory, Guarding, History, Marked};
use dory_core::{Error, ErrorKind, ErrorRecord, Result};
use serde::Serialize;

use crate::args::BackupArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::progress::RunProgress;
use crate::render::{backups, plans};
use crate::settings;
use crate::ui::Ui;

/// One container's outcome, as JSON.
#[derive(Serialize)]
struct Done {
    container: String,
    #[serde(flatten)]
    report: Option<BackupReport>,
    error: Option<ErrorRecord>,
}

/// What is to be done, and what of it cannot be.
struct Task {
    planned: Vec<(BackupRequest, BackupPlan)>,
    refused: Vec<(String, Error)>,
}

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &BackupArgs) -> Result<Exit> {
    let task = task(dory, args).await?;
    let (mut exit, mut all) = (Exit::Success, Vec::new());
    for (container, error) in &task.refused {
        // A container that is gone takes nothing from the others: what was asked for is done in part.
        let told = ui.fail(error);
        exit = exit.worse(if error.kind() == ErrorKind::NotFound { Exit::Incomplete } else { told });
        all.push(Done { container: container.clone(), report: None, error: Some(error.to_record()) });
    }
    if args.dry_run {
        let plans: Vec<_> = task.planned.iter().map(|(_, plan)| plan).collect();
        ui.result(&plans, |all| all.iter().map(|plan| plans::backup_plan(plan)).collect::<Vec<_>>().join("\n"))?;
        return Ok(exit);
    }
    let cancel = interrupt::on_signals(ui);
    for (request, _) in &task.planned {
        let result = {
            let (_shown, events) = RunProgress::start(ui, &request.container);
            dory.run_backup(request, &cancel, &events).await
        };
        let (report, error) = match result {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        if let Some(report) = &report {
            if !ui.is_json() {
                crate::ui::print(&plans::backup_report(report))?;
            }
            if !report.is_complete() {
                exit = exit.worse(Exit::Incomplete);
            }
            if let Some(reason) = &report.guardian_lost {
                ui.warn(&format!("nobody guarded the run to its end, so its data counts as read live: {reason}"));
            }
            if report.point.is_suspect() {
                exit = exit.worse(Exit::Suspect);
                ui.warn(&backups::alarm(&report.point, report.backup.as_str()));
            }
            if let Some(failed) = &report.hook_failed {
                exit = exit.worse(ui.fail(failed));
            }
        }
        let failure = error.as_ref().or(report.as_ref().and_then(|report| report.containers_down.as_ref()));
        if let Some(failure) = failure {
            exit = exit.worse(ui.fail(failure));
        }
        let hook_failed = report.as_ref().and_then(|report| report.hook_failed.as_ref());
        let cancelled = error.as_ref().is_some_and(|error| error.kind() == ErrorKind::Cancelled);
        all.push(Done {
            container: request.container.clone(),
            error: failure.or(hook_failed).map(Error::to_record),
            report,
        });
        if cancelled {
            break;
        }
    }
    if ui.is_json() {
        ui.result(&all, |_| String::new())?;
    }
    Ok(exit)
}

/// Plans everything before the first container is touched. What was named must all be possible; of what is marked, that
/// which is not keeps no other from its backup.
async fn task(dory: &Dory, args: &BackupArgs) -> Result<Task> {
    let mut task = Task { planned: Vec::new(), refused: Vec::new() };
    let containers = if args.all {
        dory.check_key().await?;
        let Marked { containers, gone, unclear } = dory.marked().await?;
        if containers.is_empty() && gone.is_empty() && unclear.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "back up all marked containers", "", "no container is marked")
                .with_hint("run `dory mark <container>`, or give containers the label `dory.backup=true`"));
        }
        let gone = gone.iter().map(|backup| (backup.identity.container.to_string(), is_gone(backup)));
        let unclear = unclear.into_iter().map(|(container, error)| (container.to_string(), error));
        task.refused = gone.chain(unclear).collect();
        containers.iter().map(ToString::to_string).collect()
    } else {
        args.containers.clone()
    };
    if containers.is_empty() && !args.all {
        return Err(Error::invalid("backup", "", "no container is named")
            .with_hint("name containers, or add `--all` for those that are marked; `dory containers` lists them"));
    }
    for request in requests(args, containers)? {
        match dory.plan_backup(&request).await {
            // One container under two names is backed up once.
            Ok(plan) if task.planned.iter().any(|(_, known)| known.container == plan.container) => {}
            Ok(plan) => task.planned.push((request, plan)),
            Err(error) if args.all => task.refused.push((request.container.clone(), named(&error, &request.container))),
            Err(error) => return Err(error),
        }
    }
    Ok(task)
}

fn is_gone(backup: &Backup) -> Error {
    let name = backup.identity.container.as_str();
    let reason =
        format!("it is marked, and is not on this host any more; its data of before is in backup `{}`", backup.id);
    Error::new(ErrorKind::NotFound, "back up container", name, reason)
        .with_hint(format!("make it anew, or run `dory unmark {}` if it is gone for good", backup.id))
}

/// An error that names the container it is about, among the errors of others.
fn named(error: &Error, container: &str) -> Error {
    let mut record = error.to_record();
    if !error.to_string().contains(container) {
        record.reason = error.to_string();
        record.operation = "back up container".to_owned();
        record.subject = container.to_owned();
    }
    record.into()
}

fn requests(args: &BackupArgs, containers: Vec<String>) -> Result<Vec<BackupRequest>> {
    let history = match (&args.continue_backup, args.new) {
        (Some(id), _) => History::Continue(BackupId::parse(id)?),
        (None, true) => History::New,
        (None, false) => History::Ask,
    };
    let policy = PolicyOverrides {
        stop: args.stop.map(Into::into),
        engine: args.engine.map(Into::into),
        engine_options: settings::pairs("--engine-option", &args.engine_options)?,
        exclude: (!args.exclude.is_empty()).then(|| args.exclude.clone()),
        healthy_timeout: args.limits.healthy_timeout,
        suspect_below: args.limits.suspect_below,
        ..PolicyOverrides::default()
    };
    let request = |container: String| BackupRequest {
        container,
        policy: policy.clone(),
        point_name: args.name.clone(),
        point_description: args.description.clone(),
        history: history.clone(),
        guarding: Guarding::from(&args.guarding),
        no_hooks: args.no_hooks,
        no_dump: args.no_dump,
        ..BackupRequest::default()
    };
    Ok(containers.into_iter().map(request).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_among_others_names_its_container() {
        let error = Error::invalid("engine option", "volsize", "the engine takes no options").with_hint("leave it out");
        let told = named(&error, "db");
        assert_eq!(
            told.to_string(),
            "cannot back up container `db`: cannot use engine option `volsize`: the engine takes no options"
        );
        assert_eq!((told.kind(), told.hint()), (ErrorKind::InvalidInput, Some("leave it out")));
        let about_it = Error::invalid("label dory.stop of container db", "freeze", "no such mode");
        assert_eq!(named(&about_it, "db").to_string(), about_it.to_string());
    }
}
