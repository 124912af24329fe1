//! Dumps: what is taken, what is held, and what is loaded.

use dory_core::domain::dump::{DumpSpec, path_of};
use dory_core::domain::hook::OnError;
use dory_core::domain::restore_point::RestorePoint;
use dory_core::services::{DumpLoadOutcome, DumpLoadPlan, LoadedBy, RestorePlan};

use super::units;

/// The dump that a backup would take.
pub(crate) fn planned(spec: &DumpSpec) -> String {
    let user = spec.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
    let failure = match spec.on_error {
        OnError::Fail => "its failure fails the run before anything stops",
        OnError::Continue => "its failure makes the point incomplete",
    };
    let path = path_of(&spec.name);
    format!(
        "dumps{user} to {} with everything up, for {} at most; {failure}\n    {}\n",
        path.display(),
        spec.timeout,
        spec.method
    )
}

/// What a point holds of them, in few words.
pub(crate) fn held(point: &RestorePoint) -> Option<String> {
    let one = |dump: &dory_core::domain::restore_point::PointDump| {
        format!("{} {}", path_of(&dump.name).display(), units::bytes(dump.bytes))
    };
    let all: Vec<_> = point.dumps.iter().map(one).collect();
    (!all.is_empty()).then(|| format!("[{}]", all.join(", ")))
}

/// What a restore of volumes leaves to be said.
pub(crate) fn left_by(plan: &RestorePlan) -> String {
    let line = |name: &dory_core::domain::id::DumpName| {
        let load = format!("dory restore {} --at {} --dump {name}", plan.backup, plan.point);
        format!("the point also holds {}, which is loaded by: {load}\n", path_of(name).display())
    };
    plan.dumps.iter().map(line).collect()
}

/// What loading a dump would do.
pub(crate) fn load_plan(plan: &DumpLoadPlan) -> String {
    let name = plan.point_name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let mut text = format!(
        "loads {}, {}, of point {}{name} of {}, taken {}\n",
        path_of(&plan.dump.name).display(),
        units::bytes(plan.dump.bytes),
        plan.point,
        plan.backup,
        units::moment(plan.taken_at)
    );
    let said_by = match plan.said_by {
        LoadedBy::Container => "as the container says",
        LoadedBy::Point => "as the point says; the container says nothing",
    };
    text.push_str(&format!("into container {}, which goes on running, {said_by}\n    {}\n", plan.target, plan.how));
    text.push_str(match plan.safety {
        Some(_) => "keeps a dump of what is there now in a safety point first\n",
        None => "keeps NO safety point: what the dump replaces is lost\n",
    });
    text
}

/// What loading a dump did.
pub(crate) fn load_outcome(outcome: &DumpLoadOutcome) -> String {
    let DumpLoadOutcome { plan, bytes, elapsed, .. } = outcome;
    let mut text = format!(
        "loaded {} of {} into {}, {}, nothing was stopped\n",
        units::bytes(*bytes),
        plan.dump.name,
        plan.target,
        units::duration(*elapsed)
    );
    if let Some(undo) = outcome.undo_command() {
        text.push_str(&format!("to undo: {undo}\n"));
    }
    text
}
