//! `dory restore --dump`

use dory_core::Result;
use dory_core::services::{Dory, DumpChoice};

use super::point;
use crate::args::RestoreArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::dumps;
use crate::render::progress::RunProgress;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &RestoreArgs, name: Option<&str>) -> Result<Exit> {
    let choice = DumpChoice {
        backup: args.backup.clone(),
        point: point::choice(&args.point.at, dory.now())?,
        name: name.map(str::parse).transpose()?,
        into: args.into.clone(),
        safety: !args.no_safety,
    };
    let plan = dory.plan_load_dump(&choice).await?;
    if args.dry_run {
        ui.result(&plan, dumps::load_plan)?;
        return Ok(Exit::Success);
    }
    ui.say(dumps::load_plan(&plan).trim_end());
    if !args.yes {
        ui.confirm("This replaces what the dump holds in the running container.", "yes", "nothing was touched")?;
    }
    let cancel = interrupt::on_signals(ui);
    let outcome = {
        let (_shown, events) = RunProgress::start(ui, &args.backup);
        dory.run_load_dump(&choice, &cancel, &events).await?
    };
    ui.result(&outcome, dumps::load_outcome)?;
    Ok(Exit::Success)
}
