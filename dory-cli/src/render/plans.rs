//! What a run would do, and what it did.

use dory_core::domain::hook::{Hook, HookMoment, Hooks, OnError};
use dory_core::domain::plan::{BackupPlan, Quiet, QuietReason};
use dory_core::domain::policy::StopMode;
use dory_core::domain::restore_point::{PointMount, RestorePoint};
use dory_core::services::{BackupReport, DeletePlan, DeleteReport, Frozen, RestoreOutcome, RestorePlan};

use super::{backups, dumps, units};

/// What a backup would do.
pub(crate) fn backup_plan(plan: &BackupPlan) -> String {
    let kind = if plan.is_new { "a new backup" } else { "backup" };
    let mut text = format!("{} goes to {kind} {}, engine {}\n", plan.container, plan.backup, plan.policy.engine);
    if !plan.mounts.is_empty() {
        text.push_str("reads\n");
    }
    for mount in &plan.mounts {
        text.push_str(&format!("    {}\n", mount_line(mount)));
    }
    for pattern in &plan.policy.exclude {
        text.push_str(&format!("    but not {pattern}\n"));
    }
    if !plan.left_out.is_empty() {
        text.push_str("leaves out\n");
        for mount in &plan.left_out {
            text.push_str(&format!("    {}: {}\n", mount.destination.display(), mount.reason));
        }
    }
    text.push_str(&hooks(&plan.policy.hooks));
    text.push_str(&plan.policy.hooks.dump.as_ref().map(dumps::planned).unwrap_or_default());
    text.push_str(&quieted(&plan.quiet));
    for name in &plan.left_running {
        text.push_str(&format!("leaves {name} running: files may be from different moments\n"));
    }
    text.push_str(&format!("consistency: {}\n", plan.consistency().as_str()));
    text
}

/// What a restore would do.
pub(crate) fn restore_plan(plan: &RestorePlan) -> String {
    let name = plan.point_name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let mut text =
        format!("restores point {}{name} of {}, taken {}\n", plan.point, plan.backup, units::moment(plan.taken_at));
    if let Some(target) = &plan.target {
        text.push_str(&format!("into container {target}\n"));
    }
    text.push_str("overwrites\n");
    for mount in &plan.mounts {
        let from =
            if mount.from == mount.to.destination { String::new() } else { format!(" with {}", mount.from.display()) };
        let extra = if mount.delete_extra { "" } else { ", keeping files that the point does not hold" };
        text.push_str(&format!("    {}{from}{extra}\n", mount_line(&mount.to)));
    }
    for pattern in &plan.left_alone {
        text.push_str(&format!("leaves alone {pattern}, which the backup left out\n"));
    }
    for path in &plan.not_restored {
        text.push_str(&format!("does not restore {}\n", path.display()));
    }
    text.push_str(&dumps::left_by(plan));
    text.push_str(&quieted(&plan.quiet));
    text.push_str(match plan.safety {
        true => "keeps what is there now in a safety point first\n",
        false => "keeps NO safety point: what is there now is lost\n",
    });
    text
}

fn hooks(hooks: &Hooks) -> String {
    let line = |moment: HookMoment, hook: &Hook| {
        let user = hook.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        let when = match moment {
            HookMoment::Pre => "before anything stops",
            HookMoment::Post => "when everything runs again",
        };
        let on_error = match hook.on_error {
            OnError::Fail => "its failure fails the run",
            OnError::Continue => "its failure is only told",
        };
        format!("runs{user} in the container {when}, for {} at most; {on_error}\n    {}\n", hook.timeout, hook.command)
    };
    let pre = hooks.pre.as_ref().map(|hook| line(HookMoment::Pre, hook));
    let post = hooks.post.as_ref().map(|hook| line(HookMoment::Post, hook));
    pre.into_iter().chain(post).collect()
}

fn quieted(quiet: &[Quiet]) -> String {
    if quiet.is_empty() {
        return "stops nothing\n".to_owned();
    }
    let mut text = "stops in this order, and starts again in the reverse one\n".to_owned();
    for quiet in quiet.iter().rev() {
        let verb = match quiet.mode {
            StopMode::Pause => " (paused only)",
            _ => "",
        };
        let why = match quiet.why {
            QuietReason::Target => "",
            QuietReason::SharesData => ", which uses the same data",
            QuietReason::SharesNetwork => ", which lives in the network of one that stops",
        };
        text.push_str(&format!("    {}{verb}{why}\n", quiet.name));
    }
    text
}

