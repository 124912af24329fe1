//! `dory logs`

use std::time::Duration;

use dory_core::domain::run::{LiveRun, Outcome, Run};
use dory_core::services::{Dory, RunTrace};
use dory_core::{Error, ErrorKind, Result};
use jiff::SignedDuration;

use crate::args::LogsArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::render::{runs, units};
use crate::ui::{Ui, print};

/// How often a run under way is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// By how many of the lines that were printed last their place in a run's record is found.
const TAIL: usize = 3;

/// How long a run may show nothing new before that is told.
const SILENT: SignedDuration = SignedDuration::from_secs(60);

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &LogsArgs) -> Result<Exit> {
    let (server, id) = dory.find_run(&args.run).await?;
    let cancel = interrupt::on_signals(ui);
    let (mut printed, mut tail, mut warned) = (0, Vec::new(), false);
    loop {
        let trace = cancel.or(dory.trace_run(&server, id)).await?;
        if ui.is_json() && (!args.follow || trace.run.is_some()) {
            ui.result(&trace, |_| String::new())?;
            return Ok(trace.run.as_ref().map_or(Exit::Success, exit_of));
        }
        match trace {
            RunTrace { run: Some(run), .. } => {
                rest_of(&run.log, &tail).iter().try_for_each(|line| print(line))?;
                ui.say(&runs::outcome(&run));
                return Ok(exit_of(&run));
            }
            RunTrace { live: Some(live), .. } if !ui.is_json() => {
                new_in(&live, printed).iter().try_for_each(|line| print(line))?;
                if !live.log.is_empty() {
                    tail = live.log.iter().rev().take(TAIL).rev().cloned().collect();
                }
                printed = printed.max(live.lines_before + live.log.len() as u64);
                let silent = dory.now().duration_since(live.at) > SILENT;
                if silent && !warned {
                    ui.warn(&format!("{server} shows nothing new since {}: it may be dead", units::moment(live.at)));
                }
                warned = silent;
            }
            RunTrace { live: Some(_), .. } => {}
            RunTrace { live: None, run: None } => {
                let reason = "it shows itself no more, and nobody wrote down how it went";
                return Err(Error::new(ErrorKind::NotFound, "follow run", id.to_string(), reason)
                    .with_hint("its server settles what was broken off when it starts again: see `dory runs` then"));
            }
        }
        if !args.follow {
            return Ok(Exit::Success);
        }
        let waited = async {
            tokio::time::sleep(LOOK).await;
            Ok(())
        };
        cancel.or(waited).await?;
    }
}

/// A run's own code says how it went; following one that failed is no success.
fn exit_of(run: &Run) -> Exit {
    match (&run.error, run.outcome) {
        (_, Outcome::Succeeded) => Exit::Success,
        (Some(error), _) => Exit::of(error.kind),
        (None, _) => Exit::Incomplete,
    }
}

/// The lines of a run under way beyond the first `printed`.
fn new_in(live: &LiveRun, printed: u64) -> &[String] {
    let skip = usize::try_from(printed.saturating_sub(live.lines_before)).unwrap_or(usize::MAX);
    live.log.get(skip.min(live.log.len())..).unwrap_or_default()
}

/// The lines of a run that is over after those that were printed last. Its record tells more than it showed while it was
/// under way, and no more than its last lines: where these are not among them, all of it is printed.
fn rest_of<'a>(log: &'a [String], printed: &[String]) -> &'a [String] {
    if printed.is_empty() {
        return log;
    }
    let place = log.windows(printed.len()).rposition(|lines| lines == printed);
    place.map_or(log, |place| &log[place + printed.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_run_under_way_is_printed_once() {
        let live = LiveRun {
            id: "01K9ZZZZZZZZZZZZZZZZZZZZZY".to_owned().try_into().unwrap(),
            server: "alpha".parse().unwrap(),
            kind: dory_core::domain::run::RunKind::Backup,
            what: "back up db".into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            at: jiff::Timestamp::UNIX_EPOCH,
            progress: String::new(),
            lines_before: 2,
            log: ["c", "d"].map(str::to_owned).to_vec(),
        };
        assert_eq!(new_in(&live, 0), ["c", "d"]);
        assert_eq!(new_in(&live, 3), ["d"]);
        assert!(new_in(&live, 4).is_empty() && new_in(&live, 9).is_empty());
    }

    #[test]
    fn the_rest_of_a_log_begins_where_printing_ended() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let log = lines("a b c b c d");
        assert_eq!(rest_of(&log, &lines("b c")), ["d"]);
        assert_eq!(rest_of(&log, &lines("x y")).len(), 6, "its first lines are gone");
        assert_eq!(rest_of(&log, &[]).len(), 6);
    }
}
