//! Runs, over and under way.

use dory_core::domain::run::{LiveRun, Run};
use dory_core::services::RunList;
use jiff::Timestamp;

use super::table::table;
use super::units;

/// Runs, a line each, what is under way first.
pub(crate) fn list(list: &RunList, now: Timestamp) -> String {
    if list.live.is_empty() && list.runs.is_empty() {
        return "no such runs\n".to_owned();
    }
    let live = |run: &LiveRun| {
        [
            run.id.to_string(),
            run.server.to_string(),
            run.kind.as_str().to_owned(),
            run.what.clone(),
            units::ago(run.started_at, now),
            units::duration(run.at.duration_since(run.started_at)),
            "UNDER WAY".to_owned(),
            run.progress.clone(),
        ]
    };
    let over = |run: &Run| {
        [
            run.id.to_string(),
            run.server.to_string(),
            run.kind.as_str().to_owned(),
            run.backup.to_string(),
            units::ago(run.started_at, now),
            units::duration(run.elapsed),
            run.outcome.as_str().to_owned(),
            run.error.as_ref().map(|error| error.reason.clone()).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = list.live.iter().map(live).chain(list.runs.iter().map(over)).collect();
    table(["RUN", "SERVER", "KIND", "BACKUP", "BEGAN", "TOOK", "OUTCOME", "REMARK"], &rows)
}

/// How a run went, in a line.
pub(crate) fn outcome(run: &Run) -> String {
    let (kind, took) = (run.kind.as_str(), units::duration(run.elapsed));
    let words = format!("{kind} of {} {} after {took}", run.backup, run.outcome.as_str());
    match &run.error {
        Some(error) => format!("{words}: {}", error.reason),
        None => words,
    }
}
