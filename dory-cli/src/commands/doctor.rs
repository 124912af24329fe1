//! `dory doctor`

use dory_core::Result;
use dory_core::bootstrap::{self, Check};

use crate::args::GlobalArgs;
use crate::exit::Exit;
use crate::settings;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, global: &GlobalArgs) -> Result<Exit> {
    let checks = bootstrap::check(settings::load(global)?).await;
    ui.result(&checks, |checks| checks.iter().map(line).collect())?;
    let mut exit = Exit::Success;
    for error in checks.iter().filter_map(|check| check.error.as_ref()) {
        exit = exit.worse(ui.fail(&error.clone().into()));
    }
    Ok(exit)
}

fn line(check: &Check) -> String {
    let mark = if check.error.is_some() { "FAILED" } else { "ok" };
    format!("{mark:<7} {}: {}\n", check.subject, check.finding)
}
