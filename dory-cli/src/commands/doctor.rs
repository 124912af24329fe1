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
    let failures = checks.iter().filter_map(|check| check.error.as_ref());
    Ok(failures.fold(Exit::Success, |exit, error| exit.worse(Exit::of(error.kind))))
}

/// What was found, and right below it the way out.
fn line(check: &Check) -> String {
    let mark = match (&check.error, check.skipped) {
        (Some(_), _) => "FAILED",
        (None, true) => "-",
        (None, false) => "ok",
    };
    let mut text = format!("{mark:<7} {}: {}\n", check.subject, check.finding);
    if let Some(error) = &check.error {
        let causes = error.causes.iter().map(|cause| format!("caused by: {cause}"));
        let remedy = error.hint.iter().map(|hint| format!("hint: {hint}"));
        causes.chain(remedy).for_each(|line| text.push_str(&format!("        {line}\n")));
    }
    text
}
