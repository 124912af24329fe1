//! `dory containers`

use dory_core::Result;
use dory_core::services::{ContainerOverview, Dory};

use crate::args::ContainersArgs;
use crate::exit::Exit;
use crate::render::table::table;
use crate::render::units;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &ContainersArgs) -> Result<Exit> {
    let mut all = dory.containers().await?;
    if args.uncovered {
        all.retain(|overview| !overview.mounts.is_empty() && !overview.is_covered());
    }
    let now = dory.now();
    ui.result(&all, |all| {
        if all.is_empty() {
            return if args.uncovered {
                "every container with data has a backup\n"
            } else {
                "this host has no containers\n"
            }
            .to_owned();
        }
        let rows: Vec<_> = all.iter().map(|overview| row(overview, now)).collect();
        table(["CONTAINER", "STATE", "DATA", "MARKED", "BACKUP", "LATEST"], &rows)
    })?;
    for overview in &all {
        if let Some(problem) = &overview.problem {
            ui.warn(&format!("{}: {problem}", overview.container.name));
        }
    }
    Ok(Exit::Success)
}

fn row(overview: &ContainerOverview, now: jiff::Timestamp) -> [String; 6] {
    let data: Vec<_> = overview.mounts.iter().map(|mount| mount.destination.display().to_string()).collect();
    [
        overview.container.name.to_string(),
        overview.container.state.as_str().to_owned(),
        if data.is_empty() { "-".to_owned() } else { data.join(" ") },
        if overview.marked { "yes" } else { "no" }.to_owned(),
        overview.backup.as_ref().map_or_else(|| "-".to_owned(), |backup| backup.name.clone()),
        overview.latest_point().map_or_else(|| "never".to_owned(), |point| units::ago(point.taken_at, now)),
    ]
}
