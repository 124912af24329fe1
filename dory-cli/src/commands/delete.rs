//! `dory delete`

use dory_core::Result;
use dory_core::services::Dory;

use super::point;
use crate::args::DeleteArgs;
use crate::exit::Exit;
use crate::render::plans;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &DeleteArgs) -> Result<Exit> {
    let choice = args.at.as_ref().map(|at| point::choice(at, dory.now())).transpose()?;
    let plan = dory.plan_delete(&args.backup, choice.as_ref()).await?;
    if args.dry_run {
        ui.result(&plan, plans::delete_plan)?;
        return Ok(Exit::Success);
    }
    ui.say(plans::delete_plan(&plan).trim_end());
    if !args.yes {
        // A whole backup goes only to who writes its name.
        let expected = if plan.whole { dory.find_backup(&args.backup).await?.name.clone() } else { "yes".to_owned() };
        let warning = plan.frozen.as_ref().map(|frozen| format!("{} ", plans::frozen(frozen))).unwrap_or_default();
        ui.confirm(&format!("{warning}This cannot be undone."), &expected, "nothing was deleted")?;
    }
    let report = dory.run_delete(&plan).await?;
    ui.result(&report, plans::delete_report)?;
    Ok(Exit::Success)
}
