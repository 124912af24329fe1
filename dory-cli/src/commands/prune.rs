//! `dory prune`

use dory_core::services::{Dory, PrunePlan};
use dory_core::{Error, Result};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::exit::Exit;
use crate::render::prune;
use crate::ui::Ui;

/// How pruning one backup went, as JSON.
#[derive(Serialize)]
struct Pruned {
    backup: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Report(dory_core::services::DeleteReport),
    Error(dory_core::ErrorRecord),
}

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &PruneArgs) -> Result<Exit> {
    let plans = dory.plan_prune(args.backup.as_deref(), args.keep.as_ref()).await?;
    if args.dry_run {
        ui.result(&plans, |plans| prune::plans(plans))?;
        return Ok(Exit::Success);
    }
    ui.say(prune::plans(&plans).trim_end());
    let going: usize = plans.iter().map(PrunePlan::going).sum();
    if going > 0 && !args.yes {
        ui.confirm("What goes is gone for good.", "yes", "nothing was deleted")?;
    }
    let (mut all, mut exit) = (Vec::new(), Exit::Success);
    for plan in plans.iter().filter(|plan| plan.going() > 0 || !plan.rules.is_empty()) {
        let outcome = match dory.run_prune(plan).await {
            Ok(report) => Outcome::Report(report),
            Err(error) => {
                // One backup that cannot be pruned keeps no other from it.
                exit = exit.worse(ui.fail(&in_backup(&error, &plan.name)));
                Outcome::Error(error.to_record())
            }
        };
        all.push(Pruned { backup: plan.backup().to_string(), outcome });
    }
    ui.result(&all, |all| {
        let reports = all.iter().filter_map(|one| match &one.outcome {
            Outcome::Report(report) => Some((one.backup.as_str(), report)),
            Outcome::Error(_) => None,
        });
        prune::reports(reports)
    })?;
    Ok(exit)
}

fn in_backup(error: &Error, name: &str) -> Error {
    let outer = Error::new(error.kind(), "prune backup", name, error.to_string());
    match error.hint() {
        Some(hint) => outer.with_hint(hint),
        None => outer,
    }
}
