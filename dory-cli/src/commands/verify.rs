//! `dory verify`

use dory_core::Result;
use dory_core::services::{Dory, VerifyChoice, VerifyOutcome, VerifyPlan};

use super::point;
use crate::args::VerifyArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::progress::RunProgress;
use crate::render::units;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &VerifyArgs) -> Result<Exit> {
    let point = args.at.as_ref().map(|at| point::choice(at, dory.now())).transpose()?;
    let choice = VerifyChoice { backup: args.backup.clone(), point, read_data: args.read_data };
    let plan = dory.plan_verify(&choice).await?;
    if args.dry_run {
        ui.result(&plan, planned)?;
        return Ok(Exit::Success);
    }
    ui.say(planned(&plan).trim_end());
    let cancel = interrupt::on_signals(ui);
    let outcome = {
        let (_shown, events) = RunProgress::start(ui, &args.backup);
        dory.run_verify(&choice, &cancel, &events).await?
    };
    ui.result(&outcome, found)?;
    Ok(outcome.error().map_or(Exit::Success, |error| ui.fail(&error)))
}

fn planned(plan: &VerifyPlan) -> String {
    let points = units::count(plan.points.len(), "point");
    let how = match plan.read_data {
        true => format!("every stored byte is read, about {}", units::bytes(plan.stored_bytes)),
        false => "names and sizes of what is stored are looked at; `--read-data` reads all of it".to_owned(),
    };
    format!("{}: {points}; {how}\n", plan.backup)
}

fn found(outcome: &VerifyOutcome) -> String {
    let (points, took) = (units::count(outcome.plan.points.len(), "point"), units::duration(outcome.elapsed));
    if outcome.faults.is_empty() {
        return format!("{}: {points} checked in {took}, all is well\n", outcome.plan.backup);
    }
    outcome.faults.iter().map(|fault| format!("{fault}\n")).collect()
}
