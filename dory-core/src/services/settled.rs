//! What became of a run that was broken off, as people and the catalog are told.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::container::ContainerState;
use crate::domain::guard::GuardEnd;
use crate::domain::id::{BackupId, ContainerName, DumpName, PointId, RunId};
use crate::domain::run::RunKind;
use crate::error::{Error, ErrorKind};

/// A run that Dory did not finish, because it was killed or its host went down; [`settle`] cleared up after it.
///
/// [`settle`]: super::Dory::settle
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The run.
    pub run: RunId,
    /// The backup it was about.
    pub backup: BackupId,
    /// What it did.
    pub kind: RunKind,
    /// When it was found out that Dory had died, if anybody did before now.
    pub noticed_at: Option<Timestamp>,
    /// What was done about the containers; `None` where nobody knew of any.
    pub end: Option<GuardEnd>,
    /// How they are now.
    pub containers: Vec<SettledContainer>,
    /// The point that holds what was there before a restore.
    pub safety_point: Option<PointId>,
    /// The dump in it, where that is what a loaded dump may have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safety_dump: Option<DumpName>,
    /// Whether Dory itself came to the end of the run, without starting all that it had stopped; the guardian acted later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub run_ended: bool,
}

/// A container that such a run may have stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettledContainer {
    /// Its name then.
    pub name: ContainerName,
    /// How it is now.
    pub standing: Standing,
}

/// How a container is, compared with how it was before it was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "standing", content = "state")]
pub enum Standing {
    /// It does again what it did.
    Back,
    /// So does another one, which was created in its place.
    Anew,
    /// It does something else.
    Down(ContainerState),
    /// It was removed, and none took its place.
    Gone,
}

impl Settled {
    /// The same as an error: what failed, why, and what to do.
    #[must_use]
    pub fn to_error(&self) -> Error {
        let down = self.names(|standing| matches!(standing, Standing::Down(_)));
        let gone = self.names(|standing| standing == Standing::Gone);
        let died = if self.run_ended { "Dory could not start all it stopped" } else { "Dory died in the middle of it" };
        let (kind, mut reason) = match self.end {
            None => (ErrorKind::Incomplete, "Dory died in the middle of it, and no guardian had been armed".to_owned()),
            Some(GuardEnd::KeptDown) => {
                let reason = "Dory died while it wrote, so the data is half restored";
                (ErrorKind::ContainerDown, format!("{reason}, and {} must not run on it", list(&down)))
            }
            Some(_) if down.is_empty() && gone.is_empty() => {
                let back = self.names(|_| true);
                let again = if back.is_empty() { String::new() } else { format!("; {} again as before", does(&back)) };
                (ErrorKind::Incomplete, format!("{died}{again}"))
            }
            Some(_) if down.is_empty() => (ErrorKind::ContainerDown, died.to_owned()),
            Some(_) => (ErrorKind::ContainerDown, format!("{died}, and {} not run again", does_not(&down))),
        };
        if !gone.is_empty() {
            reason.push_str(&format!("; meanwhile {} removed", was(&gone)));
        }
        let error = Error::new(kind, format!("finish {} of", self.kind.as_str()), self.backup.as_str(), reason);
        error.with_hint(self.remedy(&down))
    }

    fn remedy(&self, down: &[&str]) -> String {
        let again = match self.kind {
            RunKind::Backup => format!("run `dory backup` for it again; the record is run {}", self.run),
            RunKind::Restore | RunKind::Delete | RunKind::Prune | RunKind::Verify => {
                format!("run the same `dory {}` again; the record is run {}", self.kind.as_str(), self.run)
            }
        };
        match (self.end, self.way_back()) {
            (None, Some(back)) => {
                format!("run `{back}` to go back, or {again}; see in `dory containers` that everything runs")
            }
            (None, None) => format!("see in `dory containers` that everything runs, then {again}"),
            (Some(GuardEnd::KeptDown), back) => {
                let start = format!("then `docker start {}`", down.join(" "));
                match back {
                    Some(back) => format!("run `{back}` to go back, or the same `dory restore` again; {start}"),
                    None => format!("run the same `dory restore` again, or one of another point; {start}"),
                }
            }
            _ if !down.is_empty() => {
                format!("run `docker start {}`, and look at `docker logs`; then {again}", down.join(" "))
            }
            _ => again,
        }
    }