fn mount_line(mount: &PointMount) -> String {
    match mount.as_mount().volume() {
        Some(volume) => format!("{} (volume {volume})", mount.destination.display()),
        None => format!("{} (host folder {})", mount.destination.display(), mount.source.display()),
    }
}

/// What a backup did.
pub(crate) fn backup_report(report: &BackupReport) -> String {
    let point = &report.point;
    let aside = report.frozen.map(|frozen| units::bytes(frozen.copied_bytes + frozen.cloned_bytes));
    let window = match (point.stop_window, aside) {
        (Some(window), Some(aside)) => format!("stop window {} for {aside}", units::duration(window)),
        (Some(window), None) => format!("stop window {}", units::duration(window)),
        (None, _) => "nothing was stopped".to_owned(),
    };
    let mut text = format!(
        "{}: {} in {}, {} added to the store, {}, {window}\nrestore point {} of backup {}{}\n",
        report.container,
        units::bytes(point.size.bytes),
        units::inodes(point.size.files),
        units::bytes(point.size.stored_bytes),
        units::duration(point.elapsed),
        point.id,
        report.backup,
        point.name.as_ref().map(|name| format!(", \"{name}\"")).unwrap_or_default(),
    );
    if let Some(held) = dumps::held(point) {
        text.push_str(&format!("dumped {held}\n"));
    }
    text.push_str(&shortfalls(point));
    text
}

fn shortfalls(point: &RestorePoint) -> String {
    match point.warning_count {
        0 => String::new(),
        count if point.lost_data() => format!("INCOMPLETE: {count} paths fell short, and data is missing\n"),
        count => format!("{count} paths fell short\n"),
    }
}

/// What a restore did.
pub(crate) fn restore_outcome(outcome: &RestoreOutcome) -> String {
    let window = match outcome.stop_window {
        Some(window) => format!("stop window {}", units::duration(window)),
        None => "nothing was stopped".to_owned(),
    };
    let mut text = format!(
        "restored {} in {}, removed {}, {}, {window}\n",
        units::bytes(outcome.report.bytes),
        units::inodes(outcome.report.files),
        outcome.report.removed,
        units::duration(outcome.elapsed),
    );
    if !outcome.warnings.is_empty() {
        text.push_str(&format!("{} fell short\n", units::count(outcome.warnings.len(), "path")));
    }
    text.push_str(&dumps::left_by(&outcome.plan));
    if let Some(undo) = outcome.undo_command() {
        text.push_str(&format!("to undo: {undo}\n"));
    }
    text
}

/// What a deletion would take away.
pub(crate) fn delete_plan(plan: &DeletePlan) -> String {
    let mut text = if plan.whole {
        format!("deletes backup {} with everything in it\n", plan.backup)
    } else {
        format!("deletes from backup {}\n", plan.backup)
    };
    if let Some(reason) = &plan.frozen {
        text.push_str(&format!("{}\n", frozen(reason)));
    }
    for point in &plan.points {
        let name = point.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let tied = if point.tied { ", which needs one of the others" } else { "" };
        text.push_str(&format!("    point {}, taken {}{name}{tied}\n", point.id, units::moment(point.taken_at)));
    }
    for snapshot in &plan.unrecorded {
        text.push_str(&format!("    snapshot {snapshot} of a run that broke off, which needs one of the others\n"));
    }
    text.push_str(&format!("{} had been added to the store for it\n", units::bytes(plan.stored_bytes)));
    text
}

/// Why nothing of a backup should go now.
pub(crate) fn frozen(frozen: &Frozen) -> String {
    let suspicion = &frozen.suspicion;
    format!(
        "FROZEN: point {} is suspect, {}; the points before it may be all that is left of the data.",
        frozen.point,
        backups::loss(&suspicion.loss)
    )
}

/// What a deletion did.
pub(crate) fn delete_report(report: &DeleteReport) -> String {
    if report.plan.whole {
        return format!("backup {} and its data are gone\n", report.plan.backup);
    }
    let mut text = format!("{} gone", units::count(report.plan.points.len(), "restore point"));
    if let Some(freed) = report.freed_bytes {
        text.push_str(&format!(", {} freed", units::bytes(freed)));
    }
    if report.later_bytes > 0 {
        text.push_str(&format!(", {} to be freed by a later deletion", units::bytes(report.later_bytes)));
    }
    text + "\n"
}
