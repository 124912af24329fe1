//! What pruning takes away, and why the rest stays.

use dory_core::services::{DeleteReport, PointVerdict, PrunePlan};

use super::table::table;
use super::units;

/// Every point of each backup, with its fate.
pub(crate) fn plans(plans: &[PrunePlan]) -> String {
    if plans.is_empty() {
        return "this server has no backups\n".to_owned();
    }
    plans.iter().map(plan).collect::<Vec<_>>().join("\n")
}

fn plan(plan: &PrunePlan) -> String {
    let rules = if plan.rules.is_empty() { "no rules: everything stays".to_owned() } else { plan.rules.to_string() };
    let mut text = format!("backup {} ({}), {rules}\n", plan.name, plan.backup());
    if plan.points.is_empty() {
        return text + "no restore points\n";
    }
    let row = |point: &PointVerdict| {
        let reasons: Vec<_> = point.reasons.iter().map(ToString::to_string).collect();
        [
            units::moment(point.taken_at),
            if point.reasons.is_empty() { "goes" } else { "stays" }.to_owned(),
            units::bytes(point.stored_bytes),
            point.id.to_string(),
            point
                .name
                .iter()
                .cloned()
                .chain([reasons.join(", ")])
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
        ]
    };
    let rows: Vec<_> = plan.points.iter().map(row).collect();
    text.push_str(&table(["TAKEN", "FATE", "ADDED", "POINT", "WHY"], &rows));
    let goes = plan.going();
    text.push_str(&format!(
        "{} of {} {}\n",
        goes,
        units::count(plan.points.len(), "point"),
        if goes == 1 { "goes" } else { "go" }
    ));
    text
}

/// What pruning did.
pub(crate) fn reports<'a>(reports: impl Iterator<Item = (&'a str, &'a DeleteReport)>) -> String {
    let line = |(backup, report): (&str, &DeleteReport)| {
        let freed = units::bytes(report.freed_bytes.unwrap_or_default());
        let later = match report.later_bytes {
            0 => String::new(),
            bytes => format!(", {} more by a later prune", units::bytes(bytes)),
        };
        format!("{backup}: {} deleted, {freed} freed{later}\n", units::count(report.plan.points.len(), "point"))
    };
    reports.map(line).collect()
}
