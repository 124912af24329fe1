//! `dory backup`

use dory_core::domain::id::BackupId;
use dory_core::domain::plan::BackupPlan;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::services::{BackupReport, BackupRequest, Dory, History};
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

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &BackupArgs) -> Result<Exit> {
    let requests = requests(dory, args).await?;
    if args.dry_run {
        return dry_run(ui, dory, &requests).await;
    }
    // What can be refused is refused for all before the first container is touched.
    for request in &requests {
        dory.plan_backup(request).await?;
    }
    let cancel = interrupt::on_signals(ui);
    let mut exit = Exit::Success;
    let mut all = Vec::new();
    for request in &requests {
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
            if report.point.lost_data() {
                exit = exit.worse(Exit::Incomplete);
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

async fn requests(dory: &Dory, args: &BackupArgs) -> Result<Vec<BackupRequest>> {
    let containers = if args.all {
        let marked = dory.containers().await?.into_iter().filter(|overview| overview.marked);
        let names: Vec<_> = marked.map(|overview| overview.container.name.to_string()).collect();
        if names.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "back up all marked containers", "", "no container is marked")
                .with_hint("run `dory mark <container>`, or give containers the label `dory.backup=true`"));
        }
        names
    } else {
        args.containers.clone()
    };
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
        no_hooks: args.no_hooks,
        ..BackupRequest::default()
    };
    Ok(containers.into_iter().map(request).collect())
}

async fn dry_run(ui: &Ui, dory: &Dory, requests: &[BackupRequest]) -> Result<Exit> {
    let mut all: Vec<BackupPlan> = Vec::new();
    for request in requests {
        all.push(dory.plan_backup(request).await?);
    }
    ui.result(&all, |all| all.iter().map(plans::backup_plan).collect::<Vec<_>>().join("\n"))?;
    Ok(Exit::Success)
}
