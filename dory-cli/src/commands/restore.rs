//! `dory restore`

use dory_core::Result;
use dory_core::services::{Dory, Guarding, RestoreChoice};

use super::{load_dump, point};
use crate::args::RestoreArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::plans;
use crate::render::progress::RunProgress;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &RestoreArgs) -> Result<Exit> {
    if let Some(name) = &args.dump {
        return load_dump::run(ui, dory, args, name.as_deref()).await;
    }
    let choice = RestoreChoice {
        backup: args.backup.clone(),
        point: point::choice(&args.point.at, dory.now())?,
        into: args.into.clone(),
        maps: args.maps.iter().map(|map| map.parse()).collect::<Result<_>>()?,
        safety: !args.no_safety,
        delete_extra_from_binds: args.delete_extra,
        guarding: Guarding::from(&args.guarding),
    };
    let plan = dory.plan_restore(&choice).await?;
    if args.dry_run {
        ui.result(&plan, plans::restore_plan)?;
        return Ok(Exit::Success);
    }
    ui.say(plans::restore_plan(&plan).trim_end());
    if !args.yes {
        ui.confirm("This overwrites the data above.", "yes", "nothing was touched")?;
    }
    let cancel = interrupt::on_signals(ui);
    let outcome = {
        let (_shown, events) = RunProgress::start(ui, &args.backup);
        dory.run_restore(&choice, &cancel, &events).await?
    };
    ui.result(&outcome, plans::restore_outcome)?;
    let mut exit = Exit::Success;
    if !outcome.is_complete() {
        exit = Exit::Incomplete;
    }
    if let Some(reason) = &outcome.guardian_lost {
        ui.warn(&format!("nobody guarded the restore to its end: {reason}"));
    }
    if let Some(down) = &outcome.containers_down {
        exit = exit.worse(ui.fail(down));
    }
    Ok(exit)
}