    /// The command that brings back what was there before.
    fn way_back(&self) -> Option<String> {
        let dump = self.safety_dump.as_ref().map(|dump| format!(" --dump {dump}")).unwrap_or_default();
        Some(format!("dory restore {} --at {}{dump}", self.backup, self.safety_point?))
    }

    /// Whether it is known that a restore had written nothing, or all.
    pub(super) fn left_data_whole(&self) -> bool {
        self.kind == RunKind::Restore && matches!(self.end, Some(GuardEnd::BroughtBack | GuardEnd::SomeDown))
    }

    /// Whether a container does not do what it did before.
    pub(super) fn leaves_something_down(&self) -> bool {
        !self.names(|standing| matches!(standing, Standing::Down(_) | Standing::Gone)).is_empty()
    }

    fn names(&self, wanted: impl Fn(Standing) -> bool) -> Vec<&str> {
        self.containers.iter().filter(|one| wanted(one.standing)).map(|one| one.name.as_str()).collect()
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => "what uses it".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    }
}

fn does(names: &[&str]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "runs" } else { "run" })
}

fn does_not(names: &[&str]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "does" } else { "do" })
}

fn was(names: &[&str]) -> String {
    format!("{} {}", list(names), if names.len() == 1 { "was" } else { "were" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(kind: RunKind, end: Option<GuardEnd>, standings: &[(&str, Standing)]) -> Settled {
        let container =
            |(name, standing): &(&str, Standing)| SettledContainer { name: name.parse().unwrap(), standing: *standing };
        Settled {
            run: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
            backup: BackupId::parse("db-4f1c").unwrap(),
            kind,
            noticed_at: None,
            end,
            containers: standings.iter().map(container).collect(),
            safety_point: None,
            safety_dump: None,
            run_ended: false,
        }
    }

    fn told(settled: &Settled) -> String {
        let error = settled.to_error();
        format!("{error}\n{}", error.hint().unwrap_or_default())
    }

    #[test]
    fn what_runs_again_is_named() {
        let told = told(&settled(
            RunKind::Backup,
            Some(GuardEnd::BroughtBack),
            &[("db", Standing::Back), ("web", Standing::Anew)],
        ));
        assert_eq!(
            told,
            "cannot finish backup of `db-4f1c`: Dory died in the middle of it; `db`, `web` run again as before\n\
             run `dory backup` for it again; the record is run 01K9ZZZZZZZZZZZZZZZZZZZZZY"
        );
    }

    #[test]
    fn what_the_guardian_started_after_its_dory_could_not_is_told_so() {
        let back = [("db", Standing::Back)];
        let later = Settled { run_ended: true, ..settled(RunKind::Backup, Some(GuardEnd::BroughtBack), &back) };
        let told = told(&later);
        assert!(told.contains("Dory could not start all it stopped; `db` runs again as before"), "{told}");
    }

    #[test]
    fn what_is_down_or_gone_is_told_with_what_to_do() {
        let exited = Standing::Down(ContainerState::Exited);
        let some = settled(RunKind::Backup, Some(GuardEnd::SomeDown), &[("db", exited), ("web", Standing::Gone)]);
        assert_eq!(some.to_error().kind(), ErrorKind::ContainerDown);
        let told = told(&some);
        assert!(told.contains("`db` does not run again; meanwhile `web` was removed"), "{told}");
        assert!(told.contains("docker start db`"), "{told}");
    }

    #[test]
    fn half_restored_data_names_both_ways_on() {
        let exited = Standing::Down(ContainerState::Exited);
        let mut kept = settled(RunKind::Restore, Some(GuardEnd::KeptDown), &[("db", exited)]);
        assert!(told(&kept).contains("half restored, and `db` must not run on it"), "{}", told(&kept));
        assert!(
            told(&kept).ends_with("the same `dory restore` again, or one of another point; then `docker start db`")
        );
        kept.safety_point = Some(PointId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZZ").unwrap());
        assert!(told(&kept).contains("dory restore db-4f1c --at 01K9ZZZZZZZZZZZZZZZZZZZZZZ"), "{}", told(&kept));
    }
}
