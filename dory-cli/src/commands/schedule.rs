//! `dory schedule`

use dory_core::domain::schedule::{Schedule, zone_named};
use dory_core::services::{Dory, ScheduleChange};
use dory_core::{Error, Result};

use crate::args::{ScheduleArgs, ScheduleWord};
use crate::exit::Exit;
use crate::render::schedules;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &ScheduleArgs) -> Result<Exit> {
    let change = change(args)?;
    match (&args.backup, change) {
        (Some(reference), Some(change)) => {
            let one = dory.change_schedule(reference, &change).await?;
            ui.result(&one, schedules::one)?;
        }
        (Some(reference), None) => {
            let found = dory.schedules(Some(reference)).await?;
            ui.result(&found, |found| found.iter().map(schedules::one).collect())?;
        }
        (None, _) => {
            let all = dory.schedules(None).await?;
            ui.result(&all, |all| schedules::list(all))?;
        }
    }
    Ok(Exit::Success)
}

fn change(args: &ScheduleArgs) -> Result<Option<ScheduleChange>> {
    let Some(word) = args.change else { return Ok(None) };
    if let Some(cron) = args.cron.as_ref().filter(|_| word != ScheduleWord::Set) {
        return Err(Error::invalid("schedule", cron, "only `set` takes one").with_hint("see `dory schedule --help`"));
    }
    Ok(Some(match word {
        ScheduleWord::Set => ScheduleChange::Set(Box::new(schedule(args)?)),
        ScheduleWord::Clear => ScheduleChange::Clear,
        ScheduleWord::Pause => ScheduleChange::Pause,
        ScheduleWord::Resume => ScheduleChange::Resume,
        ScheduleWord::SkipNext => ScheduleChange::SkipNext,
    }))
}

fn schedule(args: &ScheduleArgs) -> Result<Schedule> {
    let cron = args.cron.as_deref().unwrap_or_default();
    let Some(zone) = &args.zone else { return cron.parse() };
    zone_named(zone)?;
    if cron.contains("TZ=") {
        return Err(Error::invalid("--zone", zone, "the schedule names a time zone itself"));
    }
    format!("TZ={zone} {cron}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(word: ScheduleWord, cron: Option<&str>, zone: Option<&str>) -> ScheduleArgs {
        let (cron, zone) = (cron.map(str::to_owned), zone.map(str::to_owned));
        ScheduleArgs { backup: Some("db".into()), change: Some(word), cron, zone }
    }

    #[test]
    fn a_zone_goes_into_the_schedule_and_what_makes_no_sense_is_refused() {
        let read = |cron, zone| schedule(&args(ScheduleWord::Set, Some(cron), zone));
        assert_eq!(read("30 2 * * *", Some("Europe/Berlin")).unwrap().to_string(), "TZ=Europe/Berlin 30 2 * * *");
        for (cron, zone, named) in [
            ("30 2 * * *", Some("Mars/Base"), "Mars/Base"),
            ("TZ=UTC 30 2 * * *", Some("Europe/Berlin"), "Europe/Berlin"),
            ("61 2 * * *", None, "61 2 * * *"),
            ("0 0 30 2 *", None, "0 0 30 2 *"),
        ] {
            assert_eq!(read(cron, zone).unwrap_err().subject(), named);
        }
        assert!(change(&args(ScheduleWord::Pause, Some("@daily"), None)).is_err());
    }
}
