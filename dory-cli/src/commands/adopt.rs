//! `dory adopt`

use dory_core::Result;
use dory_core::services::{AdoptionPlan, Dory};

use crate::args::AdoptArgs;
use crate::exit::Exit;
use crate::render::{backups, units};
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &AdoptArgs) -> Result<Exit> {
    let plan = dory.plan_adopt(&args.backup, &args.container).await?;
    if args.dry_run {
        ui.result(&plan, words)?;
        return Ok(Exit::Success);
    }
    ui.say(words(&plan).trim_end());
    if !args.yes {
        let question = format!("From now on {} is the container of this history.", plan.container);
        ui.confirm(&question, "yes", "nothing was changed")?;
    }
    let backup = dory.run_adopt(&plan).await?;
    ui.result(&backup, |backup| backups::backup(backup, dory.now()))?;
    Ok(Exit::Success)
}

fn words(plan: &AdoptionPlan) -> String {
    let points = units::count(plan.points, "point");
    let latest = plan.latest.map(|at| format!(", the newest of {}", units::moment(at))).unwrap_or_default();
    let mut text =
        format!("{} ({points}{latest}) was made from {}, and goes on with {}\n", plan.backup, plan.was, plan.container);
    if let Some(server) = &plan.from_server {
        text.push_str(&format!("it is {server}'s until now: make sure that its container is gone there\n"));
    }
    if let Some(empty) = &plan.replaces {
        text.push_str(&format!("the record {empty}, which holds no data, goes\n"));
    }
    text
}
